"""The contracts of compressors and attacks catch fakes that break one rule each, and let honest ones through."""

# ruff: noqa: ARG002 - protocols name what these broken pieces do not use
from __future__ import annotations

import dataclasses

import pytest
import torch

from fedgen_bench.contract.specs import AttackSpec, CompressorSpec
from fedgen_bench.testing import attacks, compressors, metrics, tasks, toy


class Halves:
    """Honest: half precision, integers as they are."""

    error_feedback = False

    def __init__(self, params):
        pass

    def compress(self, tensors):
        return {name: one.half() if one.is_floating_point() else one for name, one in tensors.items()}

    def decompress(self, tensors, like):
        return {name: tensors[name].to(one.dtype) for name, one in like.items()}


class Draws(Halves):
    def compress(self, tensors):
        return {name: one + torch.rand(()).to(one.dtype) for name, one in super().compress(tensors).items()}


class Counts(Halves):
    n_calls = 0

    def compress(self, tensors):
        self.n_calls += 1
        return {name: one * self.n_calls for name, one in super().compress(tensors).items()}


class Zeroes(Halves):
    def compress(self, tensors):
        packed = super().compress(tensors)
        for one in tensors.values():
            one.zero_()
        return packed


class ZeroesLike(Halves):
    def decompress(self, tensors, like):
        whole = super().decompress(tensors, like)
        for one in like.values():
            one.zero_()
        return whole


class Flattens(Halves):
    def compress(self, tensors):
        return {name: one.flatten() for name, one in super().compress(tensors).items()}


class StaysHalf(Halves):
    def decompress(self, tensors, like):
        return tensors


class Keeps(Halves):
    """Sends only what is not zero: how much travels depends on values."""

    def compress(self, tensors):
        return {f"{name}.{i}": one for name, x in tensors.items() for i, one in enumerate(x.flatten()) if one != 0}

    def decompress(self, tensors, like):
        whole = {name: torch.zeros_like(one) for name, one in like.items()}
        for key, one in tensors.items():
            name, _, i = key.rpartition(".")
            whole[name].view(-1)[int(i)] = one
        return whole


class PadsNothing(Halves):
    def compress(self, tensors):
        return super().compress(tensors) or {"padding": torch.zeros(1)}

    def decompress(self, tensors, like):
        return super().decompress(tensors, like) or dict(tensors)


class SendsComplex(Halves):
    """A dtype that no message may carry."""

    def compress(self, tensors):
        return {name: one.cfloat() if one.is_floating_point() else one for name, one in tensors.items()}

    def decompress(self, tensors, like):
        return {name: one.real.to(like[name].dtype) if one.is_complex() else one for name, one in tensors.items()}


class RoundsIntegers(Halves):
    def compress(self, tensors):
        return {name: one if one.is_floating_point() else one // 10 * 10 for name, one in tensors.items()}


class Doubles(Halves):
    """2.5 x: an error of 1.5 ||x||."""

    def decompress(self, tensors, like):
        whole = super().decompress(tensors, like)
        return {name: one * 2.5 if one.is_floating_point() else one for name, one in whole.items()}


class DividesByScale(Halves):
    """NaN for zeros, as a quantiser without a guard."""

    def compress(self, tensors):
        floats = {name: one for name, one in tensors.items() if one.is_floating_point()}
        return {**tensors, **{name: one / one.abs().max() * one.abs().max() for name, one in floats.items()}}


class MakesUp(Halves):
    def decompress(self, tensors, like):
        return {name: tensors.get(name, torch.zeros(one.shape)).to(one.dtype) for name, one in like.items()}


class Undeclared(Halves):
    error_feedback = None


BROKEN = [
    (Draws, compressors.check_deterministic),
    (Counts, compressors.check_deterministic),
    (Zeroes, compressors.check_arguments_unchanged),
    (ZeroesLike, compressors.check_arguments_unchanged),
    (Flattens, compressors.check_layout_restored),
    (StaysHalf, compressors.check_layout_restored),
    (PadsNothing, compressors.check_layout_restored),
    (Keeps, compressors.check_layout_depends_on_layout_only),
    (SendsComplex, compressors.check_travels),
    (RoundsIntegers, compressors.check_integers_unchanged),
    (Doubles, compressors.check_error_bounded),
    (DividesByScale, compressors.check_error_bounded),
    (MakesUp, compressors.check_refuses_nothing),
    (Undeclared, compressors.check_error_feedback_declared),
]


@pytest.mark.parametrize(("broken", "check"), BROKEN)
def test_contract_catches_a_compressor_that_breaks_it(broken, check):
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever the compressor raises
        check(CompressorSpec(name=broken.__name__, summary="", build=broken))
    assert not isinstance(caught.value, AttributeError | NameError)


@pytest.mark.parametrize("check", list(compressors.compressor_checks()))
def test_contract_lets_an_honest_compressor_through(check):
    check(CompressorSpec(name="halves", summary="", build=Halves))


class Flips:
    """Honest: the change with its sign turned, and noise."""

    def __init__(self, params):
        pass

    def distort(self, tensors, received, generator):
        noise = float(torch.rand((), generator=generator))
        return {
            name: (received[name] - (1 + noise) * (one - received[name])).to(one.dtype) for name, one in tensors.items()
        }


class DrawsGlobally(Flips):
    def distort(self, tensors, received, generator):
        return {name: one + torch.rand(()).to(one.dtype) for name, one in tensors.items()}


class Remembers(Flips):
    n_calls = 0

    def distort(self, tensors, received, generator):
        self.n_calls += 1
        return {name: one * self.n_calls for name, one in super().distort(tensors, received, generator).items()}


class SendsMore(Flips):
    def distort(self, tensors, received, generator):
        return super().distort(received, received, generator)


class Widens(Flips):
    def distort(self, tensors, received, generator):
        return {name: one.double() for name, one in super().distort(tensors, received, generator).items()}


class InPlace(Flips):
    def distort(self, tensors, received, generator):
        return {name: one.neg_() for name, one in tensors.items()}


class Honest(Flips):
    def distort(self, tensors, received, generator):
        return dict(tensors)


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        (DrawsGlobally, attacks.check_deterministic),
        (Remembers, attacks.check_no_hidden_state),
        (SendsMore, attacks.check_same_layout),
        (Widens, attacks.check_same_layout),
        (InPlace, attacks.check_arguments_unchanged),
        (Honest, attacks.check_changes_the_update),
    ],
)
def test_contract_catches_an_attack_that_breaks_it(broken, check):
    with pytest.raises(Exception) as caught:  # noqa: PT011 - a guard's error or an assertion
        check(AttackSpec(name=broken.__name__, summary="", build=broken))
    assert not isinstance(caught.value, AttributeError | NameError | TypeError)


@pytest.mark.parametrize("check", list(attacks.attack_checks()))
def test_contract_lets_a_working_attack_through(check):
    check(AttackSpec(name="flips", summary="", build=Flips))


def test_contract_tells_evidence_that_a_metric_or_a_task_does_not_declare():
    class Silent(toy.LoadedToy):
        def evidence(self, split):
            return frozenset({"loss"})

    (spec,) = toy.register_metrics()
    with pytest.raises(AssertionError, match=r"does not name: n$"):
        metrics.check_metric(dataclasses.replace(spec, evidence=frozenset({"loss"})), toy.LoadedToy(toy.Params()))
    with pytest.raises(AssertionError, match=r"differ in: n$"):
        tasks.check_observe(Silent(toy.Params()))
