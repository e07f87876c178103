"""Every adapter in a short federated run on the generated language: it learns, and its bytes are its tensors'.

One of them runs in bf16 too, which processors without instructions for it are slow at; the others train a few steps.
"""

from __future__ import annotations

import shutil
import tomllib

import pytest
import torch
from families import tiny
from fedgen_bench_plugins.backbones import grounds
from fedgen_bench_plugins.backbones.shipped import locate

from fedgen_bench.contract.messages import Fit, Model
from fedgen_bench.federation.assembly import assemble
from fedgen_bench.federation.batches import FitStreams
from fedgen_bench.federation.blueprint import Blueprint
from fedgen_bench.federation.components import build
from fedgen_bench.federation.loader import Loader
from fedgen_bench.federation.parameters import dump_tensors
from fedgen_bench.federation.run_cell import run_cell
from fedgen_bench.federation.trainer import TrainingPlan, fit
from fedgen_bench.registry.datasets import finder
from fedgen_bench.results.store import Store
from fedgen_bench.suite.cells import expand
from fedgen_bench.suite.load import load_suite
from fedgen_bench.suite.schema import Component
from fedgen_bench.testing.adapters import SEEDS
from fedgen_bench.testing.bits import same_bits

SHORT = (
    "federation.n_clients=4", "federation.clients_per_round=2", "federation.rounds=2", "training.local_steps=8",
    "task.params.unit_lines=60", "evaluation.personalized_clients=0",
    "contender.fedavg_full.learning_rate=0.01", "partitioner.name=iid", "partitioner.params={}",
)  # fmt: skip
N_MESSAGES = 2 * 2


@pytest.fixture(scope="module")
def loader(registry):
    return Loader(registry, finder(registry))


ADAPTERS = (
    ("dora", "{rank = 2, targets = ['c_attn', 'lm_head']}"),
    ("ia3", "{}"),
    ("prefix", "{n_tokens = 4}"),
    ("layernorm", "{}"),
    ("bitfit", "{}"),
    ("last_layer", "{head = true}"),
)


@pytest.mark.parametrize(
    ("name", "params", "precision"), [*((*one, "fp32") for one in ADAPTERS), (*ADAPTERS[0], "bf16")]
)
def test_adapter_learns_in_a_federation_and_books_its_tensors(name, params, precision, registry, loader, tmp_path):
    adapter = f"contender.fedavg_full.adapter={{name='{name}',params={params}}}"
    learns([*SHORT, adapter, f"training.precision={precision}"], registry, loader, tmp_path)


@pytest.mark.parametrize("family", ["Bloom", "OPT", "SmolLM2, Llama with a tied head"])
def test_one_suite_by_role_learns_on_any_backbone(family, registry, loader, tmp_path):
    backbone, tokenizer = tmp_path / "backbone", locate("tiny-wire-lm")
    tiny(family, vocab_size=245).save_pretrained(backbone)
    for file in tokenizer.glob("tokenizer*"):
        shutil.copy(file, backbone)
    by_role = "{rank = 2, alpha = 4.0, targets = ['all', 'head'], ranks = {head = 1}}"
    adapter = f"contender.fedavg_full.adapter={{name='lora',params={by_role}}}"
    learns([*SHORT, adapter, f"task.params.backbone='{backbone}'"], registry, loader, tmp_path)


def learns(overrides, registry, loader, tmp_path):
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


@pytest.mark.parametrize(("name", "params"), ADAPTERS)
def test_adapter_learns_in_bf16_what_it_learns_in_fp32(name, params, registry):
    spec, ground = registry.get("adapter", name).spec, grounds.LANGUAGE_MODEL
    adapter = spec.build(spec.params(**tomllib.loads(f"params = {params}")["params"]))
    reports = {}
    for precision in ("fp32", "bf16"):
        adapted = adapter.attach(ground.backbone(), SEEDS)
        start, streams = dump_tensors(adapted.trainable), FitStreams(SEEDS, 0, 0)
        plan = TrainingPlan(optimizer="adamw", learning_rate=0.01, batch_size=3, precision=precision)
        reports[precision] = fit(adapted, ground, ground.examples(), Fit(start), plan, streams, 8)
    full, half = reports["fp32"], reports["bf16"]
    assert {one.dtype for one in half.tensors.values()} == {torch.float32}
    assert not same_bits(full.tensors, half.tensors)
    assert half.mean_loss == pytest.approx(full.mean_loss, rel=0.02)
