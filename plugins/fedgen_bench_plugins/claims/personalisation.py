"""Claim 5: clients gain from their own adapters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from fedgen_bench import ClaimSpec, hookimpl
from fedgen_bench.authors.claims import (
    Chart,
    Evidence,
    Finding,
    Grid,
    Published,
    Verdict,
    bca_interval,
    between,
    mean,
    missing,
    percent,
    points,
)

if TYPE_CHECKING:
    from fedgen_bench.authors.claims import Done

TITLE = "Personalisation"
CLAIM = "Each client's own adapter serves it better than the global model."
WORST = 0.1
_HEAD = ("clients", "mean gain", "95 % interval", "gain at all", "worst decile")
_METHOD = """{unit} on the held-out data of {clients} clients a seed, the global model against the client's own \
after {steps} more local steps; gain in percent of the global model's value, above zero when the own one is better. \
Interval of the mean over clients of all seeds: bias-corrected and accelerated bootstrap, 10,000 resamples. Clients \
of one seed share a global model, which the interval does not account for. Worst decile: mean gain of the tenth of \
the clients that gain least."""


def judge(evidence: Evidence) -> Finding:
    """Holds when the mean gain over the reference's clients is above zero."""
    main = evidence.main
    gains = {name: found for name in (main.reference, *main.baselines) if (found := _gains(main, name))}
    if main.reference not in gains:
        return missing(TITLE, CLAIM, "The suite evaluates no client's own model.")
    ours = bca_interval(gains[main.reference])
    by_steps = _by_steps(evidence.sweeps.get("personal-steps"))
    verdict: Verdict = "holds" if ours.low > 0 else "does not hold" if ours.high < 0 else "not decided"
    evaluation = main.suite.evaluation
    return Finding(
        title=TITLE,
        claim=CLAIM,
        verdict=verdict,
        method=_METHOD.format(
            unit=main.followed.unit, clients=evaluation.personalized_clients, steps=evaluation.personalized_steps
        ),
        reading=(
            f"`{main.reference}`: clients gain {ours.mean:+.3g} % ({between(ours)}); "
            f"{percent(_share(gains[main.reference]), 0)} of them gain at all; the worst tenth "
            f"{worst(gains[main.reference]):+.3g} %." + _told(by_steps)
        ),
        grids=(
            Grid(("contender", *_HEAD), tuple(_row(name, found) for name, found in gains.items())),
            *([_steps_grid(by_steps)] if by_steps else []),
        ),
        charts=(_chart(gains),),
    )


def _by_steps(sheet: Published | None) -> dict[float, list[float]]:
    """Gains of the reference's clients by the number of local steps after the last round."""
    return {} if sheet is None else {n: found for n in sheet.axis if (found := _gains(sheet, sheet.reference, n))}


def _told(by_steps: Mapping[float, Sequence[float]]) -> str:
    """Whether too many steps are the reason."""
    if not by_steps:
        return ""
    shown = ", ".join(f"{mean(found):+.3g} % after {n:g}" for n, found in by_steps.items())
    return f" By local steps after the last round, in a shorter run: {shown}."


def _steps_grid(by_steps: Mapping[float, Sequence[float]]) -> Grid:
    rows = tuple(_row(f"{n:g}", found) for n, found in by_steps.items())
    return Grid(("local steps", *_HEAD), rows, "By the number of local steps after the last round (its own sweep)")


def worst(gains: Sequence[float]) -> float:
    """Mean of the tenth (at least one) of the clients that gain least."""
    return mean(sorted(gains)[: max(1, round(WORST * len(gains)))])


def _row(name: str, gains: Sequence[float]) -> tuple[str, ...]:
    found = bca_interval(gains)
    spread = (percent(_share(gains), 0), f"{worst(gains):+.3g} %")
    return (name, str(len(gains)), f"{found.mean:+.3g} %", between(found), *spread)


def _share(gains: Sequence[float]) -> float:
    return sum(gain > 0 for gain in gains) / len(gains)


def _gains(main: Published, name: str, value: float | None = None) -> list[float]:
    """Percent by client that is not at 0, seeds in order; empty when the contender has no global or no own models."""
    return [gain for _, record in sorted(main.runs(name, value).items()) for gain in _gains_of(main, record)]


def _gains_of(main: Published, record: Done) -> list[float]:
    ours, shared = (record.per_client.get(model, {}) for model in ("personalized", "global"))
    sign = 1 if main.followed.lower_is_better else -1
    return [100 * sign * (1 - ours[i] / shared[i]) for i in sorted(ours.keys() & shared.keys(), key=int) if shared[i]]


def _chart(gains: Mapping[str, Sequence[float]]) -> Chart:
    series = tuple(
        (name, points((100 * (i + 0.5) / len(values), {0: v}) for i, v in enumerate(sorted(values))))
        for name, values in gains.items()
    )
    return Chart(
        name="gain_by_client",
        title="Gain of clients' own models",
        x_label="clients, ascending (%)",
        y_label="gain (%)",
        series=series,
    )


@hookimpl
def register_claims() -> list[ClaimSpec]:
    return [
        ClaimSpec(name="personalisation", summary="Clients gain from their own adapters.", number="5", judge=judge),
    ]
