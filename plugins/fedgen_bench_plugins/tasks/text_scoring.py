"""How well a language model predicts text: nats, and tokens that it holds for the likeliest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn

    from fedgen_bench_plugins.tasks.text_windows import EvalText


@dataclass(frozen=True)
class Score:
    """Summed negative log-likelihood in nats, of how many tokens, and how many were more likely than every other."""

    nats: float
    n_tokens: int
    n_correct: int


def score(
    module: nn.Module, groups: Iterable[tuple[torch.Tensor, torch.Tensor]], batch_windows: int
) -> tuple[Score, tuple[Score, Score]]:
    """The score of the targets of all windows (`text_windows.windows`), `batch_windows` in one pass; and of its halves.

    These are every other window, from the first and from the second one on. Nats are fp32 for a token and summed in
    float64.
    """
    import torch
    from torch.nn.functional import cross_entropy

    device = next(module.parameters()).device
    nats, every = 0.0, list[Score]()
    for inputs, targets in groups:
        for batch, wanted in zip(inputs.split(batch_windows), targets.split(batch_windows), strict=True):
            scores = module(input_ids=batch.to(device)).logits[:, -wanted.shape[1] :].flatten(0, 1).float()
            tokens = wanted.to(device).flatten()
            nll = cross_entropy(scores, tokens, reduction="none").cpu()
            nats += float(nll.sum(dtype=torch.float64))
            by_window = nll.view(wanted.shape).sum(dim=1, dtype=torch.float64).tolist()
            n_correct = _predicted(scores, tokens).view(wanted.shape).sum(dim=1).tolist()
            every += [Score(a, wanted.shape[1], n) for a, n in zip(by_window, n_correct, strict=True)]
    return replace(_together(every), nats=nats), (_together(every[::2]), _together(every[1::2]))


def evidence_of(found: Score, data: EvalText) -> dict[str, float]:
    """What is known of a text, or of the part of it that was scored."""
    share = found.n_tokens / len(data.tokens)
    return {
        "nll_nats": found.nats, "n_words": data.n_words * share, "n_bytes": data.n_bytes * share,
        "n_tokens": float(found.n_tokens), "n_correct_tokens": float(found.n_correct),
    }  # fmt: skip


def _together(windows: Sequence[Score]) -> Score:
    """Their sums."""
    return Score(
        sum(one.nats for one in windows), sum(one.n_tokens for one in windows), sum(one.n_correct for one in windows)
    )


def _predicted(scores: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Where a token, shape (n,), has a higher score than all others; `scores`, shape (n, vocabulary), lose its own."""
    own = scores.gather(1, tokens[:, None])
    others = scores.scatter_(1, tokens[:, None], -float("inf")).amax(dim=1)
    return own[:, 0] > others
