"""For authors of strategies: `send`, `client` and `export` of a method that does nothing special there.

They are named in the class body and become its methods: `send = send_tensors`.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Protocol

from fedgen_bench.contract.contexts import ClientContext
from fedgen_bench.contract.data import Tensors
from fedgen_bench.contract.messages import Fit, FitReport, Payload, Update


class HasTensors(Protocol):
    """A state whose `tensors` are the global ones, by name."""

    @property
    def tensors(self) -> Tensors:
        """What stands for everybody."""


def send_tensors(_self: object, state: HasTensors, ctx: ClientContext) -> Payload:
    """A `send`: the state's tensors, the same to every client."""
    return Payload(state.tensors)


def train_received(_self: object, payload: Payload, ctx: ClientContext) -> Generator[Fit, FitReport, Update]:
    """A `client`: one fit of the whole step budget from what was received; what it gave is sent back, nothing kept."""
    fit = yield Fit(start=payload.tensors)
    return Update(fit.tensors, fit.n_examples)


def export_tensors(_self: object, state: HasTensors, ctx: ClientContext | None) -> Tensors:
    """An `export`: the state's tensors, global and for every client."""
    return state.tensors
