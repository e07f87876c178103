"""Claims: verdicts, comparisons and views on records whose answers are known."""

from __future__ import annotations

import csv
import io
import math
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from fedgen_bench_plugins.claims import convergence, epochs, personalisation, quality, rank, stability, uplink
from made_records import made

from fedgen_bench.base.errors import PluginError, StoreError
from fedgen_bench.base.stats import interval
from fedgen_bench.contract.claims import ClaimSpec
from fedgen_bench.contract.specs import Provenance, SuiteSource
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.registry.registry import Registered, Registry
from fedgen_bench.results.files import CLAIMS
from fedgen_bench.review.claims import reasons, views
from fedgen_bench.review.claims.apart import apart
from fedgen_bench.review.claims.charts import as_csv, as_svg
from fedgen_bench.review.claims.clock import EdgeDevice
from fedgen_bench.review.claims.evidence import Evidence, Published, Scale
from fedgen_bench.review.claims.findings import Chart, Comparison, Finding, Point, adjusted, combined, compare
from fedgen_bench.review.claims.formats import comparison_grid, told
from fedgen_bench.review.claims.judging import claims_of, judged, written
from fedgen_bench.review.claims.page import page_files
from fedgen_bench.suite.load import load_suite
from fedgen_bench.suite.personalization import ResolvedWay
from fedgen_bench.testing import contracts_of, toy

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


def test_personalisation_reports_gain_share_and_worst_decile(registry):
    clients = [(1.0, 0.9), (1.0, 0.8), (1.0, 1.1), (2.0, 1.0)]
    found = personalisation.judge(main_evidence(registry, clients=clients))
    row = dict(zip(found.grids[0].head, found.grids[0].rows[0], strict=True))
    assert (row["clients"], row["seeds"], row["mean gain"]) == ("12", "3", "+17.5 %")  # gains 10, 20, -10 and 50 %
    assert (row["gain at all"], row["worst decile"]) == ("75 %", "-10 %")
    assert "sampling error" not in row
    assert personalisation.judge(main_evidence(registry, clients=[(1.0, 1.1), (1.0, 1.2)])).verdict == "does not hold"
    assert personalisation.judge(main_evidence(registry)).verdict == "no evidence"


def own_models(registry, by_seed, **more):
    """Evidence with clients' figures by model and seed, and what else the reference's records have."""
    evidence = main_evidence(registry)

    def with_clients(one):
        of_model = {model: {str(i): v for i, v in enumerate(values[one.seed])} for model, values in by_seed.items()}
        return replace(one, per_client=of_model, **more)

    records = [with_clients(one) if one.contender == "fedgen_edge" else one for one in evidence.main.records]
    return Evidence(replace(evidence.main, records=tuple(records)), {})


def test_clients_of_one_seed_are_one_observation(registry):
    own = {1: [0.9] * 20, 2: [0.7] * 20, 3: [0.98] * 20}  # 60 clients gain, 10, 30 and 2 %: three figures
    found = personalisation.judge(
        own_models(registry, {"global": dict.fromkeys(SEEDS, [1.0] * 20), "personalized": own})
    )
    assert found.verdict == "not decided"
    assert "clients gain +14 % (-21.8 to +49.8; 11 seeds to decide)" in found.reading


def test_what_clients_kept_stands_beside_what_they_made_of_it(registry):
    shared, worse, better = ({s: [v, v + s / 100] for s in SEEDS} for v in (1.0, 1.2, 0.5))
    found = personalisation.judge(own_models(registry, {"global": shared, "kept": worse, "personalized": better}))
    assert found.verdict == "holds"
    assert [row[1].split()[:2] for row in found.grids[0].rows] == [["as", "clients"], ["after", "0"]]
    assert [name for name, _ in found.charts[0].series] == ["fedgen_edge, kept", "fedgen_edge"]
    alone = personalisation.judge(own_models(registry, {"global": shared, "kept": worse}))
    assert alone.verdict == "does not hold"


def test_client_that_was_never_asked_kept_nothing(registry):
    shared, kept = {s: [1.0, 2.0, 1.0] for s in SEEDS}, {s: [1.1, 2.0, 1.2] for s in SEEDS}
    found = personalisation.judge(own_models(registry, {"global": shared, "kept": kept, "personalized": shared}))
    of_kept, own = (dict(zip(found.grids[0].head, row, strict=True)) for row in found.grids[0].rows)
    assert (of_kept["clients"], of_kept["mean gain"]) == ("6", "-15 %")
    assert (own["clients"], own["mean gain"]) == ("9", "+0 %")  # clients that stay as they are do count here


def test_the_way_is_that_of_the_contender_in_old_and_new_suites(registry):
    both = {"global": {key: [1.0] for key in SEEDS}, "personalized": {key: [0.9] for key in SEEDS}}
    evidence = own_models(registry, both)
    assert "after 0 steps at 0.1 from `kept`" in personalisation.judge(evidence).method
    way = ResolvedWay(clients=7, steps=32, start="global", learning_rate=0.001, interpolation=0.5)
    config = evidence.main.records[0].config.model_copy(update={"personalization": way})
    method = personalisation.judge(own_models(registry, both, config=config)).method
    assert "of 7 clients a seed" in method
    assert "after 32 steps at 0.001 from `global`, 0.5 of the way from the global model" in method


def test_sampling_error_is_half_the_difference_between_halves(registry):
    both = {"global": {key: [1.0, 2.0] for key in SEEDS}, "personalized": {key: [0.9, 1.8] for key in SEEDS}}
    halves = {"global": {"0": (1.0, 1.0), "1": (2.0, 2.0)}, "personalized": {"0": (0.88, 0.92), "1": (1.8, 1.8)}}
    found = personalisation.judge(own_models(registry, both, halves=halves))
    # Gains of client 0: 12 and 8 %, of client 1: 10 and 10 %. sqrt((4^2 + 0) / 2) / 2.
    assert "standard error is 1.4 points" in found.reading
    row = dict(zip(found.grids[0].head, found.grids[0].rows[0], strict=True))
    assert row["sampling error"] == "1.4 %"


def test_personalisation_shows_gains_by_local_steps(registry):
    values = {1.0: 0.8, 8.0: 1.5}
    extra = SWEEP.format(axis="personal-steps") + "".join(
        POINT.format(value=v, size=i + 1) for i, v in enumerate(values)
    )
    records = [
        record("fedgen_edge", seed, 0.5, (1.0,), point=("personal-steps", steps), clients=[(1.0, own), (1.0, own)])
        for steps, own in values.items()
        for seed in SEEDS
    ]
    main = main_evidence(registry, clients=[(1.0, 1.1), (1.0, 1.2)]).main
    found = personalisation.judge(Evidence(main, {"personal-steps": sheet(registry, records, extra)}))
    assert "+20 % after 1, -50 % after 8" in found.reading
    assert [row[0] for row in found.grids[1].rows] == ["1", "8"]


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


# --- views, reasons, page ------------------------------------------------------------------------------------------


def test_simulated_round_adds_transfers_and_steps():
    device = EdgeDevice(up_bits_per_second=8000, down_bits_per_second=16000, step_seconds=0.25)
    # 1000 bytes up at 1000 bytes/s, 1000 down at 2000, 4 steps of 0.25 s.
    assert device.round_seconds(record("fedavg", 1, 0.5, (1.0, 0.5))) == pytest.approx(1 + 0.5 + 1)


def test_budget_view_shows_what_fits_and_marks_the_best(registry):
    view = views.quality_under_budget(main_evidence(registry).main)
    rows = {row[0]: dict(zip(view.grid.head, row, strict=True)) for row in view.grid.rows}
    assert rows["fedavg"]["100 B"] == "–"
    assert rows["fedgen_edge"]["10 B"] == "**0.602**"  # two rounds of 5 bytes
    assert rows["fedavg"]["1 kB"] == "1.002"


def test_cost_view_has_a_dash_where_a_seed_never_gets_there(registry):
    view = views.cost_to_target(main_evidence(registry).main, EdgeDevice())
    last = {row[1]: row for row in view.grid.rows}
    assert last["fedavg"][2:] == ("–", "–", "–")
    assert last["fedgen_edge"][2] == "15 B"


def test_reasons_compare_with_the_same_adapter_on_all_data(registry):
    pooled = runs("centralized", (0.4, 0.41, 0.42), kind="pooled", curve=())
    evidence = main_evidence(registry)
    view = reasons.gap(Evidence(sheet(registry, [*evidence.main.records, *pooled]), {}))
    assert [row[0] for row in view.grid.rows][
        -1
    ] == "what federation costs the full model: `fedavg` against `centralized`"
    assert view.grid.rows[-1][-1] == "worse"


def test_chart_data_are_what_is_drawn():
    chart = Chart(
        name="c",
        title="t",
        x_label="x",
        y_label="y",
        series=(("a", (Point(1.0, 2.0, 1.5, 2.5),)), ("b", ())),
        log_x=True,
    )
    assert list(csv.reader(io.StringIO(as_csv(chart))))[1] == ["a", "1.0", "2.0", "1.5", "2.5"]
    assert as_svg(chart) == as_svg(chart)
    assert "<svg" in as_svg(chart)


def test_page_has_every_claim_and_links_only_files_that_it_writes(registry):
    evidence = main_evidence(registry)
    files = written(evidence, registry)
    page = files[CLAIMS].decode()
    for number in ("1", "2a", "2b", "3", "4", "5", "6", "7"):
        assert f"\n## {number}. " in page
    linked = {part.split(")")[0] for part in page.split("](")[1:]}
    assert linked == files.keys() - {CLAIMS}
    assert files == written(evidence, registry)


# --- claims that plugins bring -------------------------------------------------------------------------------------


def claim(number, judge=lambda _: None, name="own"):
    return Registered(ClaimSpec(name=name, summary="", number=number, judge=judge), Provenance("mine", "1"))


def with_claims(*claims):
    return Registry({"claim": {one.spec.name: one for one in claims}}, ())


def test_claims_stand_in_the_order_of_their_numbers(registry):
    assert [one.number for one in claims_of(registry)] == ["1", "2a", "2b", "3", "4", "5", "6", "7"]
    numbers = ("10", "2b", "2", "x", "9")
    found = claims_of(with_claims(*(claim(number, name=f"claim-{number}") for number in numbers)))
    assert [one.number for one in found] == ["x", "2", "2b", "9", "10"]


def test_a_claim_with_a_taken_number_is_left_out_and_the_others_live(tmp_path):
    plugin = tmp_path / "second.py"
    plugin.write_text(
        "from fedgen_bench import ClaimSpec, hookimpl\n\n@hookimpl\ndef register_claims():\n"
        "    return [ClaimSpec(name='second', summary='', number='3', judge=lambda evidence: None)]\n"
    )
    known = load_registry([plugin], environ={})
    assert "claim `second` has number 3 of claim `convergence`; renumber one of them" in known.failures[0].reason
    assert [one.number for one in claims_of(known)] == ["1", "2a", "2b", "3", "4", "5", "6", "7"]


def test_a_judge_that_fails_is_blamed_by_name(registry):
    evidence = main_evidence(registry)
    with pytest.raises(PluginError, match=r"The judge of claim `own` failed: KeyError: 'gone' \(test_claims\.py:\d+\)"):
        judged(evidence, with_claims(claim("8", judge=lambda _: {}["gone"])))
    with pytest.raises(PluginError, match=r"The judge of claim `own` raised SystemExit: 0 \(test_claims\.py:\d+\)"):
        judged(evidence, with_claims(claim("8", judge=lambda _: sys.exit(0))))
    odd = Finding(title="", claim="", verdict="banana", method="", reading="")
    with pytest.raises(PluginError, match=r"verdict 'banana'\. Give one of holds, "):
        judged(evidence, with_claims(claim("8", judge=lambda _: odd)))
    with pytest.raises(PluginError, match="returned a NoneType, expected a Finding"):
        judged(evidence, with_claims(claim("8")))
    with pytest.raises(StoreError, match="Claim 8 cannot be judged from the published numbers of `toy`"):
        judged(evidence, with_claims(claim("8", judge=lambda _: 1 / 0)))


@pytest.mark.parametrize("name", ["quality_by_rounds", "../escape", ""])
def test_a_chart_s_name_is_its_own_and_stays_in_the_folder(registry, monkeypatch, name):
    monkeypatch.setattr("fedgen_bench.review.claims.page.as_svg", lambda _: "")
    charts = [Chart(name=one, title="", x_label="", y_label="", series=()) for one in ("quality_by_rounds", name)]
    finding = Finding(title="", claim="", verdict="holds", method="", reading="", charts=tuple(charts))
    with pytest.raises(PluginError, match="taken, or no name"):
        page_files(main_evidence(registry), {"8": finding}, [])


def test_the_guide_s_claim_stands_last_on_the_page(registry, tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")
    plugin = tmp_path / "worst_client.py"
    source = re.search(r"```python\n(\"\"\"Everybody's worst client.*?)```", page, flags=re.DOTALL).group(1)
    plugin.write_text(source, encoding="utf-8")
    known = load_registry([plugin, toy.__file__], environ={})
    assert list(judged(main_evidence(registry), known))[-1] == "8"
    (contract,) = (one for one in contracts_of(known, names={"claim/worst-client"}) if one.check == "check_rehearsal")
    contract()
