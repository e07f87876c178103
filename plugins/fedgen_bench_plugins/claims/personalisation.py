"""Claim 5: clients gain from their own adapters."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from fedgen_bench import ClaimSpec, hookimpl
from fedgen_bench.authors.claims import (
    BySeed,
    Chart,
    Comparison,
    Evidence,
    Finding,
    Grid,
    Published,
    apart,
    between,
    combined,
    compare,
    mean,
    missing,
    percent,
    points,
    seeds_to_decide,
)

if TYPE_CHECKING:
    from fedgen_bench.authors.claims import Done

TITLE = "Personalisation"
CLAIM = "Each client's own adapter serves it better than the global model."
WORST = 0.1
Own = Literal["kept", "personalized"]
KEPT: Own = "kept"
PERSONALIZED: Own = "personalized"
_METHOD = """{unit} on the held-out data of {clients} clients a seed, the client's own model against the global one; \
gain in percent of the global model's value, above zero when the own one is better. Clients of one seed share a global \
model, so a seed is one observation, the mean gain of its clients: Student's t interval over seeds, and the verdict is \
by it, for `{reference}` {way}. Worst decile: mean gain of the tenth of the clients that gain least."""
_OF_ERROR = """ Sampling error: standard error of one client's gain, (a - b) / 2 of its gains a and b on two halves of \
its data, root of the mean square over clients."""


def judge(evidence: Evidence) -> Finding:
    """Holds when the mean gain of the reference's clients, of each seed one figure, is above zero."""
    main = evidence.main
    rows = list(_rows(main))
    ours = {model: gains for name, model, gains in rows if name == main.reference}
    model = next(reversed(ours), None)
    decisive = _over_seeds(ours[model]) if model else None
    if model is None or decisive is None:
        return missing(TITLE, CLAIM, "The suite evaluates no client's own model.")
    if model == PERSONALIZED and not any(gain for gains in ours[model].values() for gain in gains):
        return missing(TITLE, CLAIM, "What the suite's clients end with is the global model.")
    sweep = evidence.sweeps.get("personal-steps")
    by_steps = {} if sweep is None else _by_steps(sweep)
    error = sampling_error(main, main.reference, model)
    return Finding(
        title=TITLE,
        claim=CLAIM,
        verdict=combined([decisive]),
        method=_METHOD.format(
            unit=main.own.unit,
            clients=next(iter(main.runs(main.reference).values())).config.own.clients,
            reference=main.reference,
            way=_way(main, main.reference, model),
        )
        + ("" if error is None else _OF_ERROR),
        reading=" ".join(
            [
                *(_told(main, one, gains) for one, gains in ours.items()),
                *([] if error is None else [f"Of one client's gain the standard error is {error:.2g} points."]),
                *([] if sweep is None or not by_steps else [_told_of_steps(sweep, by_steps)]),
            ]
        ),
        grids=(
            _grid(main, rows),
            *([] if sweep is None or not by_steps else [_steps_grid(sweep, by_steps, apart(evidence, sweep))]),
        ),
        charts=(_chart(rows),),
    )


def sampling_error(sheet: Published, method: str, model: Own, value: float | None = None) -> float | None:
    """Standard error of one client's gain, in points, from the halves of its text; None where records have none."""
    apart_by = [a - b for record in sheet.runs(method, value).values() for a, b in _halved(sheet, record, model)]
    return math.sqrt(mean([one**2 for one in apart_by])) / 2 if apart_by else None


def worst(gains: Sequence[float]) -> float:
    """Mean of the tenth (at least one) of the clients that gain least."""
    return mean(sorted(gains)[: max(1, round(WORST * len(gains)))])


def _rows(main: Published) -> Iterator[tuple[str, Own, dict[int, list[float]]]]:
    """Contender, model, and gains of clients by seed: what is kept before what was made of it."""
    for name in (main.reference, *main.baselines):
        for model in (KEPT, PERSONALIZED):
            if gains := _gains(main, name, model):
                yield name, model, gains


def _gains(sheet: Published, method: str, model: Own, value: float | None = None) -> dict[int, list[float]]:
    """Percent by client whose global value is not 0, by seed; no seed without the two models."""
    found = {seed: _gains_of(sheet, record, model) for seed, record in sorted(sheet.runs(method, value).items())}
    return {seed: gains for seed, gains in found.items() if gains}


def _gains_of(sheet: Published, record: Done, model: Own) -> list[float]:
    ours, shared = record.per_client.get(model, {}), record.per_client.get("global", {})
    return [_gain(sheet, ours[i], shared[i]) for i in _with_one(record, model) if shared[i]]


def _with_one(record: Done, model: Own) -> list[str]:
    """Clients with such a model, in order. One that no round asked kept nothing: its figure is the global model's."""
    ours, shared = record.per_client.get(model, {}), record.per_client.get("global", {})
    clients = sorted(ours.keys() & shared.keys(), key=int)
    return [i for i in clients if model != KEPT or ours[i] != shared[i]]


def _halved(sheet: Published, record: Done, model: Own) -> Iterator[tuple[float, ...]]:
    """Each client's gain on either half of its text."""
    ours, shared = record.halves.get(model, {}), record.halves.get("global", {})
    for i in _with_one(record, model):
        if i in ours and i in shared and all(shared[i]):
            yield tuple(_gain(sheet, *pair) for pair in zip(ours[i], shared[i], strict=True))


def _gain(sheet: Published, ours: float, shared: float) -> float:
    return 100 * (1 if sheet.own.lower_is_better else -1) * (1 - ours / shared)


def _over_seeds(gains: Mapping[int, Sequence[float]]) -> Comparison | None:
    """Mean gains of seeds against none."""
    means: BySeed = {seed: mean(found) for seed, found in gains.items()}
    return compare("gain", means, dict.fromkeys(means, 0.0), lower_is_better=False)


def _way(main: Published, name: str, model: Own) -> str:
    """What the own model is."""
    if model == KEPT:
        return "as clients that were asked kept it"
    own = next(iter(main.runs(name).values())).config.own
    shared = "" if own.interpolation == 1 else f", {own.interpolation:g} of the way from the global model"
    return f"after {own.steps} steps at {own.learning_rate:g} from `{own.start}`{shared}"


def _cells(gains: Mapping[int, Sequence[float]]) -> tuple[str, ...]:
    """Clients, mean gain, interval, seeds, what would decide, share that gains, worst tenth."""
    every, found = [one for of_seed in gains.values() for one in of_seed], _over_seeds(gains)
    assert found is not None, "no seed stands without clients"
    figures = (f"{found.advantage.mean:+.3g} %", between(found.advantage), str(len(gains)), seeds_to_decide(found))
    return (str(len(every)), *figures, percent(_share(every), 0), f"{worst(every):+.3g} %")


_HEAD = ("clients", "mean gain", "95 % interval", "seeds", "seeds to decide", "gain at all", "worst decile")


def _grid(main: Published, rows: Sequence[tuple[str, Own, dict[int, list[float]]]]) -> Grid:
    errors = [sampling_error(main, name, model) for name, model, _ in rows]
    shown = any(one is not None for one in errors)
    lines = [
        (
            name,
            _way(main, name, model),
            *_cells(gains),
            *(["–" if error is None else f"{error:.2g} %"] if shown else []),
        )
        for (name, model, gains), error in zip(rows, errors, strict=True)
    ]
    return Grid(("contender", "own model", *_HEAD, *(["sampling error"] if shown else [])), tuple(lines))


def _told(main: Published, model: Own, gains: Mapping[int, Sequence[float]]) -> str:
    """One sentence for the reference's clients."""
    n, gain, interval, _, needed, share, least = _cells(gains)
    more = "" if needed == "–" else f"; {needed} seeds to decide"
    return (
        f"`{main.reference}` {_way(main, main.reference, model)}: clients gain {gain} ({interval}{more}); "
        f"{share} of {n} gain at all; the worst tenth {least}."
    )


def _by_steps(sheet: Published) -> dict[float, dict[int, list[float]]]:
    """Gains of the reference's clients by the number of local steps after the last round."""
    return {n: found for n in sheet.axis if (found := _gains(sheet, sheet.reference, PERSONALIZED, n))}


def _told_of_steps(sheet: Published, by_steps: Mapping[float, Mapping[int, Sequence[float]]]) -> str:
    """What fewer or more steps would have given."""
    shown = ", ".join(f"{_cells(found)[1]} after {n:g}" for n, found in by_steps.items())
    return f"By local steps after the last round, in `{sheet.suite.suite.name}`: {shown}."


def _steps_grid(sheet: Published, by_steps: Mapping[float, Mapping[int, Sequence[float]]], apart_from: str) -> Grid:
    rows = tuple((f"{n:g}", *_cells(found)) for n, found in by_steps.items())
    what = f"By the number of local steps after the last round, suite `{sheet.suite.suite.name}`"
    return Grid(("local steps", *_HEAD), rows, f"{what}. {apart_from}" if apart_from else what)


def _share(gains: Sequence[float]) -> float:
    return sum(gain > 0 for gain in gains) / len(gains)


def _chart(rows: Sequence[tuple[str, Own, dict[int, list[float]]]]) -> Chart:
    series = []
    for name, model, gains in rows:
        every = sorted(one for of_seed in gains.values() for one in of_seed)
        label = f"{name}, kept" if model == KEPT else name
        series.append((label, points((100 * (i + 0.5) / len(every), {0: gain}) for i, gain in enumerate(every))))
    return Chart(
        name="gain_by_client",
        title="Gain of clients' own models",
        x_label="clients, ascending (%)",
        y_label="gain (%)",
        series=tuple(series),
    )


@hookimpl
def register_claims() -> list[ClaimSpec]:
    return [
        ClaimSpec(name="personalisation", summary="Clients gain from their own adapters.", number="5", judge=judge),
    ]
