"""Flower: its simulation engine (Ray) with one core a client, so two clients beside each other on two cores."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

if __name__ == "__main__":
    os.environ |= {
        "FLWR_TELEMETRY_ENABLED": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "BENCHMARK_FOLDER": sys.argv[1],
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]),
    }
    from flower_client import app
    from flwr.app import ArrayRecord
    from flwr.serverapp import ServerApp
    from flwr.serverapp.strategy import FedAvg
    from flwr.simulation import run_simulation
    from work import Marks, load_work

    logging.getLogger("flwr").setLevel(logging.ERROR)
    marks, server = Marks(), ServerApp()

    def mark(server_round, arrays) -> None:  # noqa: ARG001 - Flower's signature
        if server_round:
            marks.add()
        if marks.done:
            marks.tell()

    @server.main()
    def main(grid, context) -> None:  # noqa: ARG001 - Flower's signature
        work = load_work(marks.folder)
        n = len(work.clients)
        strategy = FedAvg(fraction_evaluate=0.0, min_train_nodes=n, min_available_nodes=n)
        strategy.start(grid, ArrayRecord(work.taken()), num_rounds=marks.n_rounds, evaluate_fn=mark)

    run_simulation(
        server, app, num_supernodes=10, backend_config={"client_resources": {"num_cpus": 1, "num_gpus": 0.0}}
    )
