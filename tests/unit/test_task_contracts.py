"""The contracts of tasks and metrics catch fakes that break one rule each, and let honest ones through."""

# ruff: noqa: ARG002 - protocols name what these broken pieces do not use
from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from fedgen_bench import HowToLoad, MetricSpec, UnitTable
from fedgen_bench.contract.protocols import PNG_SIGNATURE
from fedgen_bench.testing import metrics, tasks, toy


@dataclasses.dataclass(frozen=True)
class Weights:
    values: torch.Tensor


class Honest(toy.LoadedToy):
    """Evidence of tensors, more of it on the whole parts, and a picture."""

    def __init__(self):
        super().__init__(toy.Params())

    def split(self, name):
        return (self.points, name)

    def observe(self, module, data, seeds):
        points, name = data if isinstance(data, tuple) else (data, "")
        found = {**super().observe(module, points, seeds), "names": ("x", "y", "z")}
        errors = (module.weight.detach().cpu() - points.mean(dim=0)).square()
        return found if name in {"", "valid_subset"} else {**found, "errors": Weights(errors)}

    def evidence(self, split):
        return frozenset({"loss", "n", "names"} | (set() if split == "valid_subset" else {"errors"}))

    def showcase(self, module, seeds):
        return PNG_SIGNATURE + bytes(str(module.weight.tolist()), "ascii")


class Weight(torch.nn.Module):
    """The toy's module as a library has it that reads it from a file."""

    def __init__(self, folder):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.load(f"{folder}/weight.pt"))


class Exports(Honest):
    name = base = "toy"
    revision = licence = part = ""
    code = "from test_task_contracts import Weight\nmodel = Weight({folder})"

    def exporter(self):
        return self

    def save_model(self, module, folder):
        torch.save(module.weight.detach() + self.off, folder / "weight.pt")
        return HowToLoad(library="torch", code=self.code)

    off = 0.0


class ExportsAnother(Exports):
    off = 1.0


class ExportsNoPart(Exports):
    part = "unet"


class ExportsWithoutLicence(Exports):
    licence = None


class TellsAnother(Honest):
    n_calls = 0.0

    def observe(self, module, data, seeds):
        self.n_calls += 1
        return {**super().observe(module, data, seeds), "errors": Weights(torch.tensor([self.n_calls]))}


class Infinite(Honest):
    def observe(self, module, data, seeds):
        return {**super().observe(module, data, seeds), "errors": (Weights(torch.tensor([1.0, math.inf])),)}


class Lengths(Honest):
    def units(self, seeds):
        units = super().units(seeds)
        return UnitTable(units.n_units, units.columns, {"length": lambda: units.columns["label"] + 0.5})


class Writes(Honest):
    def showcase(self, module, seeds):
        return f"{module.weight.tolist()}"


class Jpeg(Honest):
    def showcase(self, module, seeds):
        return b"\xff\xd8"


class Moves(Honest):
    def showcase(self, module, seeds):
        module.weight.data.add_(1)
        return super().showcase(module, seeds)


class Paints(Honest):
    n_calls = 0

    def showcase(self, module, seeds):
        self.n_calls += 1
        return PNG_SIGNATURE + bytes([self.n_calls])


@pytest.mark.parametrize("check", list(tasks.task_checks()), ids=lambda one: one.__name__)
def test_task_contract_accepts_tensors_as_evidence_and_a_picture(check):
    check(Honest())


def test_task_contract_accepts_a_text_that_is_shown():
    tasks.check_showcase(Writes())
    tasks.check_export(Exports())


@pytest.mark.parametrize(
    ("check", "fake", "message"),
    [
        (tasks.check_observe, TellsAnother, "two equal evaluations differ"),
        (tasks.check_observe, Infinite, "evidence `errors` is not finite"),
        (tasks.check_units, Lengths, "column length does not hold integers"),
        (tasks.check_export, ExportsAnother, "another model is loaded"),
        (tasks.check_export, ExportsNoPart, "there is no part `unet`"),
        (tasks.check_export, ExportsWithoutLicence, "`licence` of the exporter is no text"),
        (tasks.check_showcase, Jpeg, "is no PNG"),
        (tasks.check_showcase, Moves, "differ"),
        (tasks.check_showcase, Paints, "two equal pictures or texts differ"),
    ],
)
def test_task_contract_catches(check, fake, message):
    with pytest.raises(AssertionError, match=message):
        check(fake())


class ByAxis:
    def __init__(self, params):
        pass

    def compute(self, evidence):
        return dict(zip(evidence["names"], evidence["errors"].values.tolist(), strict=True))


class Spoilt(ByAxis):
    def compute(self, evidence):
        return {**super().compute(evidence), "w": math.nan}


def spec_of(build, **more):
    return MetricSpec(name="by_axis", summary="", build=build, **more)


def test_metric_contract_reads_parts_of_a_whole_split():
    metrics.check_metric(spec_of(ByAxis), Honest())


@pytest.mark.parametrize(
    ("spec", "message"),
    [(spec_of(ByAxis, lower_is_better=False), "direction"), (spec_of(Spoilt), "not finite")],
)
def test_metric_contract_catches(spec, message):
    with pytest.raises(AssertionError, match=message):
        metrics.check_metric(spec, Honest())


def test_metric_contract_says_when_the_task_lacks_the_evidence():
    with pytest.raises(KeyError, match="names"):
        metrics.check_metric(spec_of(ByAxis), toy.LoadedToy(toy.Params()))
