"""What a model hub puts on a benchmark's leaderboard: `.eval_results/SUITE.yaml` of an export.

The format is that of https://huggingface.co/docs/hub/eval-results; written as JSON, which YAML includes.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from fedgen_bench.base.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from fedgen_bench.exports.choosing import Chosen

_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)


def check_benchmark(benchmark: str, chosen: Chosen, client: int | None) -> None:
    """Raises UsageError when the run cannot stand on the leaderboard of the hub's data set `benchmark`."""
    if not _NAME.fullmatch(benchmark):
        raise UsageError(f"`{benchmark}` is no data set of the hub. Give `--benchmark` as OWNER/NAME.")
    if client is not None:
        raise UsageError("A benchmark's leaderboard compares global models. Leave `--client` or `--benchmark` out.")
    if off := chosen.record.off_suite:
        raise UsageError(f"This run is off its suite ({', '.join(off)}), so that no leaderboard compares it.")


def write_eval_results(benchmark: str, chosen: Chosen, folder: Path) -> None:
    """The run's metric that ranks, on test, as a result of task SUITE of the data set `benchmark`."""
    record = chosen.record
    config, environment = record.config, record.environment
    metric = config.evaluation.metric
    notes = (
        f"{metric} on test, seed {record.seed}; suite {config.suite} version {config.suite_version}, fedgen-bench "
        f"{environment.get('libraries', {}).get('fedgen-bench', '')}, commit {environment.get('commit') or 'not known'}"
    )
    result = {
        "dataset": {"id": benchmark, "task_id": config.suite},
        "value": record.metrics[f"test/{metric}"],
        "notes": notes,
    }
    path = folder / ".eval_results" / f"{config.suite}.yaml"
    path.parent.mkdir()
    path.write_text(json.dumps([result], indent=1) + "\n", encoding="utf-8")
