"""A suite's contenders as they run: each once or, under a sweep, once for every point of the axis."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fedgen_bench.suite.cellconfig import AtPoint
from fedgen_bench.suite.overrides import with_value
from fedgen_bench.suite.schema import SuiteSpec, SweepPoint

if TYPE_CHECKING:
    from fedgen_bench.suite.schema import Contender


@dataclass(frozen=True)
class Variant:
    """A contender under the suite that it runs under.

    Args:
        name: the contender's, with `@axis=value` behind it when it is swept.
        point: the point that it runs at when it is swept.
    """

    name: str
    contender: Contender
    suite: SuiteSpec
    point: AtPoint | None = None


def variants(suite: SuiteSpec) -> tuple[Variant, ...]:
    """In the suite's order, points inside; contenders that are not swept run once, under the suite itself.

    Raises:
        UsageError, pydantic.ValidationError: a point sets what a suite does not have or refuses.
    """
    if suite.sweep is None:
        return tuple(Variant(contender.name, contender, suite) for contender in suite.contender)
    at = [(point, at_point(suite, point)) for point in suite.sweep.point]
    made: list[Variant] = []
    for i, contender in enumerate(suite.contender):
        if contender.name not in suite.sweep.contenders:
            made.append(Variant(contender.name, contender, suite))
            continue
        axis = suite.sweep.axis
        for point, under in at:
            where = AtPoint(contender=contender.name, axis=axis, value=point.value)
            made.append(Variant(f"{contender.name}@{axis}={point.value:g}", under.contender[i], under, where))
    return tuple(made)


def at_point(suite: SuiteSpec, point: SweepPoint) -> SuiteSpec:
    """The suite with a point's values in place of its own. Raises as `variants`."""
    table: dict[str, Any] = suite.model_dump(mode="json", exclude={"sweep"})
    for path, value in point.set.items():
        table = with_value(table, path, value, said=f"sweep.point {point.value:g}, `{path}`")
    return SuiteSpec.model_validate_json(json.dumps(table))
