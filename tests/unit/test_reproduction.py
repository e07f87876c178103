"""Choosing, rebuilding and comparing published cells, on made-up records of the toy suite."""

import copy
import json

import pytest
from made_records import all_made, made

from fedgen_bench.base.errors import StoreError, UsageError
from fedgen_bench.cli.side_by_side import rows_of, sentences
from fedgen_bench.results import bands as limits_of
from fedgen_bench.results.tiers import Tier
from fedgen_bench.review import comparison, reproduction
from fedgen_bench.review.comparison import judge_over_seeds
from fedgen_bench.review.reproduction import problems, report
from fedgen_bench.suite.cells import expand

QUALITY = {1: 0.50, 2: 0.52, 3: 0.54}  # s = 0.02: the band's half-width
EXACT, BAND, STATISTICAL = Tier("exact"), Tier("band", ("other",)), Tier("statistical", ("versions",))


@pytest.fixture
def records(registry, toy_suite):
    """Three seeds of two contenders, in which only seeds make a difference."""
    cells = expand(
        toy_suite("seeds.leaderboard=[1, 2, 3]"), registry, contenders=["fedavg", "fedgen_edge"], seeds=[1, 2, 3]
    )
    return [record(spec, QUALITY[spec.seed]) for spec in cells]


def record(spec, quality):
    return {
        "contender": spec.contender,
        "seed": spec.seed,
        "config": spec.config.to_json(),
        "digest": spec.digest,
        "off_suite": [],
        "status": "done",
        "reason": "",
        "metrics": {"test/toy_loss": quality, "valid/toy_loss": 0.4},
        "per_client": {"global": {"0": 0.1, "4": 0.2}},
        "digests": {"partition": "p", "cohort": "c", "initial": "i", "batches": "b"},
        "facts": {
            "cohort_kind": "sampled",
            "trainable_params": 3,
            "backbone_params": 3,
            "data": {"toy": "generated"},
            "final_sha256": "f",
        },
        "curve": [[1, 0.9, 100], [2, 0.8, 200]],
        "bytes": {"up": {"encoded": 200}, "down": {"encoded": 200}},
        "client_rounds": 12,
        "quarantined": [],
        "provenance": {"task": {"name": "toy", "distribution": "file:toy.py", "version": "", "source_sha256": "x"}},
        "environment": {"device": "cpu"},
    }


def changed(one, path, value):
    found = copy.deepcopy(one)
    inner = found
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return found


def choose(tables, *chosen, **more):
    return reproduction.choose(all_made(tables), *chosen, **more)


def reruns_of(tables, *more):
    return reproduction.reruns_of(all_made(tables), *more)


def compare(published, here, *more):
    return comparison.compare_records(made(published), made(here), *more)


def bands(tables):
    return limits_of.bands(all_made(tables))


def differing(cell):
    return [one.what for one in cell.values if one.verdict == "differs"]


def test_choose_takes_finished_cells_of_the_suite_itself(records):
    records[0] |= {"status": "failed"}
    records[1] |= {"off_suite": ["training.local_steps=1"]}
    assert choose(records) == all_made(records[2:])


def test_choose_filters_by_contender_and_seed(records):
    assert [(r.contender, r.seed) for r in choose(records, ["fedavg"], [3, 1])] == [("fedavg", 1), ("fedavg", 3)]


def test_choose_takes_a_swept_contender_by_its_base_name(records):
    for one in records[:3]:
        one["config"]["point"] = {"contender": "swept", "axis": "rank", "value": 2}
    assert choose(records, ["swept"]) == all_made(records[:3])
    assert choose(records, [records[0]["contender"]]) == all_made(records[:3])


def test_choose_samples_the_same_cells_in_the_order_of_the_record(records):
    sampled = choose(records, sample=2)
    assert sampled == choose(list(reversed(records)), sample=2)[::-1]
    assert {one.digest for one in sampled} == set(sorted(one["digest"] for one in records)[:2])
    assert choose(records, sample=99) == all_made(records)


@pytest.mark.parametrize(
    ("contenders", "seeds", "text"),
    [
        (["fedavgg"], [], "Unknown finished contender `fedavgg`. Did you mean `fedavg`?"),
        ([], [7], "Unknown finished seed `7`."),
    ],
)
def test_choose_names_what_does_not_exist(contenders, seeds, text, records):
    with pytest.raises(UsageError, match=text.replace("?", r"\?")):
        choose(records, contenders, seeds)


def test_choose_says_when_no_cell_has_both(records):
    with pytest.raises(UsageError, match="No finished cell"):
        choose([one for one in records if one["seed"] != 3 or one["contender"] == "fedavg"], ["fedgen_edge"], [3])


def test_choose_refuses_cells_that_are_there_twice(records):
    with pytest.raises(StoreError, match=f"{records[0]['contender']}/1 was published twice"):
        choose([*records, records[0]])


def test_reruns_have_the_published_digest_and_no_changes(records, registry):
    for one, rerun in zip(records, reruns_of(records, registry), strict=True):
        assert (rerun.spec.digest, rerun.name) == (one["digest"], f"{one['contender']}/{one['seed']}")
        assert rerun.changes == ()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["config", "contender", "learning_rate"], 9.0),
        (["digest"], "0" * 24),
        (["contender"], "fedprox"),
        (["seed"], 4),
    ],
)
def test_reruns_refuse_an_edited_configuration_by_the_cell_s_name(path, value, records, registry):
    edited = changed(records[0], path, value)
    with pytest.raises(StoreError, match=f"{edited['contender']}/{edited['seed']} is not what its digest .* edited"):
        reruns_of([edited], registry)


def test_reruns_refuse_cells_of_two_suites(records, registry):
    other = changed(records[1], ["config", "suite_version"], 2)
    other["digest"] = json.loads(json.dumps(_digest_of(other)))
    with pytest.raises(StoreError, match="mixed up"):
        reruns_of([records[0], other], registry)


def _digest_of(one):
    from fedgen_bench.suite.cellconfig import CellConfig
    from fedgen_bench.suite.cells import CellSpec

    return CellSpec(CellConfig.from_json(one["config"])).digest


def test_reruns_in_fp32_change_only_what_was_bf16(records, registry, toy_suite):
    (spec,) = expand(toy_suite("training.precision=bf16"), registry, contenders=["fedavg"], seeds=[1])
    in_bf16 = record(spec, 0.5)
    same, other = reruns_of([records[0], in_bf16], registry, "fp32")
    assert same.changes == ()
    assert same.spec.digest == records[0]["digest"]
    assert other.changes == ("precision bf16 published, fp32 here",)
    assert other.spec.config.to_json() == records[0]["config"] | {"contender": spec.config.to_json()["contender"]}
    assert other.spec.digest != in_bf16["digest"]


def test_reruns_say_which_component_is_another_one(records, registry):
    one = changed(records[0], ["config", "contender", "strategy", "version"], "0")
    one["config"]["task"]["source_sha256"] = "0" * 64
    one["digest"] = _digest_of(one)
    name = one["config"]["contender"]["strategy"]["name"]
    ours = registry.get("strategy", name).spec.version
    (found,) = reruns_of([one], registry)
    assert found.changes == (
        "task toy has another source here than was published",
        f"strategy {name} version 0 published, {ours} here",
    )


def test_problems_name_missing_components_with_their_source_and_refused_parameters(records, registry):
    one = copy.deepcopy(records[0])
    config = one["config"]
    config["task"]["name"] = "lost"
    config["partitioner"]["params"]["beta"] = 3
    config["evaluation"]["metric"] = "lost_loss"
    config["contender"]["strategy"]["name"] = "gone"
    one["provenance"]["strategy"] = {"distribution": "far-plugin", "version": "1.2"}
    one["digest"] = _digest_of(one)
    found = problems(reruns_of([one], registry) * 2, registry)
    refused = (
        "partitioner `dirichlet` refuses what was published: Unknown parameter `beta`. Known: `alpha`, `column`. "
        "Install the version that the record names."
    )
    assert found == [
        "task `lost` is not installed. It was in the file toy.py: give that with `--plugin FILE`.",
        refused,
        "strategy `gone` is not installed. Install `far-plugin` 1.2, which the record names.",
        "metric `lost_loss` is not installed. Install what has it, or give its file with `--plugin FILE`.",
    ]
    assert problems(reruns_of(records, registry), registry) == []


def test_datasets_of_has_optional_weights_where_the_record_has_them(records, registry):
    assert reproduction.datasets_of(made(records[0]), registry) == ()
    with_weights = changed(records[0], ["facts", "data", "extractor inception-v3-compat"], "abc")
    assert reproduction.datasets_of(made(with_weights), registry) == ("inception-v3-compat",)


def test_quality_is_the_suite_s_metric_the_followed_one_or_the_clients_mean(records):
    def quality_of(table):
        return comparison.quality_of(made(table))

    one = records[0]
    assert quality_of(one) == ("test/toy_loss",)
    both = changed(one, ["config", "evaluation", "round_metric"], "other")
    both["metrics"]["test/other"] = 1.0
    assert quality_of(both) == ("test/toy_loss", "test/other")
    assert quality_of(changed(both, ["metrics"], {"personalized/other/mean": 1.0})) == ("personalized/other/mean",)
    assert quality_of(changed(one, ["metrics"], {})) == ()


@pytest.mark.parametrize("tier", [EXACT, BAND, STATISTICAL])
def test_compare_of_equal_records_is_reproduced_in_every_tier(tier, records):
    limits = bands(records)
    cells, tests = judge_over_seeds([compare(one, one, tier, limits) for one in records], limits)
    assert all(cell.reproduced for cell in cells)
    assert all(test.passed for test in tests)
    assert len(tests) == (2 if tier is STATISTICAL else 0)


ONE_BIT = [
    (["metrics", "valid/toy_loss"], 0.4000000000000001, "valid/toy_loss"),
    (["per_client", "global", "4"], 0.20000000000000004, "global, client 4"),
    (["curve", 1, 1], 0.8000000000000002, "round 2"),
    (["digests", "batches"], "B", "batches"),
    (["facts", "data", "toy"], "other", "toy"),
    (["bytes", "down", "encoded"], 201, "down encoded"),
    (["curve", 0, 2], 101, "up after round 1"),
    (["client_rounds"], 11, "client rounds"),
    (["facts", "trainable_params"], 4, "trainable_params"),
    (["facts", "final_sha256"], "g", "final sha256"),
    (["quarantined"], [[0, 1, "nan"]], "quarantined updates"),
]
NOT_IN = {
    "band": {"valid/toy_loss", "global, client 4", "round 2", "final sha256", "quarantined updates"},
    "statistical": {
        "valid/toy_loss", "global, client 4", "round 2", "batches", "trainable_params", "final sha256",
        "quarantined updates",
    },
}  # fmt: skip


@pytest.mark.parametrize(("path", "value", "what"), ONE_BIT)
@pytest.mark.parametrize("tier", [EXACT, BAND, STATISTICAL], ids=lambda one: one.name)
def test_compare_judges_what_its_tier_judges_and_shows_the_rest(tier, path, value, what, records):
    limits = bands(records)
    cell = compare(records[0], changed(records[0], path, value), tier, limits)
    (cell,), _ = judge_over_seeds([cell], limits)
    judged = what not in NOT_IN.get(tier.name, set())
    assert differing(cell) == ([what] if judged else [])
    assert cell.reproduced is not judged
    assert [one.verdict for one in cell.values if one.what == what] == ["differs" if judged else "shown"]


def test_compare_tells_zeros_of_two_signs_apart_and_misses_what_is_gone(records):
    zero, minus = (changed(records[0], ["metrics", "valid/toy_loss"], value) for value in (0.0, -0.0))
    assert differing(compare(zero, minus, EXACT, {})) == ["valid/toy_loss"]
    gone = copy.deepcopy(records[0])
    del gone["metrics"]["valid/toy_loss"]
    assert differing(compare(records[0], gone, EXACT, {})) == ["valid/toy_loss"]
    assert compare(gone, records[0], EXACT, {}).reproduced  # what was not published is shown


def test_compare_of_a_run_that_did_not_end_well_is_a_mismatch(records):
    cell = compare(records[0], records[0] | {"status": "failed", "reason": "broke"}, EXACT, {})
    assert not cell.reproduced
    assert (cell.reason, cell.values) == ("broke", ())
    assert [row[-1] for row in rows_of(cell)] == ["differs"]


@pytest.mark.parametrize(("off", "verdict"), [(0.0199, "within"), (-0.0199, "within"), (0.0201, "differs")])
def test_band_allows_one_standard_deviation_over_seeds(off, verdict, records):
    # 0.50, 0.52, 0.54 have the standard deviation 0.02.
    here = changed(records[0], ["metrics", "test/toy_loss"], 0.5 + off)
    cell = compare(records[0], here, BAND, bands(records))
    (value,) = [one for one in cell.values if one.what == "test/toy_loss"]
    assert (value.verdict, cell.reproduced) == (verdict, verdict == "within")
    assert value.allowed == pytest.approx(0.02)
    assert value.difference == pytest.approx(off)


def over_seeds(records, offs):
    limits = bands(records)
    cells = [
        compare(
            one, changed(one, ["metrics", "test/toy_loss"], one["metrics"]["test/toy_loss"] + off), STATISTICAL, limits
        )
        for one, off in zip(records, offs, strict=False)
    ]
    return judge_over_seeds(cells, limits)


@pytest.mark.parametrize(("off", "passed"), [(0.099, True), (0.1, False)])
def test_statistical_with_one_seed_allows_the_prediction_interval(off, passed, records):
    # t(0.975, 2) = 4.302653 (any t table): 4.302653 * 0.02 * sqrt(1 + 1 / 3) = 0.099366.
    (cell,), (test,) = over_seeds(records, [off])
    assert (test.passed, cell.reproduced) == (passed, passed)
    assert test.allowed == pytest.approx(0.099366, abs=1e-6)
    assert test.low is None
    assert "one seed" in test.text


@pytest.mark.parametrize(
    ("offs", "passed"),
    [
        ((0.4, -0.25, 0.0), True),  # the interval includes zero, though the mean is 0.05
        ((0.019, 0.0191, 0.0192), True),  # it excludes zero, but the mean is within the band's 0.02
        ((0.03, 0.031, 0.032), False),  # neither
    ],
)
def test_statistical_with_several_seeds_is_a_paired_test_with_the_band_as_tolerance(offs, passed, records):
    cells, (test,) = over_seeds(records, offs)
    assert test.seeds == (1, 2, 3)
    assert test.passed is passed
    assert {cell.reproduced for cell in cells} == {passed}
    assert test.mean == pytest.approx(sum(offs) / 3)
    assert "paired t" in test.text


def test_statistical_interval_is_the_textbook_one(records):
    # 0.03, 0.031, 0.032: mean 0.031, s = 0.001, half-width 4.302653 * 0.001 / sqrt(3) = 0.002484.
    _, (test,) = over_seeds(records, (0.03, 0.031, 0.032))
    assert (test.low, test.high) == pytest.approx((0.028516, 0.033484), abs=1e-6)


def test_statistical_leaves_failed_seeds_out_of_the_test_and_fails_them(records):
    limits = bands(records)
    bad = compare(records[0], records[0] | {"status": "diverged", "reason": "nan"}, STATISTICAL, limits)
    good = [compare(one, one, STATISTICAL, limits) for one in records[1:3]]
    cells, (test,) = judge_over_seeds([bad, *good], limits)
    assert test.seeds == (2, 3)
    assert [cell.reproduced for cell in cells] == [False, True, True]


def test_statistical_fails_quality_that_is_gone(records):
    gone = copy.deepcopy(records[0])
    del gone["metrics"]["test/toy_loss"]
    limits = bands(records)
    (cell,), (test,) = judge_over_seeds([compare(records[0], gone, STATISTICAL, limits)], limits)
    assert not test.passed
    assert differing(cell) == ["test/toy_loss"]


def test_rows_sum_up_what_is_equal_and_print_quality_and_differences(records):
    here = changed(records[0], ["bytes", "up", "encoded"], 300)
    rows = list(rows_of(compare(records[0], here, EXACT, {})))
    name = f"{records[0]['contender']}/1"
    assert (name, "test/toy_loss", "0.5", "0.5", "0", "0", "equal") in rows
    assert (name, "1 metric", "", "", "", "", "equal") in rows
    assert (name, "bytes: up encoded", "200", "300", "+100", "0", "differs") in rows
    assert (name, "10 byte counts", "", "", "", "", "equal") in rows
    assert len(rows) < 12


def test_rows_say_what_differs_and_may(records):
    here = changed(records[0], ["digests", "batches"], "B")
    here["per_client"]["global"]["4"] = 0.25
    here["metrics"]["test/new"] = 1.0
    rows = [row[1:] for row in rows_of(compare(records[0], here, STATISTICAL, {}))]
    allowed = "shown (differs, allowed in this tier)"
    assert ("digests: batches", "b", "B", "", "", allowed) in rows
    assert ("1 client", "", "", "up to 0.25 of it", "", allowed) in rows
    assert ("1 metric", "not published", "", "", "", "shown") in rows


def test_rows_of_a_cell_in_which_everything_differs_stay_few(records):
    here = changed(records[0], ["metrics"], {"test/toy_loss": 0.6})
    many = changed(records[0], ["metrics"], {f"valid/{i}": 0.1 for i in range(9)})
    rows = [row[1:] for row in rows_of(compare(many, here, EXACT, {}))]
    assert ("valid/4", "0.1", "missing", "", "0", "differs") in rows
    assert ("4 more of metrics", "", "", "", "", "differs") in rows


def test_sentences_give_one_result_a_tier_with_reasons(records):
    exact = compare(records[0], records[0], EXACT, {})
    band = compare(records[1], changed(records[1], ["digests", "cohort"], "x"), BAND, {})
    assert list(sentences([exact, band])) == [
        "1 of 1 cells reproduced: exact tier (same fingerprint).",
        "0 of 1 cells reproduced: band tier (same software, other machine or cohort).",
        "  Not a stricter tier: other.",
    ]


def test_report_holds_every_value_and_the_result(records):
    limits = bands(records)
    cells, tests = over_seeds(records, (0.03, 0.031, 0.032))
    text = report(cells, tests, {"suite": "toy"})
    body = json.loads(text)
    assert text == report(cells, tests, {"suite": "toy"})
    assert (body["suite"], body["reproduced"], len(body["cells"])) == ("toy", False, 3)
    assert body["cells"][0]["tier"] == {"name": "statistical", "reasons": ["versions"], "notes": []}
    (value,) = [one for one in body["cells"][0]["values"] if one["what"] == "test/toy_loss"]
    assert (value["published"], value["verdict"]) == (0.5, "differs")
    assert body["tests"][0]["passed"] is False
    assert json.loads(report([compare(records[0], records[0], EXACT, limits)], (), {}))["reproduced"] is True
