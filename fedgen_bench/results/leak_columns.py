"""Columns of what models give away of planted secrets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from fedgen_bench.base.digits import Unit
from fedgen_bench.base.stats import mean_of_all
from fedgen_bench.results.columns import Cells, Measured
from fedgen_bench.results.leaks import Exposed, LeakingModel
from fedgen_bench.results.table import Extra

_Figure = Literal["mean_bits", "mean_calibrated", "most_calibrated", "share_extracted"]


def _of(model: LeakingModel, figure: _Figure, kind: Literal["secrets", "controls"]) -> Callable[[Cells], float | None]:
    """Mean over the runs, all of which have it."""

    def of(cells: Cells) -> float | None:
        there: list[Exposed | None] = [
            None if one.leaks is None else getattr(one.leaks, kind).get(model) for one in cells.done
        ]
        found: list[float | None] = [None if one is None else getattr(one, figure) for one in there]
        return mean_of_all(found)

    return of


def _leak(
    key: str,
    label: str,
    told: str,
    model: LeakingModel,
    figure: _Figure,
    kind: Literal["secrets", "controls"] = "secrets",
) -> Measured:
    unit: Unit = "share" if figure == "share_extracted" else "number"
    extra = Extra(
        group="What leaks",
        key=key,
        label=label,
        told=f"{told}; measured, mean over seeds (docs/leaks.md).",
        unit=unit,
        lower_is_better=None if kind == "controls" else True,
    )
    return Measured(extra, _of(model, figure, kind))


LEAKS: tuple[Measured, ...] = (
    _leak(
        "calibrated_global", "global model (bits)",
        "What the global model gives away of secrets planted with clients, mean over secrets: log2(candidates + 1) - "
        "log2(rank), ranked by the gain in likelihood over the backbone as it came",
        "global", "mean_calibrated",
    ),
    _leak(
        "calibrated_global_most", "most exposed secret (bits)", "The same of the most exposed secret", "global",
        "most_calibrated",
    ),
    _leak(
        "calibrated_control", "control (bits)", "The same of secrets that nobody trained on, 1.44 bits but for chance",
        "global", "mean_calibrated", "controls",
    ),
    _leak(
        "calibrated_update", "single update (bits)",
        "The same of one update of a secret's owner, which the server sees and secure aggregation would hide",
        "update", "mean_calibrated",
    ),
    _leak(
        "calibrated_own", "owner's model (bits)", "The same of the personal model of a secret's owner", "personalized",
        "mean_calibrated",
    ),
    _leak(
        "calibrated_others", "another's model (bits)", "The same of the personal model of another client", "others",
        "mean_calibrated",
    ),
    _leak(
        "exposure_global", "global model, by likelihood (bits)",
        "Exposure in the global model, ranked by likelihood alone, as arXiv 1802.08232 has it", "global", "mean_bits",
    ),
    _leak(
        "exposure_update", "single update, by likelihood (bits)", "The same of single updates", "update", "mean_bits",
    ),
    _leak(
        "extracted_global", "extracted", "Share of the secrets that the global model completes by itself", "global",
        "share_extracted",
    ),
    _leak(
        "extracted_update", "extracted from an update",
        "Share of the secrets that the model of one update completes by itself", "update", "share_extracted",
    ),
)  # fmt: skip
