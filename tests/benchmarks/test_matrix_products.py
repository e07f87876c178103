"""The share of this processor's matrix products that a training step reaches: the limit of whatever trains here."""

from __future__ import annotations

import time

import pytest
import small_lms
import torch
from torch.utils.flop_counter import FlopCounterMode

from fedgen_bench.contract.messages import Fit
from fedgen_bench.contract.seeds import SeedTree
from fedgen_bench.federation.assembly import assemble
from fedgen_bench.federation.batches import FitStreams
from fedgen_bench.federation.loader import Loader
from fedgen_bench.federation.trainer import fit
from fedgen_bench.registry.datasets import finder
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.suite.cells import expand
from fedgen_bench.suite.load import load_suite

SIDE = 512
STREAMS = FitStreams(SeedTree("task", "adapter", "partitioner", "strategy", 1), 0, 0)


@pytest.mark.parametrize("contender", ["lora", "full"])
@pytest.mark.parametrize("size", small_lms.SIZES)
def test_fit_against_square_products_of_as_many_operations(against, told, size, contender):
    registry = load_registry([small_lms.__file__], environ={})
    told_of = small_lms.SIZES[size]
    suite = load_suite(registry.get("suite", "small-lms").spec, registry, told_of.overrides)
    (spec,) = expand(suite, registry, contenders=[contender], seeds=[1])
    experiment = assemble(spec, Loader(registry, finder(registry)), torch.device("cpu"))
    work, data = experiment.work(), experiment.examples(0)

    def ours():
        return fit(work.adapted, work.task, data, Fit(experiment.start), work.plan, STREAMS, told_of.steps)

    with FlopCounterMode(display=False) as counter:
        ours()
    a, b, c = (torch.randn(SIDE, SIDE) for _ in range(3))
    n = max(1, round(counter.get_total_flops() / (2 * SIDE**3)))
    seconds = []

    def products():
        began = time.perf_counter()
        for _ in range(n):
            torch.mm(a, b, out=c)
        seconds.append(time.perf_counter() - began)

    against(f"{n} products of {SIDE} x {SIDE}", products, ours, 10, told_of.steps, "step")
    gigaflops = n * 2 * SIDE**3 / sorted(seconds)[len(seconds) // 2] / 1e9
    told(f"a square product runs at {gigaflops:.0f} GFLOP/s", gigaflops=gigaflops)
