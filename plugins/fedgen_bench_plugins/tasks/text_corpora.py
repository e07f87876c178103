"""The texts that `language_modeling` knows, as lines, and topics for lines that come without."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

_TINY_ARTICLES = {"train": 640, "valid": 48, "test": 96}


@dataclass(frozen=True)
class Corpus:
    """Lines of the three parts.

    Args:
        topics: topic of each training line, where it is known.
        floor_nats: by part, each line's negative log-likelihood under the text's own generator, where there is one.
        provenance: sha256 by file.
    """

    train: Sequence[str]
    valid: Sequence[str]
    test: Sequence[str]
    provenance: Mapping[str, str]
    topics: np.ndarray | None = None
    floor_nats: Mapping[str, Sequence[float]] = field(default_factory=dict)


def read_ptb(find: Callable[[str], Path]) -> Corpus:
    """Penn Treebank in Mikolov's preprocessing."""
    from fedgen_bench.data.catalog import DATASETS

    folder = find("ptb")
    parts = {
        name: [line.strip() for line in (folder / f"ptb.{name}.txt").read_text(encoding="utf-8").splitlines()]
        for name in ("train", "valid", "test")
    }
    return Corpus(parts["train"], parts["valid"], parts["test"], dict(DATASETS["ptb"].files))


def write_tiny_wire(find: Callable[[str], Path]) -> Corpus:  # noqa: ARG001 - as every reader
    """Generated news lines; nothing is read."""
    import hashlib

    import numpy as np

    from fedgen_bench.data import tiny_wire

    grammar = tiny_wire.make_grammar()
    rng = np.random.Generator(np.random.Philox(key=1))
    parts, floors, topics = {}, {}, None
    for name, n_articles in _TINY_ARTICLES.items():
        lines, line_topics = tiny_wire.write_articles(grammar, n_articles, rng)
        parts[name] = lines
        floors[name] = [grammar.line_nats(line, topic) for line, topic in zip(lines, line_topics, strict=True)]
        topics = np.array(line_topics) if name == "train" else topics
    provenance = {
        f"tiny-wire {name}": hashlib.sha256("\n".join(lines).encode()).hexdigest() for name, lines in parts.items()
    }
    return Corpus(parts["train"], parts["valid"], parts["test"], provenance, topics, floors)


DATASETS_OF: Mapping[str, tuple[str, ...]] = {"ptb": ("ptb",), "tiny-wire": ()}
CORPORA: Mapping[str, Callable[[Callable[[str], Path]], Corpus]] = {"ptb": read_ptb, "tiny-wire": write_tiny_wire}


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
