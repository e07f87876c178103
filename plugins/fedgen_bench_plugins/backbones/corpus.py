"""Pretraining text: checked sources -> normalised documents -> the `<unk>` convention -> tokenizer, token streams."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from fedgen_bench import DataError
from fedgen_bench_plugins.backbones import normalise

EOS = "<eos>"
UNK = "<unk>"
_PARAGRAPHS_PER_DOCUMENT = 40


@dataclass(frozen=True)
class Source:
    """One pretraining text: where it is, what it must hash to, and its share of the stream at the start and the end."""

    name: str
    file: str
    sha256: str
    layout: str
    share: tuple[float, float]
    before: str | None = None


def _documents(source: Source, path: Path) -> Iterator[str]:
    if source.layout == "parquet":
        import pandas as pd

        frame = pd.read_parquet(path)
        if source.before is not None:
            frame = frame[frame["date"] < source.before]
        yield from frame["text"]
        return
    text = path.read_text(encoding="utf-8")
    if source.layout == "wikitext":
        paragraphs = [normalise.join_wikitext(p) for p in text.split("\n") if p.strip() and not p.startswith(" =")]
    else:
        paragraphs = [" ".join(p.split()) for p in text.split("\n\n") if p.strip()]
    for start in range(0, len(paragraphs), _PARAGRAPHS_PER_DOCUMENT):
        yield "\n".join(paragraphs[start : start + _PARAGRAPHS_PER_DOCUMENT])


def read_source(source: Source, root: Path) -> list[list[str]]:
    """Documents of one source as normalised lines. Raises DataError when there is no file, or not the recipe's."""
    path = root / source.file
    if not path.is_file():
        raise DataError(f"There is no {path}, which the recipe trains on. Name the folder with it by `--data`.")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != source.sha256:
        raise DataError(f"{path} has sha256 {digest}, the recipe was written for {source.sha256}. Use that file.")
    documents = (document_lines(text) for text in _documents(source, path))
    return [lines for lines in documents if lines]


def document_lines(text: str) -> list[str]:
    """The normalised lines of one document, one a sentence."""
    return [line for paragraph in text.split("\n") for line in normalise.normalise(paragraph)]


def replace_rare(
    documents: Iterable[list[str]],
    counts: Counter[str],
    *,
    min_count: int,
    tail_rank: int,
    tail_fraction: float,
    rng: np.random.Generator,
) -> list[list[str]]:
    """Put `<unk>` where PTB would.

    Always for words seen fewer than `min_count` times, and for a fraction of the occurrences of words beyond
    `tail_rank`, so that the model knows both the token and the spelling of rare words.
    """
    kept = {word for rank, (word, n) in enumerate(counts.most_common()) if n >= min_count and rank < tail_rank}
    rare = {word for word, n in counts.items() if n < min_count}

    def replaced(word: str) -> str:
        if word in kept or word == UNK:
            return word
        return UNK if word in rare or rng.random() < tail_fraction else word

    return [[" ".join(replaced(word) for word in line.split()) for line in lines] for lines in documents]


def train_tokenizer(lines: Iterable[str], n_tokens: int) -> Any:
    """Byte-level BPE over space-separated words; `<unk>` and `<eos>` are single tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=n_tokens,
        special_tokens=[UNK, EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(lines, trainer)
    return tokenizer


def encode_documents(tokenizer: Any, documents: Sequence[list[str]]) -> list[np.ndarray]:
    """One int32 array of tokens a document; every line ends in `<eos>`."""
    encoded = tokenizer.encode_batch([f" {EOS} ".join(lines) + f" {EOS}" for lines in documents])
    return [np.asarray(one.ids, dtype=np.int32) for one in encoded]


class BlockStream:
    """Endless blocks of a source: documents shuffled anew each epoch, joined, cut to `length + 1` tokens.

    The position is (epoch, block), so a stream resumes from two integers.
    """

    def __init__(self, documents: Sequence[np.ndarray], length: int, key: int) -> None:
        self._documents, self._length, self._key = documents, length, key
        self._blocks: np.ndarray | None = None
        self.epoch, self.block = 0, 0

    def _load(self) -> np.ndarray:
        order = np.random.Generator(np.random.Philox(key=[self._key, self.epoch])).permutation(len(self._documents))
        tokens = np.concatenate([self._documents[i] for i in order])
        n_blocks = (len(tokens) - 1) // self._length
        starts = np.arange(n_blocks) * self._length
        return cast("np.ndarray", tokens[starts[:, None] + np.arange(self._length + 1)[None, :]])

    def seek(self, epoch: int, block: int) -> None:
        self.epoch, self.block, self._blocks = epoch, block, None

    def next(self) -> np.ndarray:
        """The next block, int32 of shape (length + 1,)."""
        if self._blocks is None:
            self._blocks = self._load()
        if self.block == len(self._blocks):
            self.seek(self.epoch + 1, 0)
            return self.next()
        self.block += 1
        return cast("np.ndarray", self._blocks[self.block - 1])


def word_counts(corpora: Iterable[list[list[str]]]) -> Counter[str]:
    """Occurrences of every word in all corpora."""
    counts: Counter[str] = Counter()
    for documents in corpora:
        for lines in documents:
            for line in lines:
                counts.update(line.split())
    counts.pop(UNK, None)
    return counts
