"""Every command on the toy world: options, exit codes, what goes to stdout, what to stderr, what is written."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import fedgen_bench
from fedgen_bench.registry.kinds import KINDS
from fedgen_bench.testing import toy

TOY = ("--suite", "toy", "--plugin", toy.__file__)
HEAVY = set("torch transformers peft pydantic pandas sklearn matplotlib numpy scipy pyarrow".split())
PICKLING = (
    "import pickle", "from pickle", "torch.load", "torch.save", "pickle.load", "import joblib", "from joblib",
    "allow_pickle=True",
)  # fmt: skip
TENSORS_ONLY = {
    'found = torch.load(path, map_location="cpu", weights_only=True)',
    "torch.save(tensors, content)",  # of our own tensors, in memory, for a constructor that takes nothing else
}
STRATEGY = '''
"""A method in one file: FedAvg that goes only half of the way."""
from dataclasses import dataclass

from fedgen_bench import Fit, Payload, StrategySpec, Update, hookimpl, weighted_mean


@dataclass(frozen=True)
class Params:
    """share: how far the server goes."""

    share: float = 0.5


class Half:
    """x <- x + share (mean - x)."""

    def __init__(self, params):
        self.params = params

    def init(self, start, ctx):
        return start

    def send(self, state, ctx):
        return Payload(state)

    def client(self, payload, ctx):
        fit = yield Fit(start=payload.tensors)
        return Update(fit.tensors, fit.n_examples)

    def aggregate(self, state, updates, ctx):
        mean = weighted_mean(updates)
        return {name: state[name].lerp(mean[name], self.params.share) for name in state}

    def export(self, state, ctx):
        return state


@hookimpl
def register_strategies():
    return [StrategySpec(name="half", summary="Half of the way.", build=Half, params=Params)]
'''


def cells(root):
    return list((root / "runs" / "cells").iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--suite", "quik"], "Unknown suite `quik`. Did you mean `quick`?"),
        (["run", "--suite", "../quick"], "Unknown suite `../quick`."),
        (["run", *TOY, "--contender", "fedgen_egde"], "Unknown contender `fedgen_egde`. Did you mean `fedgen_edge`?"),
        (["run", *TOY, "--set", "federation.round=3"], "round"),
        (["run", *TOY, "--set", "federation.rounds=none"], "federation.rounds"),
        (["run", *TOY, "--jobs", "0"], "--jobs"),
        (["run", *TOY, "--engine", "proceses"], "Unknown engine `proceses`. Did you mean `processes`?"),
        (["run", *TOY, "--address", "a:1"], "Engine `local` has no address. Leave `--address` out or use `ray`."),
        (["run", *TOY, "--device", "gpu"], "--device"),
        (["run", *TOY, "--sed", "1"], "No such option"),
        (["run", "--suite", "toy", "--plugin", "nowhere.py"], "nowhere.py"),
        (["run"], "--suite"),
        (["rum"], "Unknown command `rum`. Did you mean `run`?"),
        (["list", "strategys"], "Unknown kind `strategys`. Did you mean `strategy`?"),
        (["show", "fedpox"], "Unknown component `fedpox`. Did you mean `fedprox`?"),
        (["show", "strategie/fedprox"], "Unknown kind `strategie`. Did you mean `strategy`?"),
        (["tune", *TOY, "--contender", "fedavgg"], "Unknown tuned contender `fedavgg`. Did you mean `fedavg`?"),
        (["tune", "--suite", "quick"], "has no [tuning] table"),
        (["leaderboard", *TOY, "--check"], "holds no results.json"),
        (["data", "fetch", "ptbb"], "Unknown data set or backbone `ptbb`. Did you mean `ptb`?"),
    ],
    ids=lambda value: " ".join(Path(one).name for one in value) if isinstance(value, list) else "",
)
def test_commands_on_unknown_names_give_exit_code_2_and_write_nothing(arguments, message, fedgen, tmp_path):
    done = fedgen(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_compare_without_a_store_is_a_clear_error(fedgen, tmp_path):
    done = fedgen("compare", *TOY, "fedavg", "fedgen_edge")
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        done.stderr
        == "Error: There is no results store in runs. Run a suite first, or name the folder with `--runs`.\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_run_with_contender_and_seed_runs_those_cells_only(fedgen, tmp_path):
    done = fedgen("run", *TOY, "--contender", "fedavg", "--contender", "local_only", "--seed", "2", "--jobs", "1")
    assert done.returncode == 0, done.stderr
    assert len(cells(tmp_path)) == 2
    assert "toy/fedavg/2: done" in done.stderr
    assert "toy/local_only/2: done" in done.stderr
    rows = {line.split()[1]: line.split() for line in done.stdout.splitlines()[3:]}
    assert {name: (row[0], row[-1]) for name, row in rows.items()} == {
        "fedavg": ("-", "incomplete"),
        "local_only": ("-", "incomplete"),
    }


def test_run_with_set_is_shown_and_never_ranked(fedgen, tmp_path):
    fedgen("run", *TOY, "--jobs", "1")
    ranked = (tmp_path / "leaderboards" / "toy" / "table.csv").read_text(encoding="utf-8").splitlines()
    done = fedgen("run", *TOY, "--jobs", "1", "--contender", "fedavg", "--set", "federation.rounds=8")
    assert done.returncode == 0, done.stderr
    table = (tmp_path / "leaderboards" / "toy" / "table.csv").read_text(encoding="utf-8").splitlines()
    assert set(ranked) < set(table)
    (row,) = set(table) - set(ranked)
    assert row.startswith(",")
    assert "off-suite" in row
    assert "federation.rounds=8" in row


def messages(root):
    with contextlib.closing(sqlite3.connect(root / "runs" / "fedgen.sqlite")) as db:
        rows = db.execute(
            "SELECT suite || '/' || contender || '/' || seed, direction, sum(encoded_bytes) FROM ledger "
            "JOIN runs ON identity = run GROUP BY 1, 2"
        )
        return {(name, direction): total for name, direction, total in rows}


def test_run_dry_tells_the_exact_bytes_and_writes_nothing(fedgen, tmp_path):
    dry = fedgen("run", *TOY, "--dry-run")
    assert (dry.returncode, dry.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []
    lines = dry.stdout.splitlines()
    told = {}
    for line in lines[2:10]:
        run, rounds, steps, down, _, up, _, *_ = line.split()
        told[run, "down"], told[run, "up"] = int(down.replace(",", "")), int(up.replace(",", ""))
        assert rounds == "4"
        assert steps == str(4 * 3 * 2)
    assert lines[-1].startswith("8 cells, ")
    costs = lines[lines.index("Costs of training (docs/costs.md):") + 3 : -2]
    assert [line.split()[0] for line in costs] == ["fedgen_edge", "fedavg", "local_only", "centralized"]
    assert fedgen("run", *TOY, "--jobs", "1").returncode == 0
    assert {key: total for key, total in told.items() if total} == messages(tmp_path)


def test_run_with_a_plugin_file_ranks_it_in_the_same_table(fedgen, tmp_path):
    plugin = tmp_path / "my_strategy.py"
    plugin.write_text(STRATEGY, encoding="utf-8")
    done = fedgen("run", *TOY, "--plugin", str(plugin), "--jobs", "2")
    assert done.returncode == 0, done.stderr
    rows = {line.split()[1]: line.split() for line in done.stdout.splitlines()[3:]}
    assert {rows[name][0] for name in ("fedgen_edge", "fedavg", "half")} == {"1", "2", "3"}
    assert rows["half"][-1] == "done"
    results = json.loads((tmp_path / "leaderboards" / "toy" / "results.json").read_text(encoding="utf-8"))
    records = {(one["contender"], one["seed"]): one for one in results["records"]}
    for seed in (1, 2):
        half = records["half", seed]
        assert half["provenance"]["strategy"]["source_sha256"] == hashlib.sha256(plugin.read_bytes()).hexdigest()
        assert half["config"]["contender"]["strategy"]["params"] == {"share": 0.5}
        assert half["digests"]["batches"] == records["fedavg", seed]["digests"]["batches"]
        assert half["bytes"]["up"]["tensors"] == records["fedavg", seed]["bytes"]["up"]["tensors"]


def test_list_names_every_component_with_its_origin(fedgen):
    done = fedgen("list", "strategy", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    listed = json.loads(done.stdout)
    names = {one["name"]: one for one in listed["components"]}
    assert {"fedavg", "fedprox", "fedgen_edge", "frozen", "local_only", "centralized"} <= set(names)
    assert {one["kind"] for one in names.values()} == {"strategy"}
    assert names["fedprox"]["params"] == {"mu": 0.01}
    assert {one["distribution"] for one in names.values()} == {"fedgen-bench"}
    assert listed["failures"] == []


def test_list_prints_a_line_for_every_component_of_every_kind(fedgen):
    listed = json.loads(fedgen("list", "--json").stdout)["components"]
    done = fedgen("list")
    lines = [line.split()[:2] for line in done.stdout.splitlines()[2:]]
    assert lines == [[one["kind"], one["name"]] for one in listed]
    assert {kind for kind, _ in lines} == set(KINDS)


def test_list_with_a_plugin_file_that_cannot_be_imported_is_a_clear_error(fedgen, tmp_path):
    (tmp_path / "broken.py").write_text("import nothing_of_that_name\n", encoding="utf-8")
    done = fedgen("list", "--plugin", "broken.py")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: Plugin file broken.py cannot be imported: ModuleNotFoundError: ")
    assert "nothing_of_that_name" in done.stderr


def test_show_tells_documentation_and_parameters(fedgen):
    done = fedgen("show", "fedprox")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("strategy fedprox (version 1, from fedgen-bench ")
    assert "mu = 0.01" in done.stdout
    assert "1812.06127" in done.stdout


def test_show_prints_a_suite_as_it_is(fedgen):
    done = fedgen("show", "suite/toy", "--plugin", toy.__file__)
    assert done.stdout == toy.SUITE + "\n"


def test_show_prints_a_suite_alone_and_says_what_else_has_its_name(fedgen):
    done = fedgen("show", "ptb")
    assert done.stdout == fedgen("show", "suite/ptb").stdout
    assert tomllib.loads(done.stdout)["suite"]["name"] == "ptb"
    assert done.stderr == "There is a dataset of this name, too: `fedgen-bench show dataset/ptb`.\n"


def test_data_fetch_knows_the_plugins_that_the_group_was_given(fedgen, tmp_path):
    (tmp_path / "own.py").write_text(
        "from fedgen_bench import DataFile, DatasetSpec, hookimpl\n\n@hookimpl\ndef register_datasets():\n"
        "    return [DatasetSpec(name='own', summary='', files=(DataFile(path='x.txt'),), licence='none')]\n"
    )
    for words in (["data", "--plugin", "own.py", "fetch", "own"], ["data", "fetch", "--plugin", "own.py", "own"]):
        assert "Unknown" not in fedgen(*words).stderr


def test_tune_writes_a_table_with_one_choice_a_contender(fedgen, tmp_path):
    done = fedgen("tune", *TOY, "--jobs", "1")
    assert done.returncode == 0, done.stderr
    assert done.stdout == (tmp_path / "leaderboards" / "toy" / "tuning.csv").read_text(encoding="utf-8")
    lines = done.stdout.splitlines()
    assert len(lines) == 1 + 4
    again = fedgen("tune", *TOY, "--jobs", "1")
    assert again.stdout == done.stdout
    assert again.stderr.count("done already") == 4
    board = fedgen("leaderboard", *TOY)
    assert "fedavg" not in board.stdout  # trials are no results


def test_data_lists_where_each_set_is(fedgen):
    done = fedgen("data")
    assert done.returncode == 0
    assert done.stdout.splitlines()[0].split() == ["name", "state", "where", "what"]
    assert {"beige-book", "ptb"} <= {line.split()[0] for line in done.stdout.splitlines()}


def test_env_prints_what_results_record(fedgen):
    done = fedgen("env", "--device", "cpu")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["device"] == "cpu"
    assert {"python", "processor", "instruction_set", "libraries", "commit", "cache"} <= set(found)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["new-plugin", "--help"],
        ["check", "--help"],
        ["list"],
        ["list", "--json"],
        ["show", "fedprox"],
        ["run", "--help"],
        ["site", "--help"],
        ["data"],
    ],
    ids=" ".join,
)
def test_commands_that_only_tell_import_nothing_heavy(arguments):
    code = (
        "import sys\nfrom fedgen_bench.cli.main import main\n"
        f"sys.argv = ['fedgen-bench', *{arguments!r}]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"
    assert done.stdout


def test_shipped_code_has_no_pickle():
    import fedgen_bench_baselines
    import fedgen_bench_plugins

    found = []
    for package in (fedgen_bench, fedgen_bench_plugins, fedgen_bench_baselines):
        files = list(Path(package.__file__).parent.rglob("*.py"))
        assert files
        for path in files:
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
                if any(word in line for word in PICKLING) and line.strip() not in TENSORS_ONLY:
                    found.append(f"{path.name}:{number}: {line}")
    assert found == []
