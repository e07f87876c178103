"""Client-level differential privacy: clipping and noise against numpy, what survives a kill, and what is refused."""

# ruff: noqa: ARG002, ARG005 - protocols name what these broken pieces do not use
from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from fedgen_bench_plugins.mechanisms.client_dp import ClientDP, Params, State

from fedgen_bench.base.errors import PluginError, SuiteError
from fedgen_bench.contract.mechanisms import Change, MechanismContext, Released, Sampling
from fedgen_bench.contract.messages import Payload
from fedgen_bench.contract.seeds import SeedTree
from fedgen_bench.federation.assembly import _release
from fedgen_bench.federation.blueprint import Blueprint
from fedgen_bench.federation.components import build
from fedgen_bench.federation.loader import Loader
from fedgen_bench.federation.release import Behind, Release
from fedgen_bench.federation.run_cell import run_cell
from fedgen_bench.registry.datasets import USUAL_PLACES, finder
from fedgen_bench.results.store import Store
from fedgen_bench.suite.cellconfig import CellConfig
from fedgen_bench.suite.cells import expand
from fedgen_bench.suite.schema import Component
from fedgen_bench.testing.simulation import Simulation

SEEDS = SeedTree("task", "adapter", "partitioner", "strategy", 1, "client_dp")
MANY = Sampling(population=10, cohort=4, rounds=3)


def changes(*rows):
    return [Change(i, {"a": torch.tensor(row[:2]), "b": torch.tensor(row[2:])}) for i, row in enumerate(rows)]


def released(params, rows, state=None, sampling=MANY):
    mechanism = ClientDP(params)
    ctx = MechanismContext(0, tuple(range(sampling.cohort)), sampling, SEEDS)
    return mechanism.release(state or mechanism.init(sampling), iter(changes(*rows)), ctx)


def drawn(purpose, shape):
    return torch.randn(shape, dtype=torch.float64, generator=SEEDS.torch("mechanism", round_index=0, purpose=purpose))


ROWS = ((3.0, 4.0, 0.0), (0.3, 0.4, 0.0), (0.0, 0.0, -2.0), (0.0, 0.0, 0.0))  # of norms 5, 0.5, 2 and 0


def test_changes_are_clipped_summed_noised_and_divided_by_the_cohort():
    out = released(Params(clip_norm=1.0, noise_multiplier=0.5), ROWS)
    clipped = [np.array(row) * min(1.0, 1.0 / max(math.sqrt(sum(x * x for x in row)), 1e-9)) for row in ROWS]
    noise = np.concatenate([drawn("noise/a", 2).numpy(), drawn("noise/b", 1).numpy()])
    expected = (np.sum(clipped, axis=0) + 0.5 * noise) / 4
    assert torch.cat([out.tensors["a"], out.tensors["b"]]).numpy() == pytest.approx(expected, rel=1e-6)
    assert out.tensors["a"].dtype == torch.float32
    assert out.state == State(1.0)


def test_who_does_not_answer_counts_as_zero():
    whole, fewer = (released(Params(noise_multiplier=0.0), ROWS[:n]).tensors for n in (4, 3))
    assert torch.equal(whole["a"], fewer["a"])  # the fourth changed nothing


def test_adaptive_clipping_follows_the_noised_quantile():
    params = Params(clip_norm=1.0, noise_multiplier=0.8, quantile=0.75, clip_rate=0.2, bit_noise=0.5)
    out = released(params, ROWS)
    share = (2 + 0.5 * float(drawn("bits", ()))) / 4  # two of four lie within the bound
    assert out.state.clip_norm == pytest.approx(math.exp(-0.2 * (share - 0.75)))
    of_sum = (0.8**-2 - (2 * 0.5) ** -2) ** -0.5  # the paper's z_delta
    without = released(dataclasses.replace(params, noise_multiplier=0.0), ROWS).tensors["b"]
    assert float((out.tensors["b"] - without) * 4) == pytest.approx(of_sum * float(drawn("noise/b", 1)), rel=1e-5)


def test_the_noise_has_the_size_that_it_says():
    sampling = Sampling(10, 1, 1)
    change = [Change(0, {"a": torch.zeros(40_000)})]
    ctx = MechanismContext(0, (0,), sampling, SEEDS)
    mechanism = ClientDP(Params(clip_norm=0.25, noise_multiplier=2.0))
    noise = mechanism.release(mechanism.init(sampling), iter(change), ctx).tensors["a"]
    assert float(noise.std()) == pytest.approx(0.5, rel=0.02)
    assert abs(float(noise.mean())) < 0.01


def test_without_noise_or_bound_it_is_plain_averaging_with_equal_weights(registry):
    def unweighted(spec):
        class Equal(spec.build):
            def client(self, payload, ctx):
                update = yield from super().client(payload, ctx)
                return dataclasses.replace(update, n_examples=1)

        return dataclasses.replace(spec, build=Equal)

    spec = registry.get("strategy", "fedavg").spec
    mechanism = ClientDP(Params(clip_norm=1e9, noise_multiplier=0.0))
    ours = Simulation(spec, release=Release(mechanism, Sampling(5, 4, 3))).run()
    theirs = Simulation(unweighted(spec)).run()
    assert torch.allclose(ours.function(), theirs.function(), rtol=1e-6)
    assert not torch.allclose(ours.function(), Simulation(spec).run().function(), rtol=1e-3)


@pytest.mark.parametrize("name", ["fedgen_edge", "fedavgm", "fedadam", "ffa_lora", "fedper"])
def test_any_strategy_that_averages_may_stand_behind_it_and_resumes(registry, name):
    spec = registry.get("strategy", name).spec
    params = spec.params(**({"personal": ("right",)} if name == "fedper" else {}))
    mechanism = ClientDP(Params(clip_norm=0.05, noise_multiplier=0.1, quantile=0.5))

    def run(**how):
        return Simulation(spec, params, release=Release(mechanism, Sampling(5, 4, 3)), **how).run()

    whole, resumed = run(), run(codec=True)
    assert isinstance(whole.state, Behind)
    assert whole.state.mechanism.clip_norm != 0.05
    assert whole.state.mechanism == resumed.state.mechanism
    assert torch.equal(whole.function(), resumed.function())


MECHANISM = 'contender.fedgen_edge.mechanism={name="client_dp", params={clip_norm=0.5, quantile=0.5, bit_noise=1.0}}'


class KilledError(Exception):
    pass


def ended(registry, toy_suite, folder, *, stop_after=None):
    (spec,) = expand(toy_suite(MECHANISM), registry, contenders=["fedgen_edge"], seeds=[1])

    def on_round(report):
        if report.round_index == stop_after:
            raise KilledError

    with Store(folder) as store:
        engine = build(registry, "engine", Component(name="local"))
        loader = Loader(registry, finder(registry))
        return run_cell(
            Blueprint(spec, "cpu", USUAL_PLACES, (), 1), loader, store.begin(spec, {}, {}), engine, on_round
        )


def test_a_killed_run_resumes_to_the_same_bits_and_says_what_it_guarantees(registry, toy_suite, tmp_path):
    whole = ended(registry, toy_suite, tmp_path / "whole")
    with pytest.raises(KilledError):
        ended(registry, toy_suite, tmp_path / "cut", stop_after=1)
    assert ended(registry, toy_suite, tmp_path / "cut") == whole
    guaranteed = whole[0].privacy
    assert (guaranteed["unit"], guaranteed["population"], guaranteed["sample"], guaranteed["n_steps"]) == (
        "client",
        6,
        3,
        4,
    )
    assert 0 < guaranteed["epsilon"] < guaranteed["cross_check"]


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("strategy={name='median'}", "needs clients' own.*`fedavg`.*Contender `fedavg` of this suite could have it"),
        ("strategy={name='krum'}", "strategy `krum` needs clients' own"),
        ("strategy={name='centralized'}", "has no rounds of clients"),
        ("strategy={name='fedper', params={personal=['right']}}", "clients of strategy `fedper` send what.*`fedavg`"),
        ("uplink=[{name='topk'}]", "`topk` sends what a client's own left over. Switch its error feedback off"),
        ("mechanism.params.delta=0.5", "delta = 0.5 would allow one of"),
        ("mechanism.params.bit_noise=0.4", "must exceed half the noise multiplier"),
        ("mechanism.params={target_epsilon=1e-6, delta=1e-12}", "cannot be reached in"),
        ("mechanism.params={target_epsilon=1.0, noise_multiplier=1.0}", "Give either noise_multiplier or target_eps"),
        ("mechanism.params={quantile=1.5}", "quantile must be above 0 and below 1"),
        ("mechanism.params={clip_norm=0.0}", "clip_norm must be a finite number above 0"),
        ("mechanism.params={noise_multiplier=-1.0}", "noise_multiplier must be a finite number of at least 0"),
        ("mechanism.params={bit_noise=1.0}", "bit_noise is of adaptive clipping"),
    ],
)
def test_what_cannot_hold_is_refused_before_training(toy_suite, override, words):
    with pytest.raises(SuiteError, match=words):
        toy_suite(MECHANISM, f"contender.fedgen_edge.{override}")


def test_who_is_in_time_may_not_hang_on_how_much_a_client_holds(toy_suite):
    devices = 'devices={first=2, classes=[{name="phone", share=1.0, flops=1e9, down=1e6, up=1e6}]}'
    toy_suite(MECHANISM, devices)
    with pytest.raises(SuiteError, match=r"devices.first = 2 and training.local_epochs how much it holds"):
        toy_suite(MECHANISM, devices, "training={optimizer='sgd', local_epochs=1, batch_size=4}")


def test_a_mechanism_is_tried_on_the_reference_as_other_components_are(registry, toy_suite):
    (spec,) = expand(toy_suite(), registry, added=["client_dp"], contenders=["client_dp"], seeds=[1])
    contender = spec.config.contender
    assert (contender.mechanism.name, contender.strategy.name) == ("client_dp", "fedgen_edge")
    assert CellConfig.from_json(spec.config.to_json()) == spec.config
    plain = expand(toy_suite(), registry, contenders=["fedgen_edge"], seeds=[1])[0].config.to_json()
    assert "mechanism" not in plain["contender"]  # identities of what was published stay


def test_updates_that_are_absorbed_one_by_one_have_nothing_to_stand_behind(registry, toy_suite):
    suite = toy_suite(MECHANISM, 'devices={classes=[{name="phone", share=1.0, flops=1e9, down=1e6, up=1e6}]}')
    (spec,) = expand(suite, registry, contenders=["fedgen_edge"], seeds=[1])
    strategy = build(registry, "strategy", spec.config.contender.strategy)
    strategy.absorb = lambda state, sent, update, ctx: state
    with pytest.raises(PluginError, match="takes updates one by one as they arrive, and mechanism `client_dp`"):
        _release(spec.config, registry, strategy)


def test_a_strategy_that_sends_clients_different_tensors_is_told(registry):
    class Uneven(registry.get("strategy", "fedavg").spec.build):
        def send(self, state, ctx):
            return Payload({name: one + ctx.client_id for name, one in state.tensors.items()})

    spec = dataclasses.replace(registry.get("strategy", "fedavg").spec, build=Uneven)
    with pytest.raises(PluginError, match="was sent another `left` than client 1, so their changes have no mean"):
        Simulation(spec, release=Release(ClientDP(Params()), Sampling(5, 4, 1))).run(1)


def test_what_is_sent_back_and_was_not_received_is_told(registry):
    spec = registry.get("strategy", "rolora").spec
    with pytest.raises(PluginError, match="is sent back and was not received as such"):
        Simulation(spec, release=Release(ClientDP(Params()), Sampling(5, 4, 1))).run(1)


class Swaps:
    def init(self, sampling):
        return None

    def release(self, state, changes, ctx):
        (first, *_) = changes
        return Released({f"{name}!": one for name, one in first.tensors.items()}, state)


class Forgets(Swaps):
    def release(self, state, changes, ctx):
        return next(iter(changes)).tensors


@pytest.mark.parametrize(
    ("mechanism", "words"),
    [(Swaps(), "Swaps.release gives .*Release what clients changed"), (Forgets(), "Return a `Released`")],
)
def test_a_broken_mechanism_is_told_by_its_name(registry, mechanism, words):
    spec = registry.get("strategy", "fedavg").spec
    with pytest.raises(PluginError, match=words):
        Simulation(spec, release=Release(mechanism, Sampling(5, 4, 1))).run(1)
