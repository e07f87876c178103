"""Claims: verdicts and comparisons on records whose answers are known."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from fedgen_bench_plugins.claims import convergence, epochs, quality, rank, stability, uplink
from made_claims import main_evidence, runs, sheet, swept

from fedgen_bench.base.stats import interval
from fedgen_bench.review.claims.apart import apart
from fedgen_bench.review.claims.evidence import Evidence
from fedgen_bench.review.claims.findings import Comparison, adjusted, combined, compare
from fedgen_bench.review.claims.formats import comparison_grid, told

# --- comparisons ---------------------------------------------------------------------------------------------------


def test_advantage_is_positive_when_ours_is_better_whatever_the_direction():
    ours, theirs = {1: 1.0, 2: 2.0, 9: 5.0}, {1: 2.0, 2: 3.5, 7: 0.0}
    lower = compare("x", ours, theirs, lower_is_better=True)
    higher = compare("x", ours, theirs, lower_is_better=False)
    assert (lower.advantage.mean, higher.advantage.mean) == (1.25, -1.25)
    assert (lower.ours, lower.theirs, lower.advantage.n) == (1.5, 2.75, 2)
    assert compare("x", {1: 1.0}, {2: 1.0}, lower_is_better=True) is None


def comparison(mean, p):
    return Comparison(what="x", ours=0.0, theirs=0.0, advantage=interval([mean, mean]), p=p)


def test_holm_decides_over_all_comparisons():
    found = adjusted([comparison(1.0, 0.03), None, comparison(1.0, 0.04)])
    assert [one.p for one in found] == [0.06, 0.06]
    assert {one.outcome for one in found} == {"undecided"}


def test_an_undecided_comparison_names_the_seeds_that_would_decide_it():
    nothing = {1: 0.0, 2: 0.0, 3: 0.0}
    one = compare("x", {1: 1.0, 2: 2.0, 3: 3.0}, nothing, lower_is_better=False)  # effect 2, deviation 1, p 0.074
    (alone,) = adjusted([one])
    assert (alone.level, alone.seeds_to_decide) == (0.05, 5)
    certain = compare("y", {1: 5.0, 2: 5.0, 3: 5.1}, nothing, lower_is_better=False)
    first, second, decided = adjusted([one, one, certain])
    assert (first.level, second.level, decided.level) == (0.025, 0.025, 0.05)  # Holm stops with two of three left
    assert first.seeds_to_decide == 6
    none = compare("z", {1: -1.0, 2: 0.0, 3: 1.0}, nothing, lower_is_better=False)
    grid = comparison_grid([first, none, decided], ("a", "b"))
    assert grid.head[-2:] == ("seeds to decide", "outcome")
    assert [row[-2] for row in grid.rows] == ["6", "more than 100", "–"]
    assert "seeds to decide" not in comparison_grid([decided], ("a", "b")).head
    assert told([first]).endswith("-0.484 to +4.48; 6 seeds to decide).")
    assert "seeds to decide" not in told([decided])


def test_one_seed_tells_nothing_of_how_many_would_decide():
    one = compare("x", {1: 1.0}, {1: 0.0}, lower_is_better=False)
    assert one.outcome == "undecided"
    assert one.seeds_to_decide is None
    assert "seeds to decide" not in comparison_grid([one], ("a", "b")).head


@pytest.mark.parametrize(
    ("comparisons", "verdict"),
    [
        ([comparison(1, 0.01), comparison(2, 0.01)], "holds"),
        ([comparison(1, 0.01), comparison(2, 0.5)], "not decided"),
        ([comparison(1, 0.01), comparison(-2, 0.01), comparison(1, 0.5)], "does not hold"),
        ([comparison(-2, 0.5)], "not decided"),
        ([], "no evidence"),
    ],
)
def test_verdict_needs_all_and_fails_by_one(comparisons, verdict):
    assert combined(comparisons) == verdict


# --- claims of one suite -------------------------------------------------------------------------------------------


def test_uplink_is_judged_by_booked_bytes(registry):
    assert uplink.savings(main_evidence(registry).main, "fedgen_edge")[1] == (0.995, 0.995)
    assert uplink.judge(main_evidence(registry)).verdict == "holds"
    records = runs("fedgen_edge", (0.5,) * 3, up=11) + runs("fedavg", (0.6,) * 3, up=1000)
    assert uplink.judge(Evidence(sheet(registry, records), {})).verdict == "does not hold"


@pytest.mark.parametrize(("weights", "said"), [(3, "of `toy`."), (4, "of `toy` (another backbone).")])
def test_uplink_by_rank_says_where_the_backbone_is_another(registry, weights, said):
    found = swept(registry, "rank", {name: {1: 0.5, 2: 0.5} for name in ("fedgen_edge", "fedavg")})
    facts = [replace(one.facts, trainable_params=weights) for one in found.main.records]
    main = [replace(one, facts=own) for one, own in zip(found.main.records, facts, strict=True)]
    small = [
        replace(one, bytes=main[0].bytes) if one.method == "fedgen_edge" else one
        for one in found.sweeps["rank"].records
    ]
    ranks = replace(found.sweeps["rank"], records=tuple(small))
    told = uplink.judge(Evidence(replace(found.main, records=tuple(main)), {"rank": ranks}))
    assert told.reading.endswith(f"It stays above 99 % at every rank {said}")
    assert told.grids[1].caption.endswith("(another backbone)") is (weights != 3)


def test_convergence_says_how_often_the_curve_has_a_point(registry):
    main = main_evidence(registry).main
    assert "subset after every round." in convergence.judge(Evidence(main, {})).method
    evaluation = main.suite.evaluation.model_copy(update={"every": 2})
    rare = replace(main, suite=main.suite.model_copy(update={"evaluation": evaluation}))
    assert "subset after every 2 rounds." in convergence.judge(Evidence(rare, {})).method


def test_quality_after_rounds_follows_the_paired_differences(registry):
    assert quality.judge_rounds(main_evidence(registry)).verdict == "holds"
    assert quality.judge_rounds(main_evidence(registry, ours=(0.7, 0.71, 0.72))).verdict == "does not hold"
    assert quality.judge_rounds(main_evidence(registry, ours=(0.5, 0.7, 0.62))).verdict == "not decided"


def test_quality_after_bytes_takes_the_untrained_model_where_no_round_fits(registry):
    frozen = runs("local_only", (0.9,) * 3, kind="none", curve=())
    records = runs("fedgen_edge", (0.5, 0.51, 0.52), up=5) + runs("fedavg", (0.1, 0.1, 0.1), up=1000) + frozen
    found = quality.judge_bytes(Evidence(sheet(registry, records), {}))
    assert found.verdict == "holds"  # though fedavg is far better in the end
    assert "no round fits: `local_only`" in found.reading


def test_quality_after_bytes_compares_curves_where_some_rounds_fit(registry):
    records = runs("fedgen_edge", (0.5,) * 3, up=1000, curve=(0.9, 0.8, 0.7))
    records += runs("fedavg", (0.1,) * 3, up=1500, curve=(0.6, 0.5, 0.4))
    found = quality.judge_bytes(Evidence(sheet(registry, records), {}))
    assert found.verdict == "does not hold"
    assert "after 2 rounds" in found.reading  # 2 x 1500 fit into 3 x 1000
    assert found.grids[0].rows[0][3] == "-0.2"  # 0.7 after three rounds against 0.5 after two


def test_convergence_is_by_area_and_counts_rounds_to_the_best_baseline(registry):
    found = convergence.judge(main_evidence(registry))
    assert found.verdict == "holds"
    # Area (0.9 + 0.6 + 0.5) / 3 + 0.002. fedavg ends at 0.602, which 0.601 and 0.602 reach in round 2, 0.603 does not.
    ours = found.grids[1].rows[0]
    assert ours[:4] == ("fedgen_edge", "0.6687", "3 of 3", "2.3")


# --- claims of sweeps ----------------------------------------------------------------------------------------------


def test_roughness_is_zero_on_a_line_and_finds_the_noise_of_a_known_one():
    assert stability.roughness([3.0, 2.0, 1.0, 0.0]) == pytest.approx(0)
    assert stability.roughness([1.0, 2.0]) is None
    # +-d around a line: second differences are +-4 d, so sqrt(16 d^2 / 6).
    assert stability.roughness([0.1, -0.1, 0.1, -0.1, 0.1]) == pytest.approx(0.1 * 4 / math.sqrt(6))


def test_stability_holds_when_less_is_lost_and_the_course_is_smoother(registry):
    finals = {"fedgen_edge": {0.1: 0.52, 10.0: 0.50}, "fedavg": {0.1: 0.90, 10.0: 0.50}}
    curves = {("fedavg", 0.1): (1.0, 2.0, 0.6), ("fedgen_edge", 0.1): (1.0, 0.8, 0.64)}
    assert stability.judge(swept(registry, "alpha", finals, curves)).verdict == "holds"
    assert stability.judge(swept(registry, "alpha", finals, curves)).grids[2].rows[0][1:3] == ("0", "0")
    other = {"fedgen_edge": finals["fedavg"], "fedavg": finals["fedgen_edge"]}
    assert stability.judge(swept(registry, "alpha", other, curves)).verdict == "does not hold"


def test_stability_tells_what_the_suite_itself_lost_since_its_best_round(registry):
    records = runs("fedgen_edge", (0.5,) * 3, curve=(1.0, 0.8, 0.8)) + runs("fedavg", (0.5,) * 3, curve=(1.0, 0.4, 0.6))
    swept_too = swept(registry, "alpha", {"fedgen_edge": {0.1: 0.5, 10.0: 0.5}, "fedavg": {0.1: 0.5, 10.0: 0.5}})
    found = stability.judge(Evidence(sheet(registry, records), swept_too.sweeps))
    row = found.grids[2].rows[0]
    assert (row[1], row[-1]) == ("0", "better")
    assert float(row[2]) == pytest.approx(49.8, abs=0.1)  # 0.6 + s against 0.4 + s, s = 0.001 to 0.003


@pytest.mark.parametrize(
    ("qualities", "verdict"),
    [
        ((0.9, 0.8, 0.7, 0.6, 0.59, 0.58, 0.57), "holds"),
        ((0.9, 0.89, 0.88, 0.87, 0.7, 0.5, 0.3), "does not hold"),
        ((0.5, 0.52, 0.54, 0.56, 0.6, 0.7, 0.8), "does not hold"),
    ],
)
def test_rank_holds_when_early_doublings_gain_more(registry, qualities, verdict):
    by_rank = dict(zip((1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0), qualities, strict=True))
    found = rank.judge(swept(registry, "rank", {"fedgen_edge": by_rank}))
    assert found.verdict == verdict
    assert found.charts[0].series[0][1][0].x == 1.0


def drifting(registry, finals, firsts, drifts):
    by_value = dict(zip((1.0, 2.0, 5.0), finals, strict=True))
    curves = {("fedgen_edge", n): (first, 0.8, 0.7) for n, first in zip(by_value, firsts, strict=True)}
    drift = {("fedgen_edge", n, "dispersion"): d for n, d in zip(by_value, drifts, strict=True)}
    drift |= {("fedgen_edge", n, "mean_change_norm"): 1.0 for n in by_value}
    return epochs.judge(swept(registry, "epochs", {"fedgen_edge": by_value}, curves, drift))


def test_epochs_hold_when_drift_grows_the_first_round_gains_and_the_end_suffers(registry):
    assert drifting(registry, (0.6, 0.5, 0.7), (1.0, 0.9, 0.8), (1.0, 1.5, 2.0)).verdict == "holds"
    assert drifting(registry, (0.6, 0.5, 0.4), (1.0, 0.9, 0.8), (1.0, 1.5, 2.0)).verdict == "does not hold"
    assert drifting(registry, (0.6, 0.5, 0.7), (1.0, 0.9, 0.8), (2.0, 1.5, 1.0)).verdict == "does not hold"


@pytest.mark.parametrize("judge", [stability.judge, rank.judge, epochs.judge])
def test_claim_without_its_sweep_has_no_evidence(registry, judge):
    assert judge(main_evidence(registry)).verdict == "no evidence"


def test_a_sweep_s_table_says_in_what_its_set_up_differs(registry):
    evidence = swept(registry, "rank", {"fedgen_edge": {1.0: 0.5, 2.0: 0.4, 4.0: 0.3}})
    sheet = evidence.sweeps["rank"]
    assert apart(evidence, sheet) == ""

    def other(record):
        config = record.config
        task = config.task.model_copy(update={"params": {"dataset": "short"}})
        training = config.training.model_copy(update={"local_steps": None, "local_epochs": 2, "batch_size": 3})
        return replace(record, config=config.model_copy(update={"task": task, "training": training}))

    short = Evidence(evidence.main, {"rank": replace(sheet, records=tuple(map(other, sheet.records)))})
    said = apart(short, short.sweeps["rank"])  # batch_size is what its points set
    assert said == (
        "**Not comparable with `toy`**, from which `toy` differs in dataset `short` (there none), "
        "local_epochs 2 (there none), local_steps none (there 4)"
    )
    assert rank.judge(short).grids[1].caption == said
