"""`new-plugin`: what it writes is loaded and passes every check of its kind, unedited."""

import re
import shlex
import tomllib

import click
import pytest

from fedgen_bench.base.errors import UsageError
from fedgen_bench.cli.main import cli
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.scaffold import KINDS, module_name, render, write
from fedgen_bench.suite.load import load_suite
from fedgen_bench.testing import contracts_of
from fedgen_bench.testing.contracts import KINDS as CHECKED

LATER = (
    "task",
    "suite",
    "attack",
    "mechanism",
    "observer",
    "table_format",
    "engine",
)  # the others: tests/e2e/test_new_plugin.py


@pytest.fixture(scope="module")
def registry():
    return load_registry(environ={})


def made(kind, registry, folder):
    """A package called `my-<kind>`, and what is registered with its module."""
    name = f"my-{kind.replace('_', '-')}"
    texts = render(name, kind, module_name(name, kind, registry))
    write(folder, texts)
    (module,) = folder.glob("*.py")
    return name, texts, load_registry([module], environ={})


@pytest.mark.parametrize("kind", LATER)
def test_scaffold_passes_every_check_of_its_kind(kind, registry, tmp_path):
    name, _, own = made(kind, registry, tmp_path)
    target = "observer/my_observer" if kind == "observer" else f"{kind}/{name}"
    contracts = list(contracts_of(own, names={target}))
    assert len(contracts) >= 2
    for contract in contracts:
        contract()


@pytest.mark.parametrize("kind", KINDS)
def test_readme_of_a_scaffold_gives_commands_that_there_are(kind, registry, tmp_path):
    name, texts, _ = made(kind, registry, tmp_path)
    assert "$" not in texts["README.md"]
    (line,) = re.findall(r"^fedgen-bench (run .*)$", texts["README.md"], re.MULTILINE)
    command, *words = shlex.split(line)
    group = click.Context(cli, **cli.context_settings)
    params = cli.get_command(group, command).make_context(command, words, parent=group).params
    assert params["suite"] == (name if kind in {"task", "suite"} else "quick")
    project = tomllib.loads(texts["pyproject.toml"])["project"]
    assert project["entry-points"]["fedgen_bench"] == {name.replace("-", "_"): name.replace("-", "_")}
    assert (
        f"fedgen-bench check {'observer/my_observer' if kind == 'observer' else f'{kind}/{name}'}" in texts["README.md"]
    )


def test_every_kind_of_a_scaffold_is_checked_and_only_declarations_have_none():
    assert set(CHECKED) - set(KINDS) == {"dataset", "backbone", "claim", "device_profile"}
    assert set(KINDS) <= set(CHECKED)


def test_attack_of_the_readme_is_a_change_that_a_suite_takes(registry, tmp_path):
    _, texts, own = made("attack", registry, tmp_path)
    (line,) = re.findall(r"^fedgen-bench (run .*)$", texts["README.md"], re.MULTILINE)
    suite = load_suite(own.get("suite", "quick").spec, own, shlex.split(line)[-1:])
    assert (suite.attack.name, suite.attack.fraction) == ("my-attack", 0.2)


def test_names_of_observers_are_told_apart(registry):
    with pytest.raises(UsageError, match="observer `log` is there already, from fedgen-bench"):
        module_name("log", "observer", registry)
