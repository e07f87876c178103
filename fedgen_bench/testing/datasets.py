"""What every data set must hold, as far as it can be seen without downloading it."""

from __future__ import annotations

from collections.abc import Callable
from unittest import SkipTest

from fedgen_bench.base.errors import DataError
from fedgen_bench.contract.datasets import DatasetSpec
from fedgen_bench.registry.datasets import check, locate

Check = Callable[[DatasetSpec], None]


def check_rehearsal(spec: DatasetSpec) -> None:
    """Somebody who lacks it can get it: it has an address, or says where its files come from."""
    assert spec.address or spec.origin, (
        "there is no address for every file, no `archive`, and no `origin`. Say where its files come from."
    )
    assert spec.licence, "`licence` is empty. Say on which terms the data may be used."


def check_hashes(spec: DatasetSpec) -> None:
    """The files that are at hand have the hashes that it names.

    Raises:
        SkipTest: they are neither below `FEDGEN_DATA` nor in the cache.
    """
    found = locate(spec)
    if found is None:
        raise SkipTest("it is neither below FEDGEN_DATA nor in the cache")
    try:
        check(spec, found[1])
    except DataError as error:  # which elsewhere says that a check cannot be made
        raise AssertionError(str(error)) from error


def dataset_checks() -> tuple[Check, ...]:
    """The checks, in the order in which to read them."""
    return check_rehearsal, check_hashes
