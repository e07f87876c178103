from __future__ import annotations

import math
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fedgen_bench_plugins.backbones.probes import check_spelled
from fedgen_bench_plugins.datasets import tiny_wire
from fedgen_bench_plugins.datasets.texts import Corpus
from fedgen_bench_plugins.tasks.language_modeling import LanguageModeling, LoadedLanguageModeling
from fedgen_bench_plugins.tasks.text_beginning import Beginning
from fedgen_bench_plugins.tasks.text_corpora import TextReader
from fedgen_bench_plugins.tasks.text_params import Params
from fedgen_bench_plugins.tasks.text_windows import EvalText, windows

from fedgen_bench.base.errors import DataError
from fedgen_bench.federation.attaching import attach
from fedgen_bench.suite.schema import Component
from fedgen_bench.testing.adapters import SEEDS

EOS = -1


@pytest.mark.parametrize("n", [1, 2, 5, 8, 9, 23])
@pytest.mark.parametrize(("context", "stride"), [(1, 1), (4, 4), (4, 1), (5, 3), (8, 2), (64, 64)])
def test_windows_score_every_token_once_with_the_right_context(n, context, stride):
    text = torch.arange(n)
    stream = [EOS, *range(n)]
    scored = []
    for inputs, targets in windows(text, Beginning(EOS), Params(context_tokens=context, stride_tokens=stride)):
        assert inputs.shape[0] == targets.shape[0]
        assert inputs.shape[1] <= context
        for seen, wanted in zip(inputs.tolist(), targets.tolist(), strict=True):
            last = wanted[-1]
            assert seen == stream[last + 1 - len(seen) : last + 1]  # the tokens right before each target
            assert wanted == list(range(last + 1 - len(wanted), last + 1))
            assert len(wanted) <= len(seen)
            assert len(wanted) == len(seen) or len(seen) == context  # no shorter context than there could be
            scored += wanted
    assert scored == list(range(n))


class Uniform(torch.nn.Module):
    """Every one of `v` tokens is equally likely."""

    def __init__(self, v):
        super().__init__()
        self.v, self.unused = v, torch.nn.Parameter(torch.zeros(1))

    def forward(self, input_ids):
        return SimpleNamespace(logits=torch.zeros(*input_ids.shape, self.v))


def test_uniform_model_has_perplexity_v_per_word_and_log2_v_bits_per_token(registry):
    # One token a word and line end: 7 words, so that exp(7 ln 50 / 7) = 50; 28 bytes: 7 log2(50) / 28 bits per byte.
    task = LoadedLanguageModeling(
        Params(context_tokens=3, stride_tokens=2),
        Corpus([], [], [], {}),
        SimpleNamespace(name="uniform", module=Uniform(50), eos_id=0, sha256="", n_parameters=0),
    )
    found = task.observe(Uniform(50), EvalText(torch.arange(7), 7, 28, 7 * math.log(10)), None)
    assert found["n_tokens"] == 7
    values = {
        name: registry.get("metric", name).spec.build(None).compute(found)
        for name in (
            "perplexity_per_word",
            "perplexity_per_token",
            "bits_per_byte",
            "excess_nats_per_word",
            "token_accuracy",
        )
    }
    assert values["perplexity_per_word"] == pytest.approx(50, rel=1e-6)
    assert values["perplexity_per_token"] == pytest.approx(50, rel=1e-6)
    assert values["token_accuracy"] == 0  # what is as likely as everything else is not predicted
    assert values["bits_per_byte"] == pytest.approx(7 * math.log2(50) / 28, rel=1e-6)
    assert values["excess_nats_per_word"] == pytest.approx(math.log(5), rel=1e-6)


class Counting(Uniform):
    """Expects after every token the number that follows it."""

    def forward(self, input_ids):
        return SimpleNamespace(logits=torch.eye(self.v).roll(1, dims=1)[input_ids] * 3)


@pytest.mark.parametrize(("text", "share"), [([1, 2, 3, 4, 5, 6], 1), ([1, 2, 9, 4, 5, 6], 4 / 6), ([3, 3, 3], 0)])
def test_token_accuracy_is_the_share_of_tokens_that_are_likelier_than_every_other(registry, text, share):
    task = LoadedLanguageModeling(
        Params(context_tokens=3, stride_tokens=2),
        Corpus([], [], [], {}),
        SimpleNamespace(name="counting", module=Counting(10), eos_id=0, sha256="", n_parameters=0),
    )
    found = task.observe(Counting(10), EvalText(torch.tensor(text), 1, 1, None), None)
    assert registry.get("metric", "token_accuracy").spec.build(None).compute(found) == pytest.approx(share)
    right, wrong = math.exp(3) / (math.exp(3) + 9), 1 / (math.exp(3) + 9)
    n_right = round(share * len(text))
    assert found["nll_nats"] == pytest.approx(-n_right * math.log(right) - (len(text) - n_right) * math.log(wrong))


def test_perplexity_of_a_hopeless_model_is_finite(registry):
    perplexity = registry.get("metric", "perplexity_per_word").spec.build(None)
    assert math.isfinite(perplexity.compute({"nll_nats": 1e9, "n_words": 1.0}))


@pytest.fixture(scope="module")
def grammar():
    return tiny_wire.make_grammar()


def test_tiny_wire_slots_are_distributions(grammar):
    for tables in grammar.slots:
        for table in tables.values():
            assert math.fsum(table.values()) == pytest.approx(1.0, abs=1e-12)
            assert min(table.values()) >= 0.0
    assert math.fsum(weight for _, weight in tiny_wire._TEMPLATES) == pytest.approx(1.0, abs=1e-12)


def test_tiny_wire_templates_are_told_apart_by_their_first_word():
    firsts = [template[0] for template, _ in tiny_wire._TEMPLATES]
    assert len(set(firsts)) == len(firsts)
    assert not any(first.isupper() for first in firsts)


def test_tiny_wire_lines_have_the_stated_entropy(grammar):
    rng = np.random.Generator(np.random.Philox(key=2))
    lines, topics = tiny_wire.write_articles(grammar, 500, rng)
    per_line = [grammar.line_nats(line, topic) for line, topic in zip(lines, topics, strict=True)]
    words = [len(line.split()) + 1 for line in lines]
    # The ratio estimator's standard error, article topics being the sample's clusters; five of them are a wide margin.
    rate = grammar.entropy_nats_per_word()
    residual = np.array(per_line) - rate * np.array(words)
    clusters = residual.reshape(500, -1).sum(axis=1)
    error = clusters.std(ddof=1) * math.sqrt(500) / sum(words)
    assert abs(sum(per_line) / sum(words) - rate) < 5 * error
    assert error < 0.01 * rate


def test_tiny_wire_without_coherence_knows_no_topic():
    flat = tiny_wire.make_grammar(coherence=0.0)
    assert all(tables == flat.slots[0] for tables in flat.slots)


def test_tiny_wire_text_is_reproducible_and_known_to_the_vocabulary(grammar):
    first, second = (
        tiny_wire.write_articles(grammar, 5, np.random.Generator(np.random.Philox(key=2))) for _ in range(2)
    )
    assert first == second
    assert len(first[0]) == 5 * tiny_wire.LINES_PER_ARTICLE
    assert {word for line in first[0] for word in line.split()} <= set(tiny_wire.vocabulary())


def test_load_refuses_windows_longer_than_the_backbones_positions():
    params = Params(dataset="tiny-wire", backbone="mini-lm", context_tokens=257, stride_tokens=257)
    with pytest.raises(DataError, match="has 256 positions; the task asks for 257 tokens"):
        LanguageModeling(params).load(lambda _name: None)


def test_text_that_leaves_no_room_for_a_soft_prompt_is_told_before_training(registry):
    task = LanguageModeling(Params(dataset="tiny-wire", backbone="tiny-wire-lm")).load(lambda _name: None)
    assert task.free_positions == 0  # 128 positions, windows of 128
    with pytest.raises(DataError, match=r"`prompt` takes 16 positions .* leaves 0\."):
        attach(registry, Component(name="prompt"), task, SEEDS)
    shorter = LanguageModeling(Params("tiny-wire", "tiny-wire-lm", context_tokens=112, stride_tokens=112))
    assert attach(registry, Component(name="prompt"), shorter.load(lambda _name: None), SEEDS).positions == 16


@pytest.mark.parametrize(
    ("line", "ids", "fits"),
    [("a b", [2, 3], True), ("a <unk>", [2, 0], True), ("a b", [2, 0], False), ("a", [], False), ("", [], True)],
)
def test_lines_that_a_tokenizer_cannot_spell_are_told(line, ids, fits):
    tokenizer = SimpleNamespace(unk_token="<unk>", unk_token_id=0)
    if fits:
        check_spelled("mine", tokenizer, [line], [ids])
        return
    with pytest.raises(DataError, match=rf"`mine` cannot spell a line of the text, '{line}'"):
        check_spelled("mine", tokenizer, [line], [ids])


def test_backbone_that_loses_words_of_the_data_is_refused_at_load(monkeypatch):
    from fedgen_bench_plugins.tasks import language_modeling

    corpus = Corpus(["the word zyzzyva"], ["a"], ["a"], {})
    monkeypatch.setitem(language_modeling.CORPORA, "tiny-wire", TextReader(lambda _find, _source: corpus))
    with pytest.raises(DataError, match=r"`tiny-wire-lm` cannot spell a line of the text, 'the word zyzzyva'"):
        LanguageModeling(Params(dataset="tiny-wire", backbone="tiny-wire-lm")).load(lambda _name: None)


def test_lengths_of_units_are_counted_only_for_partitioners_that_ask_for_them(registry):
    task = LanguageModeling(Params(dataset="tiny-wire", backbone="tiny-wire-lm")).load(lambda _name: None)
    units = task.units(SEEDS)
    assert "_train_tokens" not in vars(task)
    lengths = units.column("n_tokens")
    spelled = [task.backbone.tokenizer(line)["input_ids"] for line in task.corpus.train[:8]]
    assert lengths[0] == sum(len(ids) + 1 for ids in spelled)
    assert lengths.shape == (units.n_units,)
    assert not lengths.flags.writeable
    spec = registry.get("partitioner", "pathological").spec
    parts = spec.build(spec.params(shards_per_client=1, column="n_tokens")).split(units, 10, np.random.default_rng(1))
    ranges = sorted((lengths[part].min(), lengths[part].max()) for part in parts)
    assert all(longest <= shortest for (_, longest), (shortest, _) in pairwise(ranges))
    with pytest.raises(ValueError, match=r"no column `n_words`\. They have: label, n_tokens\."):
        units.column("n_words")
