"""The same bits from every engine, workers killed or not; what fails, fails alike and alone.

Tests of `ray` are skipped where it is not installed: `pip install "fedgen-bench[ray]"`. Workers of `processes` are
forked here, which is quick; for cells of `quick`, in the engine's contract and in the crash tests they start anew.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import pytest

from fedgen_bench.registry.datasets import Places
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.results.store import Store
from fedgen_bench.run.executor import Job
from fedgen_bench.run.runner import run_cells
from fedgen_bench.suite.cells import expand
from fedgen_bench.suite.load import load_suite
from fedgen_bench.testing import toy
from fedgen_bench.testing.engines import same_outcome, tasks_of, toy_work

CONTENDERS = ("fedgen_edge", "fedavg", "local_only", "centralized")
QUICK = ("fedgen_edge", "prompt_tuning")
SHORT = ("federation.rounds=2", "evaluation.personalized_clients=2")
METHODS = '''
import os, signal
from pathlib import Path
from fedgen_bench import Fit, NoParams, Payload, StrategySpec, Update, hookimpl, weighted_mean

class Calm:
    """FedAvg."""
    def __init__(self, params): self.params = params
    def init(self, start, ctx): return start
    def send(self, state, ctx): return Payload(state)
    def client(self, payload, ctx):
        fit = yield Fit(start=payload.tensors)
        if self.upsets(ctx) and ctx.round_index == 1: self.upset(ctx)
        return Update(fit.tensors, fit.n_examples, keep=fit.tensors)
    def upsets(self, ctx): return ctx.client_id % 2 == 0
    def upset(self, ctx): pass
    def aggregate(self, state, updates, ctx): return weighted_mean(updates)
    def export(self, state, ctx): return ctx.keep if ctx is not None and ctx.keep else state

class Fragile(Calm):
    """Its first worker is killed in the middle of the second round."""
    def upset(self, ctx):
        marker = Path(os.environ["TEST_MARKER"])
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)

class Doomed(Calm):
    def upset(self, ctx): os.kill(os.getpid(), signal.SIGKILL)

class Raising(Calm):
    def upset(self, ctx): raise ZeroDivisionError("no luck")

class Greedy(Calm):
    def client(self, payload, ctx):
        yield Fit(start=payload.tensors, n_steps=99 * ctx.local_steps)

ALL = {"calm": Calm, "fragile": Fragile, "doomed": Doomed, "raising": Raising, "greedy": Greedy}

@hookimpl
def register_strategies():
    return [StrategySpec(name=name, summary="For tests.", build=one) for name, one in ALL.items()]
'''


@pytest.fixture(scope="module", params=["processes", "ray"])
def engine(request):
    if request.param == "ray":
        pytest.importorskip("ray", reason='needs `pip install "fedgen-bench[ray]"`')
    return request.param


@pytest.fixture(scope="module")
def methods(tmp_path_factory):
    file = tmp_path_factory.mktemp("methods") / "upset.py"
    file.write_text(METHODS, encoding="utf-8")
    return file


def run(root, suite, engine="local", *, contenders, overrides=(), plugins=(toy.__file__,)):
    """By cell, all that must not depend on the engine, and how the cell ended."""
    registry = load_registry(plugins, environ={})
    loaded = load_suite(registry.get("suite", suite).spec, registry, overrides)
    specs = expand(loaded, registry, contenders=contenders, seeds=[1])
    params = {} if engine == "local" else {"jobs": 2}
    job = Job(root, Places(), "cpu", registry.plugin_files, engine, params)
    with Store(root) as store:
        ended = run_cells(specs, registry, job, store, workers=1, on_event=lambda _: None)
        runs = {one.spec.contender: one for one in store.runs(suite, loaded.suite.version)}
    finals = {path.parent.name: path.read_bytes() for path in root.rglob("final.safetensors")}
    return {event.run.split("/")[1]: _bits(runs[event.run.split("/")[1]], finals) for event in ended}


def _bits(stored, finals):
    result = stored.result
    return (
        stored.status, result.reason, dict(result.metrics), dict(result.per_client), dict(result.digests),
        dict(result.facts), finals.get(stored.spec.identity),
    )  # fmt: skip


def children():
    """Processes below this one; multiprocessing's resource tracker stays."""
    found = [Path(one, "children").read_text().split() for one in Path(f"/proc/{os.getpid()}/task").glob("*")]
    return [
        pid
        for pids in found
        for pid in pids
        if b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]  # fmt: skip


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture(scope="module")
def toy_here(tmp_path_factory):
    return run(tmp_path_factory.mktemp("local"), "toy", contenders=CONTENDERS)


@pytest.mark.usefixtures("forked")
def test_engine_gives_the_bits_of_local_on_the_toy_suite_and_leaves_nothing_behind(engine, toy_here, tmp_path):
    before = children(), open_files()
    assert run(tmp_path, "toy", engine, contenders=CONTENDERS) == toy_here
    assert children() == before[0]
    if engine == "processes":  # Ray opens its logs once a process
        assert open_files() <= before[1] + 1  # the resource tracker's pipe, once


@pytest.fixture(scope="module")
def quick_here(tmp_path_factory):
    return run(tmp_path_factory.mktemp("local"), "quick", contenders=QUICK, overrides=SHORT)


def test_engine_gives_the_bits_of_local_on_cells_of_quick(engine, quick_here, tmp_path):
    assert run(tmp_path, "quick", engine, contenders=QUICK, overrides=SHORT) == quick_here


def upset(root, methods, engine, *names):
    """The toy suite with a contender a strategy of METHODS."""
    contenders = ["fedavg", *names]
    return run(root, "toy", engine, contenders=contenders, plugins=(toy.__file__, methods))


@pytest.fixture(scope="module")
def upset_here(methods, tmp_path_factory):
    root = tmp_path_factory.mktemp("local")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEST_MARKER", str(root))  # is there: nobody is killed
        return upset(root, methods, "local", "fragile", "raising", "greedy")


@pytest.mark.usefixtures("forked")
def test_engine_fails_cells_as_local_does_and_a_killed_worker_changes_no_bit(
    engine, methods, upset_here, tmp_path, monkeypatch
):
    marker = tmp_path / "killed"
    monkeypatch.setenv("TEST_MARKER", str(marker))
    got = upset(tmp_path, methods, engine, "doomed", "fragile", "raising", "greedy")
    assert marker.exists()
    doomed = got.pop("doomed")
    assert doomed[0] == "failed"
    assert doomed[1].startswith("The worker process died 3 times while it worked on client ")
    assert " in round 1 (" in doomed[1]
    assert got == upset_here
    assert {name: one[0] for name, one in got.items()} == {
        "fedavg": "done", "fragile": "done", "raising": "failed", "greedy": "failed",
    }  # fmt: skip
    assert got["raising"][1].startswith("ZeroDivisionError: no luck (upset.py:")
    assert "asks for" in got["greedy"][1]


@pytest.mark.usefixtures("forked")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_idle_workers_that_are_killed_or_stopped_cost_no_outcome_and_no_try(number):
    work = toy_work("local_only")
    engine = load_registry(environ={}).get("engine", "processes").spec
    before = children()
    built = engine.build(engine.params(jobs=2, silence=2.0))
    with contextlib.closing(built):
        wanted = list(built.run(tasks_of(work, 2), work))
        pids = [int(pid) for pid in children() if pid not in before]
        assert len(pids) == 2
        for pid in pids:
            os.kill(pid, number)
        assert all(map(same_outcome, built.run(tasks_of(work, 2), work), wanted))
    assert children() == before
