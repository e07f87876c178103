"""Canaries as tokens: what they add to units, and what models give away of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from fedgen_bench import DataError, Exposure, Secrets
from fedgen_bench_plugins.tasks.canaries import PLACE, Canaries, Drawn
from fedgen_bench_plugins.tasks.exposure import behind, exposure, scored

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

Encode = Callable[[list[str]], list[list[int]]]


def check_words(canaries: Canaries, encode: Encode) -> None:
    """Raises DataError when the tokenizer cannot spell what canaries are made of."""
    for text in (canaries.carrier.replace(PLACE, ""), *canaries.words) if canaries.count else ():
        try:
            encode([text])
        except DataError as error:
            raise DataError(
                f"The backbone's tokenizer cannot spell {text!r}, of which canaries are made. Choose other words in "
                "[task.params.canaries]."
            ) from error


class Planted:
    """The canaries of one seed.

    Args:
        canaries: how they were asked for.
        drawn: what was drawn.
        encode: tokens of each line with its line end.
        longest: the most tokens that the task reads at a time.

    Raises:
        DataError: words that the tokenizer cannot spell, a canary that is longer than what is read at a time.
    """

    def __init__(self, canaries: Canaries, drawn: Drawn, encode: Encode, longest: int) -> None:
        self._drawn, self._encode = drawn, encode
        self._before = dict[int, list[float]]()
        self.secrets = Secrets(drawn.owners, canaries.candidates, canaries.space_bits)
        n = len(drawn.owners)
        lines = encode([f"{a} {b}" for a, b in zip(drawn.leads[:n], drawn.sequences[:n], strict=True)])
        if (most := max(map(len, lines))) > longest:
            raise DataError(
                f"A canary takes {most} tokens, and the task reads {longest} at a time. Lower canaries.length, or "
                "raise block_tokens."
            )
        added = defaultdict[int, list[int]](list)
        for line, units in zip(lines, drawn.units, strict=True):
            for unit in units:
                added[unit] += line
        self._added: Mapping[int, list[int]] = dict(added)

    def behind(self, unit: int) -> list[int]:
        """The tokens that stand behind a unit's own."""
        return self._added.get(unit, [])

    def n_tokens(self, own: np.ndarray) -> np.ndarray:
        """How many tokens each unit has with them; `own` without."""
        counts = own.copy()
        for unit, tokens in self._added.items():
            counts[unit] += len(tokens)
        return counts

    def exposures(
        self, module: nn.Module, backbone: nn.Module, numbers: Sequence[int], start: int, n_tokens: int
    ) -> list[Exposure]:
        """What a model gives away of canaries and controls, in their order.

        Args:
            module: the model.
            backbone: as it came; each canary is scored by it once.
            numbers: which of them.
            start: the token before each line.
            n_tokens: how many are read at a time.
        """

        def scores(model: nn.Module, number: int) -> tuple[list[float], list[bool]]:
            lead, rests = self._lines[number]
            n_at_once = max(1, n_tokens // (len(lead) + max(map(len, rests))))
            return scored(model, [start, *lead], rests, n_at_once)

        found = []
        for number in numbers:
            if number not in self._before:
                self._before[number], _ = scores(backbone, number)
            nats, greedy = scores(module, number)
            found.append(exposure(nats, self._before[number], extracted=greedy[0]))
        return found

    @cached_property
    def _lines(self) -> list[tuple[list[int], list[list[int]]]]:
        """By number, the tokens of the lead, and of its own sequence and all candidates."""
        drawn = self._drawn
        leads = [tokens[:-1] for tokens in self._encode(list(drawn.leads))]
        found = []
        for text, lead, own in zip(drawn.leads, leads, drawn.sequences, strict=True):
            lines = self._encode([f"{text} {sequence}" for sequence in (own, *drawn.candidates)])
            found.append((lead, [behind(lead, line[:-1]) for line in lines]))
        return found
