"""The metric that ranks, the one that is followed over rounds, optional ones, parts and pictures, in the toy world."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace

import pytest
from fedgen_bench_plugins.tables.samples import Samples
from PIL import Image

from fedgen_bench import NoParams
from fedgen_bench.base.errors import StoreError, SuiteError
from fedgen_bench.contract.specs import SuiteSource
from fedgen_bench.registry.datasets import USUAL_PLACES
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.results.checking import check_folder
from fedgen_bench.results.leaderboard import build_table
from fedgen_bench.results.publish import publish
from fedgen_bench.results.published import open_folder
from fedgen_bench.results.store import Store
from fedgen_bench.review.validation import validate
from fedgen_bench.run.executor import Job
from fedgen_bench.run.runner import run_cells
from fedgen_bench.suite.cells import expand
from fedgen_bench.suite.load import load_suite
from fedgen_bench.testing import toy

PLUGIN = '''
import io

from fedgen_bench import MetricSpec, TaskSpec, hookimpl
from fedgen_bench.testing import toy


class Painter(toy.LoadedToy):
    """The whole parts have more evidence than the validation subset and clients' tails, and there is a picture."""

    def split(self, name):
        return (self.points, name)

    def observe(self, module, data, seeds):
        points, name = data if isinstance(data, tuple) else (data, "")
        whole = {} if name in {"", "valid_subset"} else {"axes": module.weight.detach().cpu().double()}
        return super().observe(module, points, seeds) | whole

    def showcase(self, module, seeds):
        from PIL import Image

        out = io.BytesIO()
        Image.new("RGB", (4, 2), (int(50 * abs(float(module.weight[0]))), 9, 9)).save(out, format="PNG")
        return out.getvalue()


class Task(toy.Toy):
    def load(self, find):
        return Painter(self.params)


class Metric:
    def __init__(self, params):
        self.params = params


class Reach(Metric):
    def compute(self, evidence):
        return float(evidence["axes"].norm())


class Nearness(Metric):
    def compute(self, evidence):
        return 1 / (1 + evidence["loss"] / evidence["n"])


class Axes(Metric):
    def compute(self, evidence):
        return dict(zip("xyz", evidence["axes"].tolist(), strict=True))


class Colour(Metric):
    def compute(self, evidence):
        return evidence["colour"]


class Slip(Metric):
    def compute(self, evidence):
        return {}["hue"]


@hookimpl
def register_tasks():
    return [TaskSpec(name="painter", summary="Toy with a picture.", build=Task, params=toy.Params)]


@hookimpl
def register_metrics():
    return [
        MetricSpec(name="reach", summary="Length.", build=Reach, unit="length", lower_is_better=False),
        MetricSpec(name="nearness", summary="More is better.", build=Nearness, unit="nearness", lower_is_better=False),
        MetricSpec(name="axes", summary="By axis.", build=Axes),
        MetricSpec(name="colour", summary="Nowhere.", build=Colour),
        MetricSpec(name="slip", summary="Broken.", build=Slip),
    ]
'''
TEXT = toy.SUITE.replace('[task]\nname = "toy"', '[task]\nname = "painter"').replace(
    'metric = "toy_loss"',
    'metric = "reach"\nround_metric = "toy_loss"\nother_metrics = ["axes"]\noptional_metrics = ["colour"]',
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    path = tmp_path_factory.mktemp("plugins") / "painter.py"
    path.write_text(PLUGIN)
    return [toy.__file__, str(path)]


@pytest.fixture(scope="module")
def world(files):
    """The registry with the painter."""
    return load_registry(files, environ={})


def suite_of(world, text=TEXT, *overrides):
    return load_suite(SuiteSource(name="toy", text=text, path="toy.toml"), world, overrides)


@pytest.fixture(scope="module")
def ran(world, files, tmp_path_factory):
    """Suite, store's folder and published folder of the whole suite."""
    folder = tmp_path_factory.mktemp("ran")
    suite, source = suite_of(world), SuiteSource(name="toy", text=TEXT, path="toy.toml")
    with Store(folder / "runs") as store:
        job = Job(folder / "runs", USUAL_PLACES, "cpu", tuple(files))
        run_cells(expand(suite, world), world, job, store, workers=1, on_event=lambda _: None)
        table, out = publish(source, suite, world, store, folder / "leaderboards")
        runs = {(run.spec.contender, run.spec.seed): run for run in store.runs("toy", 1)}
    return table, out, runs


def test_rounds_and_clients_read_the_followed_metric_alone(ran):
    _, _, runs = ran
    run = runs["fedavg", 1]
    assert run.status == "done", run.reason
    assert all(report.metrics.keys() == {"toy_loss"} for report in run.rounds)
    own = {tuple(key.split("/")[:2]) for key in run.result.metrics if not key.startswith(("valid/", "test/"))}
    assert {("global", "toy_loss"), ("personalized", "toy_loss")} <= own
    assert {metric for _, metric in own} == {"toy_loss"}


def test_clients_are_measured_by_a_metric_of_their_own(world, files, tmp_path):
    text = TEXT.replace('round_metric = "toy_loss"', 'round_metric = "toy_loss"\nclient_metric = "nearness"')
    suite, source = suite_of(world, text), SuiteSource(name="toy", text=text, path="toy.toml")
    with Store(tmp_path / "runs") as store:
        job = Job(tmp_path / "runs", USUAL_PLACES, "cpu", tuple(files))
        run_cells(expand(suite, world, contenders=["fedavg"]), world, job, store, workers=1, on_event=lambda _: None)
        table, folder = publish(source, suite, world, store, tmp_path / "leaderboards")
        run = next(iter(store.runs("toy", 1)))
    assert run.status == "done", run.reason
    own = {tuple(key.split("/")[:2]) for key in run.result.metrics if not key.startswith(("valid/", "test/"))}
    assert {metric for _, metric in own} == {"nearness"}
    assert all(report.metrics.keys() == {"toy_loss"} for report in run.rounds)
    worst, mean = (run.result.metrics[f"personalized/nearness/{what}"] for what in ("worst_decile", "mean"))
    assert worst < mean  # more is better
    assert (table.followed.metric, table.own.metric, table.reports_another) == ("toy_loss", "nearness", True)
    assert json.loads((folder / "table.json").read_text())["own"]["metric"] == "nearness"
    assert "**worst decile**: nearness (higher is better) on clients' own" in (folder / "table.md").read_text()
    assert [one for one in validate(folder, world).notices if one.problem and one.group == "values"] == []


def test_whole_parts_are_read_by_every_metric_whose_evidence_is_there(ran):
    _, _, runs = ran
    whole = {key for key in runs["fedavg", 1].result.metrics if key.startswith(("valid/", "test/"))}
    names = ("reach", "toy_loss", "axes/x", "axes/y", "axes/z")
    assert whole == {f"{split}/{name}" for split in ("valid", "test") for name in names}


def test_table_ranks_by_one_metric_and_follows_the_other(ran):
    table, _, runs = ran
    best = max(("fedgen_edge", "fedavg"), key=lambda name: runs[name, 1].result.metrics["test/reach"])
    assert table.rows[0]["contender"] == best  # higher is better, though the followed metric's lower is
    assert (table.metric, table.followed.metric, table.followed.lower_is_better) == ("reach", "toy_loss", True)
    row = next(row for row in table.rows if row["contender"] == "fedavg")
    losses = [runs["fedavg", seed].rounds for seed in (1, 2)]
    reached = [next(r.round_index + 1 for r in rounds if r.metrics["toy_loss"] <= 0.8) for rounds in losses]
    assert row["rounds_to_target_mean"] == sum(reached) / 2
    own = [runs["fedavg", seed].result.metrics["personalized/toy_loss/mean"] for seed in (1, 2)]
    assert row["personalized_mean"] == sum(own) / 2


def test_published_folder_is_what_its_results_give(ran, world):
    _, folder, _ = ran
    assert check_folder(folder, world) == []
    (folder / "table.md").write_text("x")
    assert check_folder(folder, world) == ["table.md"]


def test_pictures_are_published_of_the_first_seed_and_not_in_the_tables(ran):
    table, folder, runs = ran
    records = open_folder(folder).records
    shown = {(one.contender, one.seed) for one in records if one.showcase}
    assert shown == {("fedgen_edge", 1), ("fedavg", 1), ("centralized", 1)}  # local_only has no global model
    assert runs["fedavg", 2].result.showcase
    assert table.showcase.keys() == {"fedgen_edge", "fedavg", "centralized"}
    assert table.showcase["fedavg"] not in (folder / "table.json").read_text()
    assert json.loads((folder / "table.json").read_text())["followed"]["metric"] == "toy_loss"


def test_samples_shows_a_row_for_every_contender(ran):
    table, _, _ = ran
    picture = Image.open(io.BytesIO(Samples(NoParams()).render(table)))
    # 4 x 2 pixels at 250 times their size, three of them with a gap of 8 around each.
    assert picture.height == 3 * 500 + 4 * 8
    for place, name in enumerate(row["contender"] for row in table.rows if row["contender"] in table.showcase):
        colour = Image.open(io.BytesIO(base64.b64decode(table.showcase[name]))).getpixel((0, 0))
        assert picture.getpixel((picture.width - 20, 8 + place * 508 + 250)) == colour


def test_samples_refuses_a_picture_that_is_none(ran):
    for text in ("!", base64.b64encode(b"GIF89a").decode()):
        with pytest.raises(StoreError, match="picture of `fedavg` cannot be read"):
            Samples(NoParams()).render(replace(ran[0], showcase={"fedavg": text}))


def test_markdown_says_what_is_followed_and_shows_parts_apart(ran, world):
    table, _, _ = ran
    spec = world.get("table_format", "markdown").spec
    text = spec.build(spec.params()).render(table)
    assert "- **personalised**, **worst decile**: loss (lower is better) on clients' own" in text
    assert "- **target**: loss of 0.8" in text
    assert "is evaluated every round; a dash" in text
    setup = table.setup | {"evaluation": table.setup["evaluation"] | {"every": 3}}
    rare = spec.build(spec.params()).render(replace(table, setup=setup))
    assert "is evaluated every 3 rounds; a dash" in rare
    parts = text.split("## `axes` by part, test, mean over seeds")[1].split("\n## ")[0].strip().splitlines()
    assert parts[0] == "| contender | x | y | z |"
    assert len(parts) == 2 + 3  # local_only has no global model
    others = text.split("## Other metrics, mean over seeds")[1].split("\n## ")[0]
    assert "axes" not in others


def test_suite_without_the_new_keys_keeps_table_and_identity(registry, toy_suite):
    spec = expand(toy_suite(), registry, contenders=["fedavg"], seeds=[1])[0]
    later, config = {"ema_decay", "round_metric", "optional_metrics"}, spec.config.to_json()
    assert not later & (config["training"].keys() | config["evaluation"].keys())
    table = build_table(toy_suite(), [], registry)
    assert not later & (table.setup["training"].keys() | table.setup["evaluation"].keys())
    assert not table.follows_another
    json_format, samples = (registry.get("table_format", name).spec for name in ("json", "samples"))
    assert not {"followed", "showcase", "samples"} & json.loads(json_format.build(NoParams()).render(table)).keys()
    assert samples.build(NoParams()).render(table) is None


def test_given_keys_are_part_of_the_identity(registry, toy_suite):
    def identity(*overrides):
        return expand(toy_suite(*overrides), registry, contenders=["fedavg"], seeds=[1])[0].digest

    given = ["training.ema_decay=0.9", "evaluation.round_metric='toy_loss'"]
    assert len({identity(), *(identity(one) for one in given)}) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ('round_metric = "toy_los"', "Did you mean `toy_loss`?"),
        ('optional_metrics = ["toy_los"]', "Did you mean `toy_loss`?"),
        ('optional_metrics = ["toy_loss"]', "`toy_loss` is asked for already"),
    ],
)
def test_suite_names_metrics_that_do_not_fit(registry, change, message):
    text = toy.SUITE.replace('metric = "toy_loss"', f'metric = "toy_loss"\n{change}')
    with pytest.raises(SuiteError) as caught:
        load_suite(SuiteSource(name="bad", text=text, path="bad.toml"), registry)
    (problem,) = caught.value.problems
    line = 1 + text.splitlines().index(change)
    assert problem.startswith(f"bad.toml:{line}: ")
    assert message in problem


def failure(world, files, folder, text):
    suite = suite_of(world, text)
    with Store(folder) as store:
        job = Job(folder, USUAL_PLACES, "cpu", tuple(files))
        chosen = expand(suite, world, contenders=["fedavg"], seeds=[1])
        run_cells(chosen, world, job, store, workers=1, on_event=lambda _: None)
        (run,) = store.runs("toy", 1)
    assert run.status == "failed"
    return run.reason


def test_metric_with_parts_cannot_rank(world, files, tmp_path):
    reason = failure(world, files, tmp_path, TEXT.replace('["axes"]', "[]").replace('"reach"', '"axes"'))
    assert "Metric `axes` gives a number for each of its parts" in reason


def test_metric_without_its_evidence_is_named(world, files, tmp_path):
    text = TEXT.replace('["axes"]', '["colour"]').replace('optional_metrics = ["colour"]', "")
    reason = failure(world, files, tmp_path, text)
    assert "Metric `colour` needs evidence 'colour', which task `painter` does not give" in reason


@pytest.mark.parametrize("asked", ["other_metrics", "optional_metrics"])
def test_metrics_own_key_error_is_not_missing_evidence(world, files, tmp_path, asked):
    text = TEXT.replace(f'{asked} = ["{"axes" if asked == "other_metrics" else "colour"}"]', f'{asked} = ["slip"]')
    reason = failure(world, files, tmp_path, text)
    assert "KeyError: 'hue'" in reason
    assert "evidence" not in reason
