"""What the documents say is what the code does."""

import contextlib
import dataclasses
import importlib.util
import inspect
import re
import shlex
import sys
import tomllib
from pathlib import Path

import click
import pytest
from versions import written_with

import fedgen_bench
from fedgen_bench.cli.main import COMMANDS, cli
from fedgen_bench.contract import contexts, data, hookspecs, messages, reports, specs
from fedgen_bench.contract.seeds import STREAMS
from fedgen_bench.registry.kinds import KINDS
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.suite.schema import SuiteSpec
from fedgen_bench.suite.structure import models_in

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    {
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
        *(ROOT / "docs").rglob("*.md"),
        *ROOT.glob("*/fedgen_bench_*/cards/*.md"),
    }
)
HOOKS = {name: one for name, one in vars(hookspecs).items() if hasattr(one, f"{hookspecs.PROJECT}_spec")}
PLUGINS_PAGE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
SUITES_PAGE = (ROOT / "docs" / "suites.md").read_text(encoding="utf-8")


def blocks(page, *languages):
    text = page.read_text(encoding="utf-8")
    found = re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return [body for language, body in found if language in languages]


def labelled(*languages):
    """Blocks of every page but the Python page, whose examples need torch: tests/e2e/test_python_api.py runs them."""
    pages = [page for page in PAGES if page.stem != "python-api"]
    return [
        pytest.param(body, id=f"{page.stem}-{i}") for page in pages for i, body in enumerate(blocks(page, *languages))
    ]


def commands_of(text):
    """Every complete `fedgen-bench ...` of a shell block or of inline code."""
    for line in text.replace("\\\n", " ").splitlines():
        for part in re.split(r"&&|;|\|", line.split(" #")[0]):
            words = part.strip().removeprefix("$ ").strip()
            if words.startswith("fedgen-bench "):
                yield words


def shell_commands():
    found = set()
    for page in PAGES:
        for body in blocks(page, "bash", "console"):
            found |= set(commands_of(body))
        plain = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        for code in re.findall(r"`(fedgen-bench [^`]+)`", plain):
            found |= set(commands_of(code))
    return sorted(found)


def test_hooks_are_found():
    assert {kind.hook for kind in KINDS.values()} | {"after_round", "after_run"} == set(HOOKS)


@pytest.mark.parametrize("name", sorted(HOOKS))
def test_hook_has_a_heading_with_its_signature(name):
    signature = str(inspect.signature(HOOKS[name])).replace("'", "")
    assert f"\n## `{name}{signature}`\n" in PLUGINS_PAGE


def test_plugins_page_has_no_heading_for_a_hook_that_is_gone():
    assert set(re.findall(r"^## `(\w+)\(", PLUGINS_PAGE, flags=re.MULTILINE)) == set(HOOKS)


@pytest.mark.parametrize(
    "record",
    [kind.spec for kind in KINDS.values()]
    + [messages.Payload, messages.Fit, messages.FitReport, messages.Update, messages.Proximal, messages.Model]
    + [contexts.ClientContext, contexts.ServerContext, contexts.RoundContext, contexts.LowRank]
    + [reports.RoundReport, reports.RunResult, data.UnitTable],
    ids=lambda one: one.__name__,
)
def test_fields_of_records_are_documented(record):
    assert re.search(rf"\b{record.__name__}\b", PLUGINS_PAGE)
    undocumented = [one.name for one in dataclasses.fields(record) if not re.search(rf"\b{one.name}\b", PLUGINS_PAGE)]
    assert undocumented == []


def suite_keys(model, prefix=""):
    for name, one in model.model_fields.items():
        inner = models_in(one.annotation)
        path = f"{prefix}.{name}" if prefix else name
        if inner:
            yield from suite_keys(inner[0], path)
        else:
            yield path


@pytest.mark.parametrize("key", sorted(suite_keys(SuiteSpec)))
def test_suite_key_is_documented(key):
    assert f"| `{key}` |" in SUITES_PAGE


def first_column(heading):
    """What stands in backquotes at the start of the rows of the suites page's section."""
    section = SUITES_PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return set(re.findall(r"^\| `([^`]+)` \|", section, flags=re.MULTILINE))


def test_suites_page_documents_no_key_that_is_gone():
    assert first_column("Keys") == set(suite_keys(SuiteSpec))


def test_suites_page_lists_every_suite():
    assert first_column("Suites that come with it") == set(load_registry(environ={}).components["suite"])


def test_suites_page_lists_the_adapters_that_there_are():
    table = SUITES_PAGE.split("## Adapters")[1].split("\n## ")[0]
    shown = re.findall(r"^\| \[?`(\w+)`", table, flags=re.MULTILINE)
    assert sorted(shown) == sorted(load_registry([], environ={}).components["adapter"])


def maker(name):
    """A module of `docs/` that writes files there."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@written_with("click", "8.5")
def test_command_line_page_is_what_the_commands_say():
    make_cli = maker("make_cli")
    assert make_cli.TARGET.read_text(encoding="utf-8") == make_cli.text()


@written_with("pydantic", "2.14")
def test_schema_of_suites_and_table_of_keys_are_what_the_code_says():
    make_schema = maker("make_schema")
    assert make_schema.SCHEMA.read_text(encoding="utf-8") == make_schema.schema()
    assert make_schema.PAGE.read_text(encoding="utf-8") == make_schema.page()


def test_readme_names_every_command():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f"`{name}" not in readme] == []


@pytest.mark.parametrize("line", shell_commands(), ids=str)
def test_command_in_a_document_is_accepted(line):
    _, name, *words = shlex.split(line)
    context = click.Context(cli, **cli.context_settings)  # its names of the help option are the commands' as well
    command = cli.get_command(context, name)
    assert command is not None, name
    if isinstance(command, click.Group) and words and words[0] in command.commands:
        command, words = command.commands[words[0]], words[1:]
    with contextlib.suppress(click.MissingParameter):  # a mention need not be a whole command
        command.make_context(name, words, parent=context)


@pytest.mark.parametrize("code", labelled("python"))
def test_python_block_works(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if "@hookimpl" not in code:
        exec(compile(code, "block", "exec"), {"__name__": "block"})
        return
    file = tmp_path / "my_plugin.py"
    file.write_text(code, encoding="utf-8")
    had_torch = "torch" in sys.modules
    registry = load_registry([file], environ={})
    assert registry.failures == ()
    own = [one for kind in registry.components.values() for one in kind.values() if one.from_file]
    for one in own:
        if isinstance(one.spec, specs.ComponentSpec):
            one.spec.build(one.spec.params())
    assert own or "after_round" in code or "register_suites" in code
    assert had_torch or "torch" not in sys.modules


@pytest.mark.parametrize("page", PAGES, ids=lambda one: one.stem)
def test_links_within_the_project_resolve(page):
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(#[^)\s]*)?\)", page.read_text(encoding="utf-8")):
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}
            assert anchor[1:] in slugs


def test_seed_axes_are_those_of_the_code():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    head, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in page.split("## Seed axes")[1].split("\n## ")[0].splitlines()
        if line.startswith("|")
    ]
    shown = {row[0]: {axis for axis, mark in zip(head, row, strict=True) if mark == "x"} for row in rows}
    assert shown == {name: set(axes) for name, axes in STREAMS.items()}


def test_layers_are_those_of_the_settings():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    shown = page.split("may import only what is below:\n")[1].split(".\n")[0].replace("`", "").split(">")
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    wanted = [{name.strip() for name in re.split("[|:]", one)} for one in layers]
    assert [{name.strip() for name in one.split(",")} for one in shown] == wanted


def test_plugins_are_kept_from_every_room_but_those_for_authors():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    (contract,) = (one for one in settings if one["name"].startswith("Plugins import"))
    rooms = {room for layer in settings[0]["layers"] for room in re.split(r" [|:] ", layer)}
    forbidden = {one.removeprefix("fedgen_bench.") for one in contract["forbidden_modules"]}
    assert forbidden == rooms - {"__main__", "authors", "testing"}


def test_names_that_fedgen_bench_exports_are_documented():
    pages = PLUGINS_PAGE + (ROOT / "docs" / "python-api.md").read_text(encoding="utf-8")
    assert [name for name in fedgen_bench.__all__ if not re.search(rf"\b{name}\b", pages)] == []


def test_every_module_of_the_core_is_in_the_architecture():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = page.split("## Modules")[1].split("\n## ")[0]
    core = ROOT / "fedgen_bench"
    names = {one.stem for one in core.glob("[a-z]*.py")} | {one.parent.name for one in core.glob("*/__init__.py")}
    for room in re.findall(r"### `([a-z]+)`", table):
        names |= {one.stem for one in (core / room).glob("[a-z]*.py")}
    assert [name for name in sorted(names) if f"`{name}`" not in table] == []


def test_ci_runs_the_command_that_the_readme_gives():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert script[-1] in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
