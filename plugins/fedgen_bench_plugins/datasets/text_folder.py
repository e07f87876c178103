"""The user's own text: a folder of text files, or JSON lines, parquet or CSV with a text column.

Lines are those of the files, without white space at their ends; empty ones are left out. A document is a file, or a row
of a table. Documents are in the order of their files' paths, and of their rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from fedgen_bench import Chosen, DataError, Find
from fedgen_bench_plugins.datasets.source_files import PARTS, Part, SourceFile, chosen, files_of, only_format, placed
from fedgen_bench_plugins.datasets.sources import TextSource
from fedgen_bench_plugins.datasets.splits import cut, split_by_draw
from fedgen_bench_plugins.datasets.tables import FORMATS, read_columns
from fedgen_bench_plugins.datasets.text_files import text_lines
from fedgen_bench_plugins.datasets.texts import Corpus

_TEXT = "text"
_FORMATS = {suffix: suffix.removeprefix(".") for suffix in FORMATS}
_SUFFIXES = (".txt", *FORMATS)


@dataclass(frozen=True)
class Document:
    """A text with whose it is, its label, and the part that it is given as; each None where that is not known."""

    name: str
    lines: tuple[str, ...]
    client: str | None
    label: str | None
    part: Part | None


def own_files(find: Find, source: TextSource) -> dict[str, Path | Chosen]:
    """What is read, for `TaskFactory.files`. Raises DataError when there is nothing."""
    place = placed(find, source.path)
    return {"source.path": chosen(place, files_of(place, _SUFFIXES, source.files))}


def read_text_folder(find: Find, source: TextSource) -> Corpus:
    """Documents of the source, split. Columns are `document` and, where they are known, `client` and `label`.

    Clients and labels are numbered in the order of their names, documents in their own.

    Raises:
        DataError: there is no text, a file or column cannot be read, or a client or a part has nothing.
    """
    place = placed(find, source.path)
    documents = read_documents(place, source)
    parts = _split(documents, source)
    lines = {
        part: [[document.lines[i] for i in one.get(part, ())] for document, one in zip(documents, parts, strict=True)]
        for part in PARTS
    }
    if empty := [part for part in PARTS if not any(lines[part])]:
        raise DataError(
            f"The splits of {place} leave nothing for `{empty[0]}`: it has {sum(len(one.lines) for one in documents)} "
            f"lines in {len(documents)} documents. Raise {empty[0]}_share, or give `train`, `valid` and `test` of your "
            "own as files or folders of these names."
            if empty[0] != "train"
            else f"The part `train` of {place} holds no text. Put what clients train on there."
        )
    return _corpus(documents, lines)


def read_documents(place: Path, source: TextSource) -> list[Document]:
    """All documents that have a line, in order. Raises DataError as `read_text_folder` does."""
    files = files_of(place, _SUFFIXES, source.files)
    if only_format(files, _FORMATS, _TEXT, place) == _TEXT:
        _need_no_columns(source, place)
        _need_no_json(files)
        documents = [_of_file(file, client, source) for file, client in _with_clients(files)]
    else:
        documents = [document for file in files for document in _of_table(file, source)]
    full = [one for one in documents if one.lines]
    if not full:
        lost = ", or hold no English sentence, which `normalise` looks for" if source.normalise else ""
        raise DataError(f"{place} holds no text: its {len(files)} files are empty{lost}. Name another with `path`.")
    with_text = {one.client for one in full}
    if without := [one for one in documents if one.client is not None and one.client not in with_text]:
        raise DataError(
            f"Client `{without[0].client}` has no text ({without[0].name} is empty). Fill it, or take it out."
        )
    return full


def _need_no_columns(source: TextSource, place: Path) -> None:
    for name in ("client_column", "label_column"):
        if getattr(source, name):
            raise DataError(
                f"{place} holds text files, which have no columns; {name} is of tables ({', '.join(FORMATS)}). Leave "
                "it out: the folders that files lie in are their clients."
            )


def _need_no_json(files: Sequence[SourceFile]) -> None:
    """A list of objects, or lines of them under another name, would be read as a text with many braces."""
    if found := next((one for one in files if one.suffix == ".json"), None):
        raise DataError(
            f"{found.name} is JSON, which is no text. Write one object a line into a file ending in .jsonl."
        )


def _with_clients(files: Sequence[SourceFile]) -> Iterator[tuple[SourceFile, str | None]]:
    """Text files with the first folder that each lies in, where all of them that are trained on lie in one."""
    known = all(file.folders for file in files if file.part in {None, "train"})
    return ((file, file.folders[0] if known and file.folders else None) for file in files)


def _of_file(file: SourceFile, client: str | None, source: TextSource) -> Document:
    return Document(file.name, prepared(text_lines(file.path), source), client, None, file.part)


def _of_table(file: SourceFile, source: TextSource) -> Iterator[Document]:
    wanted = dict.fromkeys(filter(None, (source.text_column, source.client_column, source.label_column)))
    columns = read_columns(file.path, wanted)
    texts = columns.values[source.text_column]
    clients, labels = (columns.values.get(name) for name in (source.client_column, source.label_column))
    for i, text in enumerate(texts):
        where = f"{file.name}, {columns.rows[i]},"
        yield Document(
            where.removesuffix(","),
            prepared(_lines(text or ""), source),
            None if clients is None else _named(clients[i], where, "client"),
            None if labels is None else _named(labels[i], where, "label"),
            file.part,
        )


def _named(value: str | None, where: str, what: str) -> str:
    if not value:
        raise DataError(f"{where} names no {what}. Fill {what}_column of [task.params.source], or leave the row out.")
    return value


def _lines(text: str) -> list[str]:
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def prepared(lines: Iterable[str], source: TextSource) -> tuple[str, ...]:
    """The lines of a document that are trained on or scored."""
    if not source.normalise:
        return tuple(line.rstrip() for line in lines if line.strip())
    from fedgen_bench_plugins.backbones.normalise import normalise

    paragraphs = (" ".join(some) for is_empty, some in groupby(lines, lambda line: not line.strip()) if not is_empty)
    return tuple(line for paragraph in paragraphs for line in normalise(paragraph))


def _split(documents: Sequence[Document], source: TextSource) -> list[dict[Part, range]]:
    """Each document's lines by part."""
    shares: dict[Part, float] = {"test": source.test_share, "valid": source.valid_share}
    given = [one.part for one in documents]
    if source.split_by == "line":
        missing = {part: share for part, share in shares.items() if part not in given}
        return [
            cut(len(one.lines), missing) if one.part in {None, "train"} else {one.part: range(len(one.lines))}
            for one in documents
        ]
    parts = split_by_draw([one.client for one in documents], given, shares, source.split_seed, "document")
    return [{part: range(len(one.lines))} for part, one in zip(parts, documents, strict=True)]


def _corpus(documents: Sequence[Document], lines: dict[Part, list[list[str]]]) -> Corpus:
    trained = [i for i, one in enumerate(lines["train"]) if one]
    sizes = [len(lines["train"][i]) for i in trained]
    columns = {"document": np.repeat(np.arange(len(trained)), sizes)}
    for name in ("client", "label"):
        values = [getattr(documents[i], name) for i in trained]
        if values[0] is not None:
            columns[name] = np.repeat(np.unique(values, return_inverse=True)[1], sizes)
    flat = {part: [line for document in some for line in document] for part, some in lines.items()}
    hashes = {part: hashlib.sha256("\n".join(some).encode()).hexdigest() for part, some in flat.items()}
    return Corpus(
        flat["train"],
        flat["valid"],
        flat["test"],
        {f"text_folder {part}": digest for part, digest in hashes.items()},
        columns,
        documents=[0, *np.cumsum(sizes[:-1]).tolist()],
    )
