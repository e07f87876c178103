"""Weights & Biases, offline: a project a suite, a group a contender, a run a cell with its configuration.

Runs go to `wandb/` in the working folder, or below `WANDB_DIR`; `wandb sync` sends them later, and `WANDB_MODE=online`
at once. A cell that goes on after it was cut off begins another run, which has the rounds from there on.
"""

from __future__ import annotations

import importlib.util
import os
from typing import Any

from fedgen_bench import RoundReport, RunResult, hookimpl
from fedgen_bench_plugins.trackers.telling import round_figures

if importlib.util.find_spec("wandb") is None:
    raise ImportError("Weights & Biases is not installed: `pip install 'fedgen-bench[wandb]'`")

_begun: dict[str, Any] = {}


def _run(run: str, config: dict[str, Any]) -> Any:
    """The run of a cell; it begins with the first report."""
    if run not in _begun:
        import wandb

        suite, contender, seed = run.split("/")
        _begun[run] = wandb.init(
            project=suite,
            group=contender,
            name=f"{contender}/{seed}",
            config=config,
            mode=os.environ.get("WANDB_MODE", "offline"),
            reinit="create_new",
            settings=wandb.Settings(silent=True, console="off"),
        )
    return _begun[run]


@hookimpl
def after_round(run: str, report: RoundReport, config: dict[str, Any]) -> None:
    _run(run, config).log(round_figures(report), step=report.round_index + 1)


@hookimpl
def after_run(run: str, result: RunResult, config: dict[str, Any]) -> None:
    cell = _run(run, config)
    cell.summary.update({**result.metrics, "status": result.status, "reason": result.reason})
    cell.finish(exit_code=0 if result.status == "done" else 1)
    del _begun[run]
