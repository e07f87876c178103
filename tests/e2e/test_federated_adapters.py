"""Every adapter in a short federated run on the generated language: it learns, and its bytes are its tensors'."""

from __future__ import annotations

import pytest
import torch

from fedgen_bench.contract.messages import Model
from fedgen_bench.federation.assembly import assemble
from fedgen_bench.federation.blueprint import Blueprint
from fedgen_bench.federation.components import build
from fedgen_bench.federation.loader import Loader
from fedgen_bench.federation.run_cell import run_cell
from fedgen_bench.registry.datasets import finder
from fedgen_bench.results.store import Store
from fedgen_bench.suite.cells import expand
from fedgen_bench.suite.load import load_suite
from fedgen_bench.suite.schema import Component

SHORT = (
    "federation.n_clients=4", "federation.clients_per_round=2", "federation.rounds=2", "training.local_steps=8",
    "task.params.unit_lines=60", "evaluation.personalized_clients=0",
    "contender.fedavg_full.learning_rate=0.01", "partitioner.name=iid", "partitioner.params={}",
)  # fmt: skip
N_MESSAGES = 2 * 2


@pytest.fixture(scope="module")
def loader(registry):
    return Loader(registry, finder(registry))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("dora", "{rank = 2, targets = ['c_attn', 'lm_head']}"),
        ("ia3", "{}"),
        ("prefix", "{n_tokens = 4}"),
        ("layernorm", "{}"),
        ("bitfit", "{}"),
        ("last_layer", "{head = true}"),
    ],
)
def test_adapter_learns_in_a_federation_and_books_its_tensors(name, params, precision, registry, loader, tmp_path):
    adapter = f"contender.fedavg_full.adapter={{name='{name}',params={params}}}"
    overrides = [*SHORT, adapter, f"training.precision={precision}"]
    suite = load_suite(registry.get("suite", "quick").spec, registry, overrides)
    (spec,) = expand(suite, registry, contenders=["fedavg_full"], seeds=[1])
    experiment = assemble(spec, loader, torch.device("cpu"))
    valid = experiment.task.split("valid_subset")
    before = experiment.evaluator.measure(Model(experiment.start), valid)["perplexity_per_word"]
    reports = []
    with Store(tmp_path) as store:
        journal, engine = store.begin(spec, {}, {}), build(registry, "engine", Component(name="local"))
        result, _ = run_cell(Blueprint(spec, "cpu"), loader, journal, engine, reports.append)
    assert result.status == "done"
    assert reports[-1].metrics["perplexity_per_word"] < before
    n_numbers = sum(one.numel() for one in experiment.start.values())
    messages = [entry for report in reports for entry in report.ledger]
    for direction in ("up", "down"):
        sizes = [one.tensor_bytes for one in messages if one.direction == direction]
        assert sizes == [4 * n_numbers] * N_MESSAGES
