"""Measuring: metrics of a model on a task's data, and what the task has it generate to be shown."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from fedgen_bench.base.errors import Diverged, PluginError
from fedgen_bench.base.guards import guarded
from fedgen_bench.base.safe_text import printable
from fedgen_bench.contract.messages import Model
from fedgen_bench.contract.protocols import PNG_SIGNATURE, Planting
from fedgen_bench.contract.secrets import Exposure
from fedgen_bench.federation.parameters import load_tensors
from fedgen_bench.federation.seeding import seed_tree
from fedgen_bench.federation.trainer import autocast

if TYPE_CHECKING:
    from fedgen_bench.contract.adapting import Adapted
    from fedgen_bench.contract.protocols import Metric, Task
    from fedgen_bench.suite.cells import CellSpec


_EXPOSURE = ("bits", "calibrated", "extracted")
HALVES = ("first half", "second half")  # of a client's data, as `<metric>/<half>`


class _NotGivenError(KeyError):
    """A metric asked for evidence that is not there."""


class _Evidence(dict[str, Any]):
    """A task's evidence, which tells a name that it lacks from a KeyError of the metric's own."""

    def __missing__(self, name: str) -> Any:
        raise _NotGivenError(name)


def exposures_in(metrics: Mapping[str, float]) -> dict[int, Exposure]:
    """By number of a secret, from `<number>/bits`, `<number>/calibrated` and `<number>/extracted`."""
    numbers = [int(name.partition("/")[0]) for name in metrics if name.endswith("/bits")]
    return {
        one: Exposure(
            metrics[f"{one}/bits"], metrics.get(f"{one}/calibrated"), extracted=bool(metrics[f"{one}/extracted"])
        )
        for one in numbers
    }


@dataclass(frozen=True, kw_only=True)
class Evaluator:
    """Measures models in a cell's adapted backbone.

    Args:
        metrics: those of the suite, by name.
        lower_is_better: of the one that clients' own data are reported by.
    """

    spec: CellSpec
    task: Task
    adapted: Adapted
    device: torch.device
    metrics: Mapping[str, Metric]
    lower_is_better: bool

    def measure(
        self, model: Model, data: Any, names: Iterable[str] | None = None, *, halves: bool = False
    ) -> dict[str, float]:
        """Metrics of the adapted backbone with these tensors, all when `names` is None; parts as `<metric>/<part>`.

        With `halves` clients' metric on both halves of the data as well, where the task gives them (see `HALVES`).

        Raises:
            Diverged: one is not finite.
            PluginError: the task does not provide what a metric needs, or one that must be a number has parts.
        """
        self._load(model)
        with self._evaluating("observe"):
            evidence = self.task.observe(self.adapted.module, data, seed_tree(self.spec))
        measured: dict[str, float] = {}
        for name in self.metrics if names is None else names:
            measured |= self._computed(name, evidence)
        if halves:
            measured |= self._of_halves(evidence)
        for name, value in measured.items():
            if not math.isfinite(value):
                raise Diverged(f"{name} of the trained model is {value}.")
        return measured

    @contextlib.contextmanager
    def _evaluating(self, method: str) -> Iterator[None]:
        """Around a call of the task's `method`."""
        what = f"{type(self.task).__name__}.{method}"
        precision = autocast(self.device, self.spec.config.training.precision)
        with guarded(what), self.adapted.untrained.kept(what), torch.inference_mode(), precision:
            yield

    def _load(self, model: Model) -> None:
        self.adapted.fold(model.merges)
        load_tensors(self.adapted.trainable, model.tensors, self.adapted.low_rank)
        self.adapted.module.eval()

    def _computed(self, name: str, evidence: Mapping[str, Any]) -> dict[str, float]:
        """One metric by name, or its parts; nothing when it is optional and its evidence is not there.

        Any other error, a KeyError too, is the metric's own and passes.
        """
        evaluation = self.spec.config.evaluation
        try:
            value = self._value(name, evidence)
        except _NotGivenError as error:
            if name in evaluation.optional_metrics:
                return {}
            raise PluginError(
                f"Metric `{name}` needs evidence {error}, which task `{self.spec.config.task.name}` does not "
                "give here. Name another metric in the suite's [evaluation], or put this one into `optional_metrics`."
            ) from error
        if not isinstance(value, Mapping):
            return {name: float(value)}
        if name in (evaluation.metric, evaluation.followed, evaluation.own):
            raise PluginError(
                f"Metric `{name}` gives a number for each of its parts, and one number ranks and is followed over "
                "rounds. Name it in `evaluation.other_metrics` or `evaluation.optional_metrics`."
            )
        return {f"{name}/{part}": float(number) for part, number in value.items()}

    def _value(self, name: str, evidence: Mapping[str, Any]) -> float | Mapping[str, float]:
        with guarded(f"{type(self.metrics[name]).__name__}.compute", evidence=evidence):
            return self.metrics[name].compute(_Evidence(evidence))

    def _of_halves(self, evidence: Mapping[str, Any]) -> dict[str, float]:
        """Nothing where a half lacks what the metric needs."""
        own = self.spec.config.evaluation.own
        try:
            values = [self._value(own, half) for half in evidence.get("halves", ())]
        except _NotGivenError:
            return {}
        numbered = zip(HALVES, values, strict=False)
        return {f"{own}/{half}": float(value) for half, value in numbered if not isinstance(value, Mapping)}

    def exposed(self, model: Model, numbers: Sequence[int]) -> dict[str, float]:
        """What a model gives away of planted secrets, as metrics (see `exposures_in`).

        Raises:
            PluginError: the task gives other exposures than it was asked for.
        """
        assert isinstance(self.task, Planting), "its secrets have numbers"
        self._load(model)
        with self._evaluating("exposures"):
            found = list(self.task.exposures(self.adapted.module, numbers))
        if len(found) != len(numbers) or not all(math.isfinite(one.bits + (one.calibrated or 0)) for one in found):
            raise PluginError(f"{type(self.task).__name__}.exposures must give finite bits for each of the numbers.")
        return {
            f"{number}/{name}": float(value)
            for number, one in zip(numbers, found, strict=True)
            for name in _EXPOSURE
            if (value := getattr(one, name)) is not None
        }

    def showcase(self, model: Model) -> bytes | str | None:
        """The PNG or the text that the task makes with this model; None where it makes none. A text is made printable.

        Raises:
            PluginError: what it makes is neither.
        """
        self._load(model)
        with self._evaluating("showcase"):
            shown = self.task.showcase(self.adapted.module, seed_tree(self.spec))
        if isinstance(shown, str):
            return printable(shown, keep="\n")
        if shown is not None and not (isinstance(shown, bytes) and shown.startswith(PNG_SIGNATURE)):
            raise PluginError("The task's showcase is no PNG. Return a PNG file's bytes, a text, or None.")
        return shown
