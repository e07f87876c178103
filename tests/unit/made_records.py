"""Published records as tests make them up: what a test does not say is filled in."""

import json

from fedgen_bench.results.record import from_json
from fedgen_bench.suite.cellconfig import CellConfig

COMPONENT = {"name": "", "params": {}, "version": "1", "source_sha256": ""}
CONFIG = {
    "suite": "toy",
    "suite_version": 1,
    "task": COMPONENT,
    "partitioner": COMPONENT,
    "federation": {"n_clients": 4, "clients_per_round": 2, "rounds": 2},
    "training": {"local_steps": 2, "batch_size": 1},
    "evaluation": {
        "metric": "toy_loss",
        "other_metrics": [],
        "every": 1,
        "personalized_clients": 0,
        "personalized_steps": 0,
    },
    "seed": 1,
    "contender": {
        "name": "fedavg",
        "ranked": True,
        "learning_rate": 0.1,
        "strategy": COMPONENT,
        "adapter": COMPONENT,
    },
}
ORIGIN = {"name": "", "distribution": "", "version": "", "source_sha256": ""}
BOOKED = {"encoded": 0, "headers": 0, "messages": 0, "tensors": 0}
FACTS = {"cohort_kind": "sampled", "trainable_params": 3, "backbone_params": 3, "data": {}, "final_sha256": ""}
DIGESTS = {"batches": "b", "cohort": "c", "initial": "i", "partition": "p"}
RECORD = {
    "contender": "fedavg",
    "seed": 1,
    "config": {},
    "digest": "",
    "off_suite": [],
    "status": "done",
    "reason": "",
    "metrics": {},
    "per_client": {},
    "digests": DIGESTS,
    "facts": FACTS,
    "curve": [],
    "bytes": {},
    "client_rounds": 4,
    "quarantined": [],
    "provenance": {},
    "environment": {},
}


def filled(table, usual):
    """The table, with what it lacks as usual."""
    both = table.keys() & usual.keys()
    return usual | table | {key: filled(table[key], usual[key]) for key in both if isinstance(usual[key], dict)}


def made(table):
    """The record of a table as `results.json` has them, in part."""
    table = RECORD | table
    config = CellConfig.model_validate_json(json.dumps(filled(table["config"], CONFIG)))
    table["config"] = config.to_json()
    table["bytes"] = {way: BOOKED | table["bytes"].get(way, {}) for way in ("up", "down")}
    table["provenance"] = {key: ORIGIN | one for key, one in table["provenance"].items()}
    if table["status"] == "done":
        table["facts"], table["digests"] = FACTS | table["facts"], DIGESTS | table["digests"]
    return from_json(table)


def all_made(tables):
    """The records of several."""
    return [made(one) for one in tables]
