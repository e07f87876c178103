"""Sweeps: contenders at every point of an axis, compared under equal conditions only."""

from dataclasses import replace

import pytest
from made_records import made

from fedgen_bench.base.errors import PairingError, SuiteError
from fedgen_bench.contract.specs import SuiteSource
from fedgen_bench.results.leaderboard import build_table
from fedgen_bench.results.pairing import check_pairing, conditions_of
from fedgen_bench.suite.cells import expand
from fedgen_bench.suite.load import load_suite
from fedgen_bench.suite.sweeps import variants
from fedgen_bench.testing import toy

SWEEP = """
[sweep]
of = "toy"
axis = "alpha"
contenders = ["fedgen_edge", "fedavg"]
[[sweep.point]]
value = 10
set = { "partitioner.params.alpha" = 10.0 }
[[sweep.point]]
value = 0.1
set = { "partitioner.params.alpha" = 0.1, "contender.fedavg.learning_rate" = 0.3 }
"""


@pytest.fixture
def swept(registry):
    return lambda old="", new="": load_suite(
        SuiteSource(
            name="toy", text=(toy.SUITE + SWEEP).replace(old, new) if old else toy.SUITE + SWEEP, path="s.toml"
        ),
        registry,
    )


def test_variants_are_contenders_by_points_and_the_rest_once(swept):
    assert [one.name for one in variants(swept())] == [
        "fedgen_edge@alpha=10", "fedgen_edge@alpha=0.1", "fedavg@alpha=10", "fedavg@alpha=0.1", "local_only",
        "centralized",
    ]  # fmt: skip


def test_variant_runs_under_the_values_of_its_point(swept, registry):
    specs = {one.contender: one for one in expand(swept(), registry, seeds=[1])}
    low = specs["fedavg@alpha=0.1"].config
    assert low.partitioner.params["alpha"] == 0.1
    assert low.contender.learning_rate == 0.3
    assert low.to_json()["point"] == {"contender": "fedavg", "axis": "alpha", "value": 0.1}
    assert specs["fedavg@alpha=10"].config.contender.learning_rate == 0.2
    assert "point" not in specs["local_only"].config.to_json()
    assert specs["local_only"].config.partitioner.params["alpha"] == 0.5


def test_suite_without_a_sweep_keeps_its_identities(registry, toy_suite):
    # A run's identity is the hash of its configuration: a key that came with sweeps would move every published one.
    (spec,) = expand(toy_suite(), registry, contenders=["fedavg"], seeds=[1])
    assert set(spec.config.to_json()) == {
        "suite", "suite_version", "task", "partitioner", "federation", "training", "evaluation", "seed", "contender",
    }  # fmt: skip


def test_contender_is_chosen_by_its_name_alone_or_with_a_point(swept, registry):
    chosen = expand(swept(), registry, contenders=["fedavg"], seeds=[1])
    assert [one.contender for one in chosen] == ["fedavg@alpha=10", "fedavg@alpha=0.1"]
    chosen = expand(swept(), registry, contenders=["fedavg@alpha=10"], seeds=[1])
    assert [one.contender for one in chosen] == ["fedavg@alpha=10"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('contenders = ["fedgen_edge", "fedavg"]', 'contenders = ["fedavgg"]', "Did you mean `fedavg`?"),
        ("value = 0.1\n", "value = 10\n", "Point 10 is there twice"),
        ('"partitioner.params.alpha" = 0.1', '"partitionr.params.alpha" = 0.1', "Did you mean `partitioner`?"),
        ('"partitioner.params.alpha" = 0.1', '"partitioner.params.alhpa" = 0.1', "Did you mean `alpha`?"),
        ('"partitioner.params.alpha" = 0.1', '"federation.clients_per_round" = 7', "exceeds n_clients"),
        ('"partitioner.params.alpha" = 0.1', '"federation.rounds" = 0', "greater than or equal to 1"),
    ],
)
def test_sweep_problem_is_named(swept, old, new, message):
    with pytest.raises(SuiteError) as error:
        swept(old, new)
    assert message in str(error.value)
    assert "s.toml:" in str(error.value)


def record(spec, quality, **digests):
    base = {"partition": "p", "cohort": "c", "batches": "b", "initial": "i"} | digests
    return made({
        "contender": spec.contender, "seed": spec.seed, "config": spec.config.to_json(), "off_suite": [],
        "status": "done", "reason": "", "metrics": {"test/toy_loss": quality}, "per_client": {}, "digests": base,
        "facts": {"cohort_kind": "sampled", "trainable_params": 3, "backbone_params": 3, "data": {}},
        "curve": [[1, quality, 10]], "bytes": {"up": {"encoded": 10}, "down": {"encoded": 10}}, "client_rounds": 3,
    })  # fmt: skip


def records_of(suite, registry, qualities):
    specs = expand(suite, registry, contenders=["fedgen_edge", "fedavg"])
    alpha = {spec.contender: spec.config.partitioner.params["alpha"] for spec in specs}
    return [
        record(spec, qualities[spec.contender] + spec.seed / 1000, partition=f"{alpha[spec.contender]}/{spec.seed}",
               cohort=f"{spec.seed}", batches=f"{alpha[spec.contender]}/{spec.seed}", initial=f"{spec.seed}")
        for spec in specs
    ]  # fmt: skip


QUALITIES = {"fedgen_edge@alpha=10": 0.5, "fedavg@alpha=10": 0.4, "fedgen_edge@alpha=0.1": 0.6, "fedavg@alpha=0.1": 0.9}


def test_table_ranks_and_pairs_within_a_point(swept, registry):
    table = build_table(swept(), records_of(swept(), registry, QUALITIES), registry)
    ranks = {row["contender"]: row["rank"] for row in table.rows}
    assert ranks == {
        "fedavg@alpha=10": 1, "fedgen_edge@alpha=10": 2, "fedgen_edge@alpha=0.1": 1, "fedavg@alpha=0.1": 2,
    }  # fmt: skip
    assert {name: round(found.mean, 6) for name, found in table.paired.items()} == {
        "fedavg@alpha=10": -0.1, "fedavg@alpha=0.1": 0.3,
    }  # fmt: skip
    saved = {row["contender"]: row["uplink_reduction_vs_full"] for row in table.rows}
    assert saved["fedgen_edge@alpha=0.1"] == 0.0


def test_pairing_is_asked_for_under_equal_conditions_only(swept, registry):
    records = records_of(swept(), registry, QUALITIES)
    assert len({conditions_of(one) for one in records}) == 2
    check_pairing(records)
    wrong = [replace(one, digests=replace(one.digests, batches=f"x{i}")) for i, one in enumerate(records)]
    with pytest.raises(PairingError, match="batches"):
        check_pairing(wrong)


def test_method_of_a_record_is_its_contender_without_the_point(swept, registry):
    methods = {one.method for one in records_of(swept(), registry, QUALITIES)}
    assert methods == {"fedgen_edge", "fedavg"}


def test_sweep_does_not_change_the_suite_itself(swept):
    suite = swept()
    under = variants(suite)[0].suite
    assert under.sweep is None
    assert suite.model_copy(update={"sweep": None, "partitioner": under.partitioner}) == under
