"""KeyError"""

from __future__ import annotations

from dataclasses import dataclass

from fedgen_bench import Fit, Payload, StrategySpec, Update, hookimpl


@dataclass(frozen=True)
class State:
    x: dict


class Mine:
    def __init__(self, params):
        self.params = params

    def init(self, start, ctx):
        return State(start)

    def send(self, state, ctx):
        return Payload(state.x)

    def client(self, payload, ctx):
        fit = yield Fit(start=payload.tensors)
        return Update(fit.tensors, fit.n_examples)

    def aggregate(self, state, updates, ctx):
        return State({name: one.tensors["nowhere"] for one in updates for name in state.x})  # here

    def export(self, state, ctx):
        return state.x


@hookimpl
def register_strategies():
    return [StrategySpec(name="mine", summary="", build=Mine)]
