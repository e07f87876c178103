"""The tail of a client's units that its own evaluation uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

_FEWEST_TRAIN_UNITS = 2


def n_heldout(n_units: np.ndarray, fraction: float) -> np.ndarray:
    """Units held out of so many: this fraction of them, rounded half to even; none where too few are left to train."""
    import numpy as np

    tail = np.round(n_units * fraction).astype(np.int64)
    return np.where(n_units - tail < _FEWEST_TRAIN_UNITS, 0, tail)


def without_tail(units: np.ndarray, fraction: float) -> np.ndarray:
    """A client's units that are trained on: all but those that are held out."""
    import numpy as np

    return units[: len(units) - int(n_heldout(np.array(len(units)), fraction))]
