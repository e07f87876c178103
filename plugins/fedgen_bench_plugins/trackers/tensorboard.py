"""TensorBoard: losses, metrics and bytes of every round, in `tensorboard/<suite>/<contender>/<seed>`.

That is below the working folder, or below the one that `FEDGEN_TENSORBOARD` names.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

from fedgen_bench import RoundReport, RunResult, hookimpl
from fedgen_bench_plugins.trackers.telling import round_figures

if importlib.util.find_spec("tensorboard") is None:
    raise ImportError("TensorBoard is not installed: `pip install 'fedgen-bench[tensorboard]'`")

_writers: dict[str, Any] = {}


def _writer(run: str) -> Any:
    if run not in _writers:
        from tensorboard.summary import Writer

        _writers[run] = Writer(str(Path(os.environ.get("FEDGEN_TENSORBOARD", "tensorboard"), run)))
    return _writers[run]


@hookimpl
def after_round(run: str, report: RoundReport) -> None:
    writer = _writer(run)
    for name, value in round_figures(report).items():
        writer.add_scalar(name, value, report.round_index + 1)
    writer.flush()


@hookimpl
def after_run(run: str, result: RunResult, config: dict[str, Any]) -> None:
    writer = _writer(run)
    for name, value in result.metrics.items():
        writer.add_scalar(name, float(value), int(config["federation"]["rounds"]))
    writer.close()
    del _writers[run]
