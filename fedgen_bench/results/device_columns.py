"""Columns of the simulated clock: how long a run takes on its suite's devices, and whom it leaves out."""

from __future__ import annotations

from collections.abc import Callable

from fedgen_bench.base.digits import Unit
from fedgen_bench.base.stats import mean_of_all
from fedgen_bench.results.clock import Clock
from fedgen_bench.results.columns import Cells, Measured
from fedgen_bench.results.record import Done, Evaluated
from fedgen_bench.results.table import Extra

_Figure = Callable[[Clock, Done, Evaluated | None], float | None]


def _column(
    key: str, label: str, told: str, unit: Unit, figure: _Figure, *, lower_is_better: bool | None = True
) -> Measured:
    """A figure of every run, mean over them."""

    def of(cells: Cells) -> float | None:
        runs = zip(cells.done, cells.at_target, strict=True)
        return mean_of_all([None if one.clock is None else figure(one.clock, one, at) for one, at in runs])

    said = f"{told}, mean over seeds (docs/devices.md)."
    extra = Extra(group="Devices", key=key, label=label, told=said, unit=unit, lower_is_better=lower_is_better)
    return Measured(extra, of)


DEVICES: tuple[Measured, ...] = (
    _column(
        "simulated_seconds", "simulated time",
        "Until the last round has ended on the suite's devices, simulated", "seconds", lambda clock, *_: clock.seconds,
    ),
    _column(
        "simulated_seconds_to_target", "simulated time to target",
        "Until the target was reached on the suite's devices, simulated", "seconds",
        lambda clock, _, at: None if at is None else clock.seconds_at(at.n_rounds),
    ),
    _column(
        "wasted_bytes", "wasted bytes",
        "Booked bytes of both directions of clients whose reply did not count: late, gone or refused, counted", "bytes",
        lambda clock, *_: clock.wasted_down + clock.wasted_up,
    ),
    _column(
        "contributing_share", "clients heard",
        "Share of all clients of whom an update ever counted, counted", "share",
        lambda clock, record, _: clock.contributors / record.config.federation.n_clients, lower_is_better=False,
    ),
    _column(
        "slow_tenth_mean", "slowest devices",
        "The metric of clients' own data over those on the slowest tenth of devices, measured", "number",
        lambda _, record, __: record.on_slow_devices, lower_is_better=None,
    ),
)  # fmt: skip
