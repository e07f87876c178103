"""Claim 1: more than 99 % less uplink than full-model federated averaging, as a function of rank."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedgen_bench import ClaimSpec, hookimpl
from fedgen_bench.authors.claims import (
    Chart,
    Evidence,
    Finding,
    Grid,
    Published,
    Verdict,
    mean,
    mean_of_all,
    missing,
    percent,
    points,
    size,
)
from fedgen_bench.authors.digits import show_in

if TYPE_CHECKING:
    from fedgen_bench.authors.claims import Done

TITLE = "Uplink"
CLAIM = "Federating adapters alone saves more than 99 % of the full model's uplink, per round and in total."
THRESHOLD = 0.99


def judge(evidence: Evidence) -> Finding:
    """Holds when every seed of the reference saves more than 99 % per client-round and in total."""
    main = evidence.main
    saved = savings(main, main.reference)
    if not saved:
        return missing(TITLE, CLAIM, "The suite's reference or its full model has no finished run.")
    per_round = [one[0] for one in saved.values()]
    total = [one[1] for one in saved.values()]
    verdict: Verdict = "holds" if min(*per_round, *total) > THRESHOLD else "does not hold"
    flops = {name: _flops(main, name) for name in (main.full_model, *_senders(main))}
    counted = any(one is not None for one in flops.values())
    rows = [
        (name, size(mean(sent)), percent(mean(fractions)), percent(mean(totals)), *_shown(flops[name], counted=counted))
        for name in (main.full_model, *(n for n in _senders(main) if n != main.full_model))
        if (sent := [_per_client_round(r) for r in main.runs(name).values()])
        and (found := savings(main, name))
        and (fractions := [one[0] for one in found.values()])
        and (totals := [one[1] for one in found.values()])
    ]
    head = ("contender", "uplink per client-round", "saved per client-round", "saved in total")
    grids = [Grid((*head, *(("FLOPs per client-round",) if counted else ())), tuple(rows))]
    charts = []
    reading = (
        f"`{main.reference}` saves {percent(mean(per_round))} per client-round and {percent(mean(total))} in total."
    )
    ours, theirs = (_answered(main, name) for name in (main.reference, main.full_model))
    if ours != theirs:
        reading += (
            f" `{main.full_model}` was answered in {percent(theirs, 0)} of its client-rounds, `{main.reference}` in "
            f"{percent(ours, 0)}: what late clients never sent is saved in total, and not per client-round."
        )
    if (ranks := evidence.sweeps.get("rank")) and (by_rank := _by_rank(ranks)):
        where = f"`{ranks.suite.suite.name}`" + ("" if _weights(ranks) == _weights(main) else " (another backbone)")
        grids.append(
            Grid(
                ("rank", "trainable", "uplink per client-round", "saved per client-round"),
                tuple((f"{rank:g}", f"{n:,}", size(sent), percent(part)) for rank, n, sent, part in by_rank),
                f"By rank, suite {where}",
            )
        )
        least = [rank for rank, *_, part in by_rank if part <= THRESHOLD]
        reading += (
            f" In {where} the saving falls to 99 % or less from rank {least[0]:g} on."
            if least
            else f" It stays above 99 % at every rank of {where}."
        )
        charts.append(
            Chart(
                name="uplink_by_rank",
                title="Uplink saved against the full model",
                x_label="rank",
                y_label="saved per client-round (fraction)",
                series=((ranks.reference, points((r, {0: part}) for r, _, _, part in by_rank)),),
                log_x=True,
            )
        )
    return Finding(
        title=TITLE,
        claim=CLAIM,
        verdict=verdict,
        method=(
            "Booked lengths of the encoded messages, headers included, against the full model's of the same seed. They "
            "are counts, not estimates, and hardly differ between seeds: no interval is needed."
            + (" FLOPs are counted, too (docs/costs.md)." if counted else "")
        ),
        reading=reading,
        grids=tuple(grids),
        charts=tuple(charts),
    )


def savings(sheet: Published, method: str, value: float | None = None) -> dict[int, tuple[float, float]]:
    """By seed, the fraction saved per client-round and in total."""
    full = sheet.runs(sheet.full_model, value) or sheet.runs(sheet.full_model)
    return {
        seed: (
            1 - _per_client_round(record) / _per_client_round(full[seed]),
            1 - record.bytes.up.encoded / full[seed].bytes.up.encoded,
        )
        for seed, record in sheet.runs(method, value).items()
        if seed in full and record.facts.cohort_kind == "sampled"
    }


def _weights(sheet: Published) -> set[int]:
    """How many the full model has."""
    return {record.facts.trainable_params for record in sheet.records if record.method == sheet.full_model}


def _answered(sheet: Published, name: str) -> float:
    """Share of the client-rounds in which the client sent something, mean over seeds."""
    return mean([record.answers / record.client_rounds for record in sheet.runs(name).values()])


def _senders(sheet: Published) -> list[str]:
    return [one.name for one in sheet.suite.contender if one.ranked]


def _flops(sheet: Published, name: str) -> float | None:
    """Of a client's local steps in a round, mean over seeds; None where a record does not tell."""
    return mean_of_all(
        None if record.costs is None or not record.answers else record.costs.training_flops / record.answers
        for record in sheet.runs(name).values()
    )


def _shown(flops: float | None, *, counted: bool) -> tuple[str, ...]:
    return (show_in(flops, "FLOPs"),) if counted else ()


def _per_client_round(record: Done) -> float:
    return record.bytes.up.encoded / record.answers


def _by_rank(ranks: Published) -> list[tuple[float, int, float, float]]:
    """Rank, trainable parameters, bytes per client-round, fraction saved."""
    found = []
    for rank in ranks.axis:
        runs = ranks.runs(ranks.reference, rank)
        if saved := savings(ranks, ranks.reference, rank):
            first = next(iter(runs.values()))
            sent = mean([_per_client_round(record) for record in runs.values()])
            found.append((rank, first.facts.trainable_params, sent, mean([one[0] for one in saved.values()])))
    return found


@hookimpl
def register_claims() -> list[ClaimSpec]:
    return [
        ClaimSpec(
            name="uplink",
            summary="Adapters alone save more than 99 % of the full model's uplink.",
            number="1",
            judge=judge,
        ),
    ]
