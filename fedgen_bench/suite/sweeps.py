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
        return tuple(Variant(one.name, one, suite) for one in suite.contender)
    at = [(point, at_point(suite, point)) for point in suite.sweep.point]
    found: list[Variant] = []
    for i, one in enumerate(suite.contender):
        if one.name not in suite.sweep.contenders:
            found.append(Variant(one.name, one, suite))
            continue
        axis = suite.sweep.axis
        for point, under in at:
            where = AtPoint(contender=one.name, axis=axis, value=point.value)
            found.append(Variant(f"{one.name}@{axis}={point.value:g}", under.contender[i], under, where))
    return tuple(found)


def at_point(suite: SuiteSpec, point: SweepPoint) -> SuiteSpec:
    """The suite with a point's values in place of its own. Raises as `variants`."""
    table: dict[str, Any] = suite.model_dump(mode="json", exclude={"sweep"})
    for path, value in point.set.items():
        table = with_value(table, path, value, said=f"sweep.point {point.value:g}, `{path}`")
    return SuiteSpec.model_validate_json(json.dumps(table))
