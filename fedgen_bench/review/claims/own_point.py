"""An ablation joined by the ablated suite's own rows: one more point of its axis, where all else is equal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fedgen_bench.review.claims.apart import differences
from fedgen_bench.suite.strict import plain

if TYPE_CHECKING:
    from fedgen_bench.results.record import Done
    from fedgen_bench.review.claims.evidence import Published
    from fedgen_bench.suite.cellconfig import CellConfig

_CHOICES = ("strategy", "adapter", "learning_rate")


def with_own_point(main: Published, sweep: Published) -> Published:
    """The sweep with the suite's runs of swept contenders at the value that the suite has.

    The sweep as it is where its points set several things or a contender's, where it has that value itself, or where
    anything else of set-up or contenders differs.
    """
    spec = sweep.suite.sweep
    paths = {path for point in spec.point for path in point.set} if spec else set()
    if spec is None or len(paths) != 1 or differences(main, sweep):
        return sweep
    (path,) = paths
    own, points = ([one for one in sheet.records if one.method in spec.contenders] for sheet in (main, sweep))
    values = {_value(one.config, path) for one in own}
    value = values.pop() if len(values) == 1 else None
    ours, theirs = ({(one.method, _choices(one.config, path)) for one in cells} for cells in (own, points))
    if value is None or value in sweep.axis or ours != theirs:
        return sweep
    joined = tuple(_at(record, spec.axis, value) for record in own)
    return replace(sweep, records=sweep.records + joined, drift={**main.drift, **sweep.drift}, own_value=value)


def _value(config: CellConfig, path: str) -> float | None:
    """What a configuration has at a path of a suite; None where there is no number."""
    found: Any = plain(config)
    for key in path.split("."):
        found = found.get(key) if isinstance(found, Mapping) else None
    return float(found) if isinstance(found, int | float) else None


def _choices(config: CellConfig, swept: str) -> str:
    """What a contender was given; where the axis is one of personalisation, the rest of its way too."""
    table = plain(config.contender)
    part, _, name = swept.rpartition(".")
    way = plain(config.own) if part == "personalization" else {}
    return str([{one: table.get(one) for one in _CHOICES}, {one: way[one] for one in way if one != name}])


def _at(record: Done, axis: str, value: float) -> Done:
    from fedgen_bench.suite.cellconfig import AtPoint

    point = AtPoint(contender=record.contender, axis=axis, value=value)
    return replace(record, config=record.config.model_copy(update={"point": point}))
