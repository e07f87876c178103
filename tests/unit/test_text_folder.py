"""Text of one's own: files and tables, clients, splits, and what is wrong with them."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fedgen_bench_plugins.datasets.sources import TextSource
from fedgen_bench_plugins.datasets.text_folder import own_files, read_documents, read_text_folder
from fedgen_bench_plugins.tasks.text_corpora import topic_labels
from fedgen_bench_plugins.tasks.text_params import Params

from fedgen_bench import DataError
from fedgen_bench.contract.params import make_params

TABLES = ("jsonl", "csv", "tsv", "parquet")


def write(root, files):
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def write_table(path, rows):
    frame = pd.DataFrame(rows)
    if path.suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n", encoding="utf-8")
    elif path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")


def read(path, **source):
    return read_text_folder(lambda one: one, TextSource(str(path), **source))


def documents(path, **source):
    return read_documents(path, TextSource(str(path), **source))


def lines(*numbers):
    return "".join(f"line {number}\n" for number in numbers)


def refusal(path, **source):
    with pytest.raises(DataError) as told:
        read(path, **source)
    text = str(told.value)
    assert "\n" not in text
    return text


# Files


def test_lines_lose_marks_ends_and_what_is_empty(tmp_path):
    write(
        tmp_path,
        {"a.txt": b"\xef\xbb\xbfone \r\n\r\n  two\t\r   \rthree", "b.txt": "", "c.txt": " \n\n", "d.txt": "four"},
    )
    assert [(one.name, one.lines) for one in documents(tmp_path)] == [
        ("a.txt", ("one", "  two", "three")),
        ("d.txt", ("four",)),
    ]


def test_files_come_in_the_order_of_their_paths_and_hidden_ones_do_not_come(tmp_path):
    write(
        tmp_path, {"b/x.txt": "1", "a/x.txt": "2", "a.txt": "3", ".git/x.txt": "4", "a/.x.txt": "5", "notes.pdf": "6"}
    )
    assert [one.name for one in documents(tmp_path)] == ["a/x.txt", "a.txt", "b/x.txt"]


def test_the_first_folder_is_the_client_where_all_files_lie_in_one(tmp_path):
    write(tmp_path, {"anna/1/x.txt": "1", "bert/x.txt": "2"})
    assert [one.client for one in documents(tmp_path)] == ["anna", "bert"]
    write(tmp_path, {"readme.txt": "3"})
    assert {one.client for one in documents(tmp_path)} == {None}


def test_parts_that_nobody_trains_on_need_no_folders_of_clients(tmp_path):
    write(tmp_path, {"train/anna/x.txt": "1", "train/bert/x.txt": "2", "valid/x.txt": "3", "test.txt": "4"})
    assert [one.client for one in documents(tmp_path)] == [None, "anna", "bert", None]
    assert read(tmp_path).columns["client"].tolist() == [0, 1]
    (tmp_path / "valid/x.txt").unlink()
    write(tmp_path, {"test.txt": ""})
    assert "2 documents of 2 clients are too few to draw `test`" in refusal(tmp_path)


def test_a_pattern_chooses_files_of_any_name(tmp_path):
    write(tmp_path, {"a/x.md": "1", "b.markdown": "2", "c.txt": "3"})
    assert [one.name for one in documents(tmp_path, files="**/*.m*")] == ["a/x.md", "b.markdown"]


def test_one_file_is_a_source(tmp_path):
    write(tmp_path, {"book.text": lines(*range(10))})
    assert len(read(tmp_path / "book.text", split_by="line").train) == 8


def test_english_can_be_written_as_the_text_of_mini_lm(tmp_path):
    text = "He didn't pay\n$12.50 to Mr. Smith. She said:\n“Why?”\n\nThe next\nparagraph is short.\n日本語\n"
    write(tmp_path, {"a.txt": text})
    (found,) = documents(tmp_path, normalise=True)
    assert found.lines == ("he did n't pay $ N to mr. smith", "she said why", "the next paragraph is short")
    write(tmp_path, {"a.txt": "日本語\n"})
    assert "hold no English sentence" in refusal(tmp_path, normalise=True)


# Tables


@pytest.mark.parametrize("kind", TABLES)
def test_every_table_gives_the_same_documents(tmp_path, kind):
    path = tmp_path / f"data.{kind}"
    rows = [
        {"body": 'He said "yes",\r\nthen\tleft', "who": "bert", "year": 1999},
        {"body": "", "who": "anna", "year": 2000},
        {"body": "ümlaut", "who": "anna", "year": 2000},
    ]
    write_table(path, rows)
    found = documents(path, text_column="body", client_column="who", label_column="year")
    first = ('He said "yes",', "then\tleft")
    assert [(one.lines, one.client, one.label) for one in found] == [
        (first, "bert", "1999"), (("ümlaut",), "anna", "2000"),
    ]  # fmt: skip


def test_a_row_without_text_is_no_document(tmp_path):
    write(tmp_path, {"a.jsonl": '{"text": null}\n{"text": "x"}'})
    assert [one.lines for one in documents(tmp_path)] == [("x",)]


def test_rows_of_several_tables_are_one_source(tmp_path):
    write(tmp_path, {"b.jsonl": '{"text": "3"}', "a.jsonl": '{"text": "1"}\n\n{"text": "2"}'})
    assert [one.name for one in documents(tmp_path)] == ["a.jsonl, line 1", "a.jsonl, line 3", "b.jsonl, line 1"]


# Splits


def test_documents_are_drawn_and_every_client_keeps_one(tmp_path):
    clients = ["anna"] * 7 + ["bert"] * 2 + ["carl"]
    rows = [{"text": f"text {i}", "by": client} for i, client in enumerate(clients)]
    write_table(tmp_path / "data.jsonl", rows)
    source = {"client_column": "by", "valid_share": 0.3, "test_share": 0.3}
    corpus = read(tmp_path, **source)
    assert sorted([*corpus.train, *corpus.valid, *corpus.test]) == sorted(row["text"] for row in rows)
    assert (len(corpus.train), len(corpus.valid), len(corpus.test)) == (4, 3, 3)
    assert set(corpus.columns["client"].tolist()) == {0, 1, 2}
    assert read(tmp_path, **source).train == corpus.train
    others = [read(tmp_path, split_seed=seed, **source).test for seed in range(1, 5)]
    assert any(one != corpus.test for one in others)


def test_lines_are_cut_off_the_end_of_each_document(tmp_path):
    write(tmp_path, {"a.txt": lines(*range(10)), "b.txt": lines(*range(10, 14)), "c.txt": lines(20)})
    corpus = read(tmp_path, split_by="line", valid_share=0.2, test_share=0.1)
    # a: 7, 2, 1; b: 4 * 0.2 = 0.8 -> 1 of validation, 0.4 -> none of test; c has one line, which is trained on.
    assert corpus.train == [f"line {i}" for i in [*range(7), 10, 11, 12, 20]]
    assert corpus.valid == ["line 7", "line 8", "line 13"]
    assert corpus.test == ["line 9"]
    assert corpus.documents == [0, 7, 10]
    assert corpus.columns["document"].tolist() == [0] * 7 + [1] * 3 + [2]


@pytest.mark.parametrize(
    "names",
    [
        ("train.txt", "valid.txt", "test.txt"),
        ("train/a/x.txt", "validation/a/x.txt", "test/b/x.txt"),
        ("wiki.train.txt", "wiki.dev.txt", "wiki.test.txt"),
        ("train-00000-of-00001.txt", "val-0.txt", "Test.txt"),
    ],
)
def test_parts_of_ones_own_are_taken_as_they_are(tmp_path, names):
    write(tmp_path, dict(zip(names, ("t1\nt2", "v", "e"), strict=True)))
    corpus = read(tmp_path)
    assert (corpus.train, corpus.valid, corpus.test) == (["t1", "t2"], ["v"], ["e"])
    if "/" in names[0]:
        assert corpus.columns["client"].tolist() == [0, 0]


def test_a_part_that_is_not_given_is_taken_from_training(tmp_path):
    write(tmp_path, {"train/a.txt": "1", "train/b.txt": "2", "test/a.txt": "3"})
    corpus = read(tmp_path)
    assert corpus.test == ["3"]
    assert sorted([*corpus.train, *corpus.valid]) == ["1", "2"]


def test_provenance_names_what_was_read_of_each_part(tmp_path):
    write(tmp_path, {"train.txt": "1\n2", "valid.txt": "3", "test.txt": "4"})
    before = read(tmp_path).provenance
    write(tmp_path, {"test.txt": "5"})
    after = read(tmp_path).provenance
    assert {name for name in before if before[name] != after[name]} == {"text_folder test"}


# What is wrong


@pytest.mark.parametrize(
    ("files", "source", "said"),
    [
        ({"a.pdf": "x"}, {}, r"holds no file whose name ends in \.txt, .*; it holds a\.pdf\. Choose files"),
        ({".a.txt": "x"}, {}, r"holds no file whose name ends in .*, and no other"),
        ({"a.txt": "x"}, {"files": "*.md"}, r"holds no file that `files` = '\*\.md' names; it holds"),
        ({"a.txt": "x"}, {"files": "/etc/*"}, r"`files` of \[task\.params\.source\] is no pattern below a folder"),
        ({"a.json": "[]"}, {"files": "*.json"}, r"a\.json is JSON, which is no text\. Write one object a line into"),
        ({"a.txt": "\n", "b.txt": ""}, {}, r"holds no text: its 2 files are empty"),
        ({"a.txt": "x", "b.jsonl": "{}"}, {}, r"mixes formats \(a\.txt, b\.jsonl\)"),
        ({"a.txt": b"one\ncaf\xe9\n"}, {}, r"a\.txt, line 2, is no UTF-8\. Save it as UTF-8"),
        ({"a.txt": "one\n".encode("utf-16-le")}, {}, r"a\.txt, line 1, holds a NUL"),
        ({"a.csv": b"text,b\nx,y\ncaf\xe9,y\n"}, {}, r"a\.csv, line 3, is no UTF-8"),
        ({"a.txt": "x\ny"}, {}, r"1 document is too few to draw `test` from.*split_by = \"line\""),
        ({"a.txt": "x"}, {"split_by": "line"}, r"leave nothing for `valid`: it has 1 lines in 1 documents"),
        ({"a.txt": "1", "b.txt": "2"}, {}, r"2 documents are too few to draw `valid` from"),
        ({"a/x.txt": "1", "b/x.txt": "2", "c/x.txt": "3"}, {}, r"3 documents of 3 clients are too few to draw `test`"),
        (
            {"a.txt": "x", "b.txt": "y", "c.txt": "z"},
            {"test_share": 0.0},
            r"test_share is 0 and there is no part `test`",
        ),
        ({"train.txt": "", "valid.txt": "v", "test.txt": "e"}, {}, r"The part `train` of .* holds no text"),
        ({"test.txt": "x", "valid.txt": "y"}, {}, r"named as parts of a data set, without one for training"),
        ({"train.txt": "x", "more.txt": "y"}, {}, r"holds train\.txt, named as parts .* beside .* \(more\.txt\)"),
        ({"anna/x.txt": "1", "bert/x.txt": ""}, {}, r"Client `bert` has no text \(bert/x\.txt is empty\)"),
        (
            {"a.txt": "x"},
            {"client_column": "who"},
            r"holds text files, which have no columns; client_column is of tables",
        ),
        ({"a.jsonl": '{"body": 1, "by": 2}'}, {}, r"line 1, has no column `text`: its columns are body, by\. Name"),
        (
            {"a.csv": "body,by\n1,2\n"},
            {"client_column": "who"},
            r"no column `text` and `who`: its columns are body, by",
        ),
        ({"a.csv": ""}, {}, r"a\.csv cannot be read as CSV \(Empty CSV file\). It begins with a row of names"),
        ({"a.csv": "text\nx\na,b,c\n"}, {}, r"cannot be read as CSV \(.*Row #3: Expected 1 columns, got 3.*\)"),
        ({"a.jsonl": '{"text": "x"}\nnot\n'}, {}, r"a\.jsonl, line 2, is no JSON"),
        ({"a.jsonl": '["text"]'}, {}, r"a\.jsonl, line 1, is no JSON object"),
        ({"a.jsonl": '{"text": "\\ud83d"}'}, {}, r"line 1, holds half a character .* in column `text`"),
        ({"a.csv": "text,text\nx,y\n"}, {}, r"a\.csv has 2 columns `text`\. Give each a name of its own"),
        ({"a.jsonl": '{"text": ["x"]}'}, {}, r"line 1, holds a list in column `text`"),
        ({"a.jsonl": '{"text": "x", "by": ""}'}, {"client_column": "by"}, r"line 1, names no client"),
        ({"a.parquet": "none"}, {}, r"a\.parquet cannot be read as parquet"),
    ],
)
def test_what_cannot_be_used_is_told_in_a_sentence(tmp_path, files, source, said):
    write(tmp_path, files)
    text = refusal(tmp_path, **source)
    assert re.search(said, text), text


def test_a_parquet_column_that_is_no_text_or_not_there_is_told(tmp_path):
    pd.DataFrame({"text": [b"x"], "body": ["y"]}).to_parquet(tmp_path / "a.parquet")
    assert "has a column `text` of binary. It must hold text." in refusal(tmp_path)
    assert "no column `txt`: its columns are text, body." in refusal(tmp_path, text_column="txt")


def test_a_parquet_column_that_is_no_utf8_is_told(tmp_path):
    ends, content = (pa.py_buffer(one) for one in (b"\0\0\0\0\2\0\0\0", b"a\xff"))
    pq.write_table(pa.table({"text": pa.StringArray.from_buffers(1, ends, content)}), tmp_path / "a.parquet")
    assert "a.parquet cannot be read as parquet ('utf-8' codec can't decode" in refusal(tmp_path)


def test_a_folder_that_is_not_there_is_told(tmp_path):
    assert f"There is no folder or file {tmp_path / 'texts'}, which `path`" in refusal(tmp_path / "texts")


@pytest.mark.parametrize(
    ("params", "where", "said"),
    [
        ({"dataset": "text_folder"}, (), "Say where it is with `path` in [task.params.source]"),
        ({"source": {"path": "x"}}, (), 'Set dataset = "text_folder"'),
        ({"source": {"valid_share": 0.6, "test_share": 0.4}}, ("source",), "together must be below 1"),
        ({"source": {"valid_share": -0.1}}, ("source",), "valid_share must be at least 0"),
        ({"source": {"text_column": ""}}, ("source",), "text_column is empty"),
        ({"source": {"pth": "x"}}, ("source", "pth"), "Unknown parameter `source.pth`. Did you mean `path`?"),
        ({"source": {"split_by": "word"}}, ("source", "split_by"), "'document' or 'line'"),
    ],
)
def test_what_a_suite_says_wrong_is_told_with_its_place(params, where, said):
    made, [(path, sentence)] = make_params(Params, params)
    assert made is None
    assert path == where
    assert said.casefold() in sentence.casefold()


# Identity


def test_files_name_what_is_read_alone(tmp_path):
    write(tmp_path, {"a.txt": "x", "b/c.txt": "y", "notes.pdf": "z"})
    (found,) = own_files(lambda one: one, TextSource(str(tmp_path))).values()
    assert found.folder == tmp_path
    assert [one.name for one in found.files] == ["a.txt", "c.txt"]
    assert own_files(lambda one: one, TextSource(str(tmp_path / "a.txt"))) == {"source.path": tmp_path / "a.txt"}


def test_too_little_text_has_no_topics():
    assert topic_labels([["a word"]] * 3, 2, 1) is None
    assert topic_labels([["the"]] * 30, 2, 1) is None
    words = [[f"w{i % 40} w{(i + 1) % 40} x{i % 37}"] for i in range(400)]
    labels = topic_labels(words, 3, 1)
    assert labels is not None
    assert len(np.unique(labels)) == 3
    assert topic_labels(words[:2], 3, 1) is None
