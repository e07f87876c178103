"""FedAvgM, FedAdam and FedYogi: rounds followed by hand, and FedAvg as a special case.

The clients' weighted mean is M + 0.81 (x - M) with M = (2, 2, 0), so the change is delta = 0.19 (M - x).
"""

from __future__ import annotations

import math

import pytest
import torch

from fedgen_bench import RoundContext, Update
from fedgen_bench.testing.simulation import Simulation
from fedgen_bench.testing.toy_federation import SEEDS

MOMENTS = {
    "fedadam": lambda v, d, b2: b2 * v + (1 - b2) * d**2,
    "fedyogi": lambda v, d, b2: v - (1 - b2) * d**2 * ((v > d**2) - (v < d**2)),
}


def test_fedavgm_rounds_are_those_followed_by_hand(by_hand, is_close):
    # beta = eta = 0.5, e = M - x in units of e0 = (1.5, 3, -2). Round 0: v = 0.19, e = 1 - 0.095 = 0.905.
    # Round 1: v = 0.095 + 0.19 * 0.905 = 0.26695, e = 0.905 - 0.133475 = 0.771525. A moving average, (1 - beta) delta,
    # would halve both steps.
    found = by_hand("fedavgm", 2, beta=0.5, server_learning_rate=0.5).function()
    is_close(found, [2 - 0.771525 * 1.5, 2 - 0.771525 * 3, 0.771525 * 2])


@pytest.mark.parametrize("name", MOMENTS)
@pytest.mark.parametrize("tau", [0.01, 0.5])
def test_adaptive_rounds_are_those_of_algorithm_2_in_plain_numbers(by_hand, is_close, name, tau):
    # Algorithm 2 of arXiv 2003.00295, one coordinate after the other, in Python's floats. With tau = 0.5, v falls.
    b1, b2, eta, wanted = 0.6, 0.7, 0.25, []
    for x, mean in ((0.5, 2.0), (-1.0, 2.0), (2.0, 0.0)):
        m, v = 0.0, tau**2
        for _ in range(3):
            delta = 0.19 * (mean - x)
            m = b1 * m + (1 - b1) * delta
            v = MOMENTS[name](v, delta, b2)
            x += eta * m / (math.sqrt(v) + tau)  # noqa: PLW2901 - the next round's
        wanted.append(x)
    found = by_hand(name, 3, beta1=b1, beta2=b2, tau=tau, server_learning_rate=eta)
    is_close(found.function(), wanted)


def test_first_fedadam_round_has_no_bias_correction(by_hand, is_close):
    # delta = (0.285, 0.57, -0.38), m = 0.1 delta. beta2 = 0 gives v = delta^2; tau = 0.095 is a third, a sixth, a
    # quarter of |delta|: m / (|delta| + tau) = 0.1 * (3/4, 6/7, -4/5). Divided by 1 - beta1 the steps were ten
    # times as long.
    found = by_hand("fedadam", beta1=0.9, beta2=0.0, tau=0.095, server_learning_rate=1.0).function()
    is_close(found, [0.5 + 0.075, -1 + 0.6 / 7, 2 - 0.08])


def test_first_fedyogi_round_moves_v_from_tau_squared_by_the_sign(by_hand, is_close):
    # tau = 0.38, tau^2 = 0.1444; delta^2 = (0.081225, 0.3249, 0.1444); beta2 = 0.5:
    # v = 0.1444 - 0.0406125, 0.1444 + 0.16245, and 0.1444 where the sign is 0.
    state = by_hand("fedyogi", beta2=0.5, tau=0.38).state
    is_close(torch.cat([state.v["left"], state.v["right"][0]]), [0.1037875, 0.30685, 0.1444])


@pytest.mark.parametrize("name", ["fedavgm", "fedadam", "fedyogi"])
def test_server_optimizer_reduces_to_fedavg(registry, name):
    spec = registry.get("strategy", name).spec
    fedavg = Simulation(registry.get("strategy", "fedavg").spec).run(4).function()
    reduced = Simulation(spec, spec.params(**spec.reduces_to["fedavg"])).run(4).function()
    torch.testing.assert_close(reduced, fedavg, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(Simulation(spec).run(4).function(), fedavg, rtol=1e-2)


@pytest.mark.parametrize("name", ["fedavgm", "fedadam", "fedyogi"])
def test_server_optimizer_keeps_its_state_in_fp32(registry, name):
    spec = registry.get("strategy", name).spec
    strategy = spec.build(spec.params())
    start = {"w": torch.ones(2, dtype=torch.bfloat16)}
    state = strategy.init(start, None)
    after = strategy.aggregate(state, iter([Update({"w": start["w"] * 2}, 3)]), RoundContext(0, (0,), 1, SEEDS))
    assert after.tensors["w"].dtype == torch.bfloat16
    moments = {"fedavgm": ("velocity",)}.get(name, ("m", "v"))
    assert {getattr(one, moment)["w"].dtype for one in (state, after) for moment in moments} == {torch.float32}


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("fedavgm", {"beta": 1.0}),
        ("fedavgm", {"server_learning_rate": 0.0}),
        ("fedadam", {"beta1": 1.0}),
        ("fedadam", {"beta2": 1.1}),
        ("fedyogi", {"tau": 0.0}),
        ("fedyogi", {"server_learning_rate": float("inf")}),
    ],
)
def test_server_optimizer_refuses_parameters_outside_their_range(registry, name, params):
    (key,) = params
    with pytest.raises(ValueError, match=key):
        registry.get("strategy", name).spec.params(**params)
