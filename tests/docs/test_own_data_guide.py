"""The how-to on data of one's own, from five text files to a table, done as it says."""

import json
import re
import shutil
from pathlib import Path

import pytest

pytest.importorskip("torch")

import numpy as np
from click.testing import CliRunner
from fedgen_bench_plugins.datasets import tiny_shapes
from PIL import Image

from fedgen_bench import NotReadyError, SeedTree
from fedgen_bench.cli.main import cli
from fedgen_bench.contract.params import make_params
from fedgen_bench.registry.datasets import finder
from fedgen_bench.registry.plugins import load_registry

PAGES = Path(__file__).parents[2] / "docs"
PAGE = (PAGES / "how-to" / "own-data.md").read_text(encoding="utf-8")
TEXT, PICTURES = re.findall(r"^```toml\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(autouse=True)
def in_own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(name, text, *arguments):
    Path(f"{name}.toml").write_text(text, encoding="utf-8")
    words = ["run", "--suite", f"{name}.toml", *arguments, "--device", "cpu", "--jobs", "1"]
    result = CliRunner().invoke(cli, words, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    assert result.return_value == 0, result.output
    return json.loads(Path(f"leaderboards/{name}/results.json").read_text(encoding="utf-8"))["records"]


def test_the_guide_goes_from_five_text_files_to_a_table():
    Path("texts").mkdir()
    for page in ("suites", "engines", "ledger", "claims", "determinism"):
        shutil.copy(PAGES / f"{page}.md", f"texts/{page}.txt")
    records = {one["contender"]: one for one in run("my_suite", TEXT)}
    quality = {name: one["metrics"]["test/perplexity_per_word"] for name, one in records.items()}
    assert quality["fedavg_full"] < quality["frozen"]
    assert quality["fedgen_edge"] < quality["frozen"]
    assert {one["client_rounds"] for one in records.values() if one["contender"] != "frozen"} == {6}
    table = Path("leaderboards/my_suite/table.md").read_text(encoding="utf-8")
    assert table.startswith("# Five texts")
    assert "| 1 | fed" in table


def test_the_guide_reads_a_folder_of_pictures():
    drawn = tiny_shapes.make(640, np.random.Generator(np.random.Philox(key=3)), classes=(0, 1, 2))
    for i, (pixels, label) in enumerate(zip(drawn.pixels, drawn.labels, strict=True)):
        folder = Path("pictures", tiny_shapes.CLASSES[label])
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.transpose(1, 2, 0)).save(folder / f"{i}.png")
    text = PICTURES.replace('"mini-unet"', '"tiny-shapes-unet"')
    (record,) = run("my_pictures", text, "--contender", "fedgen_edge", "--set", "federation.rounds=1")
    assert record["status"] == "done"
    assert record["metrics"]["test/fid_cifarnet"] > 0
    assert record["facts"]["data"].keys() >= {f"image_folder {part}" for part in ("train", "valid", "test")}


def test_the_guide_reads_letters_by_a_plugin():
    Path("letters.txt").write_text(
        "Ida\nDear John\nall is well\n\nJohn\nDear Ida\n\nIda\nI miss you\n\nJohn\nvalid one\n\nIda\ntest one\n",
        encoding="utf-8",
    )
    code = r"Save it as `([a-z_]+\.py)`:\n\n```python\n(.*?)^```"
    name, plugin = re.search(code, PAGE, flags=re.MULTILINE | re.DOTALL).groups()
    Path(name).write_text(plugin, encoding="utf-8")
    spec = load_registry([name], environ={}).get("task", "letters").spec
    params, problems = make_params(spec.params, {"unit_lines": 1})
    assert problems == []
    factory = spec.build(params)
    find = finder(load_registry([], environ={}))
    assert factory.files(find)["source.path"] == Path("letters.txt")
    task = factory.load(find)
    units = task.units(SeedTree("task", "adapter", "partitioner", "strategy", 1))
    assert units.columns["writer"].tolist() == [0, 0, 1, 0]
    assert task.split("test").n_words == 3  # two words and the line's end


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ({}, r"There is no folder or file .*texts, which `path` in \[task\.params\.source\] names\."),
        ({"a": "It was late.\n\n" * 40, "b": "He is well now.\n\n" * 40}, r"Column `document` has 2 values; 5 clients"),
    ],
)
def test_what_is_wrong_with_data_is_told_before_anything_is_trained(texts, said):
    for name, text in texts.items():
        Path("texts").mkdir(exist_ok=True)
        Path(f"texts/{name}.txt").write_text(text, encoding="utf-8")
    with pytest.raises(NotReadyError, match=said):
        run("my_suite", TEXT)
    assert not Path("leaderboards").exists()
