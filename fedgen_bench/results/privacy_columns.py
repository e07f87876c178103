"""Columns of what training guarantees."""

from __future__ import annotations

from collections.abc import Callable

from fedgen_bench.contract.reports import Privacy
from fedgen_bench.results.columns import Cells, Measured
from fedgen_bench.results.table import Extra


def _guaranteed(figure: Callable[[Privacy], float]) -> Callable[[Cells], float | None]:
    """The largest of the runs, all of which guarantee something."""

    def of(cells: Cells) -> float | None:
        found = [figure(one.privacy) for one in cells.done if one.privacy is not None]
        return max(found) if len(found) == len(cells.done) else None

    return of


PRIVACY: tuple[Measured, ...] = (
    Measured(
        Extra(
            group="Privacy", key="epsilon", label="epsilon", lower_is_better=True,
            told="Upper bound of training's (epsilon, delta)-differential privacy; computed (docs/privacy.md).",
        ),
        _guaranteed(lambda privacy: privacy.epsilon),
    ),
    Measured(
        Extra(group="Privacy", key="delta", label="delta", told="The delta at which epsilon holds; chosen."),
        _guaranteed(lambda privacy: privacy.delta),
    ),
)  # fmt: skip
