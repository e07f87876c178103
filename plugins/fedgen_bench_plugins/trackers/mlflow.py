"""MLflow: an experiment a suite, a run a cell, with its configuration as parameters.

Results go to `MLFLOW_TRACKING_URI`, or to `mlflow.db` in the working folder. A cell that goes on after it was cut off
begins another run, which has the rounds from there on.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from typing import Any

from fedgen_bench import RoundReport, RunResult, hookimpl
from fedgen_bench_plugins.trackers.telling import flat, round_figures

if importlib.util.find_spec("mlflow") is None:
    raise ImportError("MLflow is not installed: `pip install 'fedgen-bench[mlflow]'`")

_MOST_CHARACTERS = 500  # of a parameter, as MLflow takes them from version 2 on
_begun: dict[str, str] = {}


def _client() -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=os.environ.get("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db"))


def _run_id(client: Any, run: str, config: Mapping[str, Any]) -> str:
    """The run of a cell; it begins with the first report."""
    if run not in _begun:
        suite, contender, seed = run.split("/")
        experiment = client.get_experiment_by_name(suite)
        where = client.create_experiment(suite) if experiment is None else experiment.experiment_id
        _begun[run] = client.create_run(where, run_name=f"{contender}/{seed}").info.run_id
        for name, value in flat(config):
            client.log_param(_begun[run], name, str(value)[:_MOST_CHARACTERS])
    return _begun[run]


@hookimpl
def after_round(run: str, report: RoundReport, config: dict[str, Any]) -> None:
    client = _client()
    run_id = _run_id(client, run, config)
    for name, value in round_figures(report).items():
        client.log_metric(run_id, name, value, step=report.round_index + 1)


@hookimpl
def after_run(run: str, result: RunResult, config: dict[str, Any]) -> None:
    client = _client()
    run_id = _run_id(client, run, config)
    for name, value in result.metrics.items():
        client.log_metric(run_id, name, float(value), step=int(config["federation"]["rounds"]))
    client.set_tag(run_id, "status", result.status)
    client.set_tag(run_id, "reason", result.reason)
    client.set_terminated(run_id, status="FINISHED" if result.status == "done" else "FAILED")
    del _begun[run]
