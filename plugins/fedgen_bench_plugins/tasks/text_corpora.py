"""The texts that `language_modeling` knows, as lines, and topics for lines that come without."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from fedgen_bench import DatasetSpec
from fedgen_bench_plugins.datasets.known import BEIGE_BOOK, PTB

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

_SHORT_LINES = 1000
_TINY_ARTICLES = {"train": 640, "valid": 48, "test": 96}
# First month, end, and k of "every k-th report of a district", which keeps an evaluation at about ten seconds.
_BEIGE_BOOK_PARTS = {
    "train": ("2005-01", "2017-01", 1),
    "valid": ("2017-01", "2018-01", 2),
    "test": ("2018-01", "2021-01", 4),
}
_BEIGE_BOOK_VALID_RUNS = 24


@dataclass(frozen=True)
class Corpus:
    """Lines of the three parts.

    Args:
        columns: integers by name, one a training line; `label` is the topic.
        documents: the training line that each document begins with.
        valid_runs: equal runs of validation lines that a subset is taken from.
        floor_nats: by part, each line's negative log-likelihood under the text's own generator, where there is one.
        provenance: sha256 by file.
    """

    train: Sequence[str]
    valid: Sequence[str]
    test: Sequence[str]
    provenance: Mapping[str, str]
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)
    documents: Sequence[int] = (0,)
    valid_runs: int = 8
    floor_nats: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def unit_bounds(self, unit_lines: int) -> list[int]:
        """First training line of every unit, and the end: unit i is the lines from bound i up to bound i + 1.

        Units are runs of `unit_lines` lines; the last one of a document is shorter when its lines do not come out even.
        """
        n = len(self.train)
        ends = [*self.documents[1:], n]
        return [i for first, end in zip(self.documents, ends, strict=True) for i in range(first, end, unit_lines)] + [n]


def read_ptb(find: Callable[[str], Path]) -> Corpus:
    """Penn Treebank in Mikolov's preprocessing."""
    folder = find(PTB.name)
    parts = {
        name: [line.strip() for line in (folder / f"ptb.{name}.txt").read_text(encoding="utf-8").splitlines()]
        for name in ("train", "valid", "test")
    }
    return Corpus(parts["train"], parts["valid"], parts["test"], dict(PTB.sha256))


def read_ptb_short(find: Callable[[str], Path]) -> Corpus:
    """Penn Treebank with the first 1,000 lines of validation and of test alone, for suites of many short runs."""
    whole = read_ptb(find)
    return replace(whole, valid=whole.valid[:_SHORT_LINES], test=whole.test[:_SHORT_LINES])


def write_tiny_wire(find: Callable[[str], Path]) -> Corpus:  # noqa: ARG001 - as every reader
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


def read_beige_book(find: Callable[[str], Path]) -> Corpus:
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


DATASETS_OF: Mapping[str, tuple[DatasetSpec, ...]] = {
    "ptb": (PTB,),
    "ptb-short": (PTB,),
    "beige-book": (BEIGE_BOOK,),
    "tiny-wire": (),
}
CORPORA: Mapping[str, Callable[[Callable[[str], Path]], Corpus]] = {
    "ptb": read_ptb,
    "ptb-short": read_ptb_short,
    "beige-book": read_beige_book,
    "tiny-wire": write_tiny_wire,
}


def topic_labels(groups: Sequence[Sequence[str]], n_topics: int, key: int) -> np.ndarray:
    """Topic of each group of lines: k-means on 64 latent TF-IDF dimensions, seeded, one thread; shape (n_groups,)."""
    import numpy as np
    from sklearn.cluster import KMeans
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import normalize
    from threadpoolctl import threadpool_limits

    seed = key % (1 << 32)
    with threadpool_limits(1):
        words = TfidfVectorizer(stop_words="english", min_df=5, max_df=0.3, sublinear_tf=True).fit_transform(
            " ".join(group) for group in groups
        )
        latent = normalize(TruncatedSVD(64, random_state=seed).fit_transform(words))
        return np.asarray(KMeans(n_topics, n_init=4, random_state=seed).fit_predict(latent), dtype=np.int64)
