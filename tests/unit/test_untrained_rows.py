"""What no round trains has one value where others are followed over rounds: as of round 0, a level in drawings."""

import json
from dataclasses import replace

import pytest
import torch
from fedgen_bench_plugins.tables.plots import Convergence, QualityVsUplink

from fedgen_bench import NoParams
from fedgen_bench.base.looks import looks
from fedgen_bench.federation.assembly import assemble
from fedgen_bench.federation.loader import Loader
from fedgen_bench.registry.datasets import Places, finder
from fedgen_bench.results.leaderboard import build_table
from fedgen_bench.results.publish import lacking, publish
from fedgen_bench.results.record import from_json, to_json
from fedgen_bench.results.recording import record_of
from fedgen_bench.results.store import Store
from fedgen_bench.review.validation.values import values
from fedgen_bench.run.executor import Job
from fedgen_bench.run.runner import run_cells
from fedgen_bench.site.charts import curves
from fedgen_bench.site.drawing import draw
from fedgen_bench.suite.cells import expand

FROZEN = "contender.fedavg.strategy.name=frozen"


@pytest.fixture(scope="module")
def found(registry, toy_suite, tmp_path_factory):
    """A suite with a row that nobody trains, the records of a seed of both, and that it was published twice."""
    suite = toy_suite(FROZEN, "contender.fedavg.ranked=false")
    specs = expand(suite, registry, contenders=["fedgen_edge", "fedavg"], seeds=[1])
    root = tmp_path_factory.mktemp("runs")
    with Store(root) as store:
        job = Job(root, Places(), "cpu", registry.plugin_files)
        run_cells(specs, registry, job, store, workers=1, on_event=lambda _: None)
        records = {run.spec.contender: record_of(run) for run in store.runs("toy", 1)}
        source = registry.get("suite", "toy").spec
        folder = publish(source, suite, registry, store, root)[1]
        assert lacking(folder, store) == []
        assert publish(source, suite, registry, store, root)[1] == folder
    return suite, records, specs


def test_the_value_is_that_of_the_untrained_model_where_rounds_are_followed(found, registry):
    _, records, specs = found
    (spec,) = (one for one in specs if one.contender == "fedavg")
    experiment = assemble(spec, Loader(registry, finder(registry)), torch.device("cpu"))
    model = experiment.export(experiment.first_state(), None)
    metric = spec.config.evaluation.followed
    measured = experiment.evaluator.measure(model, experiment.task.split("valid_subset"), (metric,))
    assert records["fedavg"].curve == ((0, measured[metric], 0),)
    assert not any(name.startswith("valid_subset") for name in records["fedavg"].metrics)


def test_trained_rows_begin_after_their_first_round(found):
    _, records, _ = found
    assert records["fedgen_edge"].curve[0].n_rounds == 1


def test_records_with_it_are_valid_and_read_as_they_were_written(found, registry):
    _, records, _ = found
    assert [one.text for one in values(list(records.values()), registry)] == []
    for one in records.values():
        assert from_json(json.loads(json.dumps(to_json(one)))) == one
    frozen, edge = records["fedavg"], records["fedgen_edge"]
    (odd,) = values([replace(frozen, curve=(frozen.curve[0]._replace(n_rounds=1),))], registry)
    assert "nothing is trained" in odd.text
    (early, *_) = values([replace(edge, curve=(edge.curve[0]._replace(n_rounds=0), *edge.curve))], registry)
    assert "has round 0" in early.text


def test_drawings_have_it_as_a_level_for_any_number_of_bytes(found, registry):
    suite, records, _ = found
    table = build_table(suite, list(records.values()), registry)
    level = {one.contender: one.level for one in table.curves}
    assert level == {"fedavg": records["fedavg"].curve[0].value, "fedgen_edge": None}
    looked = looks(row["contender"] for row in table.rows)
    for drawing in curves(table, looked, {}):
        assert drawing.levels[0] == ("fedavg", level["fedavg"])
        assert [one.name for one in drawing.lines] == ["fedgen_edge"]
        assert "fedavg" in draw(drawing)
    for plot in (Convergence, QualityVsUplink):
        assert plot(NoParams()).render(table).count(">fedavg<") == 1
