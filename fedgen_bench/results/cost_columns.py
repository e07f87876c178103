"""Columns of what training asks of clients' devices."""

from __future__ import annotations

from collections.abc import Callable

from fedgen_bench.base.digits import Unit
from fedgen_bench.base.stats import mean_of_all
from fedgen_bench.results.columns import Cells, Measured
from fedgen_bench.results.costs import Costs
from fedgen_bench.results.record import Done
from fedgen_bench.results.table import Extra

_Figure = Callable[[Costs, Done], float | None]


def _cost(key: str, label: str, told: str, unit: Unit, figure: _Figure) -> Measured:
    """A figure of every run, mean over them."""

    def of(cells: Cells) -> float | None:
        return mean_of_all([None if one.costs is None else figure(one.costs, one) for one in cells.done])

    return Measured(_extra(key, label, told, unit), of)


def _to_target(key: str, label: str, told: str, unit: Unit, figure: Callable[[Costs, int], float | None]) -> Measured:
    """A figure of every run at the point of its curve that is first at the target, mean over them."""

    def of(cells: Cells) -> float | None:
        runs = zip(cells.done, cells.at_target, strict=True)
        return mean_of_all(
            [None if one.costs is None or at is None else figure(one.costs, one.curve.index(at)) for one, at in runs]
        )

    return Measured(_extra(key, label, told, unit), of)


def _extra(key: str, label: str, told: str, unit: Unit) -> Extra:
    said = f"{told}, mean over seeds (docs/costs.md)."
    return Extra(group="Costs of training", key=key, label=label, told=said, unit=unit, lower_is_better=True)


def _per_client_round(costs: Costs, record: Done) -> float | None:
    return costs.training_flops / record.answers if record.answers else None


def _downlink(_: Costs, record: Done) -> float | None:
    sampled = record.facts.cohort_kind == "sampled" and record.client_rounds
    return record.bytes.down.encoded / record.client_rounds if sampled else None


def _joules_per_client_round(costs: Costs, record: Done) -> float | None:
    return None if costs.joules is None or not record.client_rounds else costs.joules / record.client_rounds


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
    _to_target(
        "flops_to_target", "FLOPs to target", "Those of all clients until the target was reached, counted", "FLOPs",
        Costs.flops_at,
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
    _cost(
        "client_round_joules", "energy per client-round",
        "What a client's device draws for a round that it is asked in, estimated from the watts of the device profile",
        "joules", _joules_per_client_round,
    ),
    _cost(
        "training_joules", "energy in all", "What all clients' devices draw in the run, estimated", "joules",
        lambda costs, _: costs.joules,
    ),
    _to_target(
        "joules_to_target", "energy to target", "That until the target was reached, estimated", "joules",
        Costs.joules_at,
    ),
)  # fmt: skip
