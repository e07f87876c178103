"""What a cell asks of a client: counted from its first part of the first round, and in the record of what ran."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest
import torch
from fedgen_bench_plugins.engines.local import Local
from torch import nn

from fedgen_bench.contract.adapting import Adapted
from fedgen_bench.contract.messages import Fit
from fedgen_bench.federation import client_costs
from fedgen_bench.federation.assembly import assemble
from fedgen_bench.federation.blueprint import Blueprint
from fedgen_bench.federation.client_costs import costs_of, first_part, mean_step_flops
from fedgen_bench.federation.loader import Loader
from fedgen_bench.federation.peak import alive
from fedgen_bench.federation.run_cell import run_cell
from fedgen_bench.registry.datasets import finder
from fedgen_bench.results.costs import Costs
from fedgen_bench.results.record import from_json, to_json
from fedgen_bench.results.recording import record_of
from fedgen_bench.results.store import Store
from fedgen_bench.suite.cells import expand

MODEL = 3 * 4  # bytes of the toy world's tensors


def test_tensors_count_as_long_as_they_are_alive():
    given = torch.ones(1000)
    with alive([given]) as followed:
        doubled = given * 2
        added = doubled + 1
        del doubled
        added.view(10, 100).mul_(3)
        del added
        torch.ones(50)
    assert followed.peak_bytes == 2 * 4000


def test_memory_of_a_gradient_is_seen():
    weight = torch.ones(100, 100, requires_grad=True)
    with alive([weight]) as followed:
        (weight @ torch.ones(100)).square().sum().backward()
    assert followed.peak_bytes >= weight.nbytes
    del weight.grad


@pytest.mark.parametrize(
    ("contender", "private", "joining"),
    [
        ("fedavg", 0, 0),  # all of the model comes with the first payload
        ("fedgen_edge", MODEL, 0),  # the client's own adapter is kept
        ("local_only", MODEL, MODEL),  # nothing comes
    ],
)
def test_bytes_are_counted(toy_experiment, contender, private, joining):
    experiment = toy_experiment(contender)
    part = first_part(experiment)
    found = costs_of(experiment)
    assert (found.model_bytes, found.private_bytes) == (MODEL, private)
    assert found.joining_bytes == joining + part.down_bytes
    assert found.stored_bytes == MODEL + private
    assert (part.down_bytes > 0) == (part.up_bytes > 0) == (contender != "local_only")
    assert found.training_bytes > 0


def test_pooled_data_have_nobody_who_joins_and_untrained_rows_no_costs(toy_experiment):
    assert costs_of(toy_experiment("centralized")).joining_bytes is None
    assert costs_of(replace(toy_experiment("fedavg"), cohort_kind="none")) is None


def test_a_trial_is_not_counted_and_what_cannot_be_followed_tells_nothing(toy_experiment, monkeypatch):
    experiment = toy_experiment("fedavg")
    assert costs_of(replace(experiment, spec=replace(experiment.spec, purpose="tune"))) is None
    monkeypatch.setattr(client_costs, "step_flops", lambda *_: 1 / 0)
    assert costs_of(experiment) is None


def test_momentum_and_anchors_take_memory(toy_experiment):
    plain, moments = (
        costs_of(toy_experiment("fedavg", f"training.optimizer='{name}'")).training_bytes for name in ("sgd", "adamw")
    )
    assert moments >= plain + 2 * MODEL


class Squares:
    def loss(self, module, batch, generator):  # noqa: ARG002 - the protocol's signature
        return module(batch["x"]).square().mean()


def test_a_step_is_the_mean_over_the_fits_of_a_round(toy_experiment):
    """Two fits of a client: 1 step on everything, 3 on the bias, which is a sum and takes no products."""
    experiment, part = toy_experiment("fedavg"), first_part(toy_experiment("fedavg"))
    module = nn.Linear(20, 30)
    adapted = Adapted(module, dict(module.named_parameters()))
    (asked,) = part.asked
    examples = replace(asked.data, tensors={"x": torch.ones(asked.data.n, 20)})
    start = {name: one.detach().clone() for name, one in adapted.trainable.items()}
    whole = replace(asked, data=examples, request=Fit(start), n_steps=1)
    some = replace(whole, request=Fit(start, frozenset({"bias"})), n_steps=3)
    batch = min(experiment.plan.batch_size, experiment.population.most_held("sampled"))
    given = replace(experiment, adapted=adapted, task=Squares())
    forward = batch * 2 * 20 * 30
    assert mean_step_flops(given, replace(part, asked=(whole, some))) == (2 * forward + 3 * forward) / 4
    assert replace(part, asked=(whole, some), local_steps=2).steps_of(6) == 4 * 6 / 2


def test_batches_are_no_larger_than_anybody_can_fill(toy_experiment):
    small = toy_experiment("fedavg", "training.batch_size=100")
    most = small.population.most_held("sampled")
    assert most < 100
    assert costs_of(small) == costs_of(toy_experiment("fedavg", f"training.batch_size={most}"))


def costs(**values):
    return Costs(
        **{"step_flops": 10, "training_bytes": 1, "model_bytes": 1, "private_bytes": 0, "joining_bytes": 1,
           "n_steps": 8, "steps_so_far": (4, 8)} | values
    )  # fmt: skip


def test_costs_come_back_from_json():
    assert Costs.of(json.loads(json.dumps(asdict(costs())))) == costs()
    assert costs().training_flops == 80


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"steps_so_far": (4, 3)}, "steps_so_far"),
        ({"steps_so_far": (4, 9)}, "steps_so_far"),
        ({"joules": 3.0, "joules_so_far": (1.0, 4.0)}, "joules_so_far"),
        ({"joules": 3.0, "joules_so_far": (1.0,)}, "each point"),
        ({"joules_so_far": (1.0, 2.0)}, "joules_so_far"),
    ],
)
def test_costs_only_add_up(values, said):
    with pytest.raises(ValueError, match=said):
        costs(**values)


ADDED = ("topk", "int8", "fedprox", "scaffold", "ditto", "fednova", "fedadam", "krum", "fedbuff")


@pytest.mark.parametrize("name", ADDED)
def test_whatever_is_trained_can_be_counted(registry, toy_suite, name):
    """`costs_of` tells nothing where that fails; nothing of ours may."""
    devices = ['devices={classes=[{name="one", share=1.0, flops=1e9, down=1e6, up=1e6}]}'] if name == "fedbuff" else []
    specs = expand(toy_suite(*devices), registry, added=[name], contenders=[name], seeds=[1])
    experiment = assemble(specs[0], Loader(registry, finder(registry)), torch.device("cpu"))
    part = first_part(experiment)
    found = client_costs.client_costs(experiment, part)
    assert found.training_bytes > 0
    assert found.private_bytes == sum(one.nbytes for one in part.keep.values())
    assert part.n_steps == 2 * len(part.asked)


@pytest.fixture
def ran(registry, toy_suite, tmp_path):
    """A cell from its start, or from where it was cut off."""

    def run(contender, *overrides, on_round=lambda _: None):
        (spec,) = expand(toy_suite(*overrides), registry, contenders=[contender], seeds=[1])
        with Store(tmp_path) as store:
            journal = store.begin(spec, {}, {})
            loader = Loader(registry, finder(registry))
            result, final = run_cell(Blueprint(spec, "cpu"), loader, journal, Local(None), on_round)
            journal.finish(result, final, 0.0)
            (stored,) = store.runs("toy", 1)
        return stored

    return run


def test_a_record_has_the_steps_that_were_taken(ran):
    """Four rounds of three clients with two steps each."""
    stored = ran("fedgen_edge")
    record = record_of(stored)
    assert (record.costs.n_steps, record.costs.steps_so_far) == (24, (6, 12, 18, 24))
    assert from_json(json.loads(json.dumps(to_json(record)))) == record


def test_a_record_has_what_devices_drew(ran):
    """Three clients a round, whose devices draw 2 W while they receive and send 156 bytes at 156 bytes a second."""
    one = '{name="one", share=1.0, flops=1e9, down=156.0, up=156.0, watts=5.0, radio_watts=2.0}'
    stored = ran("fedavg", f"devices={{classes=[{one}]}}")
    costs = record_of(stored).costs
    assert {entry.encoded_bytes for entry in stored.rounds[0].ledger} == {156}
    assert (costs.joules, costs.joules_so_far) == (48.0, (12.0, 24.0, 36.0, 48.0))


def test_costs_are_the_same_after_a_kill(ran, toy_experiment):
    def kill(report):
        if report.round_index == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ran("fedgen_edge", on_round=kill)
    once = costs_of(toy_experiment("fedgen_edge"))
    assert record_of(ran("fedgen_edge")).costs == Costs(**asdict(once), n_steps=24, steps_so_far=(6, 12, 18, 24))


def test_rounds_that_counted_no_steps_leave_the_record_without_costs(ran):
    stored = ran("fedavg")
    before = replace(stored, rounds=[replace(stored.rounds[0], n_steps=0), *stored.rounds[1:]])
    assert record_of(before).costs is None
    assert "costs" not in to_json(record_of(before))
