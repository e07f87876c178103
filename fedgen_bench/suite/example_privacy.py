"""What `example_dp` guarantees: how often an example is used over a run, and the epsilon that follows.

Batches are passes through a client's examples in a fresh order, not samples, so nothing is amplified. Within a pass an
example is in one batch (parallel composition), and a pass is one Gaussian mechanism; passes compose.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from fedgen_bench.contract.reports import Privacy

if TYPE_CHECKING:
    from fedgen_bench.suite.example_dp import ExampleDP


def passes_in_fits(n_examples: int, batch_size: int, n_steps: int, n_fits: int) -> int:
    """The most batches that an example is in, over at most `n_fits` fits with so many steps in all.

    A fit of s steps over b batches a pass uses an example ceil(s / b) times at most.
    """
    n_batches = -(-n_examples // batch_size)
    return n_fits + (n_steps - n_fits) // n_batches


def most_passes(cohorts: Iterable[Sequence[int]], passes: Callable[[int, int], int]) -> int:
    """Over a run, those of whoever has most; `passes` gives a client's in a round, by round and client."""
    total = Counter[int]()
    for round_index, cohort in enumerate(cohorts):
        for client_id in cohort:
            total[client_id] += passes(round_index, client_id)
    return max(total.values(), default=0)


def example_privacy(example_dp: ExampleDP, n_passes: int, batch_size: int, most_held: int) -> Privacy | None:
    """The guarantee for a single example that is used so often; None without noise, and where nobody is trained.

    Args:
        example_dp: of the contender.
        n_passes: see `most_passes`.
        batch_size: examples in a batch.
        most_held: examples of whoever has most.
    """
    if not (example_dp.noise and n_passes):
        return None
    return Privacy(
        unit="example",
        neighbours="replace_one",
        epsilon=gaussian_epsilon(n_passes, example_dp.noise, example_dp.delta),
        delta=example_dp.delta,
        accountant="gaussian",
        cross_check=None,
        noise_multiplier=example_dp.noise / 2,
        population=most_held,
        sample=min(batch_size, most_held),
        n_steps=n_passes,
    )


def gaussian_epsilon(n_passes: int, noise: float, delta: float) -> float:
    """Epsilon at `delta` of so many Gaussian mechanisms, exactly (arXiv 1805.06530, theorem 8).

    Replacing one example moves a clipped sum by at most twice the clip, so noise of z clips is z / 2 sensitivities, and
    n passes are one mechanism with mu = 2 sqrt(n) / z: delta = Phi(mu/2 - eps/mu) - e^eps Phi(-mu/2 - eps/mu).
    """
    from scipy.optimize import brentq
    from scipy.special import log_ndtr, ndtr

    mu = 2 * math.sqrt(n_passes) / noise

    def excess(epsilon: float) -> float:
        beyond = math.exp(epsilon + float(log_ndtr(-mu / 2 - epsilon / mu)))
        return float(ndtr(mu / 2 - epsilon / mu)) - beyond - delta

    if excess(0.0) <= 0:
        return 0.0
    high = 1.0
    while excess(high) > 0:
        high *= 2
    return float(brentq(excess, 0.0, high, xtol=1e-12, rtol=1e-12))
