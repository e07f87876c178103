"""Claim 2: better quality than every baseline, after the same number of rounds and after the same uplink."""

from __future__ import annotations

from fedgen_bench import ClaimSpec, hookimpl
from fedgen_bench.authors.claims import (
    Comparison,
    Evidence,
    Finding,
    Published,
    adjusted,
    combined,
    compare,
    comparison_grid,
    mean,
    missing,
    size,
    told,
)

SAME_ROUNDS = "Quality after the same rounds"
SAME_BYTES = "Quality after the same uplink"


def judge_rounds(evidence: Evidence) -> Finding:
    """The final models on test: holds when the reference is better than every baseline."""
    main = evidence.main
    claim = f"Lower {main.quality.name} than each baseline after the same number of rounds."
    if not main.quality.lower_is_better:
        claim = claim.replace("Lower", "Higher")
    comparisons = adjusted(
        compare(name, main.final(main.reference), main.final(name), lower_is_better=main.quality.lower_is_better)
        for name in main.baselines
    )
    if not comparisons:
        return missing(SAME_ROUNDS, claim, "There is no baseline with finished runs.")
    return Finding(
        title=SAME_ROUNDS,
        claim=claim,
        verdict=combined(comparisons),
        method=(
            f"{main.quality.unit} on the task's test data after the last round, paired over seeds: Student's t "
            f"interval, Holm's correction over {len(comparisons)} baselines."
        ),
        reading=told(comparisons, main.quality.unit),
        grids=(comparison_grid(comparisons, (main.reference, "baseline")),),
    )


def judge_bytes(evidence: Evidence) -> Finding:
    """At the uplink that the reference has spent when it is done."""
    main = evidence.main
    claim = "Better than each baseline after the same uplink bytes."
    spent = {seed: record.bytes.up.encoded for seed, record in main.runs(main.reference).items()}
    comparisons = adjusted(_at_bytes(main, name, spent) for name in main.baselines)
    if not comparisons:
        return missing(SAME_BYTES, claim, "No baseline can be placed at the reference's uplink.")
    return Finding(
        title=SAME_BYTES,
        claim=claim,
        verdict=combined(comparisons),
        method=(
            f"The budget is what `{main.reference}` has sent when it is done ({size(mean(list(spent.values())))} by "
            "all clients). A baseline that is done within it stands with its test quality. One that cannot finish a "
            "single round within it is the backbone as it came, which the row that trains nothing measures. One in "
            f"between is compared on the validation subset ({main.followed.unit}) after the rounds that fit. Paired "
            "over seeds, t interval, Holm's correction."
        ),
        reading=told(comparisons, main.quality.unit),
        grids=(comparison_grid(comparisons, (main.reference, "baseline")),),
    )


def _at_bytes(main: Published, name: str, spent: dict[int, int]) -> Comparison | None:
    runs = main.runs(name)
    seeds = sorted(runs.keys() & spent.keys())
    fitting = {s: [one for one in runs[s].curve if one.uplink_bytes <= spent[s]] for s in seeds}
    done = all(runs[s].bytes.up.encoded <= spent[s] for s in seeds)
    lower = main.quality.lower_is_better
    if seeds and done:
        return compare(f"{name}, done", main.final(main.reference), main.final(name), lower_is_better=lower)
    if not any(fitting.values()) and (untrained := main.untrained()):
        what = f"{name}, no round fits: `{untrained}`"
        return compare(what, main.final(main.reference), main.final(untrained), lower_is_better=lower)
    if seeds and all(fitting.values()):
        ours = {s: r.curve[-1].value for s, r in main.runs(main.reference).items() if r.curve}
        theirs = {s: fitting[s][-1].value for s in seeds}
        rounds = fitting[seeds[0]][-1].n_rounds
        what = f"{name}, after {rounds} rounds ({main.followed.name}, validation subset)"
        return compare(what, ours, theirs, lower_is_better=main.followed.lower_is_better)
    return None


@hookimpl
def register_claims() -> list[ClaimSpec]:
    return [
        ClaimSpec(
            name="quality-after-rounds",
            summary="Better than each baseline after the same rounds.",
            number="2a",
            judge=judge_rounds,
        ),
        ClaimSpec(
            name="quality-after-uplink",
            summary="Better than each baseline after the same uplink.",
            number="2b",
            judge=judge_bytes,
        ),
    ]
