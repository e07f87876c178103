"""How well a language model predicts text: nats, and tokens that it holds for the likeliest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class Score:
    """Summed negative log-likelihood in nats, and how many tokens were more likely than every other."""

    nats: float
    n_correct: int


def score(module: nn.Module, groups: Iterable[tuple[torch.Tensor, torch.Tensor]], batch_windows: int) -> Score:
    """The score of the targets of all windows (`text_windows.windows`), `batch_windows` in one pass.

    Nats are fp32 for a token and summed in float64.
    """
    import torch
    from torch.nn.functional import cross_entropy

    device = next(module.parameters()).device
    total, n_correct = 0.0, torch.zeros((), dtype=torch.int64, device=device)
    for inputs, targets in groups:
        for batch, wanted in zip(inputs.split(batch_windows), targets.split(batch_windows), strict=True):
            scores = module(input_ids=batch.to(device)).logits[:, -wanted.shape[1] :].flatten(0, 1).float()
            tokens = wanted.to(device).flatten()
            nll = cross_entropy(scores, tokens, reduction="none")
            total += float(nll.cpu().sum(dtype=torch.float64))
            n_correct += _predicted(scores, tokens).sum()
    return Score(total, int(n_correct))


def _predicted(scores: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Where a token, shape (n,), has a higher score than all others; `scores`, shape (n, vocabulary), lose its own."""
    own = scores.gather(1, tokens[:, None])
    others = scores.scatter_(1, tokens[:, None], -float("inf")).amax(dim=1)
    return own[:, 0] > others
