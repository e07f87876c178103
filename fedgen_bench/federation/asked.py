"""A fit that a client's half asks for, with all that answers it."""

from __future__ import annotations

from dataclasses import dataclass

from fedgen_bench.contract.data import Examples
from fedgen_bench.contract.messages import Fit
from fedgen_bench.federation.batches import FitStreams


@dataclass(frozen=True)
class Asked:
    """A fit within its client's step budget.

    Args:
        data: the client's training examples.
        streams: where its batches and its noise come from.
        learning_rate: of its steps, before a schedule; that of the plan when None.
    """

    request: Fit
    data: Examples
    streams: FitStreams
    n_steps: int
    learning_rate: float | None = None
