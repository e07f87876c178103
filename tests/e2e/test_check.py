"""`check` on components, files and distributions: what it prints, and its exit codes."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from fedgen_bench.base.errors import UsageError
from fedgen_bench.cli.main import cli
from fedgen_bench.testing import toy

PARTITIONERS = """
from fedgen_bench import NoParams, PartitionerSpec, hookimpl


class Dealt:
    def __init__(self, params: NoParams):
        pass

    def split(self, units, n_clients, rng):
        import numpy as np

        return [np.arange(first, units.n_units, n_clients) for first in range(n_clients)]


class Overlapping(Dealt):
    def split(self, units, n_clients, rng):
        import numpy as np

        return [np.arange(units.n_units) for _ in range(n_clients)]


@hookimpl
def register_partitioners():
    return [
        PartitionerSpec(name="dealt", summary="", build=Dealt),
        PartitionerSpec(name="overlapping", summary="", build=Overlapping),
        PartitionerSpec(name="Wrong Name", summary="", build=Dealt),
    ]
"""


def check(*arguments):
    result = CliRunner().invoke(cli, ["check", *arguments], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.return_value, result.output.splitlines()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "parts.py"
    path.write_text(PARTITIONERS, encoding="utf-8")
    return str(path)


def test_check_of_a_component_says_what_holds():
    code, lines = check("iid")
    assert code == 0
    assert lines[0] == "partitioner/iid"
    assert (
        "  passed           check_valid: Parts are ascending, disjoint and in range, for several sizes and keys."
        in lines
    )
    assert lines[-1] == "7 checks: 7 passed, 0 failed"


def test_check_shows_a_declared_exception_with_its_reason():
    code, lines = check("partitioner/natural")
    assert code == 0
    assert sum(line.startswith("  known exception  check_more_clients_than_") for line in lines) == 2
    assert lines.count(" " * 19 + "clients are the values of a column; it refuses to invent others") == 2
    assert lines[-1] == "7 checks: 5 passed, 0 failed, 2 known exception"


def test_check_of_a_file_checks_all_of_it_and_fails_on_what_does_not_hold(file):
    code, lines = check(file)
    assert code == 1
    assert lines[0].startswith("FAILED  ")
    assert "'Wrong Name' does not match" in lines[0]
    assert [line for line in lines if line.startswith("partitioner/")] == [
        "partitioner/dealt",
        "partitioner/overlapping",
    ]
    failed = lines.index(next(line for line in lines if line.startswith("  FAILED")))
    assert lines[failed + 1].strip() == f"{file}:16: a unit belongs to two clients"
    assert lines[-1] == "15 checks: 9 passed, 2 failed, 4 not run"


def test_check_of_one_component_of_a_file(file):
    code, lines = check("dealt", "--plugin", file)
    assert (code, lines[-1]) == (0, "7 checks: 7 passed, 0 failed")


def test_check_list_runs_nothing(file):
    code, lines = check("overlapping", "--plugin", file, "--list")
    assert code == 0
    assert lines[0].split() == ["component", "check", "what", "must", "hold"]
    assert len(lines) == 2 + 7


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("fedpox", "Unknown component, file or distribution `fedpox`. Did you mean `fedprox`?"),
        ("fedgen-bensh", "Did you mean `fedgen-bench`?"),
        ("strategie/fedprox", "Unknown kind `strategie`. Did you mean `strategy`?"),
        ("nowhere.py", "nowhere.py does not exist"),
    ],
)
def test_check_of_what_is_not_there_is_wrong_usage(target, message):
    with pytest.raises(UsageError) as caught:
        check(target)
    assert message in str(caught.value)
    assert caught.value.exit_code == 2


def test_check_of_the_toy_world_passes():
    code, lines = check(toy.__file__)
    assert code == 0, lines
    assert [line for line in lines if "/" in line.split(" ")[0]] == ["task/toy", "metric/toy_loss", "suite/toy"]


def test_check_of_a_suite_tells_all_its_problems_at_once(tmp_path):
    text = (
        toy.SUITE.replace('name = "toy"', 'name = "mine"', 1).replace("rounds = 4", "roundz = 4").replace("0.5", '"x"')
    )
    (tmp_path / "suite.py").write_text(
        "from fedgen_bench import SuiteSource, hookimpl\n\n\n@hookimpl\ndef register_suites():\n"
        f"    return [SuiteSource(name='mine', text={text!r}, path='mine.toml')]\n",
        encoding="utf-8",
    )
    code, lines = check(str(tmp_path / "suite.py"), "--plugin", toy.__file__)
    assert code == 1
    assert sum(line.strip().startswith("mine.toml:") for line in lines) >= 2
    assert lines[-1] == "3 checks: 0 passed, 1 failed, 2 not run"


def test_check_of_a_suite_and_of_an_observer():
    code, lines = check("suite/toy", "--plugin", toy.__file__)
    assert (code, lines[-1]) == (0, "3 checks: 3 passed, 0 failed")
    code, lines = check("observer/log")
    assert code == 0, lines
    assert lines[0] == "observer/log"


TRIED = """
from dataclasses import dataclass

from fedgen_bench import CompressorSpec, PartitionerSpec, hookimpl


@dataclass(frozen=True)
class Params:
    usable: bool = False


class Dealt:
    error_feedback = False

    def __init__(self, params):
        if not params.usable:
            raise FileNotFoundError("a file that is not there")

    def split(self, units, n_clients, rng):
        import numpy as np

        return [np.arange(first, units.n_units, n_clients) for first in range(n_clients)]

    def compress(self, tensors):
        return dict(tensors)

    def decompress(self, tensors, like):
        return {name: tensors[name] for name in like}


@hookimpl
def register_partitioners():
    return [PartitionerSpec(name="mine", summary="", build=Dealt, params=Params, trial={"usable": True})]


@hookimpl
def register_compressors():
    return [CompressorSpec(name="mine", summary="", build=Dealt, params=Params, trial={"usable": True})]
"""


def test_trial_counts_for_every_kind(tmp_path):
    (tmp_path / "tried.py").write_text(TRIED, encoding="utf-8")
    code, lines = check(str(tmp_path / "tried.py"))
    assert code == 0, lines


LEAKY = """
from fedgen_bench import TaskSpec, hookimpl
from fedgen_bench.testing.toy import LoadedToy, Params, Toy


class Leaky(LoadedToy):
    def new_module(self):
        import torch

        module = super().new_module()
        module.add_module("norm", torch.nn.BatchNorm1d(3, affine=False))
        return module.eval()

    def loss(self, module, batch, generator):
        module.remembered = getattr(module, "remembered", 0) + len(batch["x"])
        return super().loss(module, {"x": module.norm(batch["x"])}, generator)

    def observe(self, module, data, seeds):
        found = super().observe(module, data, seeds)
        return {**found, "loss": found["loss"] + getattr(module, "remembered", 0)}


class Factory(Toy):
    def load(self, find):
        return Leaky(self.params)


@hookimpl
def register_tasks():
    return [TaskSpec(name="leaky", summary="", build=Factory, params=Params)]
"""


def test_check_of_a_task_whose_evaluation_moves_batch_norm_says_so(tmp_path):
    text = LEAKY[: LEAKY.index("        module.remembered")] + LEAKY[LEAKY.index("        return super().loss") :]
    text = text.replace(
        "found = super()",
        "module.norm.train()(data.repeat(2, 1).to(module.norm.running_mean.device))\n        found = super()",
    )
    text = text.replace(' + getattr(module, "remembered", 0)', "")
    (tmp_path / "moving.py").write_text(text, encoding="utf-8")
    code, lines = check(str(tmp_path / "moving.py"))
    assert code == 1
    assert sum("FAILED" in line for line in lines) == 1, lines
    assert any("observe changed the module" in line for line in lines), lines


def test_check_of_a_task_whose_module_remembers_training_says_so(tmp_path):
    (tmp_path / "leaky.py").write_text(LEAKY, encoding="utf-8")
    code, lines = check(str(tmp_path / "leaky.py"))
    assert code == 1
    assert sum("FAILED" in line for line in lines) == 1, lines
    assert any("the module remembers that it was trained" in line for line in lines)
