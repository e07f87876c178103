"""Environments that cells were run in."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedgen_bench.results.record import Record


def by_environment(
    records: Iterable[Record], *, but: Collection[str] = ()
) -> list[tuple[Mapping[str, Any], list[Record]]]:
    """Every environment with its runs, in the order of the first of them; what `but` names does not tell apart."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        own = {key: value for key, value in record.environment.items() if key not in but}
        groups.setdefault(json.dumps(own, sort_keys=True), []).append(record)
    return [(json.loads(key), together) for key, together in groups.items()]


def listed(records: Iterable[Record]) -> list[dict[str, Any]]:
    """What `environment.json` holds: every environment with the names of its runs."""
    groups = by_environment(records)
    groups.sort(key=lambda one: json.dumps(one[0], sort_keys=True))
    return [{"environment": where, "runs": sorted(one.name for one in together)} for where, together in groups]


def environments_text(records: Iterable[Record]) -> str:
    """`environment.json`."""
    return json.dumps(listed(records), indent=1, sort_keys=True) + "\n"
