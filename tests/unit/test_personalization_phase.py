"""After the last round clients go on by themselves as `[personalization]` says; ways are tuned on training parts."""

from __future__ import annotations

import csv
import io
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fedgen_bench.base.errors import PluginError, SuiteError
from fedgen_bench.contract.engines import EvaluationTask
from fedgen_bench.contract.messages import Fit, Model, Proximal
from fedgen_bench.contract.specs import SuiteSource
from fedgen_bench.federation.asked import Asked
from fedgen_bench.federation.assembly import assemble
from fedgen_bench.federation.batches import FitStreams
from fedgen_bench.federation.client_evaluation import client_tasks, evaluated_clients
from fedgen_bench.federation.client_states import ClientStates
from fedgen_bench.federation.components import build
from fedgen_bench.federation.final_evaluation import final_scores
from fedgen_bench.federation.loader import Loader
from fedgen_bench.federation.packing import pack_evaluation, unpack_evaluation
from fedgen_bench.federation.population import make_population
from fedgen_bench.federation.seeding import seed_tree
from fedgen_bench.federation.trainer import fit
from fedgen_bench.registry.datasets import Places, finder
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.results.store import Store
from fedgen_bench.run.executor import Job
from fedgen_bench.run.runner import run_cells
from fedgen_bench.run.tuning import personalization_csv, scored, trials, tuning_csv
from fedgen_bench.suite.cells import expand
from fedgen_bench.suite.load import load_suite
from fedgen_bench.testing import toy
from fedgen_bench.testing.bits import same_bits
from fedgen_bench.testing.suites import check_trials


class Coordinator:
    """An engine whose workers measure nothing."""


TABLE = """
[personalization]
clients = 3
steps = 2
learning_rate = 0.05
"""
LEFT_OUT = ("personalized_clients = 2\n", "personalized_steps = 1\n")
FOR_EDGE = 'name = "fedgen_edge"\nstrategy'


def text_of(table=TABLE, edge="", tuning=""):
    text = toy.SUITE
    for line in LEFT_OUT:
        text = text.replace(line, "")
    text = text.replace(FOR_EDGE, f'name = "fedgen_edge"\n{edge}strategy')
    return text + tuning + table


@pytest.fixture(scope="module")
def registry():
    return load_registry([toy.__file__])


def suite_of(registry, **changed):
    source = SuiteSource(name="toy", text=text_of(**changed), path="toy.toml")
    return source, load_suite(source, registry)


@pytest.fixture(scope="module")
def assembled(registry):
    """A cell's run, built and not yet begun."""
    return lambda spec: assemble(spec, Loader(registry, finder(registry)), torch.device("cpu"))


@pytest.fixture
def ran(registry, tmp_path):
    """Runs contenders under seed 1 and gives their results."""

    def run(*contenders, **changed):
        _, suite = suite_of(registry, **changed)
        cells = expand(suite, registry, contenders=contenders, seeds=[1])
        return finished(registry, tmp_path, cells)

    return run


def finished(registry, folder: Path, cells):
    with Store(folder / "runs") as store:
        job = Job(folder / "runs", Places(), "cpu", registry.plugin_files)
        events = run_cells(cells, registry, job, store, workers=1, on_event=lambda _: None)
        found = {one.spec.contender: one.result for one in store.runs("toy", 1)}
    return {one.contender: (event, found[one.contender]) for one, event in zip(cells, events, strict=True)}


def test_rows_have_what_everybody_has_what_a_client_kept_and_its_own(ran):
    results = ran("fedgen_edge", "fedavg", "local_only", "centralized")
    own = {name: result.per_client for name, (_, result) in results.items()}
    assert set(own["fedgen_edge"]) == {"global", "kept", "personalized"}
    assert {len(of_client) for of_client in own["fedgen_edge"].values()} == {3}
    assert own["fedgen_edge"]["kept"] != own["fedgen_edge"]["global"]
    assert set(own["fedavg"]) == {"global", "personalized"}
    assert set(own["local_only"]) == {"kept", "personalized"} | {"global"}
    assert not own["local_only"]["global"]
    assert "kept/toy_loss/mean" in results["fedgen_edge"][1].metrics


def by_hand(experiment, start, rate, n_steps, share=1.0):
    """The toy's clients, trained from the global tensors and measured, one after the other."""
    model = Model(experiment.start)
    values = {}
    for client_id in evaluated_clients(experiment):
        data, streams = experiment.population.client(client_id), FitStreams(seed_tree(experiment.spec), 4, client_id)
        request = experiment.personalize(start, experiment.last_context(client_id, {}), model)
        plan = experiment.plan.at(rate)
        trained = fit(experiment.adapted, experiment.task, data.train, request, plan, streams, n_steps).tensors
        mixed = {name: x + share * (trained[name] - x) for name, x in request.start.items()}
        values[str(client_id)] = experiment.evaluator.measure(Model(mixed), data.heldout, ("toy_loss",))["toy_loss"]
    return values


@pytest.mark.parametrize(
    ("edge", "rate", "n_steps", "share"),
    [
        ("", 0.05, 2, 1.0),
        ("personalization = { learning_rate = 0.3, steps = 3 }\n", 0.3, 3, 1.0),
        ("personalization = { interpolation = 0.25 }\n", 0.05, 2, 0.25),
    ],
)
def test_clients_go_on_from_the_global_model_at_their_own_rate(registry, assembled, edge, rate, n_steps, share):
    _, suite = suite_of(registry, edge=edge)
    experiment = assembled(expand(suite, registry, contenders=["fedgen_edge"], seeds=[1])[0])
    state = experiment.first_state()
    model, work = experiment.export(state, None), experiment.work()
    scores = final_scores(experiment, state, ClientStates(None), model, work, Coordinator())
    assert scores.clients["personalized"] == pytest.approx(by_hand(experiment, state, rate, n_steps, share), rel=1e-6)


def test_what_clients_do_in_the_end_changes_nothing_before_it(ran):
    usual = ran("fedavg")["fedavg"][1]
    other = ran("fedavg", table=TABLE.replace("0.05", "0.3"))["fedavg"][1]
    assert usual.per_client["global"] == other.per_client["global"]
    assert usual.per_client["personalized"] != other.per_client["personalized"]
    assert usual.metrics["test/toy_loss"] == other.metrics["test/toy_loss"]


def test_starting_from_what_was_kept_is_not_starting_from_the_global_model(ran):
    kept = ran("fedgen_edge", edge='personalization = { start = "kept" }\n')["fedgen_edge"][1]
    afresh = ran("fedgen_edge")["fedgen_edge"][1]
    assert kept.per_client["kept"] == afresh.per_client["kept"]
    assert kept.per_client["personalized"] != afresh.per_client["personalized"]


def test_nothing_lies_between_a_client_and_a_global_model_that_is_not_there(ran):
    event, _ = ran("local_only", table=TABLE + "interpolation = 0.5\n")["local_only"]
    assert event.status == "failed"
    assert "it has no global model. Leave out `interpolation`" in event.reason


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"table": "[personalization]\nsteps = 1\n"}, "clients"),
        ({"table": TABLE + "interpolation = 0.0\n"}, "greater than 0"),
        ({"table": TABLE + 'start = "elsewhere"\n'}, "'global' or 'kept'"),
        ({"table": "", "edge": "personalization = { steps = 1 }\n"}, "There is no [personalization] table"),
        ({"table": "", "tuning": "[tuning.personalization]\nfedavg = [{ learning_rate = 1.0 }]\n"}, "table to tune"),
        ({"tuning": '[tuning.personalization]\nfedavg = [{ "personalization.start" = true }]\n'}, "start"),
        ({"tuning": "[tuning.personalization]\nfedavgg = [{ learning_rate = 1.0 }]\n"}, "Did you mean"),
        (
            {"tuning": "[tuning.personalization]\nfedavg = [{ learning_rate = 1.0 }]\nfedgen_edge = []\n"},
            "Grids differ in size",
        ),
    ],
)
def test_mistakes_in_the_table_are_told(registry, changed, said):
    with pytest.raises(SuiteError, match=said.replace("[", r"\[").replace("]", r"\]")):
        suite_of(registry, **changed)


def test_steps_are_said_in_one_place(registry):
    source = SuiteSource(name="toy", text=toy.SUITE + TABLE, path="toy.toml")
    with pytest.raises(SuiteError, match=r"\[personalization\] says this"):
        load_suite(source, registry)


TUNED = """
[tuning.personalization]
fedgen_edge = [
    { "personalization.learning_rate" = 0.01 },
    { "personalization.start" = "kept", "personalization.learning_rate" = 0.1, "personalization.interpolation" = 0.5 },
]
local_only = [{ learning_rate = 0.01 }, { learning_rate = 0.1 }]
"""


@pytest.fixture(scope="module")
def tuned(registry, tmp_path_factory):
    source, suite = suite_of(registry, tuning=TUNED, table=TABLE.replace("learning_rate = 0.05\n", ""))
    everything = trials(source, suite, registry)
    cells = list({one.spec.digest: one.spec for one in everything}.values())
    folder = tmp_path_factory.mktemp("tuned")
    with Store(folder / "runs") as store:
        job = Job(folder / "runs", Places(), "cpu", registry.plugin_files)
        run_cells(cells, registry, job, store, workers=1, on_event=lambda _: None)
        return everything, scored(everything, store.runs("toy", 1, "tune"), registry)


def test_ways_that_follow_the_same_training_share_a_cell(tuned):
    everything, _ = tuned
    own = [one for one in everything if one.spec.config.personalization_trials]
    cells = {name: {one.spec.digest for one in own if one.contender == name} for name in ("fedgen_edge", "local_only")}
    assert {name: len(found) for name, found in cells.items()} == {"fedgen_edge": 1, "local_only": 2}
    (shared,) = {one.spec.config.personalization_trials for one in own if one.contender == "fedgen_edge"}
    ways = [(way.start, way.learning_rate, way.interpolation) for way in shared]
    assert ways == [("global", 0.01, 1.0), ("kept", 0.1, 0.5)]


def test_the_tables_name_the_best_of_each_grid(tuned):
    _, rows = tuned
    trained = list(csv.DictReader(io.StringIO(tuning_csv(rows))))
    own = list(csv.DictReader(io.StringIO(personalization_csv(rows))))
    assert {row["contender"] for row in trained} == {"fedgen_edge", "fedavg"}
    assert "valid/toy_loss" in trained[0]
    for name in ("fedgen_edge", "local_only"):
        grid = [row for row in own if row["contender"] == name]
        (chosen,) = [row for row in grid if row["chosen"] == "1"]
        key = "personalized/toy_loss/mean"
        assert float(chosen[key]) == min(float(row[key]) for row in grid)
        assert bool(chosen["global/toy_loss/mean"]) == (name == "fedgen_edge")


def test_trials_read_no_held_out_data_and_train_on_no_slice(assembled, tuned):
    everything, _ = tuned
    plain = assembled(next(one.spec for one in everything if not one.spec.config.personalization_trials))
    own = assembled(next(one.spec for one in everything if one.spec.config.personalization_trials))
    compared = 0
    for client_id in evaluated_clients(own):
        theirs, ours = plain.population.client(client_id), own.population.client(client_id)
        assert torch.equal(torch.cat([ours.train.tensors["x"], ours.heldout]), theirs.train.tensors["x"])
        compared += 1
    assert compared
    assert not any(key.startswith("test/") for one in everything for key in one.metric)


def test_a_task_that_says_not_what_it_trains_on_is_refused(registry):
    class Wordless:
        def units(self, seeds):
            return toy.LoadedToy(toy.Params()).units(seeds)

    _, suite = suite_of(registry)
    (spec,) = expand(suite, registry, contenders=["fedavg"], seeds=[1])
    partitioner = build(registry, "partitioner", spec.config.partitioner)
    with pytest.raises(PluginError, match="Wordless has no `trained_units`"):
        make_population(Wordless(), partitioner, suite.federation, seed_tree(spec), training_parts=True)


def test_what_is_measured_near_to_travels_to_workers():
    task = EvaluationTask(
        fit=Fit({"x": torch.ones(2)}, penalty=Proximal(0.1, {"x": torch.zeros(2)})),
        anchor={"x": torch.full((2,), 3.0)}, share=0.25, learning_rate=0.5, n_steps=1, client_id=0,
    )  # fmt: skip
    there = unpack_evaluation(pickle.loads(pickle.dumps(pack_evaluation(task, None))))
    assert same_bits(there.anchor, task.anchor)
    assert same_bits(there.fit.penalty.anchor, task.fit.penalty.anchor)
    assert (there.share, there.learning_rate) == (0.25, 0.5)
    assert unpack_evaluation(pack_evaluation(replace(task, anchor=None), None)).anchor is None


def test_fits_at_different_rates_are_not_trained_in_one_pass(registry, assembled):
    _, suite = suite_of(registry)
    experiment = assembled(expand(suite, registry, contenders=["fedgen_edge"], seeds=[1])[0])
    answers = experiment.work().answers
    streams = FitStreams(seed_tree(experiment.spec), 0, 0)
    data = experiment.population.client(0).train
    slow, fast = (Asked(Fit(dict(experiment.start)), data, streams, 1, rate) for rate in (0.1, 0.2))
    assert answers.go_together([slow]) == answers.go_together([slow, slow])
    assert not answers.go_together([slow, fast])
    first, second = answers([slow, fast])
    assert not same_bits(first.tensors, second.tensors)


def test_ways_that_differ_in_what_is_made_of_a_fit_are_trained_once(registry, assembled):
    grid = """
[tuning.personalization]
fedgen_edge = [
    { "personalization.interpolation" = 0.25 },
    { "personalization.interpolation" = 0.5 },
    { "personalization.steps" = 1 },
]
"""
    source, suite = suite_of(registry, tuning=grid)
    spec = next(one.spec for one in trials(source, suite, registry) if one.spec.config.personalization_trials)
    experiment = assembled(spec)
    state, work = experiment.first_state(), experiment.work()
    answers, trained = work.answers, []

    def counted(asked):
        trained.extend((one.streams.client_id, one.n_steps) for one in asked)
        return answers(asked)

    tasks = list(client_tasks(experiment, state, ClientStates(None), experiment.export(state, None)))
    shared = list(work.evaluation.each((task for _, task in tasks), counted, 1))
    clients = evaluated_clients(experiment)
    assert trained == [(client_id, n_steps) for client_id in clients for n_steps in (2, 1)]
    apart = [next(work.evaluation.each([task], answers, 1)) for _, task in tasks]
    assert shared == apart
    assert len({metrics["toy_loss"] for metrics in shared}) > 2 * len(clients)


def test_the_contract_of_suites_looks_at_both_grids(registry):
    source, _ = suite_of(registry, tuning=TUNED)
    check_trials(source, registry)
    point = '{ "personalization.steps" = 3 }'
    twice = f"[tuning.personalization]\nfedgen_edge = [{point}, {point}]\n"
    source, _ = suite_of(registry, tuning=twice)
    with pytest.raises(AssertionError, match="trials of `fedgen_edge` have one identity"):
        check_trials(source, registry)
