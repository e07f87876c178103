"""Shares whose sizes differ by at most one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def even_sizes(n_units: int, n_shares: int) -> np.ndarray:
    """Sizes of `n_shares` shares, the larger ones first, as `numpy.array_split` cuts them."""
    import numpy as np

    return np.full(n_shares, n_units // n_shares) + (np.arange(n_shares) < n_units % n_shares)
