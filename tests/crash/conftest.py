"""The fork server and the run that nothing happens to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import crash_driver
import pytest


@dataclass(frozen=True)
class Untouched:
    """A run that was never killed: its folder, how often it passed each kill point, and how long it took."""

    root: Path
    passes: dict[str, int]
    seconds: float


@pytest.fixture(scope="package", autouse=True)
def pinned_commit() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        crash_driver.pin_commit(patch.setattr)
        yield


@pytest.fixture(scope="session")
def untouched() -> Iterator[Untouched]:
    import time

    with pytest.MonkeyPatch.context() as patch:
        crash_driver.start_server(patch)
    with crash_driver.scratch() as root:
        began = time.monotonic()
        kind, told = crash_driver.child(
            crash_driver.run_world, {"root": str(root)}, environ={"FEDGEN_KILL": "nowhere:1"}
        )
        assert kind == "ok", told
        with crash_driver.scratch() as again:
            began = time.monotonic()
            assert crash_driver.child(crash_driver.run_world, {"root": str(again)})[0] == "ok"
            seconds = time.monotonic() - began
            assert crash_driver.problems(again, root) == []
        yield Untouched(root, told["passes"], seconds)
