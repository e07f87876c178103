"""What every observer must hold: it takes whatever a cell may report, and changes none of it."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fedgen_bench.base.guards import guarded
from fedgen_bench.contract.reports import LedgerEntry, Quarantine, RoundReport, RunResult
from fedgen_bench.testing.bits import fingerprint
from fedgen_bench.testing.locations import at

Check = Callable[[Callable[..., None]], None]
_RUN = "suite/contender/1"


def reports() -> Iterator[RoundReport]:
    """A round with everything in it, and one that was neither evaluated nor lost anybody."""
    sizes = {"encoded_bytes": 120, "tensor_bytes": 100, "header_bytes": 20}
    down = LedgerEntry(round_index=0, client_id=1, direction="down", phase="fit", **sizes)
    ledger = (down, replace(down, direction="up"))
    lost = (Quarantine(2, "not_finite", "`left` holds NaN or infinity."),)
    metrics, drift = {"bits_per_byte": 1.5}, {"dispersion": 0.25}
    first = RoundReport(
        round_index=0,
        cohort=(1, 2),
        n_accepted=1,
        quarantined=lost,
        mean_loss=2.5,
        metrics=metrics,
        batch_digest="00ff",
        ledger=ledger,
        seconds=0.5,
        drift=drift,
    )
    yield first
    yield replace(first, round_index=1, cohort=(1,), quarantined=(), mean_loss=2.25, metrics={}, drift={})


def results() -> Iterator[RunResult]:
    """A cell that ended well, one that diverged and one that failed; the last two have no metrics."""
    clients = {"global": {"0": 1.5, "1": 1.75}}
    yield RunResult("done", "", {"valid/bits_per_byte": 1.5}, clients, {"partition": "00ff"}, {"trainable_params": 3})
    yield RunResult("diverged", "Loss of client 1 is nan.")
    yield RunResult("failed", "PluginError: Mine.send changed `state.x` in place.")


def configuration() -> dict[str, Any]:
    """As much of a cell's configuration as every cell has."""
    return {
        "suite": "suite",
        "suite_version": 1,
        "seed": 1,
        "contender": {"name": "contender", "strategy": {"name": "fedavg", "params": {}}, "learning_rate": 0.1},
        "federation": {"n_clients": 4, "clients_per_round": 2, "rounds": 2},
        "training": {"local_steps": 2, "batch_size": 1},
    }


@contextlib.contextmanager
def _elsewhere() -> Iterator[None]:
    """In an empty folder: an observer may write."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(Path(folder)):
        yield


def _observe(function: Callable[..., None], **event: Any) -> None:
    wanted = {name: event[name] for name in _arguments(function) if name in event}
    before = fingerprint(list(event.values()))
    with at(function), _elsewhere():
        with guarded(function.__name__):
            function(**wanted)
        assert fingerprint(list(event.values())) == before, f"{function.__name__} changed what it was given"


def _arguments(function: Callable[..., None]) -> tuple[str, ...]:
    import inspect

    return tuple(inspect.signature(function).parameters)


def check_after_round(function: Callable[..., None]) -> None:
    """It takes a committed round's report, evaluated or not, and changes neither the report nor the process."""
    for report in reports():
        _observe(function, run=_RUN, report=report, config=configuration())


def check_after_run(function: Callable[..., None]) -> None:
    """It takes results of cells that ended well and of ones that did not, and changes neither them nor the process."""
    for result in results():
        _observe(function, run=_RUN, result=result, config=configuration())


OBSERVER_CHECKS: Mapping[str, Check] = {"after_round": check_after_round, "after_run": check_after_run}
