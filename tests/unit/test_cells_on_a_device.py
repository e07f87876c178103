"""Whole cells on a pretended device end with the bits that the processor gives: rounds, sampling, own models."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fedgen_bench.federation.blueprint import Blueprint
from fedgen_bench.federation.components import build
from fedgen_bench.federation.loader import Loader
from fedgen_bench.federation.run_cell import run_cell
from fedgen_bench.registry.datasets import USUAL_PLACES, finder
from fedgen_bench.results.store import Store
from fedgen_bench.suite.cells import expand
from fedgen_bench.suite.load import load_suite
from fedgen_bench.suite.schema import Component
from fedgen_bench.testing.pretended import plain_attention, pretended

SMALL = ("federation.rounds=1", "federation.clients_per_round=2", "training.local_steps=2",
         "evaluation.personalized_clients=1", "evaluation.personalized_steps=1")  # fmt: skip
COMPRESSED = 'contender.fedavg.uplink=[{name="topk"}, {name="int8"}]'
CELLS = {
    "compressed": ("toy", "fedavg", 1, (COMPRESSED, 'contender.fedavg.downlink=[{name="fp16"}]')),
    "attacked": ("toy", "fedavg", 1, ('attack={name="sign_flip", fraction=0.5}',)),
    "several clients at once": ("quick", "fedgen_edge", 2, SMALL),
    "pooled": ("toy", "centralized", 1, ()),
    "images": (
        "quick-images", "fedgen_edge", 1,
        (*SMALL, "task.params.n_samples=40", "task.params.n_valid_samples=40", "task.params.n_scored=10",
         "task.params.n_subset=10", "task.params.sampler_steps=2", "task.params.n_reference=40"),
    ),
}  # fmt: skip


@pytest.fixture
def ended(registry, tmp_path):
    def end(cell, device):
        suite_name, contender, cohort, overrides = CELLS[cell]
        suite = load_suite(registry.get("suite", suite_name).spec, registry, overrides)
        (spec,) = expand(suite, registry, contenders=[contender], seeds=[1])
        engine = build(registry, "engine", Component(name="local"))
        with Store(tmp_path / device.partition(":")[0]) as store:
            result, final = run_cell(
                Blueprint(spec, device, USUAL_PLACES, (), cohort),
                Loader(registry, finder(registry)),
                store.begin(spec, {}, {}),
                engine,
                lambda _: None,
            )
            measured = result.costs["training_bytes"]  # by the tensors that there are, of which a device has others
            assert measured > 0
            return replace(result, costs={**result.costs, "training_bytes": 0}), final

    return end


@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_ends_on_a_device_as_it_does_on_the_processor(cell, ended):
    with plain_attention():
        here = ended(cell, "cpu")
        with pretended(double=False) as there:
            assert ended(cell, str(there.device)) == here
    assert there.events, "nothing was on the device"
    assert here[0].status == "done"
