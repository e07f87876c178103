"""What passes between program and device: a fit's data once, and within a step nothing that is waited for."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from fedgen_bench.contract.messages import Fit, Proximal
from fedgen_bench.contract.params import make_params
from fedgen_bench.contract.sending import to_device
from fedgen_bench.federation import batches
from fedgen_bench.federation.asked import Asked
from fedgen_bench.federation.batches import FitStreams
from fedgen_bench.federation.fused_fit import fit_together
from fedgen_bench.federation.parameters import dump_tensors
from fedgen_bench.federation.trainer import TrainingPlan, fit
from fedgen_bench.registry.datasets import finder
from fedgen_bench.testing.adapters import SEEDS, on_kind
from fedgen_bench.testing.pretended import pretended
from fedgen_bench.testing.tasks import loaded

PLAN = TrainingPlan(
    optimizer="adamw", learning_rate=0.01, batch_size=3, weight_decay=0.01, clip_norm=1.0, ema_decay=0.9
)
KINDS = {"language_modeling": "language_model", "image_generation": "unet"}


@pytest.fixture(scope="session")
def tasks(registry):
    made = {}

    def task(name):
        if name not in made:
            spec = registry.components["task"][name].spec
            made[name] = loaded(spec, make_params(spec.params, spec.trial)[0], finder(registry))
        return made[name]

    return task


@pytest.fixture
def traffic(registry, tasks):
    """What passes while some fits are answered, beginning with everything on the device."""

    def measure(task_name, adapter_name, answer, n_steps):
        task = tasks(task_name)
        spec = on_kind(registry.components["adapter"][adapter_name].spec, KINDS[task_name])
        data = task.client_data(np.arange(20)).train
        with pretended(double=False) as there:
            adapted = spec.build(spec.params()).attach(task.new_module(), SEEDS)
            adapted.module.to(there.device).eval()
            start = dump_tensors(adapted.trainable)
            request = Fit(start, penalty=Proximal(0.1), correction=start)
            there.events.clear()
            answer(adapted, task, data, request, n_steps)
        return there.events, data

    return measure


def alone(adapted, task, data, request, n_steps, plan=PLAN):
    fit(adapted, task, data, request, plan, FitStreams(SEEDS, 0, 0), n_steps)


def together(adapted, task, data, request, n_steps):
    asked = [Asked(request, data, FitStreams(SEEDS, 0, client), n_steps - client) for client in (0, 1)]
    fit_together(adapted, task, asked, PLAN)


in_parts = partial(alone, plan=replace(PLAN, micro_batch_size=2))

FITS = [
    ("language_modeling", "lora", alone),
    ("language_modeling", "lora", in_parts),
    ("language_modeling", "lora", together),
    ("language_modeling", "full", alone),
    ("language_modeling", "prefix", alone),
    ("language_modeling", "prompt", alone),
    ("language_modeling", "prompt", together),
    ("image_generation", "lora", alone),
    ("image_generation", "lora", in_parts),
    ("image_generation", "bitfit", together),
]


@pytest.mark.parametrize(("task", "adapter", "answer"), FITS)
def test_a_step_waits_for_nothing(traffic, task, adapter, answer):
    waits = [
        Counter((one.operator, one.where) for one in traffic(task, adapter, answer, n_steps)[0] if one.waits)
        for n_steps in (2, 4)
    ]
    assert waits[1] - waits[0] == Counter()
    assert waits[0], "reading the losses and tensors out is waited for"


@pytest.mark.parametrize("answer", [alone, in_parts, together])
@pytest.mark.parametrize("task", KINDS)
def test_data_and_their_order_go_to_the_device_once_a_fit(traffic, task, answer):
    events, data = traffic(task, "lora", answer, 4)
    sent = [one for one in events if Path(one.where.rpartition(":")[0]) == Path(batches.__file__)]
    n_fits = 2 if answer is together else 1
    assert len(sent) == n_fits * (len(data.tensors) + 1)
    order = n_fits * 4 * 3 * 8 - (3 * 8 if answer is together else 0)
    assert sum(one.n_bytes for one in sent) <= n_fits * sum(one.nbytes for one in data.tensors.values()) + order


def test_what_a_gpu_reads_later_lies_in_locked_memory(monkeypatch):
    calls = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: calls.append("pinned") or tensor)
    monkeypatch.setattr(torch.Tensor, "to", lambda _tensor, device, **asked: calls.append((device.type, asked)))
    to_device(torch.zeros(1), torch.device("cuda"))
    to_device(torch.zeros(1), torch.device("mps"))
    to_device(torch.zeros(1), torch.device("cpu"))
    assert calls == ["pinned", ("cuda", {"non_blocking": True}), ("mps", {}), ("cpu", {})]
