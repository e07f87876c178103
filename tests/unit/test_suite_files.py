"""Suites of one's own, by the path of a file: every door takes them, and what they publish stands without the file."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

import fedgen_bench
from fedgen_bench.base.errors import FedgenError, SuiteError, UsageError
from fedgen_bench.cli.main import cli
from fedgen_bench.registry.datasets import Places, finder
from fedgen_bench.review.claims.gathering import gather
from fedgen_bench.session import profiling, running
from fedgen_bench.session.session import Session
from fedgen_bench.session.workplace import Workplace
from fedgen_bench.suite.source import suite_source
from fedgen_bench.testing import toy

# A task whose parameter `folder` is a path, found as every path of a suite is.
PLUGIN = '''
from dataclasses import dataclass
from pathlib import Path

from fedgen_bench import DataError, TaskSpec, hookimpl
from fedgen_bench.testing import toy


@dataclass(frozen=True)
class Params:
    """folder: holds `n.txt`, the number of points."""

    folder: str = "points"


@dataclass(frozen=True)
class Points:
    params: Params
    datasets: tuple[str, ...] = ()

    def files(self, find):
        file = find(Path(self.params.folder)) / "n.txt"
        if not file.is_file():
            raise DataError(f"There is no file {file}. Write one.")
        return {"folder": file}

    def load(self, find):
        (file,) = self.files(find).values()
        return toy.LoadedToy(toy.Params(n_units=int(file.read_text())))


@hookimpl
def register_tasks():
    return [TaskSpec(name="points", summary="Points from a folder.", build=Points, params=Params)]
'''
OWN = (
    toy.SUITE.replace('name = "toy"', 'name = "mine"', 1)
    .replace('[task]\nname = "toy"', '[task]\nname = "points"\nparams = { folder = "points" }')
    .replace("leaderboard = [1, 2]", "leaderboard = [1]")
)
DRAWN = "plots,samples,claim_uplink,claim_quality,claim_convergence,claim_stability,claim_personalisation"  # slow here
SWEEP = """
[sweep]
of = "mine"
axis = "batch"
contenders = ["fedgen_edge"]
[[sweep.point]]
value = 2
set = { "training.batch_size" = 2 }
[[sweep.point]]
value = 4
set = { "training.batch_size" = 4 }
"""


def write(folder, text, name="my_suite.toml"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project's folder: a plugin, the suite with its data beside it, a sweep of it, and both run from elsewhere."""
    root = tmp_path_factory.mktemp("project")
    suite = write(root / "suites", OWN)
    write(root / "suites" / "points", "40", "n.txt")
    sweep = write(root / "suites", OWN.replace('"mine"', '"mine-batch"') + SWEEP, "sweep.toml")
    session = Session(
        plugins=[toy.__file__, write(root, PLUGIN, "points.py")],
        runs=root / "runs",
        leaderboards=root / "leaderboards",
        device="cpu",
        jobs=1,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDGEN_BLOCK", DRAWN)
        for file in (suite, sweep):
            session.run(file)
    return root, session


@pytest.fixture
def own(project, tmp_path, monkeypatch):
    """The suite's path, and a session on copies, in an empty working folder."""
    root, session = project
    for name in ("runs", "leaderboards"):
        shutil.copytree(root / name, tmp_path / name)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    monkeypatch.setenv("FEDGEN_BLOCK", DRAWN)
    return root / "suites" / "my_suite.toml", replace(
        session, runs=tmp_path / "runs", leaderboards=tmp_path / "leaderboards"
    )


def test_what_is_done_is_found_again_by_the_file(own):
    file, session = own
    assert session.folder(file) == session.leaderboards / "mine"
    results = session.run(str(file))
    assert (results.ended, results.kept) == ((), None)
    assert session.check_leaderboard(file) == ()
    assert session.claims(file).path == session.leaderboards / "mine" / "claims.md"
    assert session.check_claims(file) == ()
    assert [row["contender"] for row in session.leaderboard(file).table.rows if row["status"] == "done"]
    assert session.compare(file, "fedavg", "fedgen_edge")
    assert session.compare(file, "fedavg", "fedgen_edge") == session.compare(
        file, "fedavg", "fedgen_edge", published=session.leaderboards
    )
    assert session.load(session.runs, file).leaderboard.equals(session.load(session.folder(file)).leaderboard)


@pytest.mark.parametrize("method", ["run", "forecast", "tune", "profile"])
def test_what_runs_cells_looks_for_data_beside_the_file(own, monkeypatch, method):
    file, session = own
    seen = []

    def noted(source, *more, **_):
        seen.extend([source, *(one for one in more if isinstance(one, Workplace))])

    for module, name in ((running, "run"), (running, "forecast"), (running, "tune"), (profiling, "profile")):
        monkeypatch.setattr(module, name, noted)
    getattr(session, method)(file)
    source, place = seen
    assert (source.name, source.path) == ("mine", str(file))
    assert place.data == Places(beside=file.parent)


def test_published_folder_stands_without_the_file(own, tmp_path):
    file, session = own
    folder = shutil.move(session.folder(file), tmp_path / "mine")
    elsewhere = replace(session, leaderboards=tmp_path / "none", runs=tmp_path / "none")
    assert [one.text for one in elsewhere.validate(folder).problems] == []
    with pytest.raises(FedgenError, match=r"There is no file points/n\.txt"):
        elsewhere.reproduce(folder, out=tmp_path / "again")
    data = tmp_path / "data"
    shutil.copytree(file.parent / "points", data / "points")
    assert replace(elsewhere, data=data).reproduce(folder, sample=1, out=tmp_path / "again").reproduced


def test_sweep_of_a_file_is_evidence_for_its_claims(own):
    file, session = own
    evidence = gather(Path(session.leaderboards), "mine", session.registry)
    assert list(evidence.sweeps) == ["batch"]
    assert evidence.sweeps["batch"].axis == (2.0, 4.0)
    (session.folder(file.with_name("sweep.toml")) / "results.json").write_text("{", encoding="utf-8")
    assert not gather(Path(session.leaderboards), "mine", session.registry).sweeps  # another one's mistake


def test_text_of_the_folder_becomes_that_of_the_file(own):
    file, session = own
    changed = write(session.leaderboards, OWN + "# a comment\n", "changed.toml")
    session.remake_leaderboard(changed)
    assert session.check_leaderboard(file) == ()
    assert '"suite_text": ' in (text := (session.folder(file) / "results.json").read_text(encoding="utf-8"))
    assert "# a comment" in text


def test_hint_to_give_results_up_names_the_file(own, tmp_path):
    file, session = own
    fresh = replace(session, runs=tmp_path / "fresh")
    with pytest.raises(fedgen_bench.WouldLoseError, match=f"leaderboard --suite {file} --replace"):
        raise fresh.run(file, contenders=["fedavg"]).kept


def test_suite_of_a_file_has_the_name_of_its_text(registry, tmp_path, monkeypatch):
    file = write(tmp_path, toy.SUITE.replace('"toy"', '"mine"', 1), "other.toml")
    source = suite_source(file, registry)
    assert (source.name, source.beside, source.option) == ("mine", tmp_path, str(file))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert suite_source("~/other.toml", registry).text == source.text


def test_file_of_a_registered_suite_is_that_suite(registry, tmp_path):
    registered = registry.get("suite", "toy").spec
    assert suite_source(write(tmp_path, toy.SUITE), registry) is registered
    file = write(tmp_path, toy.SUITE.replace("rounds = 4", "rounds = 5"))
    with pytest.raises(UsageError, match=r"my_suite.toml:3: suite `toy` is registered already, by file:toy.py, with"):
        suite_source(file, registry)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _: None, "There is no file .*s.toml. Give the path of a suite's .toml file, or"),
        (lambda file: file.mkdir(), "s.toml is a folder"),
        (lambda file: file.write_bytes(b"x = \xff"), "s.toml is no UTF-8 text from byte 4 on. Save it as UTF-8"),
        (lambda file: file.write_bytes(b"#" * (1 << 21)), "s.toml: larger than 1048576 bytes"),
        (lambda file: file.symlink_to("/dev/null"), "s.toml is no plain file"),
        (lambda file: file.symlink_to(file), "s.toml cannot be read \\(Too many levels"),
        (lambda file: file.write_text("a = = 1"), "s.toml: Invalid value \\(at line 1, column 5\\). Mend the TOML"),
        (lambda file: file.write_text(OWN.replace('"mine"', '"../x"')), "s.toml:3: .*string should match pattern"),
        (lambda file: file.write_text("[suite]\nname = 1"), "s.toml:2: `suite.name`: input should be a valid string"),
    ],
)
def test_file_that_is_no_suite_is_told(registry, tmp_path, make, message):
    make(tmp_path / "s.toml")
    with pytest.raises(UsageError, match=message):
        suite_source(tmp_path / "s.toml", registry)
    words = ["run", "--suite", str(tmp_path / "s.toml"), "--runs", str(tmp_path / "runs")]
    assert isinstance(CliRunner().invoke(cli, words).exception, UsageError)
    assert not (tmp_path / "runs").exists()


def test_all_problems_of_a_file_are_told_with_their_lines(registry, tmp_path):
    text = OWN.replace("rounds = 4", "rounds = 0").replace('name = "fedavg" }', 'name = "fedvag" }')
    with pytest.raises(SuiteError) as told:
        suite_source(write(tmp_path, text), registry)
    assert len(told.value.problems) == 3, told.value.problems  # task `points` is not in this registry
    lines = text.splitlines()
    for problem, word in zip(told.value.problems, ("rounds", "points", "fedvag"), strict=True):
        number = int(problem.removeprefix(f"{tmp_path}/my_suite.toml:").partition(":")[0])
        assert word in problem
        assert word in lines[number - 1]


def test_name_without_its_ending_is_told(registry, tmp_path, monkeypatch):
    monkeypatch.chdir(write(tmp_path, OWN).parent)
    with pytest.raises(UsageError, match=r"Unknown suite `my_suite`\. Did you mean the file `my_suite.toml`"):
        suite_source("my_suite", registry)


def test_folder_is_told(registry, tmp_path):
    with pytest.raises(UsageError, match=r"is a folder\. Give the path of a suite's \.toml file, or the name"):
        suite_source(str(tmp_path), registry)


def test_show_and_check_take_the_file(tmp_path):
    file = str(write(tmp_path, toy.SUITE.replace('"toy"', '"mine"', 1)))
    plugin = ["--plugin", toy.__file__]
    assert CliRunner().invoke(cli, ["show", file, *plugin]).output == toy.SUITE.replace('"toy"', '"mine"', 1) + "\n"
    done = CliRunner().invoke(cli, ["check", file, *plugin], standalone_mode=False)
    assert (done.return_value, done.output.splitlines()[0]) == (0, "suite/mine"), done.output
    assert "3 checks: 3 passed, 0 failed" in done.output


def test_files_complete_beside_names(tmp_path, monkeypatch):
    monkeypatch.chdir(write(tmp_path, (OWN + SWEEP).replace('"points"', '"toy"')).parent)
    write(tmp_path / "below", OWN, "quick-own.toml")
    complete = ShellComplete(cli, {}, "fedgen-bench", "_FEDGEN_BENCH_COMPLETE").get_completions

    def offered(words, typed):
        return [one.value for one in complete(words, typed)]

    for words in (["run", "--suite"], ["show"], ["check"], ["export"]):
        assert offered(words, "my") == ["my_suite.toml"]
    assert offered(["run", "--suite"], "below/") == ["below/quick-own.toml"]
    assert offered(["run", "--suite"], "~nobody/") == []
    assert "quick" in offered(["run", "--suite"], "")
    monkeypatch.setenv("FEDGEN_PLUGINS", toy.__file__)
    own = write(tmp_path, toy.SUITE.replace('"toy"', '"mine"', 1), "mine.toml")
    assert offered(["run", "--suite", str(own), "--contender"], "fedg") == ["fedgen_edge"]


def test_paths_of_parameters_begin_beside_the_file(registry, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    beside = finder(registry, Places(beside=tmp_path))
    assert beside(Path("texts")) == tmp_path / "texts"
    assert beside(tmp_path / "texts") == tmp_path / "texts"
    assert beside(Path("~/texts")) == tmp_path / "home" / "texts"
    assert finder(registry)(Path("texts")) == Path("texts")
    given = finder(registry, Places(folder=tmp_path / "data", beside=tmp_path))
    assert given(Path("texts")) == tmp_path / "texts"
    (tmp_path / "data" / "texts").mkdir(parents=True)
    assert given(Path("texts")) == tmp_path / "data" / "texts"


def test_doors_say_that_they_take_a_file():
    context = click.Context(cli)
    for name in ("run", "tune", "profile", "leaderboard", "compare", "claims"):
        (suite,) = [one for one in cli.get_command(context, name).params if one.name == "suite"]
        assert suite.metavar == "NAME|FILE"
