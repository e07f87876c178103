"""Environments that cells were run in."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedgen_bench.results.record import Record


UNTOLD = ("commit", "cohort")  # what may differ between environments that count as one


def by_environment(
    records: Iterable[Record], *, but: Collection[str] = ()
) -> list[tuple[Mapping[str, Any], list[Record]]]:
    """Every environment with its runs, in the order of the first of them; what `but` names does not tell apart."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        own = {key: value for key, value in record.environment.items() if key not in but}
        groups.setdefault(json.dumps(own, sort_keys=True), []).append(record)
    return [(json.loads(key), together) for key, together in groups.items()]


def elsewhere(records: Sequence[Record], reference: str) -> dict[str, str]:
    """Contenders that ran in another environment than the reference, each with it in words."""
    groups = by_environment(records, but=UNTOLD)
    own = next((where for where, together in groups if any(one.method == reference for one in together)), None)
    away = {one.contender: in_words(where) for where, together in groups if where != own for one in together}
    return dict(sorted(away.items())) if own is not None else {}


def in_words(environment: Mapping[str, Any]) -> str:
    """Processor or accelerator, system, Python and torch."""
    libraries = environment.get("libraries")
    torch = libraries.get("torch") if isinstance(libraries, Mapping) else None
    named = (
        *(environment.get(key) for key in ("accelerator", "processor", "instruction_set", "system")),
        *(
            f"{what} {version}"
            for what, version in (("Python", environment.get("python")), ("torch", torch))
            if version
        ),
    )
    return ", ".join(str(one) for one in named if one)


def listed(records: Iterable[Record]) -> list[dict[str, Any]]:
    """What `environment.json` holds: every environment with the names of its runs."""
    groups = by_environment(records)
    groups.sort(key=lambda one: json.dumps(one[0], sort_keys=True))
    return [{"environment": where, "runs": sorted(one.name for one in together)} for where, together in groups]


def environments_text(records: Iterable[Record]) -> str:
    """`environment.json`."""
    return json.dumps(listed(records), indent=1, sort_keys=True) + "\n"
