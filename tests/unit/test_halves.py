"""Halves of a client's held-out data: what a task gives, what a cell measures, what a record keeps."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from fedgen_bench_plugins.datasets.texts import Corpus
from fedgen_bench_plugins.tasks.language_modeling import LoadedLanguageModeling
from fedgen_bench_plugins.tasks.text_params import Params
from fedgen_bench_plugins.tasks.text_windows import EvalText
from made_records import made

from fedgen_bench.federation.client_states import ClientStates
from fedgen_bench.federation.evaluation import HALVES
from fedgen_bench.federation.final_evaluation import final_scores
from fedgen_bench.results.record import from_json, to_json
from fedgen_bench.suite.personalization import ResolvedWay

WAY = ResolvedWay(clients=2, steps=1, start="global", learning_rate=0.1, interpolation=1.0)


class Counting:
    """Expects after every token the number that follows it."""

    def parameters(self):
        yield torch.zeros(1)

    def __call__(self, input_ids):
        return SimpleNamespace(logits=torch.eye(10).roll(1, dims=1)[input_ids] * 3)


def observed(text):
    task = LoadedLanguageModeling(
        Params(context_tokens=2, stride_tokens=2, batch_windows=3),
        Corpus([], [], [], {}),
        SimpleNamespace(name="counting", module=Counting(), eos_id=0, sha256="", n_parameters=0),
    )
    return task.observe(Counting(), EvalText(torch.tensor(text), 2 * len(text), 3 * len(text), None), None)


def test_halves_of_a_text_are_every_other_window_of_it():
    found = observed([1, 2, 5, 5, 6, 7, 9, 9, 1])  # windows 1 2 | 5 5 | 6 7 | 9 9 | 1
    first, second = found["halves"]
    assert (first["n_tokens"], second["n_tokens"]) == (5, 4)
    assert (first["n_words"], second["n_bytes"]) == (10, 12)
    assert (first["n_correct_tokens"], second["n_correct_tokens"]) == (4, 0)
    wrong, right = -math.log(1 / (math.exp(3) + 9)), -math.log(math.exp(3) / (math.exp(3) + 9))
    assert first["nll_nats"] == pytest.approx(4 * right + wrong)
    assert second["nll_nats"] == pytest.approx(4 * wrong)
    for name in first:
        assert first[name] + second[name] == pytest.approx(found[name])


def test_a_text_of_one_window_has_no_halves():
    assert observed([1, 2])["halves"] == ()


class Halved:
    """A task whose evidence has halves, which the toy's few points do not allow: the points, and the points moved."""

    def __init__(self, task, *, lacking):
        self.task, self.lacking = task, lacking

    def __getattr__(self, name):
        return getattr(self.task, name)

    def observe(self, module, data, seeds):
        halves = tuple(self.task.observe(module, data + i, seeds) for i in (0, 1))
        return self.task.observe(module, data, seeds) | {"halves": ({}, {}) if self.lacking else halves}


def scored(whole, *, way=WAY, lacking=False):
    """The scores of a toy cell whose task gives halves."""
    spec = replace(whole.spec, config=whole.spec.config.model_copy(update={"personalization": way}))
    task = Halved(whole.task, lacking=lacking)
    experiment = replace(whole, spec=spec, task=task, evaluator=replace(whole.evaluator, spec=spec, task=task))
    state = experiment.strategy.init(dict(experiment.start), experiment.server_context())
    model = experiment.export(state, None)
    return final_scores(experiment, state, ClientStates(None), model, experiment.work(), None), experiment, model


def test_clients_are_measured_on_halves_where_the_suite_has_the_phase(toy_experiment):
    scores, experiment, model = scored(toy_experiment("fedgen_edge"))
    assert {of: set(found) for of, found in scores.halves.items()} == {of: set(v) for of, v in scores.clients.items()}
    client_id, halves = next(iter(scores.halves["global"].items()))
    heldout = experiment.population.client(int(client_id)).heldout
    by_hand = [experiment.evaluator.measure(model, heldout + i)["toy_loss"] for i in (0, 1)]
    assert list(halves) == by_hand
    assert halves[0] != halves[1]
    assert not any(half in name for name in scores.splits for half in HALVES)


def test_clients_are_not_measured_on_halves_otherwise(toy_experiment):
    whole = toy_experiment("fedgen_edge")
    assert scored(whole, way=None)[0].halves == {}
    assert scored(whole, lacking=True)[0].halves == {}


def test_a_record_keeps_halves_only_where_there_are_any():
    plain = made({"contender": "a"})
    assert "halves" not in to_json(plain)
    halved = replace(plain, halves={"global": {"3": (1.5, 2.5)}})
    table = json.loads(json.dumps(to_json(halved)))
    assert table["halves"] == {"global": {"3": [1.5, 2.5]}}
    assert from_json(table) == halved
