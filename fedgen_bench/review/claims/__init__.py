"""Claims about a suite's reference, judged from published results alone; one module a claim."""

from __future__ import annotations

from fedgen_bench.base.errors import StoreError
from fedgen_bench.review.claims import (
    convergence,
    epochs,
    personalisation,
    quality,
    rank,
    reasons,
    stability,
    uplink,
    views,
)
from fedgen_bench.review.claims.clock import EdgeDevice
from fedgen_bench.review.claims.evidence import Evidence, gather
from fedgen_bench.review.claims.findings import Finding
from fedgen_bench.review.claims.page import PAGE, render

JUDGES = {
    "1": uplink.judge,
    "2a": quality.judge_rounds,
    "2b": quality.judge_bytes,
    "3": convergence.judge,
    "4": stability.judge,
    "5": personalisation.judge,
    "6": rank.judge,
    "7": epochs.judge,
}

__all__ = ["PAGE", "Evidence", "Finding", "gather", "judged", "written"]


def judged(evidence: Evidence) -> dict[str, Finding]:
    """Every claim's finding by its number, in the order of the page.

    Raises:
        StoreError: published numbers that a claim cannot be computed from, as a mean of 0 that others are divided by.
    """
    found = {}
    for number, judge in JUDGES.items():
        try:
            found[number] = judge(evidence)
        except ArithmeticError as error:
            raise StoreError(
                f"Claim {number} cannot be judged from the published numbers of `{evidence.main.suite.suite.name}` "
                f"({error}). `fedgen-bench validate` says which of them no run can give."
            ) from error
    return found


def written(evidence: Evidence) -> dict[str, bytes]:
    """`claims.md` with its charts and their data, by name below the suite's published folder."""
    main = evidence.main
    shown = [reasons.gap(evidence), views.quality_under_budget(main), views.cost_to_target(main, EdgeDevice())]
    return render(evidence, judged(evidence), [one for one in shown if one is not None])
