"""Tiny wire: generated news lines from a small stochastic grammar with topics and a known entropy.

An article has one topic; its lines are independent given the topic. A line is a template, told apart by its first
word, whose slots are filled from the topic's own word distributions: every line has exactly one derivation, so the
probability of a line given its topic, and with it the floor of every model, is known exactly.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

_Thing = TypeVar("_Thing")

TOPICS = ("markets", "harvest", "oil", "labor", "courts", "defense", "health", "trade")
_NOUNS = {
    "markets": (
        "stock bond share index broker fund dividend option yield portfolio rally quote trader bourse future "
        "margin bond equity auction coupon"
    ),
    "harvest": (
        "wheat corn farm soybean crop barn tractor grain cattle field silo orchard barley rice farmer drought "
        "seed plow acre harvest"
    ),
    "oil": (
        "barrel refinery pipeline tanker crude well drill rig gasoline tank gas valve crude fuel rigger "
        "diesel shale kerosene derrick spill"
    ),
    "labor": (
        "union strike wage worker plant contract shift picket foreman pension layoff job salary overtime "
        "walkout mediator pay crew foundry labor"
    ),
    "courts": (
        "judge jury trial lawyer appeal verdict suit plaintiff ruling claim witness fraud court bail bench "
        "brief statute settlement felony prosecutor"
    ),
    "defense": (
        "missile army navy general budget treaty jet soldier base radar tank pentagon submarine pilot treaty "
        "warhead carrier brigade bomber ally"
    ),
    "health": (
        "drug doctor vaccine hospital patient trial nurse virus clinic dose study heart surgeon insulin "
        "therapy tumor diet symptom ward medicine"
    ),
    "trade": (
        "tariff import export deficit port quota dollar yen shipment treaty customs surplus cargo freight "
        "embargo steel textile duty exporter dock"
    ),
}
_VERBS = {
    "markets": "gained fell traded rallied slid closed",
    "harvest": "ripened withered sold grew planted dried",
    "oil": "leaked flowed pumped burned spilled rose",
    "labor": "struck bargained walked voted settled quit",
    "courts": "sued ruled appealed pleaded argued lost",
    "defense": "launched flew marched tested armed struck",
    "health": "tested treated cured infected healed tested",
    "trade": "shipped imported taxed dumped blocked sold",
}
_ADJECTIVES = "big small new old strong weak early late foreign local heavy cheap".split()
_PLACES = "chicago dallas boston tokyo london ottawa geneva denver cairo lima oslo rome".split()
_TIMES = "monday tuesday wednesday thursday friday yesterday today".split()
_SOURCES = "analysts officials sources reporters economists critics".split()
_TEMPLATES = (
    (("the", "ADJECTIVE", "NOUN", "VERB", "in", "PLACE", "TIME"), 0.30),
    (("a", "NOUN", "near", "PLACE", "VERB", "the", "ADJECTIVE", "NOUN"), 0.25),
    (("its", "NOUN", "and", "the", "NOUN", "VERB", "TIME"), 0.20),
    (("in", "PLACE", "SOURCE", "said", "the", "NOUN", "VERB"), 0.15),
    (("no", "ADJECTIVE", "NOUN", "VERB", "SOURCE", "said", "TIME"), 0.10),
)
LINES_PER_ARTICLE = 6
_COHERENCE = 0.85


def _zipf(words: list[str], rng: np.random.Generator, exponent: float) -> dict[str, float]:
    order = rng.permutation(len(words))
    weights = (1.0 + np.arange(len(words))) ** -exponent
    return {words[i]: float(w) for i, w in zip(order, weights / weights.sum(), strict=True)}


def _mixed(own: dict[str, float], everybody: dict[str, float], share: float) -> dict[str, float]:
    return {word: share * own.get(word, 0.0) + (1 - share) * everybody[word] for word in sorted(everybody)}


@dataclass(frozen=True)
class Grammar:
    """Slot distributions by topic: `slots[topic][slot][word]` is a probability."""

    slots: tuple[dict[str, dict[str, float]], ...]

    def line_nats(self, line: str, topic: int) -> float:
        """Exact negative log-probability of a line given its topic, in nats."""
        words = line.split()
        template, weight = next((t, w) for t, w in _TEMPLATES if t[0] == words[0])
        return -math.log(weight) - sum(
            math.log(self.slots[topic][slot][word])
            for slot, word in zip(template, words, strict=True)
            if slot.isupper()
        )

    def entropy_nats_per_word(self) -> float:
        """Entropy of a line over its length, line end included, averaged over topics; the topic is given."""
        nats = words = 0.0
        for slots in self.slots:
            entropy = {slot: -sum(p * math.log(p) for p in table.values() if p) for slot, table in slots.items()}
            for template, weight in _TEMPLATES:
                nats += weight * (-math.log(weight) + sum(entropy[slot] for slot in template if slot.isupper()))
                words += weight * (len(template) + 1)
        return nats / words


def make_grammar(coherence: float = _COHERENCE, exponent: float = 1.0) -> Grammar:
    """The grammar of this project.

    Args:
        coherence: how much of a slot's mass is the topic's own (0: no topics at all).
        exponent: of the rank in a word's probability (1: Zipf's law, 0: all words of a slot alike).
    """
    rng = np.random.Generator(np.random.Philox(key=20251115))
    own = [
        {
            "NOUN": _zipf(sorted(set(_NOUNS[topic].split())), rng, exponent),
            "VERB": _zipf(sorted(set(_VERBS[topic].split())), rng, exponent),
            "ADJECTIVE": _zipf(_ADJECTIVES, rng, exponent),
            "PLACE": _zipf(_PLACES, rng, exponent),
            "TIME": _zipf(_TIMES, rng, exponent),
            "SOURCE": _zipf(_SOURCES, rng, exponent),
        }
        for topic in TOPICS
    ]
    mean = {
        slot: {
            word: float(np.mean([t[slot].get(word, 0.0) for t in own]))
            for word in sorted({w for t in own for w in t[slot]})
        }
        for slot in own[0]
    }
    return Grammar(tuple({slot: _mixed(table[slot], mean[slot], coherence) for slot in table} for table in own))


def write_articles(grammar: Grammar, n_articles: int, rng: np.random.Generator) -> tuple[list[str], list[int]]:
    """Lines and the topic of each line, article after article; topics are uniform over articles."""
    lines: list[str] = []
    topics: list[int] = []
    template_of = _drawing(_TEMPLATES)
    word_of = [{slot: _drawing(tuple(table.items())) for slot, table in tables.items()} for tables in grammar.slots]
    for topic in rng.integers(len(TOPICS), size=n_articles):
        slots = word_of[topic]
        for _ in range(LINES_PER_ARTICLE):
            template = template_of(rng)
            lines.append(" ".join(slots[part](rng) if part.isupper() else part for part in template))
            topics.append(int(topic))
    return lines, topics


def _drawing(weighted: Sequence[tuple[_Thing, float]]) -> Callable[[np.random.Generator], _Thing]:
    """A draw of one thing as `Generator.choice(things, p=weights)` makes it, which checks its arguments every time."""
    bounds = np.cumsum([weight for _, weight in weighted])
    upper = (bounds / bounds[-1]).tolist()
    return lambda rng: weighted[bisect_right(upper, rng.random())][0]


def vocabulary() -> list[str]:
    """All words, sorted."""
    grammar = make_grammar()
    slots = {word for tables in grammar.slots for table in tables.values() for word in table}
    return sorted(slots | {word for template, _ in _TEMPLATES for word in template if not word.isupper()})
