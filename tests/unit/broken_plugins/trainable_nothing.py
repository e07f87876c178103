"""`Fit.trainable` matches nothing; there are `left`, `right`."""

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
        fit = yield Fit(payload.tensors, trainable=frozenset(n for n in payload.tensors if "lora" in n))  # here
        return Update(fit.tensors, fit.n_examples)

    def aggregate(self, state, updates, ctx):
        return State(weighted_mean(updates))

    def export(self, state, ctx):
        return state.x


@hookimpl
def register_strategies():
    return [StrategySpec(name="mine", summary="", build=Mine)]
