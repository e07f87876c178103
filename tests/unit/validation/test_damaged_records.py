"""Each kind of damage to a record is named."""

import copy
import json

import pytest
from made_validation import halved, record_in, redigest, said

from fedgen_bench.results.manifest import write_manifest
from fedgen_bench.review.validation import validate

BACKBONE = ("facts", "data", "backbone mini-unet-semi")
COSTS = {
    "step_flops": 1, "training_bytes": 1, "model_bytes": 1, "private_bytes": 0, "joining_bytes": 1, "n_steps": 9,
    "steps_so_far": [9],
}  # fmt: skip
CLOCK = {"rounds": [1.0], "missed": [], "wasted_down": 0, "wasted_up": 0, "contributors": 1, "slow": []}


def _set(*path, value):
    def change(record):
        node = record
        for part in path[:-1]:
            node = node[part]
        node[path[-1]] = value

    return change


def _drop(*path):
    def change(record):
        node = record
        for part in path[:-1]:
            node = node[part]
        del node[path[-1]]

    return change


def _more_rounds(record):
    record["config"]["federation"]["rounds"] = 7
    redigest(record)


def _tuned(record):
    record["config"]["contender"]["learning_rate"] = 0.032
    redigest(record)


def _renamed(record):
    record["contender"] = record["config"]["contender"]["name"] = "ghost"
    redigest(record)


def _other_seed(record):
    record["seed"] = record["config"]["seed"] = 9
    redigest(record)


def _falling(record):
    record["curve"][2][2] = record["curve"][1][2] - 1


def _cut_off(record):
    del record["curve"][-1], record["costs"]["steps_so_far"][-1]


def _pooled(record):
    record["facts"]["cohort_kind"] = "pooled"


DAMAGED_RECORDS = {
    "missing key": (_drop("client_rounds"), "schema", "fedgen_edge/1: `client_rounds` is missing"),
    "unknown key": (_set("pickle", value="gASVAAAA"), "schema", "fedgen_edge/1: `pickle` is not in schema 1"),
    "wrong type": (_set("client_rounds", value="60"), "schema", "`client_rounds`: input should be a valid integer"),
    "number as float": (_set("seed", value=1.0), "schema", "`seed`"),
    "unknown status": (_set("status", value="finished"), "schema", "`status` is 'finished'"),
    "not a number": (_set("metrics", "test/fid_cifarnet", value=float("nan")), "schema", "is nan"),
    "infinite": (_set("curve", 0, 1, value=float("inf")), "schema", "`curve.0.1` is inf"),
    "costs elsewhere": (_set("costs", value=COSTS), "schema", "`costs.steps_so_far` has 1 values for "),
    "costs that fall": (
        _set("costs", value=COSTS | {"steps_so_far": [5, 4]}), "schema", "`costs`: value error, `steps_so_far` falls"
    ),
    "costs below nothing": (_set("costs", value=COSTS | {"model_bytes": -1}), "schema", "`costs.model_bytes`"),
    "huge integer": (_set("bytes", "up", "encoded", value=10**400), "schema", "more than 64 bits"),
    "negative bytes": (_set("bytes", "down", "headers", value=-1), "schema", "`bytes.down.headers`"),
    "no sha256": (_set("digests", "cohort", value="abc"), "schema", "`digests.cohort`"),
    "no sha256 of data": (_set(*BACKBONE, value="x" * 64), "values", "no sha256"),
    "digest": (_set("digest", value="0" * 24), "suite", "`digest` is " + "0" * 24),
    "configuration": (_set("config", "training", "local_steps", value=6), "suite", "`training.local_steps` is 6"),
    "configuration, forged": (_tuned, "suite", "`contender.learning_rate` is 0.032, the suite has 0.016"),
    "budget, forged": (_more_rounds, "suite", "`federation.rounds` is 7, the suite has 6"),
    "unknown contender": (_renamed, "suite", "ghost/1: the suite has no such contender"),
    "missing record": (_renamed, "completeness", "no record of fedgen_edge for seed 1"),
    "unknown seed": (_other_seed, "suite", "seed 9 is none of the suite's"),
    "provenance": (_set("provenance", "strategy", "name", value="fedavg"), "suite", "`provenance.strategy`"),
    "pairing": (_set("digests", "cohort", value="0" * 64), "pairing", "differ in their cohort digest"),
    "data": (_set(*BACKBONE, value="0" * 64), "pairing", "differ in their data digest"),
    "total": (_set("bytes", "up", "encoded", value=5649121), "ledger", "`bytes.up.encoded` is 5,649,121"),
    "messages": (_set("bytes", "up", "messages", value=61), "ledger", "61 messages up"),
    "client rounds": (_set("client_rounds", value=61), "ledger", "`client_rounds` is 61"),
    "falling uplink": (_falling, "ledger", "falls from one round"),
    "forged totals": (halved, "ledger", "ledger.parquet, fedgen_edge/1: its messages sum to"),
    "pooled": (_pooled, "ledger", "`facts.cohort_kind` is 'pooled'. Nothing travels"),
    "pooled strategy": (_pooled, "suite", "strategy `fedgen_edge` is 'sampled'"),
    "below the minimum": (_set("metrics", "test/fid_cifarnet", value=-1.0), "values", "never below"),
    "better metric": (_set("metrics", "test/fid_cifarnet", value=1.0), "values", "metrics.parquet, fedgen_edge/1"),
    "metric of nothing": (_set("metrics", "test/accuracy", value=1.0), "values", "none of the suite's metrics"),
    "missing metric": (_drop("metrics", "test/kid_cifarnet"), "values", "`metrics.test/kid_cifarnet` is missing"),
    "worst decile": (
        _set("metrics", "global/denoising_loss/worst_decile", value=0.01), "values", "better than the mean"
    ),
    "mean of clients": (_set("metrics", "global/denoising_loss/mean", value=0.09), "values", "`per_client.global`"),
    "client": (_set("per_client", "global", "77", value=0.08), "values", "`per_client.global.77` is no client"),
    "half of nobody": (
        _set("halves", value={"global": {"77": [0.08, 0.09]}}), "values", "`halves.global` has client 77, whom"
    ),
    "half below": (
        _set("halves", value={"kept": {"1": [0.08, -1.0]}}), "values", "`halves.kept.1` is -1.0"
    ),
    "round": (_set("curve", -1, 0, value=8), "values", "its `curve` has round 8"),
    "order": (_set("curve", 1, 0, value=1), "values", "rounds of its `curve` do not increase"),
    "curve cut off": (_cut_off, "values", "does not reach round 6"),
    "parameters": (_set("facts", "trainable_params", value=20735), "values", "`facts.trainable_params` is 20,735"),
    "picture": (_set("showcase", value="R0lGODlh"), "values", "`showcase` is no PNG"),
    "environment": (_set("environment", "threads", value=2), "environments", "`threads` is 2, centralized_full/1 has"),
    "clock": (_set("clock", value=CLOCK), "values", "it has a `clock`, and no devices"),
    "table": (_set("metrics", "test/fid_cifarnet", value=1.0), "files", "table.csv is not what results.json gives"),
    "bands": (_set("metrics", "test/fid_cifarnet", value=1.0), "files", "bands.csv is not what results.json gives"),
    "environments file": (_set("environment", "threads", value=2), "files", "environment.json is not what"),
    "manifest": (_set("reason", value=""), "manifest", "results.json was changed"),
}  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGED_RECORDS)
def test_damaged_record_is_named(kind, folder, original, registry):
    change, group, expected = DAMAGED_RECORDS[kind]
    body = copy.deepcopy(original)
    change(record_in(body))
    (folder / "results.json").write_text(json.dumps(body, indent=0 if kind == "manifest" else 1))
    if kind != "manifest":
        write_manifest(folder)
    assert [text for text in said(validate(folder, registry), group) if expected in text]
