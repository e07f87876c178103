"""Claim 10: time, energy and the slowest devices, on records whose answers are known."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fedgen_bench_plugins.claims import resources, uplink
from made_claims import main_evidence

from fedgen_bench.results.clock import Clock
from fedgen_bench.results.costs import Costs
from fedgen_bench.review.claims.evidence import Evidence
from fedgen_bench.review.claims.judging import judged

COSTS = {"step_flops": 1, "training_bytes": 1, "model_bytes": 1, "private_bytes": 0, "n_steps": 3}


def clocked(record, seconds, joules, slow):
    """With rounds of so many seconds and joules and, of two clients, the second on the slowest device."""
    n, noise = len(record.curve), 1 + record.seed / 1000
    clock = Clock(
        rounds=(seconds * noise,) * n,
        missed=(),
        wasted_down=10,
        wasted_up=0,
        contributors=2,
        slow=(1,),
        one_by_one=False,
    )
    so_far = tuple(joules * noise * (i + 1) for i in range(n))
    costs = Costs(**COSTS, steps_so_far=(1, 2, 3)[:n], joules=so_far[-1], joules_so_far=so_far)
    own = {"global": {"0": 0.1, "1": slow * noise}}
    return replace(record, clock=clock, costs=costs, per_client=own)


def evidence_of(registry, ours=(1.0, 2.0, 0.4), theirs=(10.0, 30.0, 0.9)):
    main = main_evidence(registry).main
    figures = {"fedgen_edge": ours, "fedavg": theirs}
    records = tuple(clocked(one, *figures[one.contender]) for one in main.records)
    return Evidence(replace(main, records=records), {})


def test_time_and_energy_are_until_both_have_what_the_worse_one_ends_with(registry):
    found = resources.judge(evidence_of(registry))
    assert found.verdict == "holds"
    rows = {row[0]: row for row in found.grids[0].rows}
    assert set(rows) == {"simulated seconds, `fedavg`", "joules, `fedavg`", "slowest devices, `fedavg`"}
    seconds = rows["simulated seconds, `fedavg`"]
    assert [float(one) for one in seconds[1:3]] == pytest.approx([2.0, 30.0], rel=0.01)
    beside = {row[0]: row[1:] for row in found.grids[1].rows}
    assert beside["fedavg"][1:4] == ("30.1 s", "90.2 J", "10 B")
    assert beside["fedgen_edge"][4] == "33 %"


@pytest.mark.parametrize("ours", [(100.0, 2.0, 0.4), (1.0, 200.0, 0.4), (1.0, 2.0, 4.0)])
def test_one_of_the_three_that_is_worse_is_enough(registry, ours):
    assert resources.judge(evidence_of(registry, ours)).verdict == "does not hold"


def test_uplink_is_of_those_who_answer_and_says_who_does(registry):
    whole = evidence_of(registry)
    late = [
        replace(one, clock=replace(one.clock, missed=((0, 0, "late"), (1, 0, "late"), (2, 1, "late"))))
        if one.contender == "fedavg" else one
        for one in whole.main.records
    ]  # fmt: skip
    found = uplink.judge(Evidence(replace(whole.main, records=tuple(late)), {}))
    assert "`fedavg` was answered in 50 % of its client-rounds, `fedgen_edge` in 100 %" in found.reading
    assert "was answered" not in uplink.judge(whole).reading
    sent = {row[0]: row[1] for row in found.grids[0].rows}
    assert sent["fedavg"] == "2 kB"  # twice of what stands in the ledger for each who was asked


def test_a_suite_without_devices_has_no_such_section(registry):
    plain = main_evidence(registry)
    assert "10" not in judged(plain, registry)
    assert "10" in judged(evidence_of(registry), registry)
    assert resources.judge(plain).verdict == "no evidence"
