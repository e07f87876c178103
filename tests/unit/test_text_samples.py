"""Lines that a language model finishes: what is drawn, that every adapter can, and what is published of it."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch
from fedgen_bench_plugins.tasks.language_modeling import LanguageModeling
from fedgen_bench_plugins.tasks.text_params import EVALUATION_ONLY, LATER, Params
from fedgen_bench_plugins.tasks.text_samples import PROMPT_TOKENS, finished, prompts_of

from fedgen_bench.base.errors import DataError
from fedgen_bench.contract.specs import SuiteSource
from fedgen_bench.federation.attaching import attach
from fedgen_bench.registry.datasets import USUAL_PLACES
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.results.checking import check_folder
from fedgen_bench.results.publish import publish
from fedgen_bench.results.published import open_folder
from fedgen_bench.results.store import Store
from fedgen_bench.run.executor import Job
from fedgen_bench.run.runner import run_cells
from fedgen_bench.suite.cells import expand
from fedgen_bench.suite.load import load_suite
from fedgen_bench.suite.schema import Component
from fedgen_bench.testing import toy
from fedgen_bench.testing.adapters import SEEDS

TINY = {"dataset": "tiny-wire", "backbone": "tiny-wire-lm", "context_tokens": 64, "stride_tokens": 64}


class Chain(torch.nn.Module):
    """Token i is followed by another with the probabilities of row i; everything it was asked is kept."""

    def __init__(self, rows):
        super().__init__()
        self.rows, self.asked = torch.nn.Parameter(torch.tensor(rows).log(), requires_grad=False), []

    def forward(self, input_ids):
        self.asked.append(input_ids.tolist())
        return SimpleNamespace(logits=self.rows[input_ids])


def test_a_draw_is_the_first_token_whose_cumulated_probability_exceeds_it():
    chain = Chain([[0.5, 0.3, 0.2], [0.0, 0.0, 1.0], [0.25, 0.25, 0.5]])
    draws = torch.tensor([[0.0, 0.3], [0.51, 0.0], [0.79, 0.9], [0.81, 0.26], [0.99, 0.49], [0.1, 0.1]])
    prompts = torch.tensor([[0]] * 5 + [[1]])
    found = finished(chain, prompts, draws, start=1, end=7)
    assert found == [[0, 0], [1, 2], [1, 2], [2, 1], [2, 1], [2, 0]]
    assert chain.asked[0] == [[1, 0]] * 5 + [[1, 1]]
    assert chain.asked[1][4] == [1, 0, 2]


def test_a_line_ends_where_the_model_ends_it_and_drawing_stops_when_all_have():
    chain = Chain([[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0]])
    found = finished(chain, torch.tensor([[0], [1]]), torch.full((2, 50), 0.5), start=0, end=3)
    assert found == [[1, 2], [2]]
    assert len(chain.asked) == 3


def test_prompts_are_the_beginnings_of_longer_lines_from_each_third():
    lines = ["a", "b" * 9, "c" * 20, "d" * 8, "e" * 12, "f" * 9, "g", "h", "i" * 8]
    assert prompts_of(lines, list) == [["b"] * PROMPT_TOKENS, ["e"] * PROMPT_TOKENS]
    assert prompts_of(["a", "b"], list) == [[], [], []]


@pytest.mark.parametrize("prompt", [[], [2]])
def test_lines_are_written_after_no_prompt_as_well(prompt):
    chain = Chain([[0.1, 0.2, 0.7]] * 3)
    assert finished(chain, torch.tensor([prompt], dtype=torch.int64), torch.full((1, 2), 0.5), start=1, end=0) == [
        [2, 2]
    ]


def load(**changes):
    return LanguageModeling(Params(**TINY, **changes)).load(lambda _name: None)


@pytest.fixture(scope="module")
def task():
    return load(sample_tokens=6)


def written(task, module):
    with torch.inference_mode():
        return task.showcase(module, SEEDS)


def test_nothing_is_written_unless_it_is_asked_for(task):
    plain = load()
    assert written(plain, plain.new_module()) is None
    assert "sample_tokens" in LATER & EVALUATION_ONLY
    assert task.free_positions == plain.free_positions


@pytest.mark.parametrize("name", ["none", "lora", "prompt", "prefix"])
def test_every_adapter_goes_on_with_the_same_prompts_the_same_way_each_time(registry, task, name):
    module = attach(registry, Component(name=name), task, SEEDS).module.eval()
    lines = written(task, module).split("\n")
    assert lines == written(task, module).split("\n")
    words = task.backbone.tokenizer
    for line, valid in zip(lines, prompts_of(task.corpus.valid, words.encode), strict=True):
        prompt, rest = line.split(" >>")
        assert prompt == words.decode(valid)
        tokens = words.encode(rest)
        assert len(tokens) <= 6
        with torch.inference_mode():  # and the first of them is what this model's own probabilities give
            scores = module(input_ids=torch.tensor([[task.backbone.eos_id, *valid]])).logits[0, -1]
        row = lines.index(line)
        draw = torch.rand(3, 6, generator=SEEDS.torch("evaluation", purpose="samples"))[row, 0]
        first = int((scores.double().softmax(0).cumsum(0) <= draw).sum())
        assert (tokens or [task.backbone.eos_id])[0] == first


def test_samples_beyond_the_backbones_positions_are_refused_before_training():
    with pytest.raises(DataError, match="has 128 positions; the task asks for 129 tokens"):
        load(sample_tokens=128 - PROMPT_TOKENS)
    with pytest.raises(ValueError, match="sample_tokens must be at least 0"):
        Params(sample_tokens=-1)


PLUGIN = """
from fedgen_bench import TaskSpec, hookimpl
from fedgen_bench.testing import toy


class Writer(toy.LoadedToy):
    def showcase(self, module, seeds):
        return f"<b>weights\\\\x1b\\\\n{module.weight.tolist()}"


class Task(toy.Toy):
    def load(self, find):
        return Writer(self.params)


@hookimpl
def register_tasks():
    return [TaskSpec(name="writer", summary="Toy with a text.", build=Task, params=toy.Params)]
""".replace("\\\\", "\\")
SUITE = toy.SUITE.replace('[task]\nname = "toy"', '[task]\nname = "writer"')


def test_texts_of_the_first_seed_are_published_and_are_what_results_give(tmp_path):
    (tmp_path / "writer.py").write_text(PLUGIN)
    files = [toy.__file__, str(tmp_path / "writer.py")]
    world = load_registry(files, environ={})
    source = SuiteSource(name="toy", text=SUITE, path="toy.toml")
    suite = load_suite(source, world)
    with Store(tmp_path / "runs") as store:
        job = Job(tmp_path / "runs", USUAL_PLACES, "cpu", tuple(files))
        cells = expand(suite, world, contenders=["fedavg"])
        run_cells(cells, world, job, store, workers=1, on_event=lambda _: None)
        table, folder = publish(source, suite, world, store, tmp_path / "leaderboards")
        assert all(run.result.sample for run in store.runs("toy", 1))
    assert table.samples.keys() == {"fedavg"}
    text = (folder / "samples.md").read_text()
    head, body = text.split("\n## fedavg\n\n")
    assert head.endswith("What the contenders' global models of seed 1 write, from the same draws.\n")
    first, second = body.splitlines()
    assert first == "    <b>weights\\x1b"
    assert json.loads(second)
    assert {one.seed for one in open_folder(folder).records if one.sample} == {1}
    assert "samples" not in json.loads((folder / "table.json").read_text())
    assert not (folder / "samples.png").exists()
    assert check_folder(folder, world) == []
    (folder / "samples.md").write_text(text.replace("fedavg", "fedprox"))
    assert check_folder(folder, world) == ["samples.md"]
