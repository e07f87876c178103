"""What practitioners ask: the best quality within a budget of uplink, and what a quality costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fedgen_bench.review.claims.clock import EdgeDevice
from fedgen_bench.review.claims.costs import SECONDS, Cost, reached, told_costs
from fedgen_bench.review.claims.evidence import Published, mean
from fedgen_bench.review.claims.findings import Chart, Grid, points
from fedgen_bench.review.claims.formats import number, size

if TYPE_CHECKING:
    from fedgen_bench.results.record import Done

_N_TARGETS = 5
_STEPS = (1, 2, 5)


@dataclass(frozen=True, kw_only=True)
class View:
    """A table with its chart and what it means."""

    title: str
    text: str
    grid: Grid
    charts: tuple[Chart, ...] = ()


def quality_under_budget(main: Published) -> View:
    """By budget, the best that each ranked contender has reached; the best of all in bold."""
    names, pick = _federated(main), min if main.followed.lower_is_better else max
    every = {name: list(main.runs(name).values()) for name in names}
    spent = [sent / _cohort(r) for runs in every.values() for r in runs for _, _, sent in r.curve]
    budgets = _series(min(spent), max(spent)) if spent else []
    at = {name: [_within(runs, budget, pick) for budget in budgets] for name, runs in every.items()}
    best = [
        pick(values) if (values := [one for one in column if one is not None]) else None
        for column in zip(*at.values(), strict=True)
    ]
    rows = tuple((name, *map(_marked, values, best)) for name, values in at.items())
    series = tuple(
        (name, points((budgets[i], {0: v}) for i, v in enumerate(values) if v is not None))
        for name, values in at.items()
    )
    label = f"{main.followed.unit} (validation subset)"
    x_label = "uplink budget per client (bytes)"
    return View(
        title="Quality under a budget",
        text=(
            f"{main.followed.unit} on the validation subset, the best of the rounds that fit into a budget of uplink "
            "bytes for each client that takes part in every round; mean over seeds, the best in bold, a dash where not "
            "even one round fits."
        ),
        grid=Grid(("contender", *(size(budget) for budget in budgets)), rows),
        charts=(
            Chart(
                name="quality_under_budget",
                title="Quality under a budget",
                x_label=x_label,
                y_label=label,
                series=series,
                log_x=True,
            ),
        ),
    )


def cost_to_target(main: Published, device: EdgeDevice) -> View:
    """By quality, what each ranked contender needs under every seed: bytes, rounds, simulated seconds.

    Where records tell, also floating-point operations and energy.
    """
    names = _federated(main)
    lower = main.followed.lower_is_better
    every = [r for name in names for r in main.runs(name).values()]
    firsts, lasts = ([r.curve[at].value for r in every if r.curve] for at in (0, -1))
    further = [one for one in told_costs(every) if one is not SECONDS]
    rows = []
    if firsts:
        start, end = (max(firsts), min(lasts)) if lower else (min(firsts), max(lasts))
        for i in range(1, _N_TARGETS + 1):
            target = start + (end - start) * i / (_N_TARGETS + 0.5)
            rows += [(number(target), name, *_cost(main, name, target, device, further)) for name in names]
    clock = "Simulated time is that of the suite's devices (docs/devices.md)."
    if any(r.clock is None for r in every):
        clock = (
            f"Simulated device: {device}. Time grows with bytes and rounds alone: methods whose local step is cheaper "
            "or dearer than another's are not told apart."
        )
    listed = " and ".join(f"{one.name} ({one.how})" for one in further)
    beside = f" Beside it {listed} of that client (docs/costs.md)." if further else ""
    return View(
        title="Cost to a target",
        text=(
            f"Uplink of a client that takes part in every round, rounds and simulated time until {main.followed.unit} "
            f"on the validation subset is reached, mean over seeds; a dash where a seed does not reach it. {clock}"
            f"{beside}"
        ),
        grid=Grid(
            (
                *("target", "contender", "uplink per client", "rounds", "simulated time"),
                *(f"{one.name} per client" for one in further),
            ),
            tuple(rows),
        ),
    )


def _marked(value: float | None, best: float | None) -> str:
    return f"**{number(value)}**" if value is not None and value == best else number(value)


def _federated(main: Published) -> list[str]:
    return [one.name for one in main.suite.contender if one.ranked and main.runs(one.name)]


def _cohort(record: Done) -> int:
    return record.config.federation.clients_per_round


def _within(runs: list[Done], budget: float, pick: Callable[[list[float]], float]) -> float | None:
    """Mean over seeds of the best value that fits; None when none does for one of them."""
    fitting = [[v for _, v, sent in r.curve if sent / _cohort(r) <= budget] for r in runs]
    return mean([pick(values) for values in fitting]) if fitting and all(fitting) else None


def _cost(main: Published, name: str, target: float, device: EdgeDevice, further: Sequence[Cost]) -> tuple[str, ...]:
    runs = list(main.runs(name).values())
    ended = [reached(r, target, lower=main.followed.lower_is_better) for r in runs]
    hits = [(r, one) for r, one in zip(runs, ended, strict=True) if one is not None]
    if len(hits) < len(runs):
        return ("–",) * (3 + len(further))
    share = 1 / _cohort(runs[0])
    sent = mean([one.uplink_bytes / _cohort(r) for r, one in hits])
    rounds = mean([float(one.n_rounds) for _, one in hits])
    seconds = mean([device.seconds_at(r, one.n_rounds) for r, one in hits])
    others = (one.shown([at for _, at in hits], share) for one in further)
    return size(sent), f"{rounds:.1f}", f"{seconds:,.0f} s", *others


def _series(low: float, high: float) -> list[float]:
    """Round numbers (1, 2, 5 times powers of ten) from just above `low` to just above `high`."""
    found: list[float] = []
    power = 1.0
    while not found or found[-1] < high:
        found += [step * power for step in _STEPS if step * power >= low]
        power *= 10
    return [one for one in found if one <= high] + [next(one for one in found if one >= high)]
