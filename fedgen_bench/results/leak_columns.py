"""Columns of what models give away of planted secrets."""

from __future__ import annotations

from collections.abc import Callable

from fedgen_bench.base.digits import Unit
from fedgen_bench.base.stats import mean_of_all
from fedgen_bench.results.columns import Cells, Measured
from fedgen_bench.results.leaks import LeakingModel, Leaks
from fedgen_bench.results.table import Extra


def _exposed(
    model: LeakingModel, figure: Callable[[Leaks, LeakingModel], float | None]
) -> Callable[[Cells], float | None]:
    """A figure of what is given away, mean over the runs, all of which have it."""

    def of(cells: Cells) -> float | None:
        return mean_of_all([None if one.leaks is None else figure(one.leaks, model) for one in cells.done])

    return of


def _leak(
    key: str, label: str, told: str, model: LeakingModel, figure: Callable[[Leaks, LeakingModel], float | None]
) -> Measured:
    unit: Unit = "share" if figure is Leaks.share_extracted else "number"
    direction = None if figure is Leaks.mean_control else True
    said = f"{told}; measured, mean over seeds (docs/leaks.md)."
    extra = Extra(group="What leaks", key=key, label=label, told=said, unit=unit, lower_is_better=direction)
    return Measured(extra, _exposed(model, figure))


LEAKS: tuple[Measured, ...] = (
    _leak(
        "exposure_global", "exposure, global model (bits)",
        "What the global model gives away of secrets planted with clients, mean over secrets: log2(candidates + 1) - "
        "log2(rank)",
        "global", Leaks.mean_bits,
    ),
    _leak(
        "exposure_global_max", "most exposed secret (bits)", "The same of the most exposed secret", "global",
        Leaks.max_bits,
    ),
    _leak(
        "exposure_control", "control (bits)",
        "The same of secrets that nobody trained on, 1.44 bits but for chance", "global", Leaks.mean_control,
    ),
    _leak(
        "exposure_update", "exposure, single update (bits)",
        "What the server sees in one update of a secret's owner; secure aggregation would hide it", "update",
        Leaks.mean_bits,
    ),
    _leak(
        "exposure_own", "exposure, owner's model (bits)", "What the personal model of a secret's owner gives away",
        "personalized", Leaks.mean_bits,
    ),
    _leak(
        "exposure_others", "exposure, others' models (bits)", "What personal models of other clients give away",
        "others", Leaks.mean_bits,
    ),
    _leak(
        "extracted_global", "extracted", "Share of the secrets that the global model completes by itself", "global",
        Leaks.share_extracted,
    ),
    _leak(
        "extracted_update", "extracted, single update",
        "Share of the secrets that the model of one update completes by itself", "update", Leaks.share_extracted,
    ),
)  # fmt: skip
