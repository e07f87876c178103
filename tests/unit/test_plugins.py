# ruff: noqa: E501 - strategies and tables, one line each
from __future__ import annotations

import hashlib
import importlib.metadata
from types import SimpleNamespace

import pytest

from fedgen_bench import MetricSpec, RunResult, SuiteSource
from fedgen_bench.base.errors import PluginError, UsageError
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.registry.spec_problems import spec_problem

HEAD = "from dataclasses import dataclass\nfrom fedgen_bench import *\nfrom fedgen_bench import hookimpl, MetricSpec, NoParams\n"
GOOD = (
    HEAD
    + """
@hookimpl
def register_metrics():
    return [MetricSpec(name="mine", summary="", build=lambda params: None)]
"""
)


@pytest.fixture
def plugin(tmp_path):
    def write(text, name="mine.py"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def load(*files, **environ):
    return load_registry(files, environ=environ)


def test_plugin_file_is_registered_with_its_provenance(plugin):
    path = plugin(GOOD)
    found = load(path).get("metric", "mine")
    assert found.from_file
    assert found.provenance.distribution == "file:mine.py"
    assert found.provenance.source_sha256 == hashlib.sha256(GOOD.encode()).hexdigest()


def test_entry_points_carry_distribution_and_version(registry):
    found = registry.get("strategy", "fedavg")
    assert not found.from_file
    assert found.provenance.distribution == "fedgen-bench"
    assert found.provenance.version == importlib.metadata.version("fedgen-bench")


def test_plugins_variable_loads_files_once(plugin):
    path = plugin(GOOD)
    assert load(FEDGEN_PLUGINS=str(path)).get("metric", "mine").from_file
    assert load(path, FEDGEN_PLUGINS=str(path)).failures == ()


def test_block_variable_leaves_plugins_out():
    blocked = load(FEDGEN_BLOCK="fedavg,lora")
    assert "fedavg" not in blocked.components["strategy"]
    assert "lora" not in blocked.components["adapter"]
    assert "fedprox" in blocked.components["strategy"]
    assert not any(load(FEDGEN_BLOCK="fedgen-bench").components.values())


BROKEN = {
    "import error": ("import nothing_of_that_name", "cannot be imported: ModuleNotFoundError"),
    "a module of ours that moved": (
        "from fedgen_bench.errors import DataError",
        "plugins import from `fedgen_bench`, `fedgen_bench.authors` and `fedgen_bench.testing`",
    ),
    "syntax error": ("def (", "cannot be imported: SyntaxError"),
    "sys.exit": ("import sys; sys.exit(3)", "cannot be imported: SystemExit: 3"),
    "exception": ("raise RuntimeError('boom')", "cannot be imported: RuntimeError: boom"),
    "misspelt hook": (GOOD.replace("register_metrics", "register_metric"), "register_metric"),
    "wrong signature": (GOOD.replace("register_metrics()", "register_metrics(options)"), "options"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_plugin_file_that_is_broken_is_refused_by_name(plugin, kind):
    text, message = BROKEN[kind]
    with pytest.raises(PluginError) as caught:
        load(plugin(text))
    assert "Plugin file mine.py" in str(caught.value)
    assert message in str(caught.value)


def test_plugin_file_that_does_not_exist_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        load(tmp_path / "none.py")


REFUSED = {
    "not frozen": ("@dataclass\nclass P:\n    x: int = 1\n", "params=P", "not a frozen dataclass"),
    "no dataclass": ("class P:\n    pass\n", "params=P", "not a frozen dataclass"),
    "libraries": ("", 'libraries="torch"', "libraries is not a tuple of names"),
    "no default": ("@dataclass(frozen=True)\nclass P:\n    x: int\n", "params=P", "params without a default: x"),
    "build": ("", "params=NoParams", "build is not callable"),
    "taken name": ("", "", "already registered by fedgen-bench"),
    "bad name": ("", "", "does not match"),
    "line end": ("", "", "does not match"),
    "unhashable name": ("", "", "does not match"),
}
NAMES = {
    "taken name": "'bits_per_byte'",
    "bad name": "'Bits Per Byte'",
    "line end": "'mine\\n'",
    "unhashable name": "[]",
}


@pytest.mark.parametrize("kind", REFUSED)
def test_component_that_is_refused_leaves_the_others(plugin, kind):
    head, params, message = REFUSED[kind]
    build = "3" if kind == "build" else "lambda params: None"
    spec = f"MetricSpec(name={NAMES.get(kind, repr('odd'))}, summary='', build={build}, {params})"
    text = f"{HEAD}{head}\n@hookimpl\ndef register_metrics():\n    good = MetricSpec(name='fine', summary='', build=print)\n    return [{spec}, good]\n"
    registry = load(plugin(text))
    assert "fine" in registry.components["metric"]
    assert "fedavg" in registry.components["strategy"]
    (failure,) = registry.failures
    assert message in failure.reason


@pytest.mark.parametrize("body", ["raise RuntimeError('late')", "import sys; sys.exit('late')", "return None"])
def test_hook_that_fails_is_reported_and_the_others_live(plugin, body):
    registry = load(plugin(f"{HEAD}\n@hookimpl\ndef register_metrics():\n    {body}\n"))
    assert "register_metrics failed" in registry.failures[0].reason
    assert "fedavg" in registry.components["strategy"]


def test_a_module_of_ours_that_moved_is_told_inside_a_hook_too(plugin):
    registry = load(plugin(GOOD.replace("    return [", "    import fedgen_bench.errors\n    return [")))
    assert "plugins import from `fedgen_bench`, `fedgen_bench.authors` and" in registry.failures[0].reason


def test_spec_problem_wants_the_hooks_own_type():
    assert "expected StrategySpec" in spec_problem("strategy", MetricSpec(name="x", summary="", build=print))
    assert spec_problem("suite", SuiteSource(name="x", text="", path="")) is None
    assert spec_problem("metric", MetricSpec(name="x", summary="", build=print)) is None


def point(distribution, name, load):
    dist = SimpleNamespace(name=distribution, version="3", read_text=lambda _: None)
    return SimpleNamespace(name=name, dist=dist, load=load)


def failing():
    raise ImportError("gone")


def test_entry_point_name_in_two_distributions_is_refused(monkeypatch):
    points = [point("b-dist", "same", SimpleNamespace), point("a-dist", "same", SimpleNamespace)]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_: points)
    (failure,) = load().failures
    assert failure.plugin == "b-dist:same"
    assert "already declared by a-dist" in failure.reason


def test_entry_point_that_fails_takes_nobody_down(monkeypatch):
    class Module:
        from fedgen_bench_plugins.metrics.text import register_metrics

        register_metrics = staticmethod(register_metrics)

    points = [point("a-dist", "bad", failing), point("b-dist", "good", Module)]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_: points)
    registry = load()
    assert [(one.plugin, one.reason) for one in registry.failures] == [
        ("a-dist:bad", "cannot be imported: ImportError: gone")
    ]
    assert registry.get("metric", "bits_per_byte").provenance.distribution == "b-dist"


def test_registry_is_frozen(registry):
    with pytest.raises(TypeError):
        registry.components["metric"]["mine"] = 1


def test_get_suggests_the_closest_name(registry):
    with pytest.raises(UsageError, match=r"Unknown table format `markdwn`\. Did you mean `markdown`"):
        registry.get("table_format", "markdwn")


def test_observer_that_fails_is_a_warning(plugin):
    text = f"{HEAD}\n@hookimpl\ndef after_run(run):\n    raise RuntimeError(run)\n"
    registry = load(plugin(text))
    with pytest.warns(RuntimeWarning, match=r"failed in after_run: RuntimeError: toy/x/1"):
        registry.observe("after_run", run="toy/x/1", result=RunResult("done", ""))
