"""`--tracker NAME`: loaded when it is asked for alone; it is told everything, and its failure is nobody else's."""

import contextvars
import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import ClassVar

import click
import pytest

from fedgen_bench.base.errors import PluginError, UsageError
from fedgen_bench.cli.main import cli
from fedgen_bench.registry.datasets import Places
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.registry.trackers import known_trackers
from fedgen_bench.results.store import Store
from fedgen_bench.run.executor import Job
from fedgen_bench.run.runner import run_cells
from fedgen_bench.suite.cells import expand
from fedgen_bench.testing import contracts_of, toy
from fedgen_bench.testing.observers import configuration, reports, results

RUN = "suite/contender/1"
TRACKERS = ("tensorboard", "mlflow", "wandb", "trackio")


def module(monkeypatch, name, **content):
    """A module as if it were installed."""
    made = ModuleType(name)
    made.__spec__ = importlib.machinery.ModuleSpec(name, None)
    vars(made).update(content)
    monkeypatch.setitem(sys.modules, name, made)
    return made


class Writer:
    """TensorBoard's, as far as the tracker calls it."""

    made: ClassVar = {}

    def __init__(self, folder):
        self.made[folder], self.closed = self, False
        self.scalars = []

    def add_scalar(self, name, value, step):
        self.scalars.append((name, value, step))

    def flush(self):
        assert not self.closed

    def close(self):
        self.closed = True


@pytest.fixture
def tensorboard(monkeypatch):
    monkeypatch.setattr(Writer, "made", {})
    module(monkeypatch, "tensorboard")
    module(monkeypatch, "tensorboard.summary", Writer=Writer)
    return Writer


class Client:
    """MLflow's, as far as the tracker calls it."""

    calls: ClassVar = []

    def __init__(self, tracking_uri):
        self.calls.append(("at", tracking_uri))

    def get_experiment_by_name(self, name):
        known = any(one[:2] == ("create_experiment", name) for one in self.calls)
        return SimpleNamespace(experiment_id="7") if known else None

    def create_run(self, *where, run_name):
        self.calls.append(("create_run", *where, run_name))
        return SimpleNamespace(info=SimpleNamespace(run_id="r"))

    def create_experiment(self, name):
        self.calls.append(("create_experiment", name))
        return "7"

    def __getattr__(self, name):
        return lambda *given, **named: self.calls.append((name, *given, *named.values()))


@pytest.fixture
def mlflow(monkeypatch):
    monkeypatch.setattr(Client, "calls", [])
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    module(monkeypatch, "mlflow", MlflowClient=Client)
    return Client


class Run:
    """One of Weights & Biases or Trackio, as far as the trackers call it."""

    made: ClassVar = []

    def __init__(self, **asked):
        self.made.append(self)
        self.asked, self.logged, self.summary, self.ended = asked, [], {}, None

    def log(self, figures, step):
        assert self.ended is None
        self.logged.append((step, figures))

    def finish(self, exit_code=0):
        self.ended = exit_code


@pytest.fixture
def wandb(monkeypatch):
    monkeypatch.setattr(Run, "made", [])
    monkeypatch.delenv("WANDB_MODE", raising=False)
    module(monkeypatch, "wandb", init=Run, Settings=lambda **chosen: chosen)
    return Run


@pytest.fixture
def trackio(monkeypatch):
    """Trackio ends the run of the context in which the next one begins."""
    current = contextvars.ContextVar("current", default=None)

    def begin(**asked):
        if (before := current.get()) is not None:
            before.finish()
        sys.stdout.write("* Trackio project initialized\n")
        made = Run(**asked)
        current.set(made)
        return made

    monkeypatch.setattr(Run, "made", [])
    module(monkeypatch, "trackio", init=begin)
    return Run


def observed(registry, ended=0):
    """A cell with two rounds and an end, as the executor tells it."""
    for report in reports():
        registry.observe("after_round", run=RUN, report=report, config=configuration())
    registry.observe("after_run", run=RUN, result=list(results())[ended], config=configuration())


@pytest.mark.usefixtures("tensorboard")
def test_no_tracker_is_loaded_unless_it_is_asked_for():
    assert known_trackers().keys() >= {*TRACKERS}
    assert not {one.name for one in load_registry(environ={}).observers} & known_trackers().keys()
    asked = load_registry(["tracker/tensorboard"], environ={})
    assert {one.name for one in asked.observers} & known_trackers().keys() == {"tensorboard"}


def test_unknown_tracker_is_told_with_the_closest_name():
    with pytest.raises(UsageError, match=r"Unknown tracker `tensorbord`\. Did you mean `tensorboard`"):
        load_registry(["tracker/tensorbord"], environ={})


@pytest.mark.parametrize("name", TRACKERS)
def test_tracker_without_its_library_says_what_to_install_before_anything_runs(name, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda one, *rest: None if one == name else found(one, *rest))
    with pytest.raises(PluginError, match=rf"is not installed: `pip install 'fedgen-bench\[{name}\]'`"):
        load_registry([f"tracker/{name}"], environ={})


@pytest.mark.usefixtures(*TRACKERS)
@pytest.mark.parametrize("name", TRACKERS)
def test_tracker_keeps_the_contract_of_observers(name):
    registry = load_registry([f"tracker/{name}"], environ={})
    checks = list(contracts_of(registry, names={f"observer/{name}"}))
    assert len(checks) == 4
    for check in checks:
        check()


def test_tensorboard_has_every_round_and_the_end(tensorboard, monkeypatch):
    monkeypatch.setenv("FEDGEN_TENSORBOARD", "there")
    observed(load_registry(["tracker/tensorboard"], environ={}))
    ((folder, writer),) = tensorboard.made.items()
    assert (folder, writer.closed) == (str(Path("there", RUN)), True)
    assert {("train/mean_loss", 2.5, 1), ("train/mean_loss", 2.25, 2)} <= set(writer.scalars)
    assert ("valid_subset/bits_per_byte", 1.5, 1) in writer.scalars
    assert {("round/uplink_bytes", 120.0, 1), ("round/downlink_bytes", 120.0, 1)} <= set(writer.scalars)
    assert writer.scalars[-1] == ("valid/bits_per_byte", 1.5, 2)


def test_mlflow_has_a_run_with_its_configuration_and_how_it_ended(mlflow):
    observed(load_registry(["tracker/mlflow"], environ={}), ended=2)
    calls = mlflow.calls
    assert calls[0] == ("at", "sqlite:///mlflow.db")
    assert [one for one in calls if one[0].startswith("create")] == [
        ("create_experiment", "suite"),
        ("create_run", "7", "contender/1"),
    ]
    assert {("log_param", "r", "contender.learning_rate", "0.1"), ("log_param", "r", "federation.rounds", "2")} <= set(
        calls
    )
    assert ("log_metric", "r", "train/mean_loss", 2.5, 1) in calls
    assert ("set_tag", "r", "status", "failed") in calls
    assert calls[-1] == ("set_terminated", "r", "FAILED")


@pytest.mark.parametrize("name", ["wandb", "trackio"])
@pytest.mark.usefixtures("wandb", "trackio")
def test_runs_have_their_configuration_every_round_and_the_end(name):
    observed(load_registry([f"tracker/{name}"], environ={}))
    (run,) = Run.made
    told = {key: run.asked[key] for key in ("project", "group", "name", "config")}
    assert told == {"project": "suite", "group": "contender", "name": "contender/1", "config": configuration()}
    assert [(step, figures["train/mean_loss"]) for step, figures in run.logged[:2]] == [(1, 2.5), (2, 2.25)]
    assert (run.logged[0][1]["valid_subset/bits_per_byte"], run.ended) == (1.5, 0)
    last = run.summary or run.logged[-1][1]
    assert (last["valid/bits_per_byte"], last["status"]) == (1.5, "done")


@pytest.mark.parametrize("name", ["wandb", "trackio"])
@pytest.mark.usefixtures("wandb", "trackio")
def test_a_cell_that_failed_says_why(name):
    observed(load_registry([f"tracker/{name}"], environ={}), ended=2)
    (run,) = Run.made
    last = run.summary or run.logged[-1][1]
    assert (last["status"], last["reason"]) == ("failed", list(results())[2].reason)


@pytest.mark.parametrize("name", ["wandb", "trackio"])
@pytest.mark.usefixtures("wandb", "trackio")
def test_nothing_is_printed(name, capsys):
    observed(load_registry([f"tracker/{name}"], environ={}))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["wandb", "trackio"])
@pytest.mark.usefixtures("wandb", "trackio")
def test_runs_of_cells_beside_each_other_end_each_with_its_own(name):
    registry = load_registry([f"tracker/{name}"], environ={})
    for seed in (1, 2):
        for report in reports():
            run = f"suite/contender/{seed}"
            registry.observe("after_round", run=run, report=report, config=configuration())
    assert [(len(one.logged), one.ended) for one in Run.made] == [(2, None), (2, None)]
    registry.observe("after_run", run="suite/contender/2", result=list(results())[2], config=configuration())
    assert [one.ended is None for one in Run.made] == [True, False]


@pytest.mark.parametrize(("environ", "mode"), [({}, "offline"), ({"WANDB_MODE": "online"}, "online")])
def test_nothing_is_sent_to_weights_and_biases_unless_it_is_asked_for(environ, mode, wandb, monkeypatch):
    for key, value in environ.items():
        monkeypatch.setenv(key, value)
    observed(load_registry(["tracker/wandb"], environ={}), ended=1)
    (run,) = wandb.made
    assert (run.asked["mode"], run.summary["status"], run.ended) == (mode, "diverged", 1)


def run_toy(root, registry, toy_suite):
    """One cell; how it ended."""
    specs = expand(toy_suite(), registry, contenders=["local_only"], seeds=[1])
    with Store(root) as store:
        job = Job(root, Places(), "cpu", registry.plugin_files)
        (ended,) = run_cells(specs, registry, job, store, workers=1, on_event=lambda _: None)
        return ended, specs[0], store.runs("toy", 1)[0]


def test_a_tracker_that_fails_ends_no_run(tensorboard, toy_suite, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tensorboard, "add_scalar", full)
    registry = load_registry([toy.__file__, "tracker/tensorboard"], environ={})
    with pytest.warns(RuntimeWarning, match=r"failed in after_r(ound|un): OSError: .*No space left") as told:
        ended, spec, run = run_toy(tmp_path, registry, toy_suite)
    assert (ended.status, run.status, len(run.rounds)) == ("done", "done", spec.config.federation.rounds)
    assert len(told) == len(run.rounds) + 1


def test_hooks_get_the_configuration(toy_suite, tmp_path):
    plugin = tmp_path / "told.py"
    plugin.write_text(
        "from fedgen_bench import hookimpl\n\ntold = []\n\n\n"
        "@hookimpl\ndef after_round(config):\n    told.append(config)\n\n\n"
        "@hookimpl\ndef after_run(config):\n    told.append(config)\n"
    )
    _, spec, run = run_toy(tmp_path / "runs", load_registry([toy.__file__, plugin], environ={}), toy_suite)
    told = sys.modules["fedgen_plugin_told"].told
    assert told == [spec.config.to_json()] * (len(run.rounds) + 1)


def test_command_takes_trackers_beside_plugin_files():
    group = click.Context(cli, **cli.context_settings)
    command = cli.get_command(group, "run")
    words = ["--plugin", "a.py", "--suite", "toy", "--tracker", "tensorboard", "--tracker", "mlflow"]
    params = command.make_context("run", words, parent=group).params
    assert [str(one) for one in params["plugins"]] == ["a.py", "tracker/tensorboard", "tracker/mlflow"]
