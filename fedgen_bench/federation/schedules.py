"""Learning rates that change over rounds or within a fit (`training.schedule`), as shares of the full rate."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fedgen_bench.suite.strict import Curve


@lru_cache(maxsize=256)
def shares(curve: Curve, n_warmup: int, n: int) -> tuple[float, ...]:
    """Share of the full rate in each of `n` rounds or steps.

    The first w = `n_warmup` rise evenly: 1 / (w + 1), ..., w / (w + 1). In the other T = n - w the rate is full
    (`constant`), or 1 - t / T (`linear`) or (1 + cos(pi t / T)) / 2 (`cosine`) in the t-th of them, from 0. None is 0.
    """
    from torch import zeros
    from torch.optim import SGD
    from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, LinearLR, LRScheduler, SequentialLR

    optimizer, n_rest = SGD([zeros(1)], lr=1.0), max(1, n - n_warmup)
    rest: LRScheduler
    if curve == "constant":
        rest = ConstantLR(optimizer, factor=1.0)
    elif curve == "linear":
        rest = LinearLR(optimizer, start_factor=1.0, end_factor=0.0, total_iters=n_rest)
    else:
        rest = CosineAnnealingLR(optimizer, T_max=n_rest)
    rise = LinearLR(optimizer, start_factor=1 / (n_warmup + 1), total_iters=n_warmup)
    scheduler = SequentialLR(optimizer, [rise, rest], milestones=[n_warmup]) if n_warmup else rest
    found = []
    for _ in range(n):
        found.append(float(scheduler.get_last_lr()[0]))
        optimizer.step()
        scheduler.step()
    return tuple(found)
