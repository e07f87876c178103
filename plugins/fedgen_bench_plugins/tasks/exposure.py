"""How exposed a language model leaves canaries: ranks among candidates (arXiv 1802.08232), and what it completes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fedgen_bench import DataError, Exposure

if TYPE_CHECKING:
    from torch import nn

_UNREAD = -100


def exposure(nats: Sequence[float], before: Sequence[float], *, extracted: bool) -> Exposure:
    """Of the first of several sequences among the others; what is as likely, or has no number, counts as likelier.

    Args:
        nats: negative log-likelihood of each.
        before: the same under the backbone as it came.
        extracted: whether the first is what the model says by itself.
    """
    gained = [one - earlier for one, earlier in zip(nats, before, strict=True)]
    return Exposure(_bits(nats), _bits(gained), extracted=extracted)


def _bits(nats: Sequence[float]) -> float:
    rank = 1 + sum(not other > nats[0] for other in nats[1:])
    return math.log2(len(nats) / rank)


def scored(
    module: nn.Module, lead: Sequence[int], rests: Sequence[Sequence[int]], n_at_once: int
) -> tuple[list[float], list[bool]]:
    """Of each sequence its negative log-likelihood behind the lead, in nats, and whether it is the greedy one.

    It is where each of its tokens is the likeliest behind those before it.

    Args:
        module: gives logits of shape (n, length, vocabulary), behind those of a soft prompt if any.
        lead: tokens, the one that a text begins with among them.
        rests: tokens of each sequence.
        n_at_once: sequences in one pass.
    """
    import torch
    from torch.nn.functional import cross_entropy

    longest = max(map(len, rests))
    wanted = torch.full((len(rests), longest), _UNREAD)
    for row, rest in zip(wanted, rests, strict=True):
        row[: len(rest)] = torch.tensor(rest)
    read = torch.cat([torch.tensor(lead).expand(len(rests), -1), wanted[:, :-1].clamp(min=0)], dim=1)
    device = next(module.parameters()).device
    nats, greedy = list[float](), list[bool]()
    for inputs, targets in zip(read.split(n_at_once), wanted.split(n_at_once), strict=True):
        logits = module(input_ids=inputs.to(device)).logits[:, -longest:].float()
        targets = targets.to(device)  # noqa: PLW2901 - where they are compared
        errors = cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=_UNREAD, reduction="none")
        nats += errors.view(targets.shape).cpu().sum(dim=1, dtype=torch.float64).tolist()
        greedy += ((logits.argmax(dim=2) == targets) | (targets == _UNREAD)).all(dim=1).tolist()
    return nats, greedy


def behind(lead: Sequence[int], line: Sequence[int]) -> list[int]:
    """The tokens of a line behind its lead. Raises DataError where a tokenizer joins the two."""
    if list(line[: len(lead)]) != list(lead) or len(line) <= len(lead):
        raise DataError(
            "The backbone's tokenizer joins the end of canaries.carrier with the word behind it, so that sequences "
            "cannot be told apart. Change the carrier."
        )
    return list(line[len(lead) :])
