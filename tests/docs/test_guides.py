"""The how-to pages' plugins keep their contracts and do what the pages say."""

import json
import re
from pathlib import Path

import pytest

pytest.importorskip("torch")

from click.testing import CliRunner

from fedgen_bench.base.errors import DataError, MissingDataError
from fedgen_bench.cli.main import cli
from fedgen_bench.registry.datasets import finder, places
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.testing import contracts_of, toy

GUIDES = Path(__file__).parents[2] / "docs" / "how-to"


@pytest.fixture(autouse=True)
def in_own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def plugin_of(page):
    """The page's plugin, under the name that the page gives it."""
    text = (GUIDES / f"{page}.md").read_text(encoding="utf-8")
    name, code = re.search(
        r"Save it as `([a-z_]+\.py)`:\n\n```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL
    ).groups()
    Path(name).write_text(code, encoding="utf-8")
    return name


def run(suite, *arguments):
    words = ["run", "--suite", suite, "--plugin", toy.__file__, *arguments, "--device", "cpu", "--jobs", "1"]
    result = CliRunner().invoke(cli, words, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    assert result.return_value == 0, result.output
    return json.loads(Path(f"leaderboards/{suite}/results.json").read_text(encoding="utf-8"))["records"]


def test_every_guide_has_a_test():
    assert {page.stem for page in GUIDES.glob("*.md")} == {
        "adapter", "backbone", "partitioner", "task", "metric", "tracker", "compressor", "profile", "export",
        "own-data", "submit",
    }  # fmt: skip


def test_profile_guide_names_every_phase():
    sources = (GUIDES.parents[1] / "fedgen_bench").rglob("*.py")
    phases = {name for file in sources for name in re.findall(r'\bspan\("([^"]+)"', file.read_text(encoding="utf-8"))}
    page = (GUIDES / "profile.md").read_text(encoding="utf-8")
    assert {"fit", "gate", "commit"} <= phases
    assert {name for name in phases if f"`{name}`" not in page} == set()


@pytest.mark.parametrize("page", ["adapter", "partitioner", "task", "metric"])
def test_guide_keeps_its_contract(page):
    file = plugin_of(page)
    checks = list(contracts_of(load_registry([file], environ={}), names={Path(file).stem}))
    assert len(checks) > (1 if page != "metric" else 0)
    for check in checks:
        check()


def test_adapter_guide_trains_the_shifts_alone():
    registry = load_registry([plugin_of("adapter")], environ={})
    from fedgen_bench.testing.adapters import attach
    from fedgen_bench.testing.backbones import ground_of

    adapted = attach(registry.get("adapter", "output_shift").spec, ground_of(registry, "language_model"))
    config = adapted.module.config
    assert sum(one.numel() for one in adapted.trainable.values()) == config.n_layer * config.n_embd


def test_partitioner_guide_gives_few_labels():
    import numpy as np

    from fedgen_bench import UnitTable

    spec = load_registry([plugin_of("partitioner")], environ={}).get("partitioner", "few_labels").spec
    labels = np.arange(60) % 6
    parts = spec.build(spec.params()).split(UnitTable(60, {"label": labels}), 6, np.random.default_rng(1))
    assert sorted(np.concatenate(parts)) == list(range(60))
    # Client k asks for places 2k and 2k + 1 of 6, so three clients' pairs cover all labels, and two share each of them.
    assert [(len(part), len(set(labels[part]))) for part in parts] == [(10, 2)] * 6


def test_backbone_guide_makes_a_backbone_from_a_data_set(monkeypatch):
    monkeypatch.setenv("FEDGEN_CACHE", str(Path("cache").absolute()))
    registry = load_registry([plugin_of("backbone")], environ={})
    Path("our.gguf").write_bytes(b"some")
    with pytest.raises(MissingDataError, match="`fedgen-bench data fetch our-lm-gguf`"):
        finder(registry)("our-lm")
    with pytest.raises(DataError, match=r"our\.gguf is no GGUF file"):
        finder(registry, places(registry, None, {"our-lm-gguf": "our.gguf"}))("our-lm")


def test_metric_guide_is_the_inverse_of_perplexity():
    spec = load_registry([plugin_of("metric")], environ={}).get("metric", "word_probability").spec
    # ln 8 nats for 3 words is a factor of 2 a word.
    evidence = {"nll_nats": 2.0794415416798357, "n_words": 3.0}
    assert spec.build(spec.params()).compute(evidence) == pytest.approx(0.5)


def test_task_guide_learns():
    records = run("letters", "--plugin", plugin_of("task"), "--seed", "1")
    quality = {one["contender"]: one["metrics"]["test/perplexity_per_word"] for one in records}
    assert quality["frozen"] == pytest.approx(26, abs=1e-3)  # all 26 letters alike
    # Four styles, two steps each: 1, 2, 2, 3, 3, 4, 4, 5. A model without the style can reach about 5.
    assert 4 < quality["fedavg"] < 20


def test_tracker_guide_writes_every_round():
    (record,) = run("toy", "--plugin", plugin_of("tracker"), "--contender", "fedavg", "--seed", "1")
    folder = Path("scalars/toy/fedavg/1")
    rows = {
        file.stem: [line.split(",") for line in file.read_text(encoding="utf-8").splitlines()]
        for file in folder.iterdir()
    }
    assert {"loss", "uplink_bytes", "valid-toy_loss", "final-test-toy_loss"} <= set(rows)
    assert [step for step, _ in rows["loss"]] == ["0", "1", "2", "3"]
    assert sum(int(value) for _, value in rows["uplink_bytes"]) == record["bytes"]["up"]["encoded"]
    assert float(rows["final-test-toy_loss"][0][1]) == record["metrics"]["test/toy_loss"]


def test_compressor_guide_books_a_bit_a_number():
    file = plugin_of("compressor")
    (record,) = run(
        "toy", "--plugin", file, "--contender", "fedavg", "--seed", "1",
        "--set", "contender.fedavg.uplink=[{name='signs'}]",
    )  # fmt: skip
    # Four rounds of three clients: the three numbers take one byte of bits and four of scale; 12 bytes the other way.
    assert record["bytes"]["up"]["tensors"] == 12 * (1 + 4)
    assert record["bytes"]["down"]["tensors"] == 12 * 12
    assert record["status"] == "done"


def test_compressor_guide_gives_back_signs_and_mean():
    import torch

    spec = load_registry([plugin_of("compressor")], environ={}).get("compressor", "signs").spec
    signs = spec.build(spec.params())
    sent = {"w": torch.tensor([[1.0, -2.0, 3.0], [-4.0, 5.0, 0.0]]), "n": torch.tensor([7])}
    packed = signs.compress(sent)
    # Bits from the right: + - + - + + is 0b110101.
    assert packed["w.bits"].tolist() == [0b110101]
    assert packed["w.scale"].tolist() == [2.5]
    whole = signs.decompress(packed, sent)
    assert whole["w"].tolist() == [[2.5, -2.5, 2.5], [-2.5, 2.5, 2.5]]
    assert whole["n"].tolist() == [7]


def test_export_guide_hands_over_what_others_load():
    page = (GUIDES / "export.md").read_text(encoding="utf-8")
    for line in "".join(re.findall(r"```bash\n(.*?)```", page, flags=re.DOTALL)).splitlines():
        result = CliRunner().invoke(cli, [*line.split()[1:], "--device", "cpu"], standalone_mode=False)
        assert result.return_value == 0, (line, result.output, result.exception)
    said = re.search(r"```python\n(.*?)```", Path("wire-lora/README.md").read_text(encoding="utf-8"), re.DOTALL)[1]
    shown = re.search(r"```text\n(.*?)```", page, re.DOTALL)[1]
    assert re.sub(r"from_pretrained\(\"/[^\"]*", 'from_pretrained("BACKBONE', said) == shown
    assert {one.name for one in Path("wire-model").iterdir()} >= {"model.safetensors", "config.json", "README.md"}
    assert "of client 3" in Path("wire-client-3/README.md").read_text(encoding="utf-8")
