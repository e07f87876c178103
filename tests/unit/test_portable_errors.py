"""Errors that cross from a worker process."""

from __future__ import annotations

import pickle

import pytest

from fedgen_bench.base import errors
from fedgen_bench.base.failures import origin, portable


def crossed(error):
    return pickle.loads(pickle.dumps(portable(error)))


@pytest.mark.parametrize(
    "error",
    [
        errors.PluginError("a"),
        errors.BudgetError("b"),
        errors.Diverged("c"),
        errors.DataError("d"),
        errors.WireError("malformed", "e"),
        errors.SuiteError(["f", "g"]),
        ZeroDivisionError("h"),
    ],
    ids=lambda one: type(one).__name__,
)
def test_portable_error_keeps_type_and_message(error):
    got = crossed(error)
    assert type(got) is type(error)
    assert str(got) == str(error)


def test_portable_wire_error_keeps_its_code():
    assert crossed(errors.WireError("malformed", "no")).code == "malformed"


def test_portable_error_keeps_where_it_was_raised():
    with pytest.raises(ZeroDivisionError) as raised:
        _ = 1 // 0
    here = origin(raised.value)
    assert here.startswith("test_portable_errors.py:")
    assert origin(crossed(raised.value)) == here


def test_portable_error_that_cannot_be_pickled_becomes_one_that_says_the_same():
    class Local(Exception):  # noqa: N818 - pickle does not find it
        pass

    got = crossed(Local("no luck"))
    assert type(got) is errors.PluginError
    assert str(got) == "Local: no luck (?)"


def test_portable_error_that_forgets_its_message_becomes_one_that_says_it():
    got = crossed(Forgetful(3))
    assert type(got) is errors.PluginError
    assert str(got) == "Forgetful: 3 steps (?)"


class Forgetful(Exception):  # noqa: N818 - it is none of ours
    def __init__(self, n):
        super().__init__(f"{n} steps")
