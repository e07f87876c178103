"""What a finished cell is measured on: the same by the engine's workers and in the coordinator, bit by bit."""

from __future__ import annotations

import pytest
import torch

from fedgen_bench.base.errors import Diverged, PluginError
from fedgen_bench.contract.engines import EvaluationTask
from fedgen_bench.contract.messages import Fit, Proximal
from fedgen_bench.federation.batches import FitStreams
from fedgen_bench.federation.client_evaluation import evaluated_clients
from fedgen_bench.federation.client_states import ClientStates
from fedgen_bench.federation.dispatch import Dispatcher
from fedgen_bench.federation.evaluation_work import gathered
from fedgen_bench.federation.final_evaluation import final_scores
from fedgen_bench.federation.packing import pack_evaluation, unpack_evaluation
from fedgen_bench.federation.remote import Workshop
from fedgen_bench.federation.seeding import seed_tree
from fedgen_bench.federation.trainer import fit
from fedgen_bench.testing.bits import same_bits
from fedgen_bench.testing.engines import toy_work


class InCoordinator:
    """An engine from before there were evaluation tasks."""


class Backwards:
    """Measures the last task first, and remembers what it was given."""

    def __init__(self, change=lambda metrics: metrics):
        self.tasks, self.change = [], change

    def evaluate(self, tasks, work):
        self.tasks = list(tasks)
        metrics = [next(work.evaluate_each([task])) for task in reversed(self.tasks)]
        yield from self.change(metrics[::-1])


class Crew:
    """Workers in this process."""

    def __init__(self):
        self.said = {}

    def hire(self):
        return Workshop()

    def give(self, worker, task, /):
        self.said[worker] = worker.answer(task)

    def wait(self, busy, *, block):
        return [(worker, self.said[worker]) for worker in busy] if block else []

    def dismiss(self, worker):
        del self.said[worker]


def scored(experiment, engine):
    state = begun(experiment)
    model = experiment.export(state, None)
    return final_scores(experiment, state, ClientStates(None), model, experiment.work(), engine)


def begun(experiment):
    return experiment.strategy.init(dict(experiment.start), experiment.server_context())


def by_hand(experiment):
    """Fits and measurements one after the other, as they were before they were tasks."""
    state = begun(experiment)
    evaluator, evaluation, model = experiment.evaluator, experiment.config.evaluation, experiment.export(state, None)
    splits = {}
    for split in ("valid", "test"):
        measured = evaluator.measure(model, experiment.task.split(split))
        splits |= {f"{split}/{name}": value for name, value in measured.items()}
    clients = {"global": {}, "personalized": {}}
    for client_id in evaluated_clients(experiment):
        data = experiment.population.client(client_id)
        ctx = experiment.context(experiment.n_rounds, client_id, {})
        request = experiment.personalize(state, ctx, experiment.export(state, ctx))
        streams = FitStreams(seed_tree(experiment.spec), experiment.n_rounds, client_id)
        n_steps = evaluation.personalized_steps
        own = fit(experiment.adapted, experiment.task, data.train, request, experiment.plan, streams, n_steps)
        for of, tensors in (("global", model.tensors), ("personalized", own.tensors)):
            measured = evaluator.measure(type(model)(tensors), data.heldout, evaluation.round_metrics)
            clients[of][str(client_id)] = measured[evaluation.followed]
    return splits, clients


@pytest.mark.parametrize("engine", [InCoordinator(), Backwards()])
def test_scores_are_those_of_fits_and_measurements_by_hand(toy_experiment, engine):
    experiment = toy_experiment("fedgen_edge")
    scores = scored(experiment, engine)
    assert (scores.splits, scores.clients) == by_hand(experiment)
    assert len(scores.clients["personalized"]) > 1


def test_a_dispatcher_gives_what_the_work_gives():
    work = toy_work("fedgen_edge")
    tasks = list(tasks_of(work))
    measured = list(Dispatcher(Crew()).evaluate(tasks, work.blueprint, 2))
    assert measured == list(work.evaluate_each(tasks))
    assert len({one["toy_loss"] for one in measured}) == len(tasks)


def tasks_of(work):
    start = work.context(0, 0, {}, -1).start
    yield EvaluationTask(fit=Fit(start), split="valid")
    for client_id in range(2):
        for n_steps in (0, 2):
            yield EvaluationTask(fit=Fit(start), n_steps=n_steps, round_index=1, client_id=client_id)


@pytest.mark.parametrize(
    "change",
    [
        lambda metrics: metrics[:-1],
        lambda metrics: metrics[:1],
        lambda metrics: [*metrics, metrics[0]],
        lambda metrics: [*metrics[:-1], {"toy_loss": float("nan")}],
        lambda metrics: [*metrics[:-1], [1.0]],
    ],
)
def test_an_engine_that_gives_other_metrics_is_named(toy_experiment, change):
    with pytest.raises(PluginError, match=r"Backwards\.evaluate"):
        scored(toy_experiment("fedgen_edge"), Backwards(change))


@pytest.mark.parametrize("engine", [InCoordinator(), Backwards()])
def test_what_diverges_diverges(toy_experiment, engine):
    overrides = ("contender.fedgen_edge.learning_rate=1e30", "evaluation.personalized_steps=3")
    with pytest.raises(Diverged):
        scored(toy_experiment("fedgen_edge", *overrides), engine)


def test_a_task_crosses_as_bytes():
    tensors = {"a": torch.randn(2, 3, generator=torch.Generator().manual_seed(1)), "b": torch.ones(())}
    whole = Fit(
        tensors, frozenset({"a"}), Proximal(0.5, {"a": tensors["a"] + 1}), {"b": torch.zeros(())}, 3, (tensors, tensors)
    )
    for one in (whole, Fit(tensors), Fit(tensors, penalty=Proximal(0.1))):
        task = EvaluationTask(fit=one, n_steps=2, client_id=4, metrics=("toy_loss",))
        packed = pack_evaluation(task, None)
        assert not any(isinstance(value, torch.Tensor) for value in tensors_in(packed.task.fit))
        back = unpack_evaluation(packed)
        assert [same_bits(*pair) for pair in zip(maps_in(one), maps_in(back.fit), strict=True)] == [True] * 5
        assert (back.fit.trainable, back.fit.n_steps, back.n_steps, back.client_id) == (
            one.trainable,
            one.n_steps,
            2,
            4,
        )
        assert (back.fit.correction is None, back.fit.penalty is None) == (one.correction is None, one.penalty is None)


def maps_in(fit):
    """Everything in a fit that has tensors; five maps."""
    anchor = fit.penalty.anchor if fit.penalty is not None else None
    merges = [*fit.merges, {}, {}][:2]
    return [fit.start, anchor or {}, fit.correction or {}, *merges]


def tensors_in(fit):
    return [tensor for tensors in maps_in(fit) for tensor in tensors.values()]


def test_only_tasks_that_train_are_gathered_and_others_stay_where_they_are():
    tasks = [EvaluationTask(fit=Fit({}), n_steps=n, client_id=i) for i, n in enumerate([0, 0, 2, 2, 2, 0])]
    found = [[task.client_id for task in some] for some in gathered(tasks, 2)]
    assert found == [[0], [1], [2, 3], [4], [5]]
