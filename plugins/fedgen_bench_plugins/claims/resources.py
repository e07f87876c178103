"""Claim 10: on devices that differ, adapters need less time and energy than full models, and serve the slowest."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from fedgen_bench import ClaimSpec, hookimpl
from fedgen_bench.authors.claims import (
    Evidence,
    Finding,
    Grid,
    Published,
    adjusted,
    combined,
    compare,
    comparison_grid,
    mean,
    missing,
    number,
    percent,
    reached,
    size,
    told,
)
from fedgen_bench.authors.digits import show_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from fedgen_bench.authors.claims import BySeed, Comparison, Done, Reached

One = TypeVar("One")
TITLE = "Resources"
CLAIM = (
    "On devices that differ, adapters reach what full models reach in less time and with less energy, and serve the "
    "clients on the slowest devices better."
)
_METHOD = """`{reference}` against every ranked contender that trains what `{full}` trains, on the devices of suite \
`{suite}`. Time (simulated) and energy (estimated) until each has reached the worse of the two final qualities on the \
validation subset, seed by seed, so that both reach it. Slowest devices: {unit} of the evaluated clients on the \
slowest tenth of devices, on their own held-out data after the last round (measured). Paired over seeds, t interval, \
Holm's correction over all of them; the verdict is by all. docs/devices.md says how times are simulated, and what is \
left out."""


def judge(evidence: Evidence) -> Finding:
    """Holds when the reference is ahead of every full model in time, energy and on the slowest devices."""
    main = evidence.main
    names = list(_full_models(main))
    found = adjusted([one for name in names for one in _against(main, name)])
    if not found:
        return missing(TITLE, CLAIM, "The suite has no devices, or no run of the reference and a full model on them.")
    return Finding(
        title=TITLE,
        claim=CLAIM,
        verdict=combined(found),
        method=_METHOD.format(
            reference=main.reference, full=main.full_model, suite=main.suite.suite.name, unit=main.own.unit
        ),
        reading=told(found, ""),
        grids=(
            comparison_grid(found, (main.reference, "full model")),
            Grid(
                (
                    *("contender", f"{main.quality.name} (test)", "simulated time", "energy", "wasted"),
                    *("clients heard", "slowest devices"),
                ),
                tuple(_rows(main)),
                "Whole runs, means over seeds",
            ),
        ),
    )


def _full_models(main: Published) -> Iterator[str]:
    """Ranked contenders with the adapter of the full model that ran."""
    adapters = {one.name: one.adapter for one in main.suite.contender if one.ranked and one.name != main.reference}
    full = adapters.get(main.full_model)
    yield from (name for name, adapter in adapters.items() if adapter == full and _clocked(main, name))


def _clocked(main: Published, name: str) -> dict[int, Done]:
    return {seed: run for seed, run in main.runs(name).items() if run.clock is not None and run.curve}


def _against(main: Published, name: str) -> Iterator[Comparison | None]:
    ours, theirs = _clocked(main, main.reference), _clocked(main, name)
    lower = main.followed.lower_is_better
    ends: tuple[dict[int, Reached], dict[int, Reached]] = ({}, {})
    for seed in ours.keys() & theirs.keys():
        runs = ours[seed], theirs[seed]
        target = (max if lower else min)(run.curve[-1].value for run in runs)
        for run, found in zip(runs, ends, strict=True):
            at = reached(run, target, lower=lower)
            if at is not None:
                found[seed] = at
    figures: tuple[tuple[str, Callable[[Reached], float | None]], ...] = (
        ("simulated seconds", lambda at: at.seconds),
        ("joules", lambda at: at.joules),
    )
    for what, of in figures:
        yield compare(f"{what}, `{name}`", *(_known(found, of) for found in ends), lower_is_better=True)
    slow = (_known(runs, lambda run: run.on_slow_devices) for runs in (ours, theirs))
    yield compare(f"slowest devices, `{name}`", *slow, lower_is_better=main.own.lower_is_better)


def _known(found: Mapping[int, One], of: Callable[[One], float | None]) -> BySeed:
    values = {seed: of(one) for seed, one in found.items()}
    return {seed: value for seed, value in values.items() if value is not None}


def _rows(main: Published) -> Iterator[tuple[str, ...]]:
    for contender in main.suite.contender:
        runs = list(_clocked(main, contender.name).values())
        clocks = [run.clock for run in runs if run.clock is not None]
        if not clocks:
            continue
        final = main.final(contender.name)
        drawn = [run.costs.joules for run in runs if run.costs is not None and run.costs.joules is not None]
        slow = [run.on_slow_devices for run in runs if run.on_slow_devices is not None]
        n_clients = main.suite.federation.n_clients
        yield (
            contender.name,
            number(mean(list(final.values())) if final else None),
            show_in(mean([one.seconds for one in clocks]), "seconds"),
            show_in(mean(drawn) if len(drawn) == len(runs) else None, "joules"),
            size(mean([float(one.wasted_down + one.wasted_up) for one in clocks])),
            percent(mean([one.contributors / n_clients for one in clocks]), 0),
            number(mean(slow) if slow else None),
        )


@hookimpl
def register_claims() -> list[ClaimSpec]:
    return [
        ClaimSpec(
            name="resources",
            summary="On devices that differ, adapters need less time and energy than full models.",
            number="10",
            judge=judge,
            concerns=lambda evidence: any(run.clock is not None for run in evidence.main.records),
        ),
    ]
