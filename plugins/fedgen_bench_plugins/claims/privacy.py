"""Claim 9: adapters give away less of clients' text than the full model does after the same rounds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from fedgen_bench import ClaimSpec, hookimpl
from fedgen_bench.authors.claims import (
    BySeed,
    Comparison,
    Evidence,
    Finding,
    Grid,
    Published,
    adjusted,
    combined,
    compare,
    comparison_grid,
    mean,
    missing,
    number,
    percent,
    told,
)

if TYPE_CHECKING:
    from fedgen_bench.authors.claims import Leaks

TITLE = "Privacy"
CLAIM = (
    "After the same rounds adapters give away less of single clients' text than the full model does, from the global "
    "model and from single updates."
)
_METHOD = """Exposure in bits of {n} secrets a seed that were planted with clients of suite `{suite}`, each ranked \
among {candidates} others of its form: log2({candidates} + 1) - log2(rank), {most:.3g} bits at most (arXiv 1802.08232, \
by sampling). Ranks are by the gain in likelihood over the backbone as it came, which an attacker knows who has the \
public backbone (arXiv 2111.08440); by likelihood alone beside it. Of what nobody trained on exposure is 1.44 bits but \
for chance, which the controls show. Mean over the secrets of a seed, `{reference}` against `{full}`, paired over \
seeds, t interval, Holm's correction. The verdict is by the two comparisons of the first table. They are made after \
equal rounds, not at equal quality, which stands beside them."""

Model = Literal["global", "update", "personalized", "others"]
Figure = Literal["mean_bits", "mean_calibrated", "most_calibrated", "share_extracted"]
_DECISIVE: tuple[tuple[Model, str], ...] = (("global", "the global model"), ("update", "a single update"))
_FURTHER: tuple[tuple[Model, str], ...] = (
    ("personalized", "the owner's own model"), ("others", "another client's own model"),
)  # fmt: skip
_COLUMNS: tuple[tuple[str, Model, Literal["secrets", "controls"], Figure], ...] = (
    ("global model", "global", "secrets", "mean_calibrated"),
    ("most exposed", "global", "secrets", "most_calibrated"),
    ("control", "global", "controls", "mean_calibrated"),
    ("single update", "update", "secrets", "mean_calibrated"),
    ("owner's model", "personalized", "secrets", "mean_calibrated"),
    ("another's model", "others", "secrets", "mean_calibrated"),
    ("global, by likelihood", "global", "secrets", "mean_bits"),
    ("extracted", "global", "secrets", "share_extracted"),
    ("extracted from an update", "update", "secrets", "share_extracted"),
)


def judge(evidence: Evidence) -> Finding:
    """Holds when the reference's exposure is below the full model's in the global model and in single updates."""
    main = evidence.main
    names = (main.reference, main.full_model)
    found = adjusted(_compared(main, model, what, "mean_calibrated") for model, what in _DECISIVE)
    first = next((leaks for name in names for leaks in _leaks(main, name).values()), None)
    if first is None or len(found) < len(_DECISIVE):
        return missing(TITLE, CLAIM, "The suite plants no secrets with clients of the reference and of the full model.")
    lower = main.quality.lower_is_better
    further = [
        *(_compared(main, model, what, "mean_calibrated") for model, what in _FURTHER),
        *(_compared(main, model, f"{what}, by likelihood", "mean_bits") for model, what in _DECISIVE),
        compare(f"{main.quality.name} (test)", *map(main.final, names), lower_is_better=lower),
    ]
    return Finding(
        title=TITLE,
        claim=CLAIM,
        verdict=combined(found),
        method=_METHOD.format(
            n=len(first.owners),
            suite=main.suite.suite.name,
            candidates=first.n_candidates,
            most=first.most_bits,
            reference=names[0],
            full=names[1],
        ),
        reading=told(found, "bits"),
        grids=(
            comparison_grid(found, names),
            comparison_grid(adjusted(further), names, "Beside it, and quality after the same rounds"),
            Grid(
                ("contender", f"{main.quality.name} (test)", "epsilon", *(head for head, *_ in _COLUMNS)),
                tuple(_rows(main)),
                "Every contender: exposure in bits, means over seeds",
            ),
        ),
    )


def _compared(main: Published, model: Model, what: str, figure: Figure) -> Comparison | None:
    ours, theirs = (_by_seed(main, name, model, "secrets", figure) for name in (main.reference, main.full_model))
    return compare(f"exposure, {what} (bits)", ours, theirs, lower_is_better=True)


def _leaks(main: Published, name: str) -> dict[int, Leaks]:
    return {seed: run.leaks for seed, run in main.runs(name).items() if run.leaks is not None}


def _by_seed(main: Published, name: str, model: Model, kind: Literal["secrets", "controls"], figure: Figure) -> BySeed:
    there = {seed: getattr(leaks, kind).get(model) for seed, leaks in _leaks(main, name).items()}
    found = {seed: getattr(exposed, figure) for seed, exposed in there.items() if exposed is not None}
    return {seed: value for seed, value in found.items() if value is not None}


def _rows(main: Published) -> Iterator[tuple[str, ...]]:
    for contender in main.suite.contender:
        name = contender.name
        if not _leaks(main, name):
            continue
        epsilons = [run.privacy.epsilon for run in main.runs(name).values() if run.privacy is not None]
        figures = [(_mean(_by_seed(main, name, *place)), place[-1]) for _, *place in _COLUMNS]  # type: ignore[arg-type]
        yield (
            name,
            number(_mean(main.final(name))),
            number(max(epsilons, default=None)),
            *(percent(value, 0) if figure == "share_extracted" else number(value) for value, figure in figures),
        )


def _mean(found: BySeed) -> float | None:
    return mean(list(found.values())) if found else None


@hookimpl
def register_claims() -> list[ClaimSpec]:
    return [
        ClaimSpec(
            name="privacy",
            summary="Adapters give away less of clients' text than the full model does.",
            number="9",
            judge=judge,
            concerns=lambda evidence: any(run.leaks is not None for run in evidence.main.records),
        ),
    ]
