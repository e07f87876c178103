"""A client-round on an engine's worker against the same one in the coordinator: what crossing over costs.

One job, so that nothing is gained by working side by side.
"""

from __future__ import annotations

import pytest
import torch

from fedgen_bench.contract.engines import ClientTask
from fedgen_bench.contract.messages import Header
from fedgen_bench.federation import wire
from fedgen_bench.federation.assembly import assemble
from fedgen_bench.federation.blueprint import Blueprint
from fedgen_bench.federation.loader import Loader
from fedgen_bench.registry.datasets import finder
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.suite.cells import expand
from fedgen_bench.suite.load import load_suite
from fedgen_bench.testing import toy
from fedgen_bench.testing.engines import same_outcome

REGISTRY = load_registry([toy.__file__], environ={})


def client_rounds(suite, contender, n, *overrides):
    """What works off a contender's tasks, and `n` tasks of the first client that is asked."""
    loaded = load_suite(REGISTRY.get("suite", suite).spec, REGISTRY, overrides)
    (spec,) = expand(loaded, REGISTRY, contenders=[contender], seeds=[1])
    experiment = assemble(spec, Loader(REGISTRY, finder(REGISTRY)), torch.device("cpu"))
    client_id = experiment.cohort(0)[0]
    message = wire.encode(experiment.start, Header(0, client_id, 1))
    task = ClientTask(round_index=0, client_id=client_id, message=message, like=experiment.start, keep={})
    return experiment.work(Blueprint(spec, "cpu", plugin_files=REGISTRY.plugin_files)), [task] * n


@pytest.fixture(params=["processes", "ray"])
def engine(request):
    if request.param == "ray":
        pytest.importorskip("ray", reason='needs `pip install "fedgen-bench[ray]"`')
    spec = REGISTRY.get("engine", request.param).spec
    engine = spec.build(spec.params(jobs=1))
    yield engine
    engine.close()


@pytest.mark.parametrize(
    ("suite", "contender", "n", "rounds"),
    [("toy", "fedavg", 100, 5), ("quick", "fedgen_edge", 4, 5), ("quick", "fedavg_full", 4, 5)],
)
def test_client_round_on_a_worker_against_one_in_the_coordinator(engine, against, suite, contender, n, rounds):
    work, tasks = client_rounds(suite, contender, n)
    here, there = against(
        "the coordinator",
        lambda: list(map(work.run, tasks)),
        lambda: list(engine.run(tasks, work)),
        rounds,
        n,
        "client_round",
    )
    assert all(map(same_outcome, here, there))
