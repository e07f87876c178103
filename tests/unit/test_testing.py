"""The contracts catch what they are there to catch: strategies that break one rule each."""

# ruff: noqa: ARG002 - protocols name what these broken pieces do not use
from __future__ import annotations

import random
from dataclasses import dataclass, replace

import pytest
import torch
from fedgen_bench_baselines.fedavg import FedAvg, State

from fedgen_bench.errors import FedgenError
from fedgen_bench.records import Fit, NoParams, Payload, StrategySpec, Update
from fedgen_bench.testing import strategies


class Base:
    """FedAvg, to be broken."""

    def __init__(self, params):
        self.inner = FedAvg(params)

    def __getattr__(self, name):
        return getattr(self.inner, name)


class Draws(Base):
    def aggregate(self, state, updates, ctx):
        return State(
            {name: one + random.random() for name, one in self.inner.aggregate(state, updates, ctx).tensors.items()}
        )


class Hidden(Base):
    n_rounds = 0

    def send(self, state, ctx):
        self.n_rounds += 1
        return Payload({name: one * (1 + self.n_rounds / 10) for name, one in state.tensors.items()})


class Mutates(Base):
    def aggregate(self, state, updates, ctx):
        new = self.inner.aggregate(state, updates, ctx)
        for name, tensor in state.tensors.items():
            tensor.copy_(new.tensors[name])
        return state


class Unweighted(Base):
    def aggregate(self, state, updates, ctx):
        got = list(updates)
        return State({name: sum(one.tensors[name] for one in got) / 3 for name in state.tensors})


class Grows(Base):
    def export(self, state, ctx):
        return state.tensors | {"more": torch.zeros(1)}


class Positional(Base):
    def aggregate(self, state, updates, ctx):
        means = self.inner.aggregate(state, updates, ctx).tensors
        return State({name: one + i for i, (name, one) in enumerate(means.items())})


@dataclass(frozen=True)
class Typed:
    tensors: dict
    log: tuple


class Forgets(Base):
    """Keeps a tensor subclassing nothing: a generator, which no checkpoint can hold."""

    def init(self, start, ctx):
        return Typed(start, (torch.Generator(),))

    def aggregate(self, state, updates, ctx):
        return replace(state, tensors=self.inner.aggregate(state, updates, ctx).tensors)


class Lazy(Base):
    def aggregate(self, state, updates, ctx):
        list(updates)
        return state


class ClientMutates(Base):
    def client(self, payload, ctx):
        for tensor in payload.tensors.values():
            tensor.zero_()
        fit = yield Fit(start=payload.tensors)
        return Update(fit.tensors, fit.n_examples)


class RemembersClients(Base):
    last = 0

    def client(self, payload, ctx):
        fit = yield Fit(start=payload.tensors)
        shift, self.last = self.last / 10, ctx.client_id
        return Update({name: one + shift for name, one in fit.tensors.items()}, fit.n_examples)


BROKEN = [
    (Draws, strategies.check_global_generators_unmoved),
    (Hidden, strategies.check_no_hidden_state),
    (Mutates, strategies.check_arguments_unchanged),
    (ClientMutates, strategies.check_arguments_unchanged),
    (Unweighted, strategies.check_one_client),
    (Unweighted, strategies.check_identical_clients),
    (Grows, strategies.check_export_layout),
    (Positional, strategies.check_name_order),
    (Forgets, strategies.check_survives_checkpoint),
    (Lazy, strategies.check_trains),
    (RemembersClients, strategies.check_execution_order),
]


@pytest.mark.parametrize(("broken", "check"), BROKEN)
def test_contract_catches_a_strategy_that_breaks_it(broken, check):
    spec = StrategySpec(name=broken.__name__, summary="", build=broken, params=NoParams)
    with pytest.raises((AssertionError, FedgenError)):
        check(spec)


@pytest.mark.parametrize("check", sorted({check for _, check in BROKEN}, key=lambda one: one.__name__))
def test_contract_lets_an_honest_strategy_through(check):
    check(StrategySpec(name="base", summary="", build=Base, params=NoParams))
