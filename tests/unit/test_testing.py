"""The contracts catch what they are there to catch: strategies that break one rule each."""

# ruff: noqa: ARG002 - protocols name what these broken pieces do not use
from __future__ import annotations

import random
from dataclasses import dataclass, replace

import pytest
import torch
from fedgen_bench_baselines.fedavg import FedAvg, State

from fedgen_bench.base.errors import FedgenError
from fedgen_bench.contract.lowrank import stacked, truncated
from fedgen_bench.contract.messages import Fit, Model, Payload, Proximal, Update
from fedgen_bench.contract.specs import NoParams, StrategySpec
from fedgen_bench.testing import contracts_of, promises, strategies
from fedgen_bench.testing.contracts import Contract
from fedgen_bench.testing.outcomes import outcome_of


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


class DividesByExamples(Base):
    def export(self, state, ctx):
        share = 1.0 if ctx is None else ctx.n_examples / ctx.n_examples
        return {name: one * share for name, one in state.tensors.items()}


class GoesOnFromKeep(Base):
    def personalize(self, state, ctx):
        return Fit(start={name: ctx.keep[name] for name in state.tensors})


class GoesOnElsewhere(Base):
    def personalize(self, state, ctx):
        return Fit(start=ctx.start)


class GoesOnUnderAShortPull(Base):
    def personalize(self, state, ctx):
        return Fit(start=state.tensors, penalty=Proximal(0.1, anchor={"left": state.tensors["left"]}))


class GoesOnWithStrangers(Base):
    def personalize(self, state, ctx):
        return Fit(start=state.tensors, trainable=frozenset({"left", "centre"}))


class GoesOnWordless(Base):
    def personalize(self, state, ctx):
        return state.tensors


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
    (DividesByExamples, strategies.check_client_without_data),
    (GoesOnFromKeep, strategies.check_personalize),
    (GoesOnElsewhere, strategies.check_personalize),
    (GoesOnUnderAShortPull, strategies.check_personalize),
    (GoesOnWithStrangers, strategies.check_personalize),
    (GoesOnWordless, strategies.check_personalize),
]


@pytest.mark.parametrize(("broken", "check"), BROKEN)
def test_contract_catches_a_strategy_that_breaks_it(broken, check):
    spec = StrategySpec(name=broken.__name__, summary="", build=broken, params=NoParams)
    with pytest.raises((AssertionError, FedgenError, KeyError, ZeroDivisionError)):
        check(spec)


@pytest.mark.parametrize("check", sorted({check for _, check in BROKEN}, key=lambda one: one.__name__))
def test_contract_lets_an_honest_strategy_through(check):
    check(StrategySpec(name="base", summary="", build=Base, params=NoParams))


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (GoesOnElsewhere, r"client 0 with no private state: it begins at .*, the exported model is "),
        (GoesOnUnderAShortPull, "its pull lacks `right`, which is trained"),
        (GoesOnWithStrangers, "Fit.trainable names `centre`, which the adapter does not have"),
        (GoesOnWordless, "it returned a dict. Return a `Fit`"),
    ],
)
def test_what_a_client_goes_on_with_is_told(broken, said):
    with pytest.raises(AssertionError, match=said):
        strategies.check_personalize(StrategySpec(name="one", summary="", build=broken))


@dataclass(frozen=True)
class Stack:
    start: dict
    merges: tuple = ()


class Stacks:
    """FLoRA (arXiv 2409.05976): clients start anew each round, sum_k p_k s_k B_k A_k goes into the backbone."""

    def __init__(self, params):
        pass

    def init(self, start, ctx):
        return Stack(start)

    def send(self, state, ctx):
        return Payload(truncated(state.start, ctx.low_rank), merges=state.merges)

    def client(self, payload, ctx):
        fit = yield Fit(start=payload.tensors, merges=payload.merges)
        return Update(fit.tensors, fit.n_examples)

    def aggregate(self, state, updates, ctx):
        return replace(state, merges=(*state.merges, stacked(list(updates), ctx.low_rank)))

    def export(self, state, ctx):
        return Model(state.start, state.merges)


class SendsTheLast(Stacks):
    """Absentees miss what was merged meanwhile."""

    def send(self, state, ctx):
        return replace(super().send(state, ctx), merges=state.merges[-1:])


class MergesAnew(Stacks):
    """Rewrites what clients have already."""

    def aggregate(self, state, updates, ctx):
        old = tuple({name: one / 2 for name, one in merge.items()} for merge in state.merges)
        return super().aggregate(replace(state, merges=old), updates, ctx)


class ScalesTwice(Stacks):
    """alpha / r once more."""

    def aggregate(self, state, updates, ctx):
        new = super().aggregate(state, updates, ctx)
        twice = {pair.b: new.merges[-1][pair.b] * pair.scale for pair in ctx.low_rank}
        return replace(new, merges=(*state.merges, {**new.merges[-1], **twice}))


class OneRank(Stacks):
    def send(self, state, ctx):
        return Payload(state.start, merges=state.merges)


class KeepsInVain(Base):
    def client(self, payload, ctx):
        fit = yield Fit(start=payload.tensors)
        return Update(fit.tensors, fit.n_examples, keep=fit.tensors)


def declared(build, **promise):
    return StrategySpec(name=build.__name__.lower(), summary="", build=build, **promise)


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        (declared(Base, low_rank=True), promises.check_exact),
        (declared(ScalesTwice, changes_backbone=True), promises.check_exact),
        (declared(Base, low_rank=True), promises.check_mixed_rank),
        (declared(OneRank, changes_backbone=True), promises.check_mixed_rank),
        (declared(Base), promises.check_stateful),
        (declared(KeepsInVain), promises.check_stateful),
        (declared(Base, changes_backbone=True), promises.check_changes_backbone),
        (declared(SendsTheLast, changes_backbone=True), promises.check_changes_backbone),
        (declared(MergesAnew, changes_backbone=True), promises.check_changes_backbone),
        (declared(ScalesTwice, changes_backbone=True), strategies.check_one_client),
        (declared(ScalesTwice, changes_backbone=True), strategies.check_identical_clients),
    ],
    ids=lambda one: getattr(one, "name", None) or one.__name__,
)
def test_contract_catches_a_promise_that_is_not_kept(broken, check):
    with pytest.raises(AssertionError):
        check(broken)


FLORA = declared(Stacks, changes_backbone=True, exact=True, mixed_rank=True)


@pytest.mark.parametrize("check", list(strategies.strategy_checks(FLORA)), ids=lambda one: one.__name__)
def test_contract_lets_kept_promises_through(check):
    check(FLORA)


def test_kept_promises_are_all_checked():
    names = {check.__name__ for check in strategies.strategy_checks(FLORA)}
    assert {"check_exact", "check_mixed_rank", "check_changes_backbone", "check_one_client"} <= names
    assert "check_stateful" not in names


def test_reduction_to_another_strategy_is_compared_with_it():
    find = {"fedavg": declared(FedAvg)}.__getitem__
    promises.check_reduces_to(declared(Base, reduces_to={"fedavg": {}}), find)
    with pytest.raises(AssertionError, match="under `fedavg` it is"):
        promises.check_reduces_to(declared(Unweighted, reduces_to={"fedavg": {}}), find)


def contract_of(run, expected_failure=""):
    return Contract("strategy", "one", "check_it", "It holds.", run, expected_failure)


def holds():
    pass


def breaks():
    raise AssertionError("two\n  lines")


def test_outcome_tells_what_does_not_hold():
    assert outcome_of(contract_of(holds)).status == "passed"
    failed = outcome_of(contract_of(breaks))
    assert (failed.status, failed.message) == ("failed", "two lines")
    assert outcome_of(contract_of(lambda: {}["x"])).message.startswith("KeyError: 'x' (test_testing.py:")


def test_outcome_of_an_exception_is_known_while_it_does_not_hold():
    known = outcome_of(contract_of(breaks, "a reason"))
    assert (known.status, known.message) == ("known exception", "a reason")
    assert outcome_of(contract_of(holds, "a reason")).status == "failed"


def test_exception_from_a_check_that_does_not_apply_fails(registry):
    spec = replace(registry.get("partitioner", "iid").spec, exceptions={"check_vald": "a slip"})
    components = {kind: {} for kind in registry.components}
    components["partitioner"] = {"iid": replace(registry.get("partitioner", "iid"), spec=spec)}
    found = {one.check: outcome_of(one) for one in contracts_of(replace(registry, components=components))}
    assert found["check_vald"].status == "failed"
    assert "take it out of `exceptions`" in found["check_vald"].message
