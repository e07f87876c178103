"""How closely a rerun has to agree with what was published: to the bit, within a band, or statistically."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

TierName = Literal["exact", "band", "statistical"]
PROMISES: Mapping[TierName, str] = {
    "exact": "same fingerprint",
    "band": "same software, other machine or cohort",
    "statistical": "other software, threads, device or settings",
}


def described(name: TierName) -> str:
    """`exact tier (same fingerprint)`."""
    return f"{name} tier ({PROMISES[name]})"


@dataclass(frozen=True)
class Tier:
    """Which tier applies to a cell.

    Args:
        reasons: why it is not a stricter one; empty for `exact`.
        notes: differences that lower no tier.
    """

    name: TierName
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def tier(published: Mapping[str, Any], here: Mapping[str, Any], changes: Sequence[str] = ()) -> Tier:
    """Compare two fingerprints (`environment.fingerprint`).

    Libraries are those that the published one names: later versions of this package record more of them.

    `changes` is what differs in the cell itself (precision, a component's version), as sentences without a full stop.
    """
    libraries, ours = (dict(environment.get("libraries") or {}) for environment in (published, here))
    software = [
        _named(name, libraries[name], ours.get(name)) for name in libraries if ours.get(name) != libraries[name]
    ]
    software += _differing(published, here, ("python", "system", "threads", "cuda"))
    theirs, own = (dict(environment.get("settings") or {}) for environment in (published, here))
    software += _differing(theirs, own, sorted(theirs.keys() | own.keys()))
    kinds = [str(environment.get("device", "none")).partition(":")[0] for environment in (published, here)]
    if kinds[0] != kinds[1]:
        software.append(_named("device", *kinds))
    machine = _differing(published, here, ("instruction_set", "accelerator"))
    if kinds[0] == kinds[1]:
        machine += _differing(published, here, ("device",))
    limits, ours_limits = (dict(environment.get("limits") or {}) for environment in (published, here))
    machine += [
        f"{name} {limits.get(name, 'not set')} published, {ours_limits.get(name, 'not set')} here"
        for name in sorted(limits.keys() | ours_limits.keys())
        if limits.get(name) != ours_limits.get(name)
    ]
    cohorts = [environment.get("cohort", 1) for environment in (published, here)]
    if cohorts[0] != cohorts[1]:
        machine.append(_named("cohort", *cohorts))
    notes = _differing(published, here, ("processor", "commit"))
    notes += [_named(name, None, ours[name]) for name in ours if name not in libraries]
    serious = (*changes, *software)
    name: TierName = "statistical" if serious else "band" if machine else "exact"
    return Tier(name, (*serious, *machine), tuple(notes))


def _differing(published: Mapping[str, Any], here: Mapping[str, Any], keys: Sequence[str]) -> list[str]:
    return [_named(key, published.get(key), here.get(key)) for key in keys if published.get(key) != here.get(key)]


def _named(what: str, published: object, here: object) -> str:
    theirs, ours = ("none" if value in {None, ""} else value for value in (published, here))
    was = "not in the record" if published is None else f"{theirs} published"
    return f"{what.replace('_', ' ')} {was}, {ours} here"
