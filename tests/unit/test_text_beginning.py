"""What stands before a text: it is read, never predicted, and moves no count."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fedgen_bench_plugins.tasks.language_modeling import LoadedLanguageModeling
from fedgen_bench_plugins.tasks.text_beginning import adds_bos, beginning_of, line_end_of
from fedgen_bench_plugins.tasks.text_corpora import Corpus
from fedgen_bench_plugins.tasks.text_params import Params
from fedgen_bench_plugins.tasks.text_windows import windows
from tokenizers import Tokenizer, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from fedgen_bench.base.errors import DataError
from fedgen_bench.contract.data import Parts

BOS, EOS = 0, 1
LINES = ["a b", "c a b", "b", "c c c", "a", "b c"]


def backbone(*, adds=False, bos="<s>"):
    words = Tokenizer(models.WordLevel({"<s>": BOS, "<e>": EOS, "<unk>": 2, "a": 3, "b": 4, "c": 5}, "<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if adds:
        words.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", BOS)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<e>", unk_token="<unk>", bos_token=bos)
    return SimpleNamespace(
        name="mine", tokenizer=tokenizer, eos_id=EOS, sha256="", n_parameters=0, module=SimpleNamespace(parameters=list)
    )


def made(bos, mine=None):
    params = Params(block_tokens=4, context_tokens=4, stride_tokens=3, unit_lines=1, heldout_fraction=0.3, bos=bos)
    corpus = Corpus(LINES, LINES, LINES, {}, columns={"label": np.zeros(6, np.int64)})
    return LoadedLanguageModeling(params, corpus, mine or backbone())


@pytest.mark.parametrize("bos", ["none", "once", "every_window"])
def test_beginning_is_read_and_nothing_that_is_counted_depends_on_it(bos):
    task, plain = made(bos), made("none")
    ours, theirs = (one.client_data(np.arange(6)) for one in (task, plain))
    blocks, others = ours.train.tensors["blocks"], theirs.train.tensors["blocks"]
    assert len(blocks) > 1
    assert torch.equal(blocks[:, 1:], others[:, 1:])  # what is predicted
    firsts = others[:, 0].tolist()
    assert firsts[0] == EOS
    expected = {"none": firsts, "once": [BOS, *firsts[1:]], "every_window": [BOS] * len(blocks)}
    assert blocks[:, 0].tolist() == expected[bos]
    assert ours.heldout.n_words == theirs.heldout.n_words
    assert torch.equal(ours.heldout.tokens, theirs.heldout.tokens)
    parts = Parts.by_owner(np.arange(6) % 2, 2)
    assert task.holdings(parts).n_train.tolist() == plain.holdings(parts).n_train.tolist()


@pytest.mark.parametrize("bos", ["none", "once", "every_window"])
def test_windows_differ_in_what_they_begin_with_alone(bos):
    task, plain = made(bos), made("none")
    text = task.split("test").tokens
    ours, theirs = (windows(text, one._beginning, one.params) for one in (task, plain))
    firsts, plain_firsts = [], []
    for (inputs, targets), (seen, wanted) in zip(ours, theirs, strict=True):
        assert torch.equal(targets, wanted)
        assert torch.equal(inputs[:, 1:], seen[:, 1:])
        firsts += inputs[:, 0].tolist()
        plain_firsts += seen[:, 0].tolist()
    assert len(firsts) > 2
    assert plain_firsts[0] == EOS
    expected = {"none": plain_firsts, "once": [BOS, *plain_firsts[1:]], "every_window": [BOS] * len(firsts)}
    assert firsts == expected[bos]


@pytest.mark.parametrize(("adds", "everywhere"), [(False, False), (True, True)])
def test_auto_follows_the_tokenizers_habit(adds, everywhere):
    mine = backbone(adds=adds)
    assert adds_bos(mine.tokenizer) is adds
    found = beginning_of("auto", mine, mine.eos_id)
    assert (found.token, found.everywhere) == ((BOS, True) if everywhere else (EOS, False))


def test_tokenizer_without_a_bos_goes_without_or_is_told():
    mine = backbone(bos=None)
    assert beginning_of("auto", mine, mine.eos_id) == beginning_of("none", mine, mine.eos_id)
    for bos in ("once", "every_window"):
        with pytest.raises(DataError, match=rf"`mine` has no beginning-of-sequence token, which bos `{bos}` puts"):
            made(bos, mine)


def test_lines_end_as_the_task_says():
    mine = backbone()
    assert line_end_of("eos", mine) == EOS
    with pytest.raises(DataError, match="`mine` has no token for a line feed, which line_end `newline`"):
        line_end_of("newline", mine)
