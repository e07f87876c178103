"""Records of the toy suite whose claims have known answers, for tests of claims and of their pages."""

from __future__ import annotations

from made_records import made

from fedgen_bench.contract.specs import SuiteSource
from fedgen_bench.review.claims.evidence import Evidence, Published, Scale
from fedgen_bench.suite.load import load_suite
from fedgen_bench.testing import toy

SEEDS = (1, 2, 3)
LOSS = Scale("toy_loss", "loss", lower_is_better=True)
SWEEP = """
[sweep]
of = "toy"
axis = "{axis}"
contenders = ["fedgen_edge", "fedavg"]
"""
POINT = '[[sweep.point]]\nvalue = {value}\nset = {{ "training.batch_size" = {size} }}\n'


def record(contender, seed, final, curve, *, up=1000, adapter="full", kind="sampled", point=None, clients=()):
    name = contender if point is None else f"{contender}@{point[0]}={point[1]:g}"
    config = {
        "contender": {"name": name, "adapter": {"name": adapter}},
        "training": {"local_steps": 4},
        "federation": {"clients_per_round": 2},
    }
    if point is not None:
        config["point"] = {"contender": contender, "axis": point[0], "value": point[1]}
    rounds = len(curve)
    sent = 2 * up * rounds if kind == "sampled" else 0
    return made({
        "contender": name, "seed": seed, "config": config, "digest": f"{name}/{seed}",
        "metrics": {"test/toy_loss": final}, "curve": [[i + 1, v, 2 * up * (i + 1)] for i, v in enumerate(curve)],
        "bytes": {"up": {"encoded": sent}, "down": {"encoded": sent}}, "client_rounds": 2 * rounds,
        "facts": {"cohort_kind": kind, "trainable_params": 0 if kind == "none" else 3},
        "per_client": {"global": {str(i): g for i, (g, _) in enumerate(clients)},
                       "personalized": {str(i): p for i, (_, p) in enumerate(clients)}},
    })  # fmt: skip


def sheet(registry, records, extra="", drift=None):
    text = toy.SUITE.replace("leaderboard = [1, 2]", "leaderboard = [1, 2, 3]") + extra
    suite = load_suite(SuiteSource(name="toy", text=text, path="t.toml"), registry)
    return Published(suite, "fedgen_edge", tuple(records), LOSS, LOSS, LOSS, drift or {})


def runs(contender, finals, curve=(1.0, 0.8, 0.6), **more):
    return [record(contender, s, f, [v + s / 1000 for v in curve], **more) for s, f in zip(SEEDS, finals, strict=True)]


def main_evidence(registry, ours=(0.50, 0.51, 0.52), theirs=(0.60, 0.61, 0.63), **more):
    records = runs("fedgen_edge", ours, up=5, curve=(0.9, 0.6, 0.5), **more) + runs("fedavg", theirs, up=1000)
    return Evidence(sheet(registry, records), {})


def swept(registry, axis, finals, curves=None, drift=None):
    """Evidence with one sweep: by contender, final quality by value, the same for every seed but for a thousandth."""
    values = sorted(next(iter(finals.values())))
    extra = SWEEP.format(axis=axis) + "".join(POINT.format(value=v, size=i + 1) for i, v in enumerate(values))
    records = [
        record(name, seed, final + seed / 1000,
               [v + seed / 1000 for v in (curves or {}).get((name, value), (1.0, 0.8, 0.6))], point=(axis, value))
        for name, by_value in finals.items()
        for value, final in by_value.items()
        for seed in SEEDS
    ]  # fmt: skip
    figures = {
        (f"{name}@{axis}={value:g}/{seed}", figure): amount
        for (name, value, figure), amount in (drift or {}).items()
        for seed in SEEDS
    }
    return Evidence(main_evidence(registry).main, {axis: sheet(registry, records, extra, figures)})
