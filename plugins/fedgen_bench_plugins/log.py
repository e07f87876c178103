"""An observer: every round and run as a line of the logger `fedgen_bench` (shown by `fedgen-bench run -v`)."""

from __future__ import annotations

import logging

from fedgen_bench import RoundReport, RunResult, hookimpl

_log = logging.getLogger("fedgen_bench")


@hookimpl
def after_round(run: str, report: RoundReport) -> None:
    up = sum(entry.encoded_bytes for entry in report.ledger if entry.direction == "up")
    quarantined = ", ".join(f"client {one.client_id}: {one.code}" for one in report.quarantined)
    _log.info(
        "%s round %d: %d updates, %d bytes up%s",
        run,
        report.round_index,
        report.n_accepted,
        up,
        f", quarantined {quarantined}" if quarantined else "",
    )


@hookimpl
def after_run(run: str, result: RunResult) -> None:
    _log.info("%s: %s %s", run, result.status, result.reason)
