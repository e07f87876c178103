"""The table `canaries` of `language_modeling`: sentences with a random end that some clients' training text holds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fedgen_bench import DataError

if TYPE_CHECKING:
    import numpy as np

_WORDS = (
    "january february march april may june july august september october november december monday tuesday wednesday "
    "thursday friday saturday sunday one two three four five six seven eight nine north south east west"
)
_MOST_BITS = 62  # numbers of sequences are int64
PLACE = "{}"


@dataclass(frozen=True)
class Canaries:
    """Secrets planted with clients, to measure what models give away of them (arXiv 1802.08232).

    A canary is the carrier with a tag of its own, then a sequence of words: "the code for june is nine west may two".

    Args:
        count: clients that have a canary, one each; as many controls are drawn that nobody trains on. None when 0.
        times: how often a canary stands in its owner's training text, behind units that are drawn.
        carrier: what a canary begins with; its tag, a word, takes the place of `{}`.
        words: what tags and sequences are drawn from, evenly.
        length: words of a sequence.
        candidates: sequences that nobody trains on and that each canary is ranked among.
    """

    count: int = 0
    times: int = 8
    carrier: str = "the code for {} is"
    words: tuple[str, ...] = tuple(_WORDS.split())
    length: int = 4
    candidates: int = 255

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError(f"canaries.count must be at least 0, got {self.count}.")
        for name in ("times", "length", "candidates"):
            if getattr(self, name) < 1:
                raise ValueError(f"canaries.{name} must be at least 1, got {getattr(self, name)}.")
        if self.carrier.count(PLACE) != 1 or not self.carrier.replace(PLACE, "").strip():
            raise ValueError(f"canaries.carrier must be words with `{PLACE}` among them once, got {self.carrier!r}.")
        if odd := [word for word in self.words if word.split() != [word]]:
            raise ValueError(f"canaries.words are words without spaces, got {odd[0]!r}.")
        if len(set(self.words)) < len(self.words):
            raise ValueError("canaries.words holds a word twice. Remove the second.")
        if 2 * self.count > len(self.words):
            raise ValueError(
                f"{self.count} canaries and as many controls need {2 * self.count} tags; canaries.words has "
                f"{len(self.words)}. Plant fewer, or give more words."
            )
        if self.count and self.space_bits > _MOST_BITS:
            raise ValueError(
                f"Sequences of {self.length} of {len(self.words)} words are a space of {self.space_bits:.0f} bits; at "
                f"most {_MOST_BITS} can be drawn from. Lower canaries.length."
            )
        if self.count and (wanted := self.candidates + 2 * self.count) > (there := len(self.words) ** self.length):
            raise ValueError(
                f"Canaries, controls and candidates are {wanted} different sequences; there are {there} of "
                f"{self.length} of {len(self.words)} words. Lower canaries.candidates, or raise canaries.length."
            )

    @property
    def space_bits(self) -> float:
        """log2 of how many sequences there are."""
        return self.length * math.log2(max(1, len(self.words)))

    def lead(self, tag: str) -> str:
        """What stands before a canary's sequence."""
        return self.carrier.replace(PLACE, tag)

    def sequence(self, number: int) -> str:
        """A sequence by its number below the size of the space."""
        n_words, words = len(self.words), list[str]()
        for _ in range(self.length):
            number, word = divmod(number, n_words)
            words.append(self.words[word])
        return " ".join(words)


NO_CANARIES = Canaries()


@dataclass(frozen=True)
class Drawn:
    """What was drawn for one seed.

    Args:
        owners: by canary, the client that has it.
        units: by canary, the units of the owner that it stands behind, `times` of them.
        leads: by canary, then by control, what stands before its sequence.
        sequences: by canary, then by control.
        candidates: what each of them is ranked among.
    """

    owners: tuple[int, ...]
    units: tuple[tuple[int, ...], ...]
    leads: tuple[str, ...]
    sequences: tuple[str, ...]
    candidates: tuple[str, ...]


def draw(canaries: Canaries, trained: Sequence[tuple[int, np.ndarray]], rng: np.random.Generator) -> Drawn:
    """Owners, places and secrets; sequences all differ, so a canary that nobody trained on is as any candidate.

    Args:
        canaries: how many of which form.
        trained: clients that may own one, each with the units that it trains on.
        rng: a generator of the stream `secrets`.

    Raises:
        DataError: fewer clients than canaries.
    """
    n = canaries.count
    if n > len(trained):
        raise DataError(
            f"{n} canaries need as many clients that are asked and have text to train on; there are {len(trained)}. "
            "Lower canaries.count, or ask more clients."
        )
    chosen = [trained[i] for i in sorted(rng.choice(len(trained), n, replace=False).tolist())]
    tags = rng.choice(len(canaries.words), 2 * n, replace=False).tolist()
    space = len(canaries.words) ** canaries.length
    numbers = rng.choice(space, 2 * n + canaries.candidates, replace=False).tolist()
    sequences = [canaries.sequence(number) for number in numbers]
    return Drawn(
        owners=tuple(client_id for client_id, _ in chosen),
        units=tuple(tuple(units[rng.integers(len(units), size=canaries.times)].tolist()) for _, units in chosen),
        leads=tuple(canaries.lead(canaries.words[tag]) for tag in tags),
        sequences=tuple(sequences[: 2 * n]),
        candidates=tuple(sequences[2 * n :]),
    )
