"""Hostile replies beside honest ones: none reaches the strategy, none stops the round."""

# ruff: noqa: ARG002, ARG005 - protocols name what these broken pieces do not use
from __future__ import annotations

import dataclasses
import pickle

import pytest
import torch

from fedgen_bench import Update
from fedgen_bench.base.errors import RoundFailed
from fedgen_bench.contract.messages import Header
from fedgen_bench.federation import wire
from fedgen_bench.federation.round import Round
from fedgen_bench.testing.bits import same_bits

NAME = "weight"


@dataclasses.dataclass(frozen=True)
class Rogue:
    """FedAvg whose client `who` returns what `spoil` makes of its honest update."""

    inner: object
    who: int
    spoil: object

    def __getattr__(self, name):
        return getattr(object.__getattribute__(self, "inner"), name)

    def client(self, payload, ctx):
        update = yield from self.inner.client(payload, ctx)
        return self.spoil(update) if ctx.client_id == self.who else update


@dataclasses.dataclass(frozen=True)
class Engine:
    """The sequential engine; `tamper(outcome)` gives what arrives of one client's messages."""

    who: int = -1
    tamper: object = None

    def run(self, tasks, work):
        for outcome in map(work.run, tasks):
            yield from self.tamper(outcome) if outcome.client_id == self.who else [outcome]


def tensors_as(change):
    return lambda update: dataclasses.replace(update, tensors={NAME: change(update.tensors[NAME])})


def counted_as(n):
    return lambda update: dataclasses.replace(update, n_examples=n)


def one_nan(tensor):
    spoilt = tensor.clone()
    spoilt[1] = torch.nan
    return spoilt


REPLIES = {
    "all NaN": (tensors_as(lambda t: t * torch.nan), "not_finite"),
    "one NaN": (tensors_as(one_nan), "not_finite"),
    "infinity": (tensors_as(lambda t: t + torch.inf), "not_finite"),
    "1e30": (tensors_as(lambda t: torch.full_like(t, 1e30)), "norm"),
    "broadcastable shape": (tensors_as(lambda t: t[:1]), "shape"),
    "scalar": (tensors_as(lambda t: t.sum()), "shape"),
    "wrong rank": (tensors_as(lambda t: t[None]), "shape"),
    "complex": (tensors_as(lambda t: t.to(torch.complex64)), "dtype"),
    "integer": (tensors_as(lambda t: t.long()), "dtype"),
    "float64": (tensors_as(lambda t: t.double()), "dtype"),
    "missing key": (lambda update: Update({"other": update.tensors[NAME]}, update.n_examples), "missing_key"),
    "nothing": (lambda update: Update({}, update.n_examples), "missing_key"),
    "extra key": (lambda u: Update({**u.tensors, "other": torch.ones(1)}, u.n_examples), "unknown_key"),
    "oversized": (lambda u: Update({**u.tensors, "other": torch.ones(1 << 17)}, u.n_examples), "oversized"),
    "negative count": (counted_as(-5), "n_examples"),
    "zero count": (counted_as(0), "n_examples"),
    "NaN count": (counted_as(float("nan")), "header_types"),
    "infinite count": (counted_as(float("inf")), "header_types"),
    "huge count": (counted_as(10**18), "n_examples"),
    "huge float count": (counted_as(1e18), "header_types"),
}


def with_message(make):
    return lambda outcome: [dataclasses.replace(outcome, message=make(outcome))]


def again(header):
    return lambda outcome: wire.encode(wire.decode(outcome.message)[1], header(outcome))


def lying(outcome):
    return outcome.message.replace(b'"shape":[3]', b'"shape":[9]')


TAMPERED = {
    "truncated": (with_message(lambda outcome: outcome.message[:-1]), ["malformed"]),
    "pickled": (with_message(lambda outcome: pickle.dumps({NAME: [1.0, 2.0, 3.0]})), ["malformed"]),
    "empty": (with_message(lambda outcome: b""), ["malformed"]),
    "lying shape": (with_message(lying), ["shape"]),
    "stale round": (with_message(again(lambda outcome: Header(1, outcome.client_id, 1))), ["wrong_round"]),
    "another client's": (with_message(again(lambda outcome: Header(0, outcome.client_id + 1, 1))), ["wrong_client"]),
    "stranger": (lambda outcome: [dataclasses.replace(outcome, client_id=77)], ["wrong_client"]),
}


def setting_of(toy_experiment, **changed):
    experiment = toy_experiment(
        "fedavg", "federation.n_clients=5", "federation.clients_per_round=5", "partitioner.name='iid'",
        "partitioner.params={}", "federation.max_update_norm=1000.0", *changed.pop("overrides", ()),
    )  # fmt: skip
    if "spoil" in changed:
        experiment = dataclasses.replace(experiment, strategy=Rogue(experiment.strategy, 2, changed["spoil"]))
    return experiment, Engine(2, changed["tamper"]) if "tamper" in changed else Engine()


def one_round(setting_and_engine):
    experiment, engine = setting_and_engine
    state = experiment.strategy.init(experiment.start, experiment.server_context())
    this = Round(
        experiment=experiment,
        index=0,
        state=state,
        work=experiment.work(),
        engine=engine,
        keep=lambda client_id: {},
        admitted_in={},
    )
    return this.aggregate(), this


@pytest.fixture(scope="module")
def honest_four(toy_experiment):
    """What the aggregate is when client 2 is simply not heard."""
    return one_round(setting_of(toy_experiment, tamper=lambda outcome: []))[0].tensors


@pytest.mark.parametrize("kind", REPLIES)
def test_gate_quarantines_a_rogue_clients_reply(toy_experiment, honest_four, kind):
    spoil, code = REPLIES[kind]
    state, progress = one_round(setting_of(toy_experiment, spoil=spoil))
    assert [(one.client_id, one.code) for one in progress.quarantined] == [(2, code)]
    assert progress.n_accepted == 4
    assert same_bits(state.tensors, honest_four)


@pytest.mark.parametrize("kind", TAMPERED)
def test_gate_quarantines_what_is_changed_on_the_way(toy_experiment, honest_four, kind):
    tamper, codes = TAMPERED[kind]
    state, progress = one_round(setting_of(toy_experiment, tamper=tamper))
    assert [one.code for one in progress.quarantined] == codes
    assert progress.n_accepted == 4
    assert same_bits(state.tensors, honest_four)


def test_gate_counts_a_client_that_answers_twice_once(toy_experiment):
    honest = one_round(setting_of(toy_experiment))[0].tensors
    state, progress = one_round(setting_of(toy_experiment, tamper=lambda outcome: [outcome, outcome]))
    assert [(one.client_id, one.code) for one in progress.quarantined] == [(2, "duplicate")]
    assert progress.n_accepted == 5
    assert same_bits(state.tensors, honest)


def test_gate_drops_the_private_state_of_a_quarantined_client(toy_experiment):
    def spoil(update):
        return Update({NAME: update.tensors[NAME] * torch.nan}, update.n_examples, keep={"mine": torch.ones(1)})

    _, progress = one_round(setting_of(toy_experiment, spoil=spoil))
    assert progress.new_keeps == {}


def test_gate_books_what_was_sent_even_when_it_is_refused(toy_experiment):
    _, progress = one_round(setting_of(toy_experiment, spoil=counted_as(0)))
    assert sum(entry.direction == "up" for entry in progress.ledger) == 5


def test_round_fails_below_the_quorum_and_says_why(toy_experiment):
    experiment = setting_of(toy_experiment, spoil=counted_as(0), overrides=["federation.min_updates=5"])
    with pytest.raises(RoundFailed, match=r"4 valid updates, the suite wants 5 \(n_examples\)"):
        one_round(experiment)


def test_round_without_any_valid_update_fails_before_the_strategy_is_asked(toy_experiment):
    experiment, engine = setting_of(toy_experiment)
    with pytest.raises(RoundFailed, match="0 valid updates"):
        one_round((dataclasses.replace(experiment, strategy=_AllBad(experiment.strategy)), engine))


class _AllBad(Rogue):
    def __init__(self, inner):
        super().__init__(inner, -1, None)

    def client(self, payload, ctx):
        update = yield from self.inner.client(payload, ctx)
        return dataclasses.replace(update, n_examples=0)

    def aggregate(self, state, updates, ctx):
        raise AssertionError("nothing is there to aggregate")
