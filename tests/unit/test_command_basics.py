"""What every command shares: paths with `~`, completion, tables of a terminal's width, and how errors are told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner
from fedgen_bench_plugins.datasets.known import PTB

from fedgen_bench.base.cache import cache_root
from fedgen_bench.base.errors import UsageError
from fedgen_bench.cli import main as entry
from fedgen_bench.cli.main import COMMANDS, cli
from fedgen_bench.cli.options import UserPath
from fedgen_bench.cli.screen import grid
from fedgen_bench.contract.backbones import BackboneSpec
from fedgen_bench.contract.claims import ClaimSpec
from fedgen_bench.contract.datasets import DataFile, DatasetSpec
from fedgen_bench.contract.specs import MetricSpec, StrategySpec, SuiteSource
from fedgen_bench.registry.datasets import locate
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.registry.spec_problems import spec_problem
from fedgen_bench.suite.load import load_suite
from fedgen_bench.testing import toy

FILES = (DataFile(path="a.txt"),)


def commands():
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        yield command
        yield from getattr(command, "commands", {}).values()


def test_every_path_of_every_command_knows_the_home_folder():
    paths = [
        (command.name, one.name, type(one.type))
        for command in commands()
        for one in command.params
        if isinstance(one.type, click.Path)
    ]
    assert len(paths) > 20
    assert [one for one in paths if one[2] is not UserPath] == []


@pytest.mark.parametrize(("given", "found"), [("~/x", "home/x"), ("~", "home"), ("a~", "a~"), ("./~/x", "~/x")])
def test_a_path_begins_at_home(given, found, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    value = UserPath().convert(given, None, None)
    assert value == (tmp_path / found if given.startswith("~") else Path(found))


def test_environment_variables_with_paths_know_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("FEDGEN_CACHE", "~/cache")
    monkeypatch.setenv("FEDGEN_DATA", "~/texts")
    assert cache_root() == tmp_path / "cache"
    (tmp_path / "texts").mkdir()
    for file in PTB.sha256:
        (tmp_path / "texts" / file).touch()
    assert locate(PTB) == ("FEDGEN_DATA", tmp_path / "texts")
    (tmp_path / "own.py").write_text("", encoding="utf-8")
    assert load_registry(environ={"FEDGEN_PLUGINS": "~/own.py"}).plugin_files == (str(tmp_path / "own.py"),)


@pytest.mark.parametrize(
    ("words", "typed", "offered"),
    [
        (["run", "--suite"], "quick", ["quick", "quick-images"]),
        (["run", "--suite", "quick", "--contender"], "fedp", ["fedprox_full"]),
        (["run", "--suite", "quick", "--seed"], "", ["1", "2"]),
        (["run", "--plugin", toy.__file__, "--suite"], "to", ["toy"]),
        (["run", "--engine"], "pro", ["processes"]),
        (["run", "--with"], "fedpe", ["fedper"]),
        (["run", "--suite", "nothing", "--contender"], "", []),
        (["run", "--plugin", "nowhere.py", "--suite"], "", []),
        (["list"], "part", ["partitioner"]),
        (["show"], "ditt", ["ditto"]),
        (["compare", "--suite", "quick"], "loc", ["local_only"]),
        (["data", "fetch"], "pt", ["ptb"]),
        ([], "lis", ["list"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_values_complete(words, typed, offered, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # whose files are offered as well
    monkeypatch.delenv("FEDGEN_PLUGINS", raising=False)
    shell = ShellComplete(cli, {}, "fedgen-bench", "_FEDGEN_BENCH_COMPLETE")
    assert [one.value for one in shell.get_completions(words, typed)] == offered


def test_completion_loads_nothing_heavy():
    environ = os.environ | {
        "_FEDGEN_BENCH_COMPLETE": "bash_complete", "COMP_WORDS": "fedgen-bench run --suite q", "COMP_CWORD": "3",
    }  # fmt: skip
    code = (
        "import sys, atexit\nfrom fedgen_bench.cli.main import main\nsys.argv = ['fedgen-bench']\n"
        "atexit.register(lambda: print(sorted({'torch', 'pydantic', 'numpy'} & set(sys.modules))))\nmain()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environ)
    assert done.stdout.splitlines()[0] == "plain,quick"
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_package_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "fedgen_bench", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("fedgen-bench, version ")


def test_a_table_fits_the_terminal_and_says_all():
    head = ("kind", "name", "summary")
    rows = [("metric", "a_name_that_is_long", "words " * 30), ("metric", "short", "few")]
    wide = grid(head, rows)
    assert len(wide.splitlines()) == 2 + len(rows)
    narrow = grid(head, rows, 60)
    assert max(map(len, narrow.splitlines())) <= 60
    assert narrow.split().count("words") == 30
    assert "a_name_that_is_long" in narrow
    assert max(map(len, grid(head, rows, 40).splitlines())) <= 40
    assert grid(head, rows, 1000) == wide


def told(monkeypatch, capsys, error, *, environ=""):
    def fail(**_):
        raise error

    monkeypatch.setattr(cli, "main", fail)
    monkeypatch.setenv("FEDGEN_TRACEBACK", environ)
    with pytest.raises(SystemExit) as end:
        entry.main()
    return end.value.code, capsys.readouterr().err


def test_an_error_that_nobody_foresaw_is_one_line_and_says_how_to_see_more(monkeypatch, capsys):
    code, text = told(monkeypatch, capsys, ValueError("odd"))
    assert code == 1
    assert text.startswith("Error: ValueError: odd (test_command_basics.py:")
    assert "FEDGEN_TRACEBACK=1" in text
    assert text.count("\n") == 1
    code, text = told(monkeypatch, capsys, ValueError("odd"), environ="1")
    assert "Traceback" in text


def test_an_error_of_the_system_names_the_path(monkeypatch, capsys):
    monkeypatch.setattr(entry, "_leave_stdout", lambda: None)
    code, text = told(monkeypatch, capsys, PermissionError(13, "Permission denied", "/nowhere/x"))
    assert (code, text.count("\n")) == (1, 1)
    assert text.startswith("Error: /nowhere/x: Permission denied. ")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_standard_output_is_one_line():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "fedgen_bench", "list"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: The output: No space left on device.")
    assert done.stderr.count("\n") == 1


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    done = subprocess.run(
        [sys.executable, "-m", "fedgen_bench", "new-plugin", "--kind", "metric", "own", "--folder", "file/own"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("Error: file/own")
    assert done.stderr.count("\n") == 1


def test_a_suite_with_a_byte_order_mark_is_read_with_its_lines():
    registry = load_registry([toy.__file__], environ={})
    loaded = load_suite(SuiteSource(name="toy", text="\ufeff" + toy.SUITE.lstrip(), path="toy.toml"), registry)
    assert loaded == load_suite(SuiteSource(name="toy", text=toy.SUITE, path="toy.toml"), registry)
    with pytest.raises(UsageError, match=r"toy\.toml:2: "):
        load_suite(
            SuiteSource(name="toy", text="\ufeff[suite]\nnam = 1\n" + toy.SUITE.lstrip()[8:], path="toy.toml"), registry
        )


def params(body):
    scope = {}
    exec("import dataclasses, typing\n@dataclasses.dataclass(frozen=True)\nclass Params:\n" + body, scope)
    return scope["Params"]


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        (StrategySpec(name="one", summary=None, build=print), "summary is NoneType, expected str"),
        (StrategySpec(name="one", summary="", build=print, version=2), "version is int, expected str"),
        (MetricSpec(name="one", summary="", build=print, unit=b""), "unit is bytes, expected str"),
        (
            StrategySpec(name="one", summary="", build=print, params=params("    a: object = object()")),
            "a default of its params cannot be recorded as JSON: Object of type object",
        ),
        (
            StrategySpec(name="one", summary="", build=print, params=params("    a: float = float('nan')")),
            "a default of its params cannot be recorded as JSON",
        ),
        (
            StrategySpec(
                name="one", summary="", build=print,
                params=params("    a: int = 1\n    def __post_init__(self):\n        raise ValueError('never')"),
            ),
            "the defaults of its params are refused: ValueError: never",
        ),
    ],
)  # fmt: skip
def test_a_component_that_cannot_be_listed_is_left_out(spec, problem):
    kind = "metric" if isinstance(spec, MetricSpec) else "strategy"
    assert spec_problem(kind, spec).startswith(f"{kind} `one`: {problem}")


def test_a_suite_without_text_is_left_out():
    assert (
        spec_problem("suite", SuiteSource(name="one", text=None, path=""))
        == "suite `one`: text is NoneType, expected str"
    )


@pytest.mark.parametrize(
    ("kind", "spec", "problem"),
    [
        ("dataset", DatasetSpec(name="one", summary="", files=("a.txt",), licence=""), "files holds something else"),
        ("dataset", DatasetSpec(name="one", summary="", files=FILES * 2, licence=""), "files names one twice"),
        ("dataset", DatasetSpec(name="one", summary="", files=FILES, licence=None), "licence is NoneType"),
        ("backbone", BackboneSpec(name="one", summary="", kind="pairs", folder="here"), "folder is not callable"),
        ("claim", ClaimSpec(name="one", summary="", number=8, judge=print), "number is int, expected str"),
        ("claim", ClaimSpec(name="one", summary="", number="8", judge=None), "judge is not callable"),
    ],
)
def test_what_is_registered_besides_components_is_held_to_its_types(kind, spec, problem):
    assert spec_problem(kind, spec).startswith(f"{kind} `one`: {problem}")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("dataset/ptb", ["dataset ptb (from fedgen-bench", "ptb.valid.txt c9fe6985fe0d", "Licence: Linguistic Data"]),
        ("mini-lm", ["backbone mini-lm (from", "Kind: language_model", "mini_lm/recipe.toml"]),
        ("claim/rank", ["claim rank (from", "Claim 6. Holds when a doubling"]),
        ("fedprox", ["strategy fedprox (version 1, from", "mu = "]),
        ("language_modeling", ["[source]\nThe user's own text.", "split_by: `document` draws", "[loading]\n"]),
    ],
)
def test_show_says_what_there_is_of_each_kind(name, told):
    done = CliRunner().invoke(cli, ["show", name])
    assert done.exit_code == 0, done.output
    assert [one for one in told if one not in done.output] == []


def test_list_shows_what_is_registered_besides_components():
    listed = CliRunner().invoke(cli, ["list", "--json"])
    kinds = {(one["kind"], one["name"]) for one in json.loads(listed.output)["components"]}
    assert {("dataset", "cifar10"), ("backbone", "tiny-wire-lm"), ("claim", "uplink")} <= kinds
