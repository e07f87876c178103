"""`check` on components, files and distributions: what it prints, and its exit codes."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from fedgen_bench.cli.main import cli
from fedgen_bench.errors import UsageError
from fedgen_bench.testing import toy

PARTITIONERS = """
from fedgen_bench import NoParams, PartitionerSpec, hookimpl


class Dealt:
    def __init__(self, params: NoParams):
        pass

    def split(self, units, n_clients, rng):
        import numpy as np

        return [np.arange(first, units.n_units, n_clients) for first in range(n_clients)]


class Overlapping(Dealt):
    def split(self, units, n_clients, rng):
        import numpy as np

        return [np.arange(units.n_units) for _ in range(n_clients)]


@hookimpl
def register_partitioners():
    return [
        PartitionerSpec(name="dealt", summary="", build=Dealt),
        PartitionerSpec(name="overlapping", summary="", build=Overlapping),
        PartitionerSpec(name="Wrong Name", summary="", build=Dealt),
    ]
"""


def check(*arguments):
    result = CliRunner().invoke(cli, ["check", *arguments], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.return_value, result.output.splitlines()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "parts.py"
    path.write_text(PARTITIONERS, encoding="utf-8")
    return str(path)


def test_check_of_a_component_says_what_holds():
    code, lines = check("iid")
    assert code == 0
    assert lines[0] == "partitioner/iid"
    assert (
        "  passed           check_valid: Parts are ascending, disjoint and in range, for several sizes and keys."
        in lines
    )
    assert lines[-1] == "7 checks: 7 passed, 0 failed"


def test_check_shows_a_declared_exception_with_its_reason():
    code, lines = check("partitioner/natural")
    assert code == 0
    assert sum(line.startswith("  known exception  check_more_clients_than_") for line in lines) == 2
    assert lines.count(" " * 19 + "clients are the values of a column; it refuses to invent others") == 2
    assert lines[-1] == "7 checks: 5 passed, 0 failed, 2 known exception"


def test_check_of_a_file_checks_all_of_it_and_fails_on_what_does_not_hold(file):
    code, lines = check(file)
    assert code == 1
    assert lines[0].startswith("FAILED  ")
    assert "'Wrong Name' does not match" in lines[0]
    assert [line for line in lines if line.startswith("partitioner/")] == [
        "partitioner/dealt",
        "partitioner/overlapping",
    ]
    failed = lines.index(next(line for line in lines if line.startswith("  FAILED")))
    assert lines[failed + 1].strip() == f"{file}:16: a unit belongs to two clients"
    assert lines[-1] == "15 checks: 9 passed, 2 failed, 4 not run"


def test_check_of_one_component_of_a_file(file):
    code, lines = check("dealt", "--plugin", file)
    assert (code, lines[-1]) == (0, "7 checks: 7 passed, 0 failed")


def test_check_list_runs_nothing(file):
    code, lines = check("overlapping", "--plugin", file, "--list")
    assert code == 0
    assert lines[0].split() == ["component", "check", "what", "must", "hold"]
    assert len(lines) == 2 + 7


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("fedpox", "Unknown component, file or distribution `fedpox`. Did you mean `fedprox`?"),
        ("fedgen-bensh", "Did you mean `fedgen-bench`?"),
        ("strategie/fedprox", "Unknown kind `strategie`. Did you mean `strategy`?"),
        ("nowhere.py", "nowhere.py does not exist"),
        ("quick", "`quick` has nothing to check."),
    ],
)
def test_check_of_what_is_not_there_is_wrong_usage(target, message):
    with pytest.raises(UsageError) as caught:
        check(target)
    assert message in str(caught.value)
    assert caught.value.exit_code == 2


def test_check_of_the_toy_world_passes():
    code, lines = check(toy.__file__)
    assert code == 0, lines
    assert [line for line in lines if "/" in line.split(" ")[0]] == ["task/toy", "metric/toy_loss"]
