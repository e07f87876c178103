"""New suites: what is written loads as it is, says of every key what it is, and overwrites nothing."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from click.testing import CliRunner

from fedgen_bench.base.docstrings import arguments_of, first_sentence, summary_of
from fedgen_bench.base.errors import UsageError
from fedgen_bench.base.toml_text import toml_value
from fedgen_bench.cli.main import cli
from fedgen_bench.contract.specs import SuiteSource
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.suite.commented import commented
from fedgen_bench.suite.load import load_suite
from fedgen_bench.suite.new_suite import SCHEMA, new_suite
from fedgen_bench.testing import toy

SUITES = sorted(load_registry(environ={}).components["suite"])
HEAD = re.compile(r"\[+[^]]+\]+|#?[\w\"-]+ = .*|#?[\w\"-]+ = \[")


def run(*words):
    return CliRunner().invoke(cli, words, standalone_mode=False)


@pytest.mark.parametrize("name", SUITES)
def test_commented_text_is_the_same_suite(registry, name):
    source = registry.get("suite", name).spec
    text = commented(tomllib.loads(source.toml), registry)
    assert load_suite(SuiteSource(name=name, text=text, path="new.toml"), registry) == load_suite(source, registry)


@pytest.mark.parametrize("like", [None, "ptb", "ptb-rank", "cifar10"])
def test_new_suite_is_one_and_has_the_new_name(registry, like):
    text = new_suite("mine", registry, like)
    suite = load_suite(SuiteSource(name="mine", text=text, path="mine.toml"), registry)
    assert (suite.suite.name, suite.suite.version, suite.suite.notes) == ("mine", 1, "")
    assert text.startswith(f"#:schema ./{SCHEMA}\n")
    if like:
        other = load_suite(registry.get("suite", like).spec, registry)
        assert suite.model_copy(update={"suite": other.suite}) == other


def test_every_table_and_key_has_a_comment_before_it_once(registry):
    lines = new_suite("mine", registry, "ptb").splitlines()
    first_contender = lines.index("[[contender]]")
    second = lines.index("[[contender]]", first_contender + 1)
    for before, line in pairwise(lines[:second]):
        if HEAD.fullmatch(line):
            assert before.startswith("# "), line
    keys = [line for line in lines if re.match(r"#?rank = ", line)]
    assert keys == ["rank = 2"]  # of LoRA, whose parameters are explained where it comes first
    assert lines.count("# r of every target that `ranks` does not name.") == 1
    assert "#dropout = 0.0" in lines
    assert any(line.startswith("# [attack] may be given (name, params, fraction): ") for line in lines)


def test_what_is_left_out_can_be_put_in(registry):
    text = new_suite("mine", registry, "quick")
    given = re.sub(r"^#(?=[\w]+ = )", "", text, flags=re.MULTILINE)
    assert given.count("\n") == text.count("\n") != 0
    assert len(given) < len(text)
    before, after = (
        load_suite(SuiteSource(name="mine", text=one, path="mine.toml"), registry) for one in (text, given)
    )
    assert before.federation == after.federation
    assert before.training == after.training


def test_own_components_are_explained_as_well(registry):
    lines = new_suite("mine", registry, "toy").splitlines()
    assert lines[lines.index("#n_units = 60") - 1] == "# points in the world."
    assert lines[lines.index("#noise = 0.1") - 1] == "# spread around it."


def test_command_writes_the_suite_and_the_schema_and_overwrites_neither(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run("new-suite", "mine")
    assert (done.return_value, done.stdout.split()) == (0, ["mine.toml", SCHEMA]), done.output
    assert run("check", "mine.toml").return_value == 0
    (tmp_path / SCHEMA).write_text("own", encoding="utf-8")
    before = (tmp_path / "mine.toml").read_text(encoding="utf-8")
    assert "mine.toml is there already" in str(run("new-suite", "mine").exception)
    assert run("new-suite", "other", "--like", "mine.toml").stdout.split() == ["other.toml"]
    assert (tmp_path / "mine.toml").read_text(encoding="utf-8") == before
    assert (tmp_path / SCHEMA).read_text(encoding="utf-8") == "own"
    assert 'title = "other, after mine"' in (tmp_path / "other.toml").read_text(encoding="utf-8")
    assert run("new-suite", "far", "--out", "a/b.toml").stdout.split() == ["a/b.toml", f"a/{SCHEMA}"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["Mine"], "`Mine` is no name of a suite. Match "),
        (["quick"], "Suite `quick` is there already, from fedgen-bench. Choose another name."),
        (["mine", "--like", "quik"], "Unknown suite `quik`. Did you mean `quick`?"),
        (["mine", "--like", "none.toml"], "There is no file none.toml."),
        (["mine", "--out", "mine"], "mine does not end in .toml, by which `--suite` knows a file. Name another"),
        (["mine", "--out", "folder.toml"], "folder.toml is there already and nothing is overwritten."),
    ],
)
def test_what_cannot_be_written_is_told(tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.toml").mkdir()
    done = run("new-suite", *words)
    assert isinstance(done.exception, UsageError)
    assert str(done.exception).startswith(message)
    assert [one.name for one in tmp_path.iterdir()] == ["folder.toml"]


@pytest.mark.parametrize(
    "value",
    [
        *(True, 0, -3, 1e-05, 6.25e-05, float("inf"), 'say "x"\n\t\\ \x7f \u00e9', [], {}, [[1, 2], ["a"]]),
        *({"a.b": {"c": [1.5]}, "d": False}, ["long" * 10] * 5, {"grid": [{"x": 1}] * 40}),
    ],
)
def test_values_are_read_back_as_they_were(value):
    assert tomllib.loads(f"value = {toml_value(value)}") == {"value": value}


@dataclass(frozen=True)
class Above:
    """Above.

    Args:
        first, second: of both,
            on two lines. And more: here.
        third: `{a: 1}`.

    Raises:
        ValueError: never.
    """

    first: int = 0
    second: int = 0
    third: int = 0


@dataclass(frozen=True)
class Below(Above):
    """fourth: one sentence. With more. fifth: the last."""

    fourth: int = 0
    fifth: tuple[int, ...] = field(default=())


def test_docstrings_say_what_fields_mean():
    assert summary_of(Above) == "Above."
    assert summary_of(Below) == ""
    both = "of both, on two lines. And more: here."
    assert arguments_of(Above) == {"first": both, "second": both, "third": "`{a: 1}`."}
    assert arguments_of(Below) == {**arguments_of(Above), "fourth": "one sentence. With more.", "fifth": "the last."}
    assert arguments_of(toy.Params)["n_units"] == "points in the world."
    assert first_sentence("One, e.g. this. Two.") == "One, e.g. this."
    assert first_sentence("what is varied: `rank`, ...") == "what is varied: `rank`, ..."
