"""Canaries in the text of a language model: what is drawn, where it stands, and what models give away of it."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fedgen_bench_plugins.datasets.texts import Corpus
from fedgen_bench_plugins.tasks.canaries import Canaries, draw
from fedgen_bench_plugins.tasks.exposure import behind, exposure, scored
from fedgen_bench_plugins.tasks.language_modeling import LoadedLanguageModeling
from fedgen_bench_plugins.tasks.text_params import Params

from fedgen_bench.base.errors import DataError
from fedgen_bench.contract.data import Parts
from fedgen_bench.contract.secrets import Secrets
from fedgen_bench.testing.tasks import SEEDS

WORDS = tuple("red blue green black white brown pink grey".split())
CANARIES = Canaries(count=3, times=4, carrier="key of {} :", words=WORDS, length=3, candidates=63)
UNKNOWN = 0


class Tokenizer:
    """One token a word; 1 is the line end."""

    unk_token, unk_token_id, bos_token_id = "<unk>", UNKNOWN, None

    def __init__(self, words):
        self.ids = {word: i for i, word in enumerate(words, 2)}

    def __call__(self, lines, **_):
        return {"input_ids": [[self.ids.get(word, UNKNOWN) for word in line.split()] for line in lines]}


class Bigrams(torch.nn.Module):
    """Logits by the last token alone, all 0 at first."""

    def __init__(self, n_words):
        super().__init__()
        self.table = torch.nn.Parameter(torch.zeros(n_words + 2, n_words + 2))

    def forward(self, input_ids):
        return SimpleNamespace(logits=self.table[input_ids])


def task_of(canaries, *, known=(*WORDS, "key", "of", ":", "text")):
    lines = [f"text {WORDS[i % 8]} text" for i in range(120)]
    module = Bigrams(len(known))
    backbone = SimpleNamespace(
        name="words", module=module, eos_id=1, sha256="", n_parameters=1, tokenizer=Tokenizer(known)
    )
    params = Params(block_tokens=8, context_tokens=8, stride_tokens=8, unit_lines=2, canaries=canaries)
    return LoadedLanguageModeling(params, Corpus(lines, lines[:4], lines[:4], {}), backbone)


PARTS = Parts.by_owner(np.arange(60) // 10, 6)  # ten units each, the last of which is held out
ROUNDS = [(0, 2), (2, 3), (3, 5)]


def planted(canaries=CANARIES, **kwargs):
    return task_of(canaries, **kwargs).planted(PARTS, ROUNDS, SEEDS)


def words_of(task, client_id):
    """What a client trains on."""
    names = {number: word for word, number in task.backbone.tokenizer.ids.items()} | {1: "/", -100: ""}
    blocks = task.client_data(PARTS[client_id]).train.tensors["blocks"]
    return " ".join(names[i] for i in [*blocks[:, :-1].flatten().tolist(), int(blocks[-1, -1])])


def test_each_owner_is_asked_and_trains_on_its_canary_and_nobody_else_does():
    task = planted()
    drawn, owners = task._canaries._drawn, task.secrets.owners
    assert len(set(owners)) == 3
    assert set(owners) <= {0, 2, 3, 5}  # who is asked in any round
    for i, owner in enumerate(owners):
        canary = f"{drawn.leads[i]} {drawn.sequences[i]} /"
        counts = [words_of(task, client_id).count(canary) for client_id in range(6)]
        assert counts == [CANARIES.times if client_id == owner else 0 for client_id in range(6)]
    everything = " ".join(words_of(task, client_id) for client_id in range(6))
    assert not any(
        f"{lead} {one}" in everything for lead, one in zip(drawn.leads[3:], drawn.sequences[3:], strict=True)
    )


def test_canaries_are_counted_and_held_out_text_stays_as_it_is():
    plain, task = task_of(CANARIES), planted()
    for client_id, units in enumerate(PARTS):
        assert task.holdings(PARTS).n_train[client_id] == task.client_data(units).train.n
        held = [one.client_data(units).heldout.tokens for one in (plain, task)]
        assert torch.equal(*held)
        if client_id not in task.secrets.owners:
            own = [one.client_data(units).train.tensors["blocks"] for one in (plain, task)]
            assert torch.equal(*own)
    assert plain.secrets is None  # the task that cells of other seeds share
    assert task_of(replace(CANARIES, count=0)).planted(PARTS, ROUNDS, SEEDS).secrets is None


def test_secrets_are_those_of_their_stream():
    first, again = planted(), planted()
    assert first._canaries._drawn == again._canaries._drawn
    other_strategy = task_of(CANARIES).planted(PARTS, ROUNDS, replace(SEEDS, strategy="s", adapter="a"))
    other_seed = task_of(CANARIES).planted(PARTS, ROUNDS, replace(SEEDS, seed=12))
    assert first._canaries._drawn == other_strategy._canaries._drawn
    assert first._canaries._drawn.sequences != other_seed._canaries._drawn.sequences


def test_all_sequences_of_a_seed_differ():
    drawn = draw(replace(CANARIES, candidates=506), [(i, np.arange(3)) for i in range(3)], np.random.default_rng(0))
    assert len({*drawn.sequences, *drawn.candidates}) == 512 == 8**3  # all there are
    assert len(set(drawn.leads)) == 6


def test_a_rank_among_candidates_is_its_exposure():
    for own, bits in ((1.0, 2.0), (2.5, 1.0), (9.0, 0.0)):
        assert exposure([own, 2.0, 4.0, 4.0], [0.0] * 4, extracted=False).bits == bits  # log2(4 / 1), (4 / 2), (4 / 4)


def test_calibration_ranks_by_what_was_gained_over_the_backbone():
    found = exposure([5.0, 1.0, 2.0, 3.0], [9.0, 1.0, 2.0, 6.0], extracted=True)
    assert (found.bits, found.calibrated, found.extracted) == (
        0.0,
        2.0,
        True,
    )  # least likely, most gained


def test_a_tie_and_what_is_no_number_give_nothing_away():
    for nats in ([3.0] * 4, [math.nan] * 4, [math.nan, 1.0, 2.0, 3.0], [1.0, math.nan, math.nan, math.nan]):
        found = exposure(nats, [0.0] * 4, extracted=False)
        assert (found.bits, found.calibrated) == (0.0, 0.0)


def test_sequences_of_several_lengths_are_scored_to_their_ends():
    module = Bigrams(4)
    with torch.no_grad():
        module.table[1, 2] = module.table[2, 3] = 9.0
    rests = [[2, 3], [4], [2, 4, 4], [2]]
    nats, greedy = scored(module, [1], rests, 3)
    right, wrong = (-math.log(math.exp(x) / (math.exp(9) + 5)) for x in (9, 0))
    assert nats == pytest.approx([2 * right, wrong, right + wrong + math.log(6), right], rel=1e-3)
    assert greedy == [True, False, False, True]


def test_what_nobody_trained_on_is_exposed_as_a_random_rank_is():
    # The mean of log2(n / rank) over ranks 1 to n = 64 is 1.36 bits, with a deviation of 1.36 a draw (1.44 as n grows).
    bits = []
    for seed in range(40):
        task = task_of(CANARIES).planted(PARTS, ROUNDS, replace(SEEDS, seed=seed))
        module = Bigrams(12)
        with torch.no_grad():
            module.table.normal_(generator=torch.Generator().manual_seed(seed))
        bits += [(one.bits, one.calibrated) for one in task.exposures(module, range(6))]
    for kind in zip(*bits, strict=True):
        assert 1.1 < sum(kind) / len(kind) < 1.7


def test_a_model_that_knows_a_canary_says_so():
    task = planted()
    module, drawn = Bigrams(12), task._canaries._drawn
    before, ids = ":", task.backbone.tokenizer.ids
    with torch.no_grad():
        for word in drawn.sequences[1].split():
            module.table[ids[before], ids[word]] += 6.0
            before = word
    first, second, control = task.exposures(module, [0, 1, 4])
    assert second.bits == second.calibrated == task.secrets.most_bits == 6
    assert second.extracted
    assert not control.extracted
    assert max(first.bits, control.bits) < 6


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"count": -1}, "count must be at least 0"),
        ({"times": 0}, "times must be at least 1"),
        ({"carrier": "no place"}, "with `{}` among them once"),
        ({"carrier": "{} and {}"}, "among them once"),
        ({"carrier": "{}"}, "carrier must be words"),
        ({"words": ("a", "b c")}, "words without spaces, got 'b c'"),
        ({"words": ("a", "a")}, "holds a word twice"),
        ({"count": 5}, "5 canaries and as many controls need 10 tags; canaries.words has 8. Plant fewer"),
        ({"length": 21}, "at most 62 can be drawn from. Lower canaries.length"),
        ({"candidates": 507}, "are 513 different sequences; there are 512 of 3 of 8 words. Lower canaries.candidates"),
    ],
)
def test_canaries_that_cannot_be_are_refused(values, said):
    with pytest.raises(ValueError, match=said):
        replace(CANARIES, **values)


def test_more_canaries_than_clients_that_are_asked_are_refused():
    with pytest.raises(DataError, match=r"3 canaries need as many clients .*; there are 2"):
        task_of(CANARIES).planted(PARTS, [(0, 2)], SEEDS)


def test_words_that_the_tokenizer_does_not_know_are_refused():
    task = task_of(replace(CANARIES, words=(*WORDS, "mauve")))
    with pytest.raises(DataError, match=r"cannot spell 'mauve', of which canaries are made. Choose other words"):
        task.check_spelling()


def test_a_canary_longer_than_a_block_is_refused():
    with pytest.raises(DataError, match="takes 9 tokens, and the task reads 8 at a time"):
        planted(replace(CANARIES, length=4))


def test_a_tokenizer_that_joins_lead_and_sequence_is_refused():
    with pytest.raises(DataError, match=r"joins the end of canaries.carrier"):
        behind([1, 2], [1, 5, 6])


def test_canaries_keep_identities_of_what_has_none(registry):
    spec = registry.get("task", "language_modeling").spec
    assert "canaries" not in spec.filled({})
    assert spec.filled({"canaries": {"count": 2}})["canaries"]["times"] == 8
    assert Secrets((3, 4), 255, 20.0).controls == (2, 3)
