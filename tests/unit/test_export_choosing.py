"""Which run an export is made of, and what is refused before anything is written."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from fedgen_bench import DataError, Session, StoreError, UsageError
from fedgen_bench.exports import models
from fedgen_bench.exports.benchmark import check_benchmark
from fedgen_bench.exports.choosing import choose
from fedgen_bench.federation.loader import Loader
from fedgen_bench.registry.datasets import finder
from fedgen_bench.results.store import Store
from fedgen_bench.session.exporting import _check_same
from fedgen_bench.suite.cells import expand
from fedgen_bench.suite.load import load_suite
from fedgen_bench.testing import toy

FAST = "contender.fedavg.learning_rate=1e30"


@pytest.fixture
def session(tmp_path):
    return Session(
        plugins=[toy.__file__], runs=tmp_path / "runs", leaderboards=tmp_path / "boards", device="cpu", jobs=1
    )


def chosen(session, seed=None, contender="fedavg", overrides=()):
    suite = load_suite(session.registry.get("suite", "toy").spec, session.registry)
    with Store(session.runs, read_only=True) as store:
        return choose(store, suite, session.registry, contender, seed, overrides, "fedgen-bench run")


def test_first_finished_seed_of_the_suite_is_taken_unless_one_is_named(session):
    session.run("toy", contenders=["fedavg"], seeds=[2])
    assert chosen(session).run.spec.seed == 2
    session.run("toy", contenders=["fedavg"], seeds=[1])
    found = chosen(session)
    assert found.run.spec.seed == found.record.seed == 1
    assert [one.seed for one in found.siblings] == [1, 2]
    assert chosen(session, seed=2).run.spec.seed == 2


def test_run_off_its_suite_stands_on_no_leaderboard(session):
    fewer = "federation.rounds=1"
    session.run("toy", contenders=["fedavg"], seeds=[1], overrides=[fewer])
    with pytest.raises(UsageError, match=r"off its suite \(federation\.rounds=1\), so that no leaderboard compares it"):
        check_benchmark("owner/tables", chosen(session, overrides=[fewer]), None)


def test_run_that_left_no_model_gets_a_sentence(session):
    session.run("toy", contenders=["fedavg"], seeds=[1], overrides=[FAST])
    with pytest.raises(StoreError, match=r"with contender.* under seed 1 diverged, so there is no model"):
        chosen(session, overrides=[FAST])
    with pytest.raises(UsageError, match=r"has no run of `fedavg` of suite `toy`\. Run it first"):
        chosen(session)
    suite = load_suite(session.registry.get("suite", "toy").spec, session.registry)
    (spec,) = expand(suite, session.registry, contenders=["local_only"], seeds=[2])
    with Store(session.runs) as store:
        store.begin(spec, {}, {})
    with pytest.raises(StoreError, match=r"is not finished: it has 0 rounds of 4\. Run it to its end: .* --seed 2`"):
        chosen(session, contender="local_only")


def test_task_without_an_exporter_is_told_and_nothing_is_written(session, tmp_path):
    session.run("toy", contenders=["fedavg"], seeds=[1])
    with pytest.raises(UsageError, match="Task `toy` does not say how its backbone is exported"):
        session.export("toy", "fedavg", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_command_that_is_told_can_be_pasted_into_a_shell(session, tmp_path):
    session.run("toy", contenders=["fedavg"], seeds=[1])
    with pytest.raises(UsageError, match=r"Run it first: `fedgen-bench .* --set 'partitioner=\{name=\"iid\"\}'`"):
        session.export("toy", "fedavg", overrides=['partitioner={name="iid"}'], out=tmp_path / "out")


def test_client_that_the_strategy_gives_no_model_is_told(monkeypatch):
    for name in ("decode_state", "ClientStates", "own_task"):
        monkeypatch.setattr(models, name, lambda *_: None)
    contender = SimpleNamespace(strategy=SimpleNamespace(name="mine"))
    experiment = SimpleNamespace(
        n_examples=lambda _: 1,
        first_state=lambda: None,
        export=lambda *_: None,
        config=SimpleNamespace(contender=contender, own=None),
    )
    kept = SimpleNamespace(state=b"", keep_rounds=())
    with pytest.raises(UsageError, match="Strategy `mine` gives client 3 no model of its own"):
        models.client_model(experiment, SimpleNamespace(keep_file=None), kept, 3)


def test_components_and_files_are_those_of_the_run(registry):
    suite = load_suite(registry.get("suite", "quick").spec, registry)
    (spec,) = expand(suite, registry, contenders=["fedgen_edge"], seeds=[1])
    loader = Loader(registry, finder(registry))
    spec = loader.resolved(spec)
    _check_same(spec, loader)
    name = next(iter(spec.content))
    with pytest.raises(DataError, match=f"was run with another `{name}` than there is here"):
        _check_same(replace(spec, content={**spec.content, name: "0" * 64}), loader)
    contender = spec.config.contender
    older = contender.model_copy(update={"adapter": contender.adapter.model_copy(update={"version": "0"})})
    with pytest.raises(UsageError, match=r"was run with version 0 of adapter `lora`; installed is version 1\."):
        _check_same(replace(spec, config=spec.config.model_copy(update={"contender": older})), loader)
