"""Asynchronous rounds: who arrives when, from which state, and that nothing hangs on how they are run."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from fedgen_bench import RoundContext
from fedgen_bench.base.errors import RoundFailed
from fedgen_bench.federation.arrivals import Arrivals
from fedgen_bench.federation.fleet import Device, Fleet, State
from fedgen_bench.federation.flights import Ongoing
from fedgen_bench.federation.round import Round
from fedgen_bench.federation.statecodec import decode_state, encode_state
from fedgen_bench.testing.bits import same_bits
from fedgen_bench.testing.toy_federation import SEEDS, ToyFederation

N_ROUNDS = 4


class Here:
    """Works tasks off as they come."""

    def run(self, tasks, work):
        return map(work.run, tasks)


class Ahead:
    """Works all of them off, the last one first, before it gives any."""

    def run(self, tasks, work):
        return iter([work.run(one) for one in reversed(list(tasks))][::-1])


@dataclass(frozen=True, kw_only=True)
class Lossy(Fleet):
    """Devices of which these cannot be reached, or leave, by the round that they are asked in."""

    unavailable: frozenset = frozenset()
    leaving: frozenset = frozenset()

    def is_available(self, *asked, at=0.0):  # noqa: ARG002 - never here
        return asked[:2] not in self.unavailable

    def leaves(self, *asked):
        return asked[:2] in self.leaving


def fleet(seconds, unavailable=(), leaving=()):
    """Clients that take so many seconds for the two steps of a round."""
    at_once = float("inf")
    devices = [
        Device(name=str(client), states=(State(down=at_once, up=at_once, step_seconds=each / 2),))
        for client, each in seconds.items()
    ]
    return Lossy(
        devices=devices,
        of_client=np.arange(len(devices)),
        seeds=SEEDS,
        unavailable=frozenset(unavailable),
        leaving=frozenset(leaving),
    )


class Federation(ToyFederation):
    n_rounds, max_fits = N_ROUNDS, 1

    def arrival_context(self, round_index, client_id):
        return RoundContext(round_index, (client_id,), self.n_clients, SEEDS, self.adapted.low_rank)


@dataclass
class Ran:
    """What rounds left behind; `states` are the server's after each."""

    rounds: list = field(default_factory=list)
    states: list = field(default_factory=list)
    keeps: dict = field(default_factory=dict)

    @property
    def ledger(self):
        return [entry for this in self.rounds for entry in this.ledger]

    @property
    def landed(self):
        return [list(this.asked) for this in self.rounds]


EQUAL = dict.fromkeys(range(5), 1.0)
MIXED = {0: 1.0, 1: 7.0, 2: 2.5, 3: 1.0, 4: 0.5}


@pytest.fixture
def ran(registry):
    def run(name="fedbuff", devices=None, *, engine=None, resumed=False, quorum=1, **params):
        spec = registry.get("strategy", name).spec
        federation = Federation(spec, spec.params(**params))
        type(federation).quorum = property(lambda _: quorum)
        first = federation.strategy.init(federation.start, federation.server_context())
        found, ongoing, trained, admitted = Ran(), Ongoing(now=0.0, state=first), {}, {}
        for index in range(N_ROUNDS):
            this = Arrivals(
                experiment=federation,
                index=index,
                state=ongoing,
                work=federation.work,
                engine=engine or Here(),
                keep=lambda client: found.keeps.get(client, {}),
                admitted_in=admitted,
                fleet=devices or fleet(EQUAL),
                trained=trained,
            )
            ongoing = this.aggregate()
            found.rounds.append(this)
            found.states.append(ongoing.state)
            found.keeps |= this.new_keeps
            admitted |= dict.fromkeys(this.asked, index)
            if resumed:
                trained.clear()
                ongoing = decode_state(encode_state(ongoing), Ongoing.like(first))
        assert not ongoing.flights
        return found

    yield run
    del Federation.quorum


def in_rounds(registry, name):
    spec = registry.get("strategy", name).spec
    federation = ToyFederation(spec)
    state, found = federation.strategy.init(federation.start, federation.server_context()), Ran()
    for index in range(N_ROUNDS):
        this = Round(
            experiment=federation,
            index=index,
            state=state,
            work=federation.work,
            engine=Here(),
            keep=lambda _: {},
            admitted_in={},
        )
        state = this.aggregate()
        found.rounds.append(this)
        found.states.append(state)
    return found


@pytest.mark.parametrize("name", ["fedbuff", "fedavg"])
def test_clients_that_are_equally_fast_make_rounds_to_the_bit(registry, ran, name):
    ours, theirs = ran(), in_rounds(registry, name)
    assert all(same_bits(a.tensors, b.tensors) for a, b in zip(ours.states, theirs.states, strict=True))
    assert sorted(map(repr, ours.ledger)) == sorted(map(repr, theirs.ledger))
    assert [this.batch_digests for this in ours.rounds] == [this.batch_digests for this in theirs.rounds]


def test_everybody_whom_rounds_would_ask_is_asked_once_however_fast(registry, ran):
    ours, theirs = ran(devices=fleet(MIXED)), in_rounds(registry, "fedavg")
    asked = sorted((entry.client_id, entry.direction) for entry in ours.ledger)
    assert asked == sorted((entry.client_id, entry.direction) for entry in theirs.ledger)
    assert [this.batch_digests for this in ours.rounds] == [this.batch_digests for this in theirs.rounds]
    assert [len(landed) for landed in ours.landed] == [4] * N_ROUNDS


def test_clients_arrive_in_the_order_of_their_clocks(ran):
    # Cohorts leave out client 0, then 1, 2, 3. At work from 0 on: 1 (7), 2 (2.5), 3 (1), 4 (0.5).
    # 0.5: 4 arrives, 0 follows (of round 1's 0, 2, 3, 4; until 1.5). 1: 3 arrives; 2 is at work and waits, 3 follows
    # (2). 1.5: 0 arrives; 2 waits, 4 follows (2). 2: 3 and 4 arrive, in that order: 0 and, as 1 and 2 are at work,
    # 3 of round 2's 0, 1, 3, 4 (3 both). 2.5: 2 arrives and, having waited, follows itself (5). ...
    found = ran(devices=fleet(MIXED))
    assert found.landed[0] == [4, 3, 0, 3]
    assert found.landed[1][:2] == [4, 2]


def test_an_update_is_absorbed_from_the_state_that_its_client_was_sent(registry, ran, monkeypatch):
    noted = []
    build = registry.get("strategy", "fedasync").spec.build
    absorb = build.absorb

    def watched(self, state, sent, update, ctx):
        noted.append((ctx.cohort, state.version, sent.version))
        return absorb(self, state, sent, update, ctx)

    monkeypatch.setattr(build, "absorb", watched)
    ran("fedasync", fleet(MIXED))
    assert noted[:5] == [((4,), 0, 0), ((3,), 1, 0), ((0,), 2, 1), ((3,), 3, 2), ((4,), 4, 3)]
    assert [now for _, now, _ in noted] == list(range(4 * N_ROUNDS))


@pytest.mark.parametrize("name", ["fedbuff", "fedasync"])
@pytest.mark.parametrize("change", [{"resumed": True}, {"engine": Ahead()}])
def test_neither_a_resume_nor_an_engine_changes_a_bit(ran, name, change):
    devices = fleet(MIXED, {(0, 2), (1, 0)}, {(0, 1), (2, 4)})
    params = {"buffer_size": 3} if name == "fedbuff" else {}
    plain, other = ran(name, devices, **params), ran(name, devices, **params, **change)
    assert all(same_bits(a.tensors, b.tensors) for a, b in zip(plain.states, other.states, strict=True))
    assert (plain.ledger, plain.landed) == (other.ledger, other.landed)


def test_who_cannot_be_reached_gets_nothing_and_who_leaves_has_had_its_download(ran):
    devices = fleet(EQUAL, {(0, 2)}, {(0, 3)})
    found = ran(devices=devices)
    absent = [(one.client_id, one.code) for one in found.rounds[0].clock.absent]
    assert absent == [(2, "unavailable"), (3, "left")]
    of_first = {(entry.client_id, entry.direction) for entry in found.ledger if entry.round_index == 0}
    assert of_first == {(1, "down"), (1, "up"), (3, "down"), (4, "down"), (4, "up")}
    assert [this.n_accepted for this in found.rounds] == [2, 4, 4, 4]


def test_a_round_without_its_quorum_fails_and_says_why(ran):
    with pytest.raises(RoundFailed, match=r"Round 0: 2 valid updates, the suite wants 3 \(left, unavailable\)"):
        ran(devices=fleet(EQUAL, {(0, 2)}, {(0, 3)}), quorum=3)
