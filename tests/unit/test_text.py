"""PTB conventions of the pretraining text, and data sets by hash."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pytest
from fedgen_bench_plugins.backbones.corpus import UNK, Source, read_source, replace_rare, word_counts
from fedgen_bench_plugins.backbones.normalise import join_wikitext, line, normalise, sentences
from fedgen_bench_plugins.datasets.known import BEIGE_BOOK, PTB

from fedgen_bench.base.errors import DataError, UsageError
from fedgen_bench.contract.datasets import DataFile, DatasetSpec
from fedgen_bench.registry.datasets import Places, download, find_dataset, finder
from fedgen_bench.registry.plugins import load_registry

# The right-hand sides follow the conventions that ptb.train.txt shows (lower case, N, split clitics, no punctuation).
LINES = {
    "The Company's profit rose.": "the company 's profit rose",
    "They don't know, he said.": "they do n't know he said",
    "Sales rose 12.5% in the last quarter to $3.2 million.": "sales rose N N in the last quarter to $ N million",
    "Mr. Smith joined Ford Motor Co. last year.": "mr. smith joined ford motor co. last year",
    "The U.S. trade gap widened": "the u.s. trade gap widened",
    "It fell 5 pct after the report was out": "it fell N N after the report was out",
    "Profits of 20 mln dlrs were well above the forecast": "profits of $ N million were well above the forecast",
    "“Quoted” words — and dashes": "quoted words and dashes",
    "Café owners' costs are rising": "cafe owners ' costs are rising",
    "It cannot be so": "it can not be so",
    "On January 15 the banks closed early": "on jan. N the banks closed early",
}


@pytest.mark.parametrize("text", LINES)
def test_line_follows_ptb_conventions(text):
    assert line(text) == LINES[text]


@pytest.mark.parametrize("text", ["", "Too short", "1 2 3 four", "..., !"])
def test_line_drops_what_is_no_sentence(text):
    assert line(text) is None


def test_sentences_end_where_a_sentence_ends():
    text = "Mr. Smith left. He said so. The firm is Acme Inc. It is big. Ford Motor Co. shares rose."
    assert sentences(text) == [
        "Mr. Smith left.",
        "He said so.",
        "The firm is Acme Inc.",
        "It is big.",
        "Ford Motor Co. shares rose.",
    ]


def test_normalise_keeps_the_order_of_usable_lines():
    assert normalise("The first one is here. No. The second one is here.") == [
        "the first one is here",
        "the second one is here",
    ]


def test_join_wikitext_undoes_token_joins():
    assert join_wikitext("a well @-@ known 1 @,@ 000 and 3 @.@ 5") == "a well-known 1,000 and 3.5"


def test_replace_rare_puts_unk_where_ptb_would():
    documents = [["common common rare", "common middle <unk>"]]
    counts = Counter({"common": 9, "middle": 5, "rare": 1})
    rng = np.random.Generator(np.random.Philox(key=1))
    kept = replace_rare(documents, counts, min_count=2, tail_rank=9, tail_fraction=1.0, rng=rng)
    assert kept == [["common common <unk>", "common middle <unk>"]]
    tail = replace_rare(documents, counts, min_count=2, tail_rank=1, tail_fraction=1.0, rng=rng)
    assert tail == [["common common <unk>", "common <unk> <unk>"]]
    spared = replace_rare(documents, counts, min_count=2, tail_rank=1, tail_fraction=0.0, rng=rng)
    assert spared == kept


def test_word_counts_do_not_count_unk():
    assert word_counts([[["a b a"], [f"{UNK} a"]]]) == {"a": 3, "b": 1}


def test_read_source_normalises_paragraphs_and_checks_the_hash(tmp_path):
    text = "The first line is here.\nIt goes on there.\n\nAnother one stands alone.\n"
    (tmp_path / "x.txt").write_text(text)
    source = Source("x", "x.txt", hashlib.sha256(text.encode()).hexdigest(), "plain", (1.0, 1.0))
    assert read_source(source, tmp_path) == [["the first line is here", "it goes on there", "another one stands alone"]]
    (tmp_path / "x.txt").write_text(text + " ")
    with pytest.raises(DataError, match="the recipe was written for"):
        read_source(source, tmp_path)


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    monkeypatch.setenv("FEDGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FEDGEN_DATA", raising=False)
    return tmp_path


CONTENT = {"one.txt": b"1\n", "two.txt": b"2\n"}
SMALL = DatasetSpec(
    name="small",
    summary="",
    files=tuple(
        DataFile(path=name, sha256=hashlib.sha256(raw).hexdigest(), url=f"http://unused.invalid/{name}")
        for name, raw in CONTENT.items()
    ),
    licence="",
)


def put(folder, content):
    folder.mkdir(parents=True, exist_ok=True)
    for name, raw in content.items():
        (folder / name).write_bytes(raw)
    return folder


@pytest.mark.usefixtures("nowhere")
def test_find_missing_data_names_the_three_ways():
    with pytest.raises(DataError) as caught:
        find_dataset(PTB)
    for piece in ("--data", "FEDGEN_DATA", "fedgen-bench data fetch ptb", "ptb.train.txt"):
        assert piece in str(caught.value)


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize("ask", [find_dataset, download, lambda one: finder(load_registry(environ={}))(one.name)])
def test_data_without_an_address_say_which_file_to_put_where(ask):
    (sha256,) = BEIGE_BOOK.sha256.values()
    with pytest.raises(DataError, match="cannot be downloaded") as caught:
        ask(BEIGE_BOOK)
    for piece in ("beige_book/beige_book.parquet", sha256, "--data", "FEDGEN_DATA", "cache/data", "`district`"):
        assert piece in str(caught.value)
    assert "data fetch" not in str(caught.value)


def test_find_looks_in_option_then_variable_then_cache(nowhere, monkeypatch):
    cached = put(nowhere / "cache" / "data" / "small", CONTENT)
    assert find_dataset(SMALL) == cached
    from_variable = put(nowhere / "env", CONTENT)
    monkeypatch.setenv("FEDGEN_DATA", str(from_variable))
    assert find_dataset(SMALL) == from_variable
    given = put(nowhere / "given" / "small", CONTENT)
    assert find_dataset(SMALL, Places(nowhere / "given")) == given


def test_find_refuses_a_file_with_another_hash(nowhere):
    folder = put(nowhere / "given", CONTENT | {"two.txt": b"3\n"})
    with pytest.raises(DataError, match=r"two\.txt has sha256 .* expected"):
        find_dataset(SMALL, Places(folder))


def test_find_needs_all_files(nowhere):
    put(nowhere / "given", {"one.txt": b"1\n"})
    with pytest.raises(DataError, match="was not found"):
        find_dataset(SMALL, Places(nowhere / "given"))


def test_find_unknown_data_set_suggests_a_name():
    with pytest.raises(UsageError, match="Did you mean `ptb`"):
        finder(load_registry(environ={}))("pbt")
