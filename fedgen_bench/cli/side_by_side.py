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
    for group in dict.fromkeys(one.group for one in cell.values):
        values = [one for one in cell.values if one.group == group]
        alone = [one for one in values if group == "metrics" and one.what in cell.quality]
        yield from (_row(cell.name, one) for one in alone)
        rest = [one for one in values if one not in alone]
        differing = [one for one in rest if one.verdict == "differs"]
        yield from (_row(cell.name, one) for one in differing[:_MOST])
        if more := len(differing[_MOST:]):
            yield cell.name, f"{more} more of {group}", "", "", "", "", "differs"
        if equal := sum(one.verdict == "equal" for one in rest):
            yield cell.name, _counted(equal, group), "", "", "", "", "equal"
        yield from _shown(cell.name, group, [one for one in rest if one.verdict == "shown"])


def _shown(name: str, group: str, values: Sequence[Value]) -> Iterator[tuple[str, ...]]:
    both = [one for one in values if one.published is not None and one.here is not None]
    numbers = [abs(one.difference / one.published) for one in both if one.difference is not None and one.published]
    if numbers:
        yield name, _counted(len(both), group), "", "", f"up to {max(numbers):.2g} of it", "", _ALLOWED
    elif both:
        yield from ((name, _named(one), _text(one.published), _text(one.here), "", "", _ALLOWED) for one in both)
    if gone := sum(one.here is None for one in values):
        yield name, _counted(gone, group), "", "missing", "", "", _ALLOWED
    if new := sum(one.published is None for one in values):
        yield name, _counted(new, group), "not published", "", "", "", "shown"


def _counted(number: int, group: str) -> str:
    what = {"per client": "client", "curve": "curve point"}.get(group, group.removesuffix("s"))
    if group in {"data", "bytes"}:
        what = {"data": "data hash", "bytes": "byte count"}[group]
    if group in {"quarantined", "final tensors"}:
        return {"quarantined": "quarantined updates", "final tensors": "final sha256"}[group]
    return f"{number} {what}{'' if number == 1 else 'es' if what.endswith('h') else 's'}"


def _row(name: str, one: Value) -> tuple[str, ...]:
    difference = "" if one.difference is None else f"{one.difference:+.3g}" if one.difference else "0"
    allowed = "0" if one.verdict in {"equal", "differs"} and one.allowed is None else ""
    if one.allowed is not None:
        allowed = f"{one.allowed:.3g}"
    return name, _named(one), _text(one.published), _text(one.here), difference, allowed, one.verdict


def _named(one: Value) -> str:
    return one.what if one.group in {"metrics", "quarantined", "final tensors"} else f"{one.group}: {one.what}"


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
        found = [cell for cell in cells if cell.tier.name == name]
        if found:
            yield f"{sum(one.reproduced for one in found)} of {len(found)} cells reproduced: {described(name)}."
            reasons = dict.fromkeys(reason for cell in found for reason in cell.tier.reasons)
            if reasons:
                yield f"  Not a stricter tier: {'; '.join(reasons)}."
            if notes := dict.fromkeys(note for cell in found for note in cell.tier.notes):
                yield f"  Differs without consequence: {'; '.join(notes)}."
