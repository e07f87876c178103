"""`Mine.personalize` takes (state), it is called with (state, ctx)"""

from __future__ import annotations

from dataclasses import dataclass

from fedgen_bench import Fit, Payload, StrategySpec, Update, hookimpl, weighted_mean


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
        return State(weighted_mean(updates))

    def export(self, state, ctx):
        return state.x

    def personalize(self, state):  # here
        return Fit(start=state.x)


@hookimpl
def register_strategies():
    return [StrategySpec(name="mine", summary="", build=Mine)]
