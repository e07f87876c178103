"""In what an ablation is set up otherwise than the suite that it is of, so that nobody compares their figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedgen_bench.review.claims.evidence import Evidence, Published
    from fedgen_bench.suite.cellconfig import CellConfig

_SETUP = ("task", "partitioner", "federation", "training", "attack", "devices")
_NOT_SET_UP = frozenset({"version", "source_sha256", "pairs_as", "pairs_without"})


def apart(evidence: Evidence, sweep: Published) -> str:
    """A sentence with everything but the swept values in which a sweep's cells differ from the suite's.

    Where nothing does: which value's rows are the suite's own, or nothing.
    """
    of, name = evidence.main.suite.suite.name, sweep.suite.suite.name
    if differing := differences(evidence.main, sweep):
        return f"**Not comparable with `{of}`**, from which `{name}` differs in {', '.join(differing)}"
    if sweep.suite.sweep is None or sweep.own_value is None:
        return ""
    return f"Rows of {sweep.suite.sweep.axis} {sweep.own_value:g} are those of `{of}` itself"


def differences(main: Published, sweep: Published) -> list[str]:
    """Everything but the swept values in which a sweep's cells are set up otherwise than the suite's."""
    there, here = (dict(_setup(_config(one))) for one in (main, sweep))
    swept = {path for point in sweep.suite.sweep.point for path in point.set} if sweep.suite.sweep else set()
    return [
        f"{path.rpartition('.')[2]} {_shown(here.get(path))} (there {_shown(there.get(path))})"
        for path in here | there
        if path not in swept and there.get(path) != here.get(path)
    ]


def _config(published: Published) -> CellConfig:
    """Of the first cell of the reference, else of any."""
    own = (record for record in published.records if record.method == published.reference)
    return next(own, published.records[0]).config


def _setup(config: CellConfig) -> Iterator[tuple[str, Any]]:
    """(path, value) of what all contenders share."""
    from fedgen_bench.suite.strict import plain

    table = plain(config)
    yield "evaluation.metric", config.evaluation.metric
    for part in _SETUP:
        yield from _leaves(table.get(part), part)


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key not in _NOT_SET_UP:
                yield from _leaves(inner, f"{path}.{key}")
    elif value is not None:
        yield path, value


def _shown(value: Any) -> str:
    return "none" if value is None else f"`{value}`" if isinstance(value, str) else str(value)
