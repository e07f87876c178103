"""One front door: functions, session and commands agree, and what a session returns is what is published."""

from __future__ import annotations

import dataclasses
import inspect
import re
import shutil
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import fedgen_bench
from fedgen_bench.base import errors
from fedgen_bench.base.errors import UsageError
from fedgen_bench.cli.main import cli
from fedgen_bench.session.session import Session

PUBLISHED = Path(__file__).parents[2] / "leaderboards"
SUITE = ["--suite", "quick"]
DOORS = {
    "run": (fedgen_bench.run_suite, SUITE),
    "tune": (fedgen_bench.tune, SUITE),
    "profile": (fedgen_bench.profile, SUITE),
    "reproduce": (fedgen_bench.reproduce, ["folder"]),
    "validate": (fedgen_bench.validate, ["folder"]),
    "claims": (fedgen_bench.claims, SUITE),
    "leaderboard": (fedgen_bench.leaderboard, SUITE),
    "export": (fedgen_bench.export, ["quick", "fedgen_edge", "--out", "folder"]),
    "compare": (fedgen_bench.compare, [*SUITE, "first", "second"]),
}
RENAMED = {"path": "folder", "published": "leaderboards"}
METHODS = {"dry_run", "verbose", "check", "from_results"}  # of a session, or its arguments


@pytest.mark.parametrize("name", DOORS)
def test_function_takes_what_the_command_takes_with_the_same_defaults(name):
    function, words = DOORS[name]
    group = click.Context(cli, **cli.context_settings)  # its names of the help option are the commands' as well
    command = cli.get_command(group, name)
    required = {RENAMED.get(one.name, one.name) for one in command.params if one.required}
    taken = {
        RENAMED.get(key, key): value
        for key, value in command.make_context(name, list(words), parent=group).params.items()
    }
    given = {one.name: one.default for one in inspect.signature(function).parameters.values()}
    assert {key for key, default in given.items() if default is inspect.Parameter.empty} == required
    expected = {key: value for key, value in taken.items() if key not in required | METHODS}
    ours = {key: default for key, default in given.items() if key not in required | {"on_event"}}
    assert {key: str(one) if isinstance(one, Path) else one for key, one in expected.items()} == ours


def test_session_has_the_same_defaults_as_the_functions():
    own = vars(Session())
    for function, _ in DOORS.values():
        for name, one in inspect.signature(function).parameters.items():
            if name in own and function is not fedgen_bench.compare:  # which reads the store when no folder is given
                assert one.default == own[name], (function.__name__, name)


def test_names_of_the_package_are_the_front_doors_functions():
    for name in fedgen_bench.__all__:
        assert getattr(fedgen_bench, name) is not None
    assert fedgen_bench.Session is Session
    with pytest.raises(AttributeError, match="has no attribute `runs`"):
        _ = fedgen_bench.runs


@pytest.fixture
def session(tmp_path):
    shutil.copytree(PUBLISHED / "ptb-alpha", tmp_path / "ptb-alpha")
    return Session(leaderboards=tmp_path, runs=tmp_path / "runs")


def test_check_names_what_is_not_as_published(session):
    assert session.check_leaderboard("ptb-alpha") == ()
    (session.folder("ptb-alpha") / "table.md").write_text("other\n", encoding="utf-8")
    assert session.check_leaderboard("ptb-alpha") == ("table.md",)


def test_compare_is_one_thing_from_session_results_and_command(session):
    names = ("frozen", "fedgen_edge@alpha=10")
    found = session.compare("ptb-alpha", *names, published=session.leaderboards)
    assert found
    assert all(one.low <= one.difference <= one.high and one.n_seeds > 1 for one in found)
    frame = session.load(session.folder("ptb-alpha")).compare(*names)
    assert [tuple(row) for row in frame.itertuples(index=False)] == [dataclasses.astuple(one) for one in found]
    words = ["compare", "--suite", "ptb-alpha", "--leaderboards", str(session.leaderboards), *names]
    lines = CliRunner().invoke(cli, words).output.splitlines()[2:]
    assert [line.split()[3] for line in lines] == [f"{one.difference:+.4g}" for one in found]
    with pytest.raises(UsageError, match="Did you mean `frozen`"):
        session.compare("ptb-alpha", "frosen", "frozen", published=session.leaderboards)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda at: at.reproduce(at.folder("ptb-alpha"), sample=0), "A sample of 0 cells is none"),
        (lambda at: dataclasses.replace(at, jobs=0).run("ptb-alpha"), "0 worker processes run nothing"),
        (lambda at: dataclasses.replace(at, device="tpu").run("ptb-alpha"), "Unknown device `tpu`"),
    ],
)
def test_values_that_do_not_fit_are_told_before_anything_runs(session, wrong, message):
    with pytest.raises(UsageError, match=message):
        wrong(session)


def test_unknown_suite_is_told_by_every_method(session):
    for method in (session.run, session.tune, session.claims, session.leaderboard, session.forecast, session.folder):
        with pytest.raises(UsageError, match="Did you mean `ptb-alpha`"):
            method("ptb-alpa")


def test_tree_of_errors_on_the_page_is_the_tree_of_the_code():
    page = (PUBLISHED.parent / "docs" / "python-api.md").read_text(encoding="utf-8")
    lines = re.search(r"```text\n(FedgenError.*?)```", page, flags=re.DOTALL)[1].splitlines()
    above = {}
    for line in lines:
        name = re.search(r"\w+", line)
        depth = name.start() // 4
        above[depth] = getattr(errors, name[0])
        if depth:
            assert above[depth].__bases__ == (above[depth - 1],), name[0]
    assert len(lines) > 8
