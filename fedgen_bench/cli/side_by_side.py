"""What was published beside what came out here, as rows of a table: groups that agree in one line each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fedgen_bench.results.tiers import PROMISES, described

if TYPE_CHECKING:
    from fedgen_bench.review.comparison import ComparedCell, Value

HEAD = ("cell", "what", "published", "here", "difference", "allowed", "verdict")
_MOST = 5  # differing values of a group that are printed; reproduction.json has all
_MOST_TEXT = 12
_ALLOWED = "shown (differs, allowed in this tier)"


def rows_of(cell: ComparedCell) -> Iterator[tuple[str, ...]]:
    """Quality and what differs line by line, the rest by group; one line for a cell that did not end well."""
    if cell.status != "done":
        yield cell.name, "status", "done", cell.status, "", "", "differs"
        return
    for group in dict.fromkeys(value.group for value in cell.values):
        values = [value for value in cell.values if value.group == group]
        alone = [value for value in values if group == "metrics" and value.what in cell.quality]
        yield from (_row(cell.name, value) for value in alone)
        rest = [value for value in values if value not in alone]
        differing = [value for value in rest if value.verdict == "differs"]
        yield from (_row(cell.name, value) for value in differing[:_MOST])
        if more := len(differing[_MOST:]):
            yield cell.name, f"{more} more of {group}", "", "", "", "", "differs"
        if equal := sum(value.verdict == "equal" for value in rest):
            yield cell.name, _counted(equal, group), "", "", "", "", "equal"
        yield from _shown(cell.name, group, [value for value in rest if value.verdict == "shown"])


def _shown(name: str, group: str, values: Sequence[Value]) -> Iterator[tuple[str, ...]]:
    both = [value for value in values if value.published is not None and value.here is not None]
    numbers = [
        abs(value.difference / value.published) for value in both if value.difference is not None and value.published
    ]
    if numbers:
        yield name, _counted(len(both), group), "", "", f"up to {max(numbers):.2g} of it", "", _ALLOWED
    elif both:
        yield from (
            (name, _named(value), _text(value.published), _text(value.here), "", "", _ALLOWED) for value in both
        )
    if gone := sum(value.here is None for value in values):
        yield name, _counted(gone, group), "", "missing", "", "", _ALLOWED
    if new := sum(value.published is None for value in values):
        yield name, _counted(new, group), "not published", "", "", "", "shown"


def _counted(number: int, group: str) -> str:
    what = {"per client": "client", "curve": "curve point"}.get(group, group.removesuffix("s"))
    if group in {"data", "bytes"}:
        what = {"data": "data hash", "bytes": "byte count"}[group]
    if group in {"quarantined", "final tensors"}:
        return {"quarantined": "quarantined updates", "final tensors": "final sha256"}[group]
    return f"{number} {what}{'' if number == 1 else 'es' if what.endswith('h') else 's'}"


def _row(name: str, value: Value) -> tuple[str, ...]:
    difference = "" if value.difference is None else f"{value.difference:+.3g}" if value.difference else "0"
    allowed = "0" if value.verdict in {"equal", "differs"} and value.allowed is None else ""
    if value.allowed is not None:
        allowed = f"{value.allowed:.3g}"
    return name, _named(value), _text(value.published), _text(value.here), difference, allowed, value.verdict


def _named(value: Value) -> str:
    return value.what if value.group in {"metrics", "quarantined", "final tensors"} else f"{value.group}: {value.what}"


def _text(value: object) -> str:
    if value is None:
        return "missing"
    if isinstance(value, float):
        return f"{value:.8g}"
    text = str(value)
    return text if isinstance(value, int) or len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}..."


def sentences(cells: Sequence[ComparedCell]) -> Iterator[str]:
    """One for every tier: how many of its cells were reproduced, and why it is no stricter one."""
    for name in PROMISES:
        judged = [cell for cell in cells if cell.tier.name == name]
        if judged:
            yield f"{sum(cell.reproduced for cell in judged)} of {len(judged)} cells reproduced: {described(name)}."
            reasons = dict.fromkeys(reason for cell in judged for reason in cell.tier.reasons)
            if reasons:
                yield f"  Not a stricter tier: {'; '.join(reasons)}."
            if notes := dict.fromkeys(note for cell in judged for note in cell.tier.notes):
                yield f"  Differs without consequence: {'; '.join(notes)}."
