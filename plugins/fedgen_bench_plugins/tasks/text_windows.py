"""Text to score, and the windows of tokens in which a model scores it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fedgen_bench_plugins.tasks.text_beginning import Beginning
from fedgen_bench_plugins.tasks.text_params import Params

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class EvalText:
    """Text to score: int64 tokens of shape (n,), without what stands before them; words and bytes count line ends."""

    tokens: torch.Tensor
    n_words: int
    n_bytes: int
    floor_nats: float | None


def windows(tokens: torch.Tensor, beginning: Beginning, params: Params) -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
    """(inputs, targets) in groups of one shape: the targets are scored, each token of the text exactly once.

    The first window scores all of its targets, the following ones their last `stride_tokens`.
    """
    import torch

    stream = torch.cat([torch.tensor([beginning.token]), tokens])
    context, stride, n = params.context_tokens, params.stride_tokens, len(tokens)
    first = min(context, n)
    yield stream[None, :first], tokens[None, :first]
    n_full = (n - first) // stride
    if n_full:
        ends = first + stride * torch.arange(1, n_full + 1)
        yield (
            beginning.put(stream[(ends - context)[:, None] + torch.arange(context)]),
            tokens[(ends - stride)[:, None] + torch.arange(stride)],
        )
    if rest := n - first - n_full * stride:
        yield beginning.put(stream[None, n - context : n]), tokens[None, n - rest :]


def spread(n: int, wanted: int | None, runs: int) -> Sequence[int]:
    """About `wanted` of n lines, in equal runs that begin at equal distances; all of them when None."""
    if wanted is None or wanted >= n:
        return range(n)
    per_run = -(-wanted // runs)
    return [i for run in range(runs) for i in range(run * n // runs, min(run * n // runs + per_run, n))]
