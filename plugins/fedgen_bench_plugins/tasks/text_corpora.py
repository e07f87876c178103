"""The texts that `language_modeling` knows, as lines, and topics for lines that come without."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fedgen_bench import Chosen, DatasetSpec, Find
from fedgen_bench_plugins.datasets.known import BEIGE_BOOK, PTB, files_of
from fedgen_bench_plugins.datasets.sources import NO_TEXT, OWN_TEXT, TextSource
from fedgen_bench_plugins.datasets.texts import Corpus

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

_SHORT_LINES = 1000
_LATENT = 64
_TINY_ARTICLES = {"train": 640, "valid": 48, "test": 96}
# First month, end, and k of "every k-th report of a district", which keeps an evaluation at about ten seconds.
_BEIGE_BOOK_PARTS = {
    "train": ("2005-01", "2017-01", 1),
    "valid": ("2017-01", "2018-01", 2),
    "test": ("2018-01", "2021-01", 4),
}
_BEIGE_BOOK_VALID_RUNS = 24


def read_ptb(find: Find, source: TextSource = NO_TEXT) -> Corpus:  # noqa: ARG001 - as every reader
    """Penn Treebank in Mikolov's preprocessing."""
    folder = find(PTB.name)
    parts = {
        name: [line.strip() for line in (folder / f"ptb.{name}.txt").read_text(encoding="utf-8").splitlines()]
        for name in ("train", "valid", "test")
    }
    return Corpus(parts["train"], parts["valid"], parts["test"], dict(PTB.sha256))


def read_ptb_short(find: Find, source: TextSource = NO_TEXT) -> Corpus:  # noqa: ARG001 - as every reader
    """Penn Treebank with the first 1,000 lines of validation and of test alone, for suites of many short runs."""
    whole = read_ptb(find)
    return replace(whole, valid=whole.valid[:_SHORT_LINES], test=whole.test[:_SHORT_LINES])


def write_tiny_wire(find: Find, source: TextSource = NO_TEXT) -> Corpus:  # noqa: ARG001 - as every reader
    """Generated news lines; nothing is read."""
    import hashlib

    import numpy as np

    from fedgen_bench_plugins.datasets import tiny_wire

    grammar = tiny_wire.make_grammar()
    rng = np.random.Generator(np.random.Philox(key=1))
    parts, floors, topics = {}, {}, {}
    for name, n_articles in _TINY_ARTICLES.items():
        lines, line_topics = tiny_wire.write_articles(grammar, n_articles, rng)
        parts[name] = lines
        floors[name] = [grammar.line_nats(line, topic) for line, topic in zip(lines, line_topics, strict=True)]
        topics[name] = np.array(line_topics)
    provenance = {
        f"tiny-wire {name}": hashlib.sha256("\n".join(lines).encode()).hexdigest() for name, lines in parts.items()
    }
    return Corpus(
        parts["train"], parts["valid"], parts["test"], provenance, columns={"label": topics["train"]}, floor_nats=floors
    )


def read_beige_book(find: Find, source: TextSource = NO_TEXT) -> Corpus:  # noqa: ARG001 - as every reader
    """Beige Book reports of the twelve districts from 2005 on, normalised as the pretraining text of `mini-lm`.

    Lines are ordered by district, then date; a report is a document. Columns are `district` (0 to 11 in alphabetical
    order), `year`, and `label`, which is the district. A text that stands twice counts once, under the first district.
    """
    from itertools import accumulate

    import numpy as np
    import pandas as pd

    from fedgen_bench_plugins.backbones.corpus import document_lines

    (file,) = BEIGE_BOOK.sha256
    frame = pd.read_parquet(find(BEIGE_BOOK.name) / file)
    own = (frame["date"] >= _BEIGE_BOOK_PARTS["train"][0]) & (frame["district"] != "Summary")
    frame = frame[own].drop_duplicates("text").sort_values(["district", "date"])
    parts = {}
    for name, (first, end, every) in _BEIGE_BOOK_PARTS.items():
        part = frame[(frame["date"] >= first) & (frame["date"] < end)]
        parts[name] = part[part.groupby("district").cumcount() % every == every - 1]
    reports = {name: [document_lines(text) for text in part["text"]] for name, part in parts.items()}
    train, n_lines = parts["train"], [len(lines) for lines in reports["train"]]
    district = np.repeat(np.unique(train["district"], return_inverse=True)[1], n_lines)
    columns = {
        "label": district,
        "district": district,
        "year": np.repeat(train["date"].str[:4].astype(int).to_numpy(), n_lines),
    }
    train_lines, valid_lines, test_lines = ([line for lines in reports[name] for line in lines] for name in parts)
    return Corpus(
        train_lines,
        valid_lines,
        test_lines,
        dict(BEIGE_BOOK.sha256),
        columns,
        documents=[0, *accumulate(n_lines[:-1])],
        valid_runs=_BEIGE_BOOK_VALID_RUNS,
    )


def _read_own(find: Find, source: TextSource) -> Corpus:
    from fedgen_bench_plugins.datasets.text_folder import read_text_folder

    return read_text_folder(find, source)


def _own_files(find: Find, source: TextSource) -> Mapping[str, Path | Chosen]:
    from fedgen_bench_plugins.datasets.text_folder import own_files

    return own_files(find, source)


@dataclass(frozen=True)
class TextReader:
    """How a corpus is had.

    Args:
        read: gives it. Raises DataError when it cannot be had.
        datasets: registered data sets that it reads.
        own_files: files of the user's own that it reads, by name, where it reads any.
    """

    read: Callable[[Find, TextSource], Corpus]
    datasets: tuple[DatasetSpec, ...] = ()
    own_files: Callable[[Find, TextSource], Mapping[str, Path | Chosen]] | None = None

    def files(self, find: Find, source: TextSource) -> dict[str, Path | Chosen]:
        """Everything that it reads, by name. Raises what `find` raises."""
        own = self.own_files(find, source) if self.own_files else {}
        return {**files_of(self.datasets, find), **own}


CORPORA: Mapping[str, TextReader] = {
    "ptb": TextReader(read_ptb, (PTB,)),
    "ptb-short": TextReader(read_ptb_short, (PTB,)),
    "beige-book": TextReader(read_beige_book, (BEIGE_BOOK,)),
    "tiny-wire": TextReader(write_tiny_wire),
    OWN_TEXT: TextReader(_read_own, own_files=_own_files),
}


def topic_labels(groups: Sequence[Sequence[str]], n_topics: int, key: int) -> np.ndarray | None:
    """Topic of each group of lines: k-means on 64 latent TF-IDF dimensions, seeded, one thread; shape (n_groups,).

    None where there is too little text: fewer groups than topics, or fewer than 64 words that stand in five groups and
    in at most 30 % of them.
    """
    import warnings

    import numpy as np
    from sklearn.cluster import KMeans
    from sklearn.decomposition import TruncatedSVD
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import normalize
    from threadpoolctl import threadpool_limits

    seed = key % (1 << 32)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different groups than topics
        try:
            words = TfidfVectorizer(stop_words="english", min_df=5, max_df=0.3, sublinear_tf=True).fit_transform(
                " ".join(group) for group in groups
            )
        except ValueError:  # no word is left
            return None
        if words.shape[1] < _LATENT or len(groups) < n_topics:
            return None
        latent = normalize(TruncatedSVD(_LATENT, random_state=seed).fit_transform(words))
        return np.asarray(KMeans(n_topics, n_init=4, random_state=seed).fit_predict(latent), dtype=np.int64)
