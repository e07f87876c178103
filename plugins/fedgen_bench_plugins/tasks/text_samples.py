"""Lines that a language model finishes: beginnings from a text, the rest drawn token by token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice, pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn

N_SAMPLES, PROMPT_TOKENS = 3, 8


def prompts_of(lines: Sequence[str], encode: Callable[[str], list[int]]) -> list[list[int]]:
    """The first tokens of longer lines, one from each third of the text; three of no tokens where no line is longer.

    `encode` gives the tokens of a line without its end.
    """
    cuts = [place * len(lines) // N_SAMPLES for place in range(N_SAMPLES + 1)]
    found: list[list[int]] = []
    for begin, end in pairwise(cuts):
        longer = (tokens for i in range(begin, end) if len(tokens := encode(lines[i])) > PROMPT_TOKENS)
        found += [tokens[:PROMPT_TOKENS] for tokens in islice(longer, 1)]
    return found or [[]] * N_SAMPLES


def finished(module: nn.Module, prompts: torch.Tensor, draws: torch.Tensor, *, start: int, end: int) -> list[list[int]]:
    """What a model goes on with after each prompt, up to its line end or as far as draws go.

    The token of a draw u is the first whose cumulated probability exceeds u. Every pass reads the text from its
    beginning: the few tokens cost little, and no adapter has to know a cache.

    Args:
        module: gives logits of shape (n, length, vocabulary), behind those of a soft prompt if any.
        prompts: tokens of shape (n, length).
        draws: uniform numbers of shape (n, most tokens), on the CPU.
        start: the token before a prompt.
        end: the token of line ends.
    """
    import torch

    device, first = next(module.parameters()).device, 1 + prompts.shape[1]
    read = torch.cat([prompts.new_full((len(prompts), 1), start), prompts], dim=1)
    for chances in draws.split(1, dim=1):
        scores = module(input_ids=read.to(device)).logits[:, -1].float().cpu()
        cumulated = scores.softmax(dim=1, dtype=torch.float64).cumsum(dim=1)
        drawn = torch.searchsorted(cumulated, chances.double() * cumulated[:, -1:], right=True)
        read = torch.cat([read, drawn.clamp(max=scores.shape[1] - 1)], dim=1)
        if (read[:, first:] == end).any(dim=1).all():
            break
    rests: list[list[int]] = read[:, first:].tolist()
    return [rest[: rest.index(end)] if end in rest else rest for rest in rests]
