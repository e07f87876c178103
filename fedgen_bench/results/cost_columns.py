"""Columns of what training asks of clients' devices."""

from __future__ import annotations

from collections.abc import Callable

from fedgen_bench.base.digits import Unit
from fedgen_bench.results.columns import Cells, Measured, mean_of_all
from fedgen_bench.results.costs import Costs
from fedgen_bench.results.record import Done, Evaluated
from fedgen_bench.results.table import Extra

_Figure = Callable[[Costs, Done], float | None]


def _cost(key: str, label: str, told: str, unit: Unit, figure: _Figure) -> Measured:
    """A figure of every run, mean over them."""

    def of(cells: Cells) -> float | None:
        return mean_of_all([None if one.costs is None else figure(one.costs, one) for one in cells.done])

    said = f"{told}, mean over seeds (docs/costs.md)."
    extra = Extra(group="Costs of training", key=key, label=label, told=said, unit=unit, lower_is_better=True)
    return Measured(extra, of)


def flops_to(record: Done, point: Evaluated | None) -> int | None:
    """FLOPs of all clients until a point of the run's curve; None where nobody counted, or there is no point."""
    if record.costs is None or point is None:
        return None
    return record.costs.flops_at(record.curve.index(point))


def _to_target(cells: Cells) -> float | None:
    return mean_of_all([flops_to(one, at) for one, at in zip(cells.done, cells.at_target, strict=True)])


def _per_client_round(costs: Costs, record: Done) -> float | None:
    return costs.training_flops / record.client_rounds if record.client_rounds else None


def _downlink(_: Costs, record: Done) -> float | None:
    sampled = record.facts.cohort_kind == "sampled" and record.client_rounds
    return record.bytes.down.encoded / record.client_rounds if sampled else None


COSTS: tuple[Measured, ...] = (
    _cost(
        "client_round_flops", "FLOPs per client-round",
        "Floating-point operations of a client's local steps in a round, forward and backward, counted from shapes "
        "(of a row that pools the data, those of a round)",
        "FLOPs", _per_client_round,
    ),
    _cost(
        "training_flops", "FLOPs in all", "Those of all local steps of the run, counted", "FLOPs",
        lambda costs, _: costs.training_flops,
    ),
    Measured(
        Extra(
            group="Costs of training", key="flops_to_target", label="FLOPs to target",
            told="Those of all clients until the target was reached, counted, mean over seeds (docs/costs.md).",
            unit="FLOPs", lower_is_better=True,
        ),
        _to_target,
    ),
    _cost(
        "training_memory_bytes", "training memory",
        "The most that tensors take over the model while a client trains, measured", "bytes",
        lambda costs, _: costs.training_bytes,
    ),
    _cost(
        "stored_bytes", "stored on the device",
        "The adapted model and the client's private state, held from round to round, counted", "bytes",
        lambda costs, _: costs.stored_bytes,
    ),
    _cost(
        "joining_bytes", "download at joining",
        "What a new device fetches before its first step: what of the model the first payload does not bring, and "
        "that payload, counted",
        "bytes", lambda costs, _: costs.joining_bytes,
    ),
    _cost(
        "downlink_per_client_round_bytes", "downlink per client-round",
        "Booked bytes to a client in a round, as the uplink per client-round is those from it, counted", "bytes",
        _downlink,
    ),
)  # fmt: skip
