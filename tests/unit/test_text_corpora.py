"""Texts in documents: units that stay within one, and the Beige Book's districts and years."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace

import fedgen_bench_plugins.backbones
import numpy as np
import pandas as pd
import pytest
from fedgen_bench_plugins.backbones.corpus import Source, read_source
from fedgen_bench_plugins.backbones.recipe_lm import load_recipe
from fedgen_bench_plugins.datasets.known import BEIGE_BOOK
from fedgen_bench_plugins.datasets.texts import Corpus
from fedgen_bench_plugins.tasks.language_modeling import LoadedLanguageModeling
from fedgen_bench_plugins.tasks.text_corpora import _BEIGE_BOOK_PARTS, read_beige_book
from fedgen_bench_plugins.tasks.text_params import Params

from fedgen_bench import SeedTree
from fedgen_bench.base.files import sha256_of
from fedgen_bench.registry.datasets import finder
from fedgen_bench.registry.plugins import load_registry

MINI_LM = Path(fedgen_bench_plugins.backbones.__file__).parent / "mini_lm"
SEEDS = SeedTree("task", "adapter", "partitioner", "strategy", 1)
EOS = 0

# Eleven lines, `1` to `11`, in documents of 5, 0, 1 and 5 lines; in units of two lines by hand:
# 1 2 | 3 4 | 5 || || 6 || 7 8 | 9 10 | 11
CORPUS = Corpus(
    [str(i) for i in range(1, 12)],
    [str(i) for i in range(1, 13)],
    [],
    {},
    {"label": np.repeat([4, 9, 7], [5, 1, 5]), "year": np.arange(11)},
    documents=(0, 5, 5, 6),
    valid_runs=3,
)


def loaded(corpus, **params):
    """The task on a corpus of numbers; a number is its own token."""

    def tokenizer(lines, **_ignored):
        return {"input_ids": [[int(line)] for line in lines]}

    tokenizer.unk_token = tokenizer.unk_token_id = None
    backbone = SimpleNamespace(
        name="none", module=SimpleNamespace(parameters=list), eos_id=EOS, sha256="", n_parameters=0, tokenizer=tokenizer
    )
    return LoadedLanguageModeling(Params(**params), corpus, backbone)


def words_of(tokens):
    return [int(token) for token in tokens if token != EOS]


def test_units_stop_where_a_document_ends():
    assert CORPUS.unit_bounds(2) == [0, 2, 4, 5, 6, 8, 10, 11]
    assert CORPUS.unit_bounds(8) == [0, 5, 6, 11]


@pytest.mark.parametrize(("n", "bounds"), [(0, [0]), (4, [0, 4]), (7, [0, 4, 7]), (8, [0, 4, 8])])
def test_a_text_without_documents_is_one(n, bounds):
    assert Corpus(["x"] * n, [], [], {}).unit_bounds(4) == bounds


def test_units_carry_the_columns_of_their_lines():
    units = loaded(CORPUS, unit_lines=2).units(SEEDS)
    assert units.n_units == 7
    assert units.column("label").tolist() == [4, 4, 4, 9, 7, 7, 7]
    assert units.column("year").tolist() == [0, 2, 4, 5, 6, 8, 10]


def test_client_data_holds_the_lines_of_its_units():
    task = loaded(CORPUS, unit_lines=2, heldout_fraction=0.3, block_tokens=4)
    data = task.client_data(np.array([1, 2, 3, 6]))  # 3 4 | 5 | 6, and a quarter held out: 11
    (first, *_), (second, *_) = blocks = data.train.tensors["blocks"].tolist()
    assert (first, second) == (EOS, EOS)
    assert blocks == [[EOS, 3, EOS, 4, EOS], [EOS, 5, EOS, 6, EOS]]
    assert words_of(data.heldout.tokens) == [11]
    assert data.heldout.n_words == 2


def test_valid_subset_takes_the_corpus_own_number_of_runs():
    # Twelve lines in three equal runs of four; six lines are the first two of each.
    task = loaded(CORPUS, valid_subset_lines=6)
    assert words_of(task.split("valid_subset").tokens) == [1, 2, 5, 6, 9, 10]


def report(district, date):
    return (
        f"The {district} report of {date[:4]} has {'many ' * int(date[5:])}lines. Another sentence of {district} is it."
    )


@pytest.fixture
def book(tmp_path):
    """A folder with a Beige Book of two districts and a summary, ordered as the real one."""
    months = [
        "2004-12",
        "2005-01",
        "2016-12",
        *(f"2017-{m:02}" for m in (1, 3, 4, 5)),
        *(f"2018-{m:02}" for m in range(1, 10)),
    ]
    rows = [(one, month, report(one, month)) for month in months for one in ("Boston", "Dallas", "Summary")]
    rows.append(("Richmond", "2010-04", report("Boston", "2005-01")))  # a text that stands twice
    path = tmp_path / "beige_book" / "beige_book.parquet"
    path.parent.mkdir()
    pd.DataFrame(rows, columns=["district", "date", "text"]).to_parquet(path)
    return tmp_path


def lines_of(district, *months):
    many = [("many " * int(month[5:])).strip() for month in months]
    return [
        line
        for one in many
        for line in (f"the {district} report of N has {one} lines", f"another sentence of {district} is it")
    ]


def test_beige_book_parts_are_districts_by_years(book):
    corpus = read_beige_book(lambda _name: book)
    assert corpus.train == lines_of("boston", "2005-01", "2016-12") + lines_of("dallas", "2005-01", "2016-12")
    assert corpus.documents == [0, 2, 4, 6]
    assert {name: values.tolist() for name, values in corpus.columns.items()} == {
        "label": [0, 0, 0, 0, 1, 1, 1, 1],
        "district": [0, 0, 0, 0, 1, 1, 1, 1],
        "year": [2005, 2005, 2016, 2016, 2005, 2005, 2016, 2016],
    }
    assert corpus.valid == lines_of("boston", "2017-03", "2017-05") + lines_of("dallas", "2017-03", "2017-05")
    assert corpus.test == lines_of("boston", "2018-04", "2018-08") + lines_of("dallas", "2018-04", "2018-08")


def test_beige_book_parts_follow_each_other():
    first, second, third = (_BEIGE_BOOK_PARTS[name] for name in ("train", "valid", "test"))
    assert first[0] < first[1] == second[0] < second[1] == third[0] < third[1]


def test_backbone_never_saw_what_the_beige_book_suite_uses():
    recipe = load_recipe(MINI_LM / "recipe.toml")
    (file,) = BEIGE_BOOK.sha256
    (source,) = (one for one in recipe.sources if "beige" in one.file)
    assert (source.file, source.sha256) == (file, BEIGE_BOOK.sha256[file])
    assert source.before is not None
    assert source.before <= _BEIGE_BOOK_PARTS["train"][0]
    made = json.loads((MINI_LM / "recipe.json").read_text())  # what the shipped weights were made with
    assert made["digest"] == recipe.digest
    assert [one["before"] for one in made["sources"] if one["file"] == file] == [source.before]


def test_read_source_leaves_out_what_is_not_before(book):
    (file,) = BEIGE_BOOK.sha256
    source = Source("book", file, sha256_of(book / file), "parquet", (1.0, 1.0), before="2005-01")
    summary = lines_of("summary", "2004-12")
    assert read_source(source, book) == [lines_of("boston", "2004-12"), lines_of("dallas", "2004-12"), summary]


@pytest.mark.skipif("FEDGEN_DATA" not in os.environ, reason="FEDGEN_DATA does not say where the Beige Book is")
def test_beige_book_has_the_published_sizes():
    # Counted apart from the reader: rows taken from the file by a plain loop, districts and dates sorted and sliced
    # as lists, each normalised line's words and one line end counted; units as ceil(lines / 8) of each report.
    corpus = read_beige_book(finder(load_registry(environ={})))
    sizes = {
        name: (len(lines), sum(len(line.split()) + 1 for line in lines))
        for name, lines in (("train", corpus.train), ("valid", corpus.valid), ("test", corpus.test))
    }
    assert sizes == {"train": (74786, 1442096), "valid": (3082, 57746), "test": (3949, 75160)}
    bounds = corpus.unit_bounds(8)
    by_district = np.bincount(corpus.columns["district"][bounds[:-1]])
    # Atlanta, Boston, Chicago, Cleveland, Dallas, Kansas City, Minneapolis, New York, Philadelphia, Richmond, San
    # Francisco, St. Louis
    assert by_district.tolist() == [745, 873, 814, 1061, 1069, 787, 854, 651, 811, 976, 619, 589]
    assert len(corpus.documents) == 12 * 96 - 1
