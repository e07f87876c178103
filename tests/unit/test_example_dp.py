"""DP-SGD in the training loop: single examples' gradients, clipped and noised; what is refused."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from test_micro_batches import fitted, language_model, points, ragged_blocks, unet
from torch.func import functional_call, grad, vmap

from fedgen_bench.base.errors import NotReadyError, SuiteError
from fedgen_bench.contract.messages import Fit, Proximal
from fedgen_bench.federation.asked import Asked
from fedgen_bench.federation.batches import FitStreams, batch_order
from fedgen_bench.federation.clipped_gradients import ClippedGradients, batch_norm_in
from fedgen_bench.federation.cohort import Answers
from fedgen_bench.federation.loader import Loader
from fedgen_bench.federation.preflight import preflight
from fedgen_bench.federation.trainer import TrainingPlan
from fedgen_bench.registry.datasets import finder
from fedgen_bench.suite.cells import expand
from fedgen_bench.suite.example_dp import ExampleDP
from fedgen_bench.suite.example_privacy import gaussian_epsilon, most_passes, passes_in_fits
from fedgen_bench.testing.toy_federation import SEEDS


def plan(clip=1e9, noise=0.0, **changed):
    values = {"optimizer": "sgd", "learning_rate": 0.1, "batch_size": 5} | changed
    return TrainingPlan(example_dp=ExampleDP(clip=clip, noise=noise), **values)


def without(**changed):
    return TrainingPlan(**({"optimizer": "sgd", "learning_rate": 0.1, "batch_size": 5} | changed))


def moved(whole):
    start, report = whole
    return torch.cat([(report.tensors[name] - start[name]).flatten() for name in start])


def test_unclipped_without_noise_is_the_mean_over_examples():
    whole, single = (fitted(*points(), training) for training in (without(), plan()))
    assert torch.allclose(moved(whole), moved(single), rtol=0, atol=1e-12)
    assert single[1].mean_loss == pytest.approx(whole[1].mean_loss)
    assert single[1].batch_digest == whole[1].batch_digest


def test_an_examples_clipped_gradient_counts_by_the_batch_size_of_the_suite():
    task, adapted, data = points()
    _, report = fitted(task, adapted, data, plan(clip=0.3, batch_size=20), n_steps=1)
    clipped = [-x * min(1, 0.3 / float(x.norm())) for x in data.tensors["x"]]  # of 1/2 ||w - x||^2 at w = 0
    assert torch.allclose(report.tensors["weight"], -0.1 * sum(clipped) / 20, rtol=0, atol=1e-12)
    assert any(float(x.norm()) > 0.3 for x in data.tensors["x"])


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # vmap has no rule for fused attention
@pytest.mark.parametrize("kind", ["text", "images"])
def test_gradients_are_those_of_vmap(kind):
    if kind == "text":
        (task, adapted), data = language_model(), ragged_blocks()
    else:
        task, adapted, data = unet()
    batch = {name: tensor[:5] for name, tensor in data.tensors.items()}
    parts = task.micro_batches(batch, 1, torch.Generator().manual_seed(4))
    parameters = dict(adapted.trainable)

    class Loss(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = adapted.module

        def forward(self, tensors):
            with_batch = {name: one[None] for name, one in tensors.items()}
            return task.loss(self.inner, with_batch, torch.Generator())

    def loss(values, tensors):
        return functional_call(Loss(), {f"inner.{name}": one for name, one in values.items()}, (tensors,))

    stacked = {name: torch.cat([part.tensors[name] for part in parts]) for name in parts[0].tensors}
    values = {name: one.detach() for name, one in parameters.items()}
    wanted = vmap(grad(loss), in_dims=(None, 0), randomness="error")(values, stacked)
    norms = torch.stack([one.detach().flatten(1).norm(dim=1) for one in wanted.values()]).norm(dim=0)
    clip = float(norms.median())
    clipped = ClippedGradients(list(parameters.values()), ExampleDP(clip=clip, noise=0.0), 5, torch.Generator())
    for part in parts:
        clipped.add(task.loss(adapted.module, part.tensors, torch.Generator()))
    clipped.into_gradients()
    factors = (clip / norms).clamp(max=1)
    for name, parameter in parameters.items():
        mean = torch.einsum("n,n...->...", factors.to(wanted[name].dtype), wanted[name]) / 5
        assert torch.allclose(parameter.grad, mean, rtol=1e-5, atol=1e-6)


def test_noise_has_the_deviation_that_is_asked_for():
    (weight,) = parameters = [torch.nn.Parameter(torch.zeros(40_000))]
    clipped = ClippedGradients(parameters, ExampleDP(clip=0.5, noise=3.0), 4, torch.Generator().manual_seed(1))
    for _ in range(2):  # the second batch begins at nothing
        clipped.add(weight[0] * 8.0)
        clipped.into_gradients()
    assert float(weight.grad.std()) == pytest.approx(3.0 * 0.5 / 4, rel=0.02)
    assert abs(float(weight.grad[1:].mean())) < 0.01


def test_noise_is_that_of_its_stream():
    first, again = (fitted(*points(), plan(clip=1.0, noise=1.0)) for _ in range(2))
    assert torch.equal(moved(first), moved(again))
    quiet = moved(fitted(*points(), plan(clip=1.0)))
    drawn = torch.randn(3, generator=FitStreams(SEEDS, 0, 0).privacy_generator())
    one = moved(fitted(*points(), plan(clip=1.0, noise=1.0), n_steps=1))
    assert torch.allclose(one, moved(fitted(*points(), plan(clip=1.0), n_steps=1)) - 0.1 * drawn / 5, atol=1e-7)
    assert not torch.equal(quiet, moved(first))


def test_a_penalty_stands_beside_the_clipped_gradients():
    near, free = (fitted(*points(), plan(clip=0.3), **given) for given in ({"penalty": Proximal(5.0)}, {}))
    assert moved(near).norm() < moved(free).norm()


def test_what_a_loss_does_not_depend_on_gets_noise_alone():
    used, unused = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))
    clipped = ClippedGradients([used, unused], ExampleDP(clip=1.0, noise=0.0), 1, torch.Generator())
    clipped.add(used.sum() * 4)
    clipped.into_gradients()
    assert torch.equal(unused.grad, torch.zeros(2))
    assert float(used.grad.norm()) == pytest.approx(1.0)


def test_clients_are_not_trained_in_one_pass():
    task, adapted, data = points()
    answers = Answers(adapted, task, plan(), lambda asked: asked)
    asked = [Asked(Fit(dict(adapted.trainable)), data, FitStreams(SEEDS, 0, i), 2) for i in range(3)]
    assert answers._groups(asked) == [[0], [1], [2]]
    assert plan().examples_at_once == 1


def test_batch_norm_is_found_and_instance_norm_is_none():
    norm = torch.nn.Sequential(torch.nn.InstanceNorm2d(3), torch.nn.Sequential(torch.nn.BatchNorm2d(3)))
    assert batch_norm_in(norm) == "1.0"
    assert batch_norm_in(norm[0]) == ""


DP = "contender.fedavg.example_dp={clip = 1.0, noise = 0.5}"


def loaded_toy(registry):
    """The class in the registry's own copy of the toy world."""
    return registry.get("task", "toy").spec.build.load.__globals__["LoadedToy"]


def problems(registry, toy_suite, *overrides):
    specs = expand(toy_suite(DP, *overrides), registry, contenders=["fedavg"], seeds=[1])
    with pytest.raises(NotReadyError) as told:
        preflight(specs, Loader(registry, finder(registry)))
    return str(told.value)


def test_a_task_that_takes_no_batch_apart_is_refused(registry, toy_suite, monkeypatch):
    monkeypatch.delattr(loaded_toy(registry), "micro_batches")
    assert "does not say how a batch is taken apart (`micro_batches`)" in problems(registry, toy_suite)


def test_a_backbone_with_batch_norm_is_refused(registry, toy_suite, monkeypatch):
    def with_norm(self):
        module = new_module(self)
        module.norm = torch.nn.BatchNorm1d(3)
        return module

    new_module = loaded_toy(registry).new_module
    monkeypatch.setattr(loaded_toy(registry), "new_module", with_norm)
    assert "`norm` of the backbone computes with all examples of a batch at once" in problems(registry, toy_suite)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["training.micro_batch_size=2"], "examples go through the network one by one. Leave out"),
        (
            ['contender.fedavg.strategy.name="scaffold"'],
            "reads gradients off a client's change, which example_dp clips",
        ),
        (["contender.fedavg.example_dp.clip=0.0"], "greater than 0"),
        (["contender.fedavg.example_dp.noise=-1.0"], "greater than or equal to 0"),
        (["contender.fedavg.example_dp.delta=1.0"], "less than 1"),
        (["contender.fedavg.example_dp.sigma=1.0"], "sigma"),
    ],
)
def test_what_cannot_be_is_refused_with_the_suite(toy_suite, overrides, said):
    with pytest.raises(SuiteError, match=said):
        toy_suite(DP, *overrides)


def test_identities_of_contenders_without_it_stay(registry, toy_suite):
    (spec,) = expand(toy_suite(), registry, contenders=["fedavg"], seeds=[1])
    assert "example_dp" not in spec.config.to_json()["contender"]
    (spec,) = expand(toy_suite(DP), registry, contenders=["fedavg"], seeds=[1])
    assert spec.config.to_json()["contender"]["example_dp"] == {"clip": 1.0, "noise": 0.5, "delta": 1e-5}
    assert type(spec.config).from_json(spec.config.to_json()) == spec.config


@pytest.mark.parametrize("n_examples", [1, 7, 8, 20])
@pytest.mark.parametrize(("n_steps", "n_fits"), [(1, 1), (6, 1), (7, 2), (9, 3)])
def test_no_example_is_used_more_often_than_is_counted(n_examples, n_steps, n_fits):
    rng = np.random.default_rng(1)
    most = 0
    for cuts in itertools.combinations(range(1, n_steps), n_fits - 1):  # every way to share the steps among the fits
        used = np.zeros(n_examples, int)
        for a, b in itertools.pairwise([0, *cuts, n_steps]):
            for batch in batch_order(n_examples, 4, b - a, rng):
                used[batch] += 1
        most = max(most, used.max())
    assert most <= passes_in_fits(n_examples, 4, n_steps, n_fits)
    if n_fits == 1:
        assert most == passes_in_fits(n_examples, 4, n_steps, 1)


def test_passes_are_those_of_the_client_that_is_asked_most():
    assert most_passes([(0, 2), (2, 3), (0, 2)], lambda round_index, client_id: round_index + (client_id == 0)) == 4
    assert most_passes([], lambda *_: 1) == 0


def test_epsilon_of_gaussian_mechanisms_is_the_published_one():
    # delta(eps) of a mu-GDP mechanism at mu = 1, eps = 1 is Phi(-1/2) - e Phi(-3/2) = 0.126936737.
    assert gaussian_epsilon(1, 2.0, 0.126936737) == pytest.approx(1.0, abs=1e-7)
    assert gaussian_epsilon(4, 4.0, 0.126936737) == pytest.approx(1.0, abs=1e-7)  # four passes at twice the noise
    assert gaussian_epsilon(9, 1.0, 0.5) < gaussian_epsilon(9, 1.0, 1e-5)
    assert gaussian_epsilon(1, 1e9, 1e-5) == 0.0


def test_epsilon_agrees_with_privacy_losses():
    dp = pytest.importorskip("dp_accounting")
    from dp_accounting.pld import PLDAccountant

    accountant = PLDAccountant(dp.NeighboringRelation.REPLACE_ONE)
    accountant.compose(dp.GaussianDpEvent(3.0), 6)  # which doubles the sensitivity itself
    assert gaussian_epsilon(6, 3.0, 1e-5) == pytest.approx(accountant.get_epsilon(1e-5), rel=1e-3)


def test_a_delta_that_would_give_an_example_away_is_refused(registry, toy_suite):
    told = problems(registry, toy_suite, "contender.fedavg.example_dp.delta=0.5")
    assert "delta = 0.5 would allow one of the" in told
