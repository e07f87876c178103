"""The documents' plugins do their work in the toy world."""

import json
import re
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch
from click.testing import CliRunner

from fedgen_bench import RoundContext, Update
from fedgen_bench.cli.main import cli
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.review.validation import validate
from fedgen_bench.testing import contracts_of, toy
from fedgen_bench.testing.toy_federation import SEEDS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")


def example(heading, folder):
    section = PAGE.split(f"\n## `{heading}(", 1)[1].split("\n## ", 1)[0]
    file = folder / f"{heading}.py"
    file.write_text(re.search(r"^```python\n(.*?)^```", section, flags=re.MULTILINE | re.DOTALL)[1], encoding="utf-8")
    return file


def run_toy(file, *arguments):
    plugins = ["--plugin", toy.__file__, "--plugin", str(file), "--device", "cpu", "--jobs", "1"]
    result = CliRunner().invoke(cli, ["run", "--suite", "toy", *plugins, *arguments], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    assert result.return_value == 0, result.output
    return result


def readme_strategy(folder):
    readme = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8").split("Save this as `my_strategy.py`", 1)[1]
    file = folder / "my_strategy.py"
    file.write_text(re.search(r"```python\n(.*?)```", readme, flags=re.DOTALL)[1], encoding="utf-8")
    return file


@pytest.fixture(autouse=True)
def in_own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("sent", "expected"), [([[1.0, 9.0], [3.0, 2.0]], [2.0, 5.5]), ([[1.0, 9.0], [3.0, 2.0], [7.0, 4.0]], [3.0, 4.0])]
)
def test_strategy_of_the_readme_takes_the_median_as_ours_does(sent, expected, tmp_path):
    registry = load_registry([readme_strategy(tmp_path)])
    maps = [{"a": torch.tensor(row)} for row in sent]
    ctx = RoundContext(0, tuple(range(len(maps))), 1, SEEDS)
    for name in ("fedmedian", "median"):
        spec = registry.get("strategy", name).spec
        strategy = spec.build(spec.params())
        got = strategy.aggregate(strategy.init(maps[0], None), (Update(one, 1) for one in maps), ctx).tensors
        assert got["a"].tolist() == expected, name


def test_validate_says_how_to_name_the_plugin_file_that_a_run_was_made_with(tmp_path):
    file = readme_strategy(tmp_path)
    run_toy(file)
    without = validate(Path("leaderboards/toy"), load_registry([toy.__file__])).problems
    assert [one.text for one in without] == [
        f"results.json, fedmedian/{seed}: its strategy `fedmedian` is not installed here. The records say it is of "
        "file:my_strategy.py. Its configuration was not compared; give the file with `--plugin my_strategy.py` to "
        "compare it."
        for seed in (1, 2)
    ]
    assert validate(Path("leaderboards/toy"), load_registry([toy.__file__, file])).problems == ()


def test_strategy_example_becomes_a_contender(tmp_path):
    run_toy(example("register_strategies", tmp_path), "--contender", "momentum")
    records = json.loads(Path("leaderboards/toy/results.json").read_text())["records"]
    assert [(one["contender"], one["status"]) for one in records] == [("momentum", "done")] * 2


@pytest.mark.parametrize(
    ("heading", "settings"),
    [
        ("register_adapters", ["contender.fedavg.adapter={name='by_ending',params={ending='weight'}}"]),
        ("register_partitioners", ["partitioner.name=round_robin", "partitioner.params={}"]),
    ],
)
def test_component_example_runs(heading, settings, tmp_path):
    overrides = [word for one in settings for word in ("--set", one)]
    run_toy(example(heading, tmp_path), "--contender", "fedavg", "--seed", "1", *overrides)


def test_adapter_example_keeps_its_contracts(tmp_path):
    registry = load_registry([example("register_adapters", tmp_path)])
    contracts = list(contracts_of(registry, names={"by_ending"}))
    assert contracts
    for contract in contracts:
        contract()


def test_metric_example_computes(tmp_path):
    spec = load_registry([example("register_metrics", tmp_path)]).get("metric", "nats_per_word").spec
    assert spec.build(spec.params()).compute({"nll_nats": 6.0, "n_words": 4.0}) == 1.5


def test_table_format_example_is_written(tmp_path):
    run_toy(example("register_table_formats", tmp_path), "--contender", "fedavg", "--seed", "1")
    assert "<td>fedavg</td>" in Path("leaderboards/toy/short.html").read_text()


def test_observer_example_sees_every_round(tmp_path):
    run_toy(example("after_round", tmp_path), "--contender", "fedavg", "--seed", "1")
    lines = [json.loads(line) for line in Path("rounds.jsonl").read_text().splitlines()]
    assert [line.get("round", line.get("status")) for line in lines] == [0, 1, 2, 3, "done"]
