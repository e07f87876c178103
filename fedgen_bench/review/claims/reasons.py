"""Where the gap to the full model comes from: the adapter, the federation, or a backbone with little left to learn."""

from __future__ import annotations

from fedgen_bench.review.claims.evidence import Evidence, Published
from fedgen_bench.review.claims.findings import Comparison, Grid, adjusted, compare
from fedgen_bench.review.claims.formats import comparison_grid
from fedgen_bench.review.claims.views import View


def gap(evidence: Evidence) -> View | None:
    """Paired comparisons with the reference rows that exist; None when there is none."""
    main = evidence.main
    comparisons = adjusted(_tested(main))
    if not comparisons:
        return None
    return View(
        title="Where the gap to the full model comes from",
        text=(
            f"Each line tests one reason, on test ({main.quality.unit}), paired over seeds, t interval, Holm's "
            "correction. The adapter's capacity: both trained on all data in one place. What federation costs: a "
            "method against its own adapter on all data in one place. What there is to learn: the full model on all "
            "data against the backbone as it came."
        ),
        grid=_grid(comparisons),
    )


def _grid(comparisons: list[Comparison]) -> Grid:
    return comparison_grid(comparisons, ("first", "second"))


def _tested(main: Published) -> list[Comparison | None]:
    lower = main.quality.lower_is_better
    adapter, full, untrained = main.pooled(main.reference), main.pooled(main.full_model), main.untrained()
    pairs: list[tuple[str, str, str | None]] = []
    if adapter:
        pairs.append(("the adapter's capacity", adapter, full))
        pairs.append(("what federation costs the adapter", main.reference, adapter))
    if full:
        pairs.append(("what federation costs the full model", main.full_model, full))
        pairs.append(("what there is to learn", full, untrained))
    pairs.append(("what the adapter learns", main.reference, untrained))
    return [
        compare(f"{what}: `{one}` against `{other}`", main.final(one), main.final(other), lower_is_better=lower)
        for what, one, other in pairs
        if other
    ]
