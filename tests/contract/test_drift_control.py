"""FedNova and SCAFFOLD: rounds followed by hand, and what must hold in every round."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fedgen_bench import RoundContext, Update
from fedgen_bench.suite.schema import Schedule
from fedgen_bench.testing.simulation import Simulation
from fedgen_bench.testing.toy_federation import SEEDS

THREE = ((0,), (1,), (2,))  # means (2, 0, 0), (4, 0, 0), (0, 6, 0); round 0 asks clients 1 and 2, round 1 asks 0 and 2


class UnequalSteps(Simulation):
    """Client k takes k + 1 steps."""

    def context(self, round_index, client_id, keep, kept_in=-1):
        return replace(super().context(round_index, client_id, keep, kept_in), local_steps=client_id + 1)


def test_fednova_round_is_the_one_followed_by_hand(by_hand, is_close):
    # tau = 1, 2; p = 2/3, 1/3; tau_eff = 4/3. (y_k - x) / tau_k = 0.1 (m_0 - x) = (0.25, 0.1, -0.2) and
    # 0.19/2 (m_1 - x) = (-0.0475, 0.665, -0.19). Mean: (0.452500, 0.865, -0.59) / 3; times 4/3, onto (0.5, -1, 2).
    found = by_hand("fednova", kind=UnequalSteps).function()
    is_close(found, [0.5 + 4 / 9 * 0.4525, -1 + 4 / 9 * 0.865, 2 - 4 / 9 * 0.59])


def test_fednova_with_equal_steps_is_fedavg(registry):
    nova, average = (Simulation(registry.get("strategy", name).spec).run(4) for name in ("fednova", "fedavg"))
    torch.testing.assert_close(nova.function(), average.function(), rtol=1e-6, atol=1e-6)


def test_fednova_with_unequal_steps_is_not_fedavg(registry):
    nova, average = (UnequalSteps(registry.get("strategy", name).spec).run(4) for name in ("fednova", "fedavg"))
    assert not torch.allclose(nova.function(), average.function(), rtol=1e-2)


def test_fednova_sends_its_steps_and_books_them(by_hand):
    (one,) = by_hand("fednova", kind=UnequalSteps).rounds
    assert [int(update.tensors["fednova/tau"]) for update in one.updates] == [1, 2]
    assert [(entry.direction, entry.tensor_bytes) for entry in one.ledger] == [("down", 12)] * 2 + [("up", 20)] * 2


def test_fednova_refuses_a_client_that_took_no_step(by_hand):
    simulation = by_hand("fednova")
    update = Update({**simulation.start, "fednova/tau": torch.tensor(0)}, 1)
    with pytest.raises(ValueError, match="took 0 local steps"):
        simulation.strategy.aggregate(simulation.state, iter([update]), RoundContext(1, (0,), 2, SEEDS))


def test_scaffold_rounds_are_those_followed_by_hand(by_hand, is_close):
    # Round 0 is SGD, c = c_k = 0: x = M + 0.81 (x0 - M) with M = (m_1 + m_2)/2 = (2, 3, 0): (0.785, -0.24, 1.62).
    # c_k = (x0 - y_k) / 0.2 = 0.95 (x0 - m_k); c = 1/3 (c_1 + c_2) = 2/3 * 0.95 (x0 - M): N = 3, not the cohort's 2.
    first = by_hand("scaffold", shards=THREE)
    is_close(first.function(), [0.785, -0.24, 1.62])
    is_close(torch.cat([first.state.c["left"], first.state.c["right"][0]]), [-0.95, -7.6 / 3, 3.8 / 3])
    # Round 1: client 0 (c_0 = 0) and client 2 (c_2 = 0.95 (x0 - m_2) = (0.475, -6.65, 1.9)) descend towards
    # t_k = m_k - c + c_k; mean t = (1, 3, 0) - c + c_2 / 2 = (2.1875, 3 + 7.6/3 - 3.325, -3.8/3 + 0.95).
    # x = 0.81 (0.785, -0.24, 1.62) + 0.19 t.
    t = (2.1875, 3 + 7.6 / 3 - 3.325, 0.95 - 3.8 / 3)
    second = by_hand("scaffold", 2, shards=THREE)
    is_close(second.function(), [0.63585 + 0.19 * t[0], -0.1944 + 0.19 * t[1], 1.3122 + 0.19 * t[2]])
    # c_0+ = -c + (x - y_0) / 0.2 = -c + 0.95 (x - t_0), t_0 = (2, 0, 0) - c: the mean of the gradients on its way.
    c_0 = torch.cat([second.keeps[0]["left"], second.keeps[0]["right"][0]])
    is_close(c_0, [0.95 + 0.95 * (0.785 - 2.95), 7.6 / 3 - 0.95 * (0.24 + 7.6 / 3), 0.95 * (1.62 + 3.8 / 3) - 3.8 / 3])


class Halving(Simulation):
    """The rate is 0.1 in round 0 and 0.05 in round 1."""

    def __post_init__(self):
        super().__post_init__()
        self.plan = replace(self.plan, schedule=Schedule(over_rounds="linear"), n_rounds=2)


def test_scaffold_takes_the_rate_of_each_round(by_hand, is_close):
    # Round 0 as above. Round 1 at rate 0.05: two steps are y = t_k + 0.9025 (x - t_k), t_k = m_k - c + c_k as above.
    # c_0+ = -c + (x - y_0) / (2 * 0.05) = -c + 0.975 (x - t_0).
    x, c = (0.785, -0.24, 1.62), (-0.95, -7.6 / 3, 3.8 / 3)
    t = (2.1875, 3 + 7.6 / 3 - 3.325, 0.95 - 3.8 / 3)
    found = by_hand("scaffold", 2, kind=Halving, shards=THREE)
    is_close(found.function(), [0.9025 * a + 0.0975 * b for a, b in zip(x, t, strict=True)])
    c_0 = torch.cat([found.keeps[0]["left"], found.keeps[0]["right"][0]])
    t_0 = [m - b for m, b in zip((2, 0, 0), c, strict=True)]
    is_close(c_0, [-b + 0.975 * (a - d) for a, b, d in zip(x, c, t_0, strict=True)])


def test_scaffold_server_steps_a_part_of_the_way(by_hand, is_close):
    # eta_g = 0.5: half of the way from (0.5, -1, 2) to (0.785, -0.24, 1.62).
    is_close(by_hand("scaffold", shards=THREE, server_learning_rate=0.5).function(), [0.6425, -0.62, 1.81])


def test_scaffold_counts_all_clients_the_same(by_hand, is_close):
    # n = 2 and 1, means (3, 0, 0) and (0, 6, 0): x = M + 0.81 (x0 - M) with M = (1.5, 3, 0), not (2, 2, 0).
    is_close(by_hand("scaffold").function(), [1.5 - 0.81, 3 - 4 * 0.81, 1.62])


def test_scaffold_server_variate_is_the_mean_of_all_clients(registry):
    simulation = Simulation(registry.get("strategy", "scaffold").spec)
    for n_asked in (4, 5, 5, 5):
        simulation.run(1)
        assert len(simulation.keeps) == n_asked
        for name, c in simulation.state.c.items():
            total = sum(keep[name] for keep in simulation.keeps.values())
            torch.testing.assert_close(c, total / simulation.n_clients, rtol=1e-5, atol=1e-5)
            assert float(c.abs().sum()) > 0.01


def test_scaffold_books_twice_fedavgs_bytes_both_ways(by_hand):
    ours, theirs = (
        [(entry.direction, entry.tensor_bytes) for entry in by_hand(name).rounds[0].ledger]
        for name in ("scaffold", "fedavg")
    )
    assert ours == [(direction, 2 * size) for direction, size in theirs]
