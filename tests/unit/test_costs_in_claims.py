"""Claims tell what a quality costs beside bytes, where records tell; elsewhere pages are as they were."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fedgen_bench_plugins.claims import convergence, uplink
from made_claims import main_evidence

from fedgen_bench.results.clock import Clock
from fedgen_bench.results.costs import Costs
from fedgen_bench.review.claims import views
from fedgen_bench.review.claims.clock import EdgeDevice
from fedgen_bench.review.claims.costs import reached, told_costs
from fedgen_bench.review.claims.evidence import Evidence

# Curves of three rounds of two clients with four steps each.
COSTS = Costs(
    step_flops=1000, training_bytes=1, model_bytes=1, private_bytes=0, joining_bytes=1, n_steps=24,
    steps_so_far=(8, 16, 24), joules=6.0, joules_so_far=(2.0, 4.0, 6.0),
)  # fmt: skip
CLOCK = Clock(rounds=(1.0, 2.0, 4.0), missed=(), wasted_down=0, wasted_up=0, contributors=1, slow=())


@pytest.fixture
def evidence(registry):
    return main_evidence(registry)


def told(evidence, costs=COSTS, clock=None, contenders=("fedgen_edge", "fedavg")):
    """The evidence with costs in the records of some contenders."""
    main = evidence.main
    records = [replace(one, costs=costs, clock=clock) if one.contender in contenders else one for one in main.records]
    return Evidence(replace(main, records=tuple(records)), {})


def rows(grid):
    return {row[0]: dict(zip(grid.head, row, strict=True)) for row in grid.rows}


def test_a_target_is_reached_at_what_was_taken_until_then(evidence):
    (first, *_) = told(evidence, clock=CLOCK).main.runs("fedgen_edge").values()
    found = reached(first, 0.65, lower=True)  # 0.901, 0.601, 0.501
    assert (found.n_rounds, found.flops, found.joules, found.seconds) == (2, 16000, 4.0, 3.0)
    assert reached(first, 0.1, lower=True) is None
    bare = reached(replace(first, costs=None, clock=None), 0.65, lower=True)
    assert (bare.n_rounds, bare.flops, bare.joules, bare.seconds) == (2, None, None, None)


def test_convergence_has_flops_energy_and_time_to_the_target(evidence):
    """The target is 0.602, which fedavg has on average after its last round: 0.601, 0.602, 0.603."""
    finding = convergence.judge(told(evidence, clock=CLOCK))
    found = rows(finding.grids[1])["fedgen_edge"]
    assert found["FLOPs to target"] == "18.7 kFLOP"  # 16, 16 and 24 thousand
    assert found["energy to target"] == "4.67 J"
    assert found["simulated time to target"] == "4.33 s"
    assert "energy (estimated)" in finding.method
    assert set(rows(finding.grids[1])["fedavg"].values()) >= {"–"}


def test_uplink_has_flops_of_a_client_round(evidence):
    found = rows(uplink.judge(told(evidence)).grids[0])
    assert found["fedgen_edge"]["FLOPs per client-round"] == "4.00 kFLOP"
    some = rows(uplink.judge(told(evidence, contenders=("fedavg",))).grids[0])
    assert some["fedgen_edge"]["FLOPs per client-round"] == "–"


def test_view_has_flops_and_energy_of_one_client(evidence):
    view = views.cost_to_target(told(evidence, clock=CLOCK).main, EdgeDevice())
    assert view.grid.head[-2:] == ("FLOPs per client", "energy per client")
    last = {row[1]: row for row in view.grid.rows}
    assert last["fedgen_edge"][-2:] == ("12.0 kFLOP", "3.00 J")  # all three rounds, of two clients each
    assert last["fedavg"][-2:] == ("–", "–")
    assert "FLOPs (counted) and energy (estimated)" in view.text


def test_without_costs_pages_are_as_they_were(evidence):
    assert told_costs(evidence.main.records) == ()
    assert views.cost_to_target(evidence.main, EdgeDevice()).grid.head[-1] == "simulated time"
    assert uplink.judge(evidence).grids[0].head[-1] == "saved in total"
    assert convergence.judge(evidence).grids[1].head[-1] == "uplink to target"
    assert "costs" not in convergence.judge(evidence).method
