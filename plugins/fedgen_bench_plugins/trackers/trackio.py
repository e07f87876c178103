"""Trackio: a project a suite, a group a contender, a run a cell with its configuration.

Runs go to the folder that `TRACKIO_DIR` names, or to Trackio's own; `trackio show` shows them. A cell that goes on
after it was cut off begins another run, which has the rounds from there on.
"""

from __future__ import annotations

import contextlib
import contextvars
import importlib.util
import io
from typing import Any

from fedgen_bench import RoundReport, RunResult, hookimpl
from fedgen_bench_plugins.trackers.telling import round_figures

if importlib.util.find_spec("trackio") is None:
    raise ImportError("Trackio is not installed: `pip install 'fedgen-bench[trackio]'`")

_begun: dict[str, Any] = {}


def _run(run: str, config: dict[str, Any]) -> Any:
    """The run of a cell; it begins with the first report.

    In a context of its own: Trackio ends the run that it finds in its context when another one begins.
    """
    if run not in _begun:
        import trackio

        suite, contender, seed = run.split("/")
        with contextlib.redirect_stdout(io.StringIO()):
            _begun[run] = contextvars.Context().run(
                trackio.init,
                project=suite,
                group=contender,
                name=f"{contender}/{seed}",
                config=config,
                embed=False,
                auto_log_cpu=False,
                auto_log_gpu=False,
            )
    return _begun[run]


@hookimpl
def after_round(run: str, report: RoundReport, config: dict[str, Any]) -> None:
    _run(run, config).log(round_figures(report), step=report.round_index + 1)


@hookimpl
def after_run(run: str, result: RunResult, config: dict[str, Any]) -> None:
    cell = _run(run, config)
    told = {**result.metrics, "status": result.status, "reason": result.reason}
    cell.log(told, step=int(config["federation"]["rounds"]))
    with contextlib.redirect_stdout(io.StringIO()):
        cell.finish()
    del _begun[run]
