"""What trackers are told, alike for all of them: figures of a round by name, a configuration without nesting."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fedgen_bench import RoundReport


def round_figures(report: RoundReport) -> dict[str, float]:
    """Mean training loss, metrics on the validation subset, drift, bytes both ways, refused updates and seconds."""
    sent = {way: sum(one.encoded_bytes for one in report.ledger if one.direction == way) for way in ("up", "down")}
    figures = {
        "train/mean_loss": report.mean_loss,
        **{f"valid_subset/{name}": value for name, value in report.metrics.items()},
        **{f"drift/{name}": value for name, value in report.drift.items()},
        "round/uplink_bytes": sent["up"],
        "round/downlink_bytes": sent["down"],
        "round/quarantined": len(report.quarantined),
        "round/seconds": report.seconds,
    }
    return {name: float(value) for name, value in figures.items()}


def flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Values of nested tables by their dotted names."""
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
