"""The published folder that is damaged, and what is found in a report."""

from pathlib import Path

from fedgen_bench.suite.cellconfig import CellConfig
from fedgen_bench.suite.cells import CellSpec

LEADERBOARDS = Path(__file__).parents[3] / "leaderboards"
CIFAR10 = LEADERBOARDS / "cifar10"
EDGE = ("fedgen_edge", 1)


def record_in(body, key=EDGE):
    return next(one for one in body["records"] if (one["contender"], one["seed"]) == key)


def said(report, group):
    return [one.text for one in report.problems if one.group == group]


def redigest(record):
    """What a careful forger does: the digest of the changed configuration."""
    spec = CellSpec(CellConfig.from_json(record["config"]))
    record["digest"] = spec.digest


def halved(record):
    """Half of the uplink, in all totals and in the curve alike."""
    up = record["bytes"]["up"]
    up["tensors"] //= 2
    up["encoded"] = up["tensors"] + up["headers"]
    n = len(record["curve"])
    record["curve"] = [[r, value, up["encoded"] * (i + 1) // n] for i, (r, value, _) in enumerate(record["curve"])]
