"""Claim 9: adapters give away less of clients' text than the full model does after the same rounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal

from fedgen_bench import ClaimSpec, hookimpl
from fedgen_bench.authors.claims import (
    BySeed,
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
by sampling). Of what nobody trained on it is 1.44 bits but for chance, which the controls show. Mean over the secrets \
of a seed, `{reference}` against `{full}`, paired over seeds, t interval, Holm's correction. The verdict is by these \
two comparisons. They are made after equal rounds, not at equal quality, which stands beside them."""
LeakingModel = Literal["global", "update", "personalized", "others"]
_MODELS: tuple[tuple[LeakingModel, str], ...] = (("global", "the global model"), ("update", "a single update"))
_FURTHER: tuple[tuple[LeakingModel, str], ...] = (
    ("personalized", "the owner's own model"), ("others", "other clients' own models"),
)  # fmt: skip
_Figure = Callable[["Leaks"], float | None]


def judge(evidence: Evidence) -> Finding:
    """Holds when the reference's exposure is below the full model's in the global model and in single updates."""
    main = evidence.main
    names = (main.reference, main.full_model)
    found = adjusted(
        [
            compare(f"exposure, {what} (bits)", *(_bits(main, name, model) for name in names), lower_is_better=True)
            for model, what in _MODELS
        ]
    )
    first = next((leaks for name in names for leaks in _leaks(main, name).values()), None)
    if first is None or len(found) < len(_MODELS):
        return missing(TITLE, CLAIM, "The suite plants no secrets with clients of the reference and of the full model.")
    quality = compare(
        main.quality.name, *(main.final(name) for name in names), lower_is_better=main.quality.lower_is_better
    )
    beside = [
        compare(f"exposure, {what} (bits)", *(_bits(main, name, model) for name in names), lower_is_better=True)
        for model, what in _FURTHER
    ]
    further = adjusted([*beside, quality])
    return Finding(
        title=TITLE,
        claim=CLAIM,
        verdict=combined(found),
        method=_METHOD.format(
            n=len(first.owners), suite=main.suite.suite.name, candidates=first.n_candidates,
            most=first.most_bits, reference=names[0], full=names[1],
        ),
        reading=told(found, "bits"),
        grids=(
            comparison_grid(found, names),
            comparison_grid(further, names, "Beside it: personal models, and quality (test) after the same rounds"),
            Grid(
                (
                    "contender", f"{main.quality.name} (test)", "global model", "most exposed", "control",
                    "single update", "owner's model", "others' models", "extracted", "extracted from an update",
                ),
                tuple(_rows(main)),
                "Exposure in bits, means over seeds",
            ),
        ),
    )  # fmt: skip


def _leaks(main: Published, name: str) -> dict[int, Leaks]:
    return {seed: run.leaks for seed, run in main.runs(name).items() if run.leaks is not None}


def _bits(main: Published, name: str, model: LeakingModel) -> BySeed:
    return _by_seed(main, name, lambda leaks: leaks.mean_bits(model))


def _by_seed(main: Published, name: str, figure: _Figure) -> BySeed:
    found = {seed: figure(leaks) for seed, leaks in _leaks(main, name).items()}
    return {seed: value for seed, value in found.items() if value is not None}


def _rows(main: Published) -> Iterator[tuple[str, ...]]:
    for contender in main.suite.contender:
        name = contender.name
        if not _leaks(main, name):
            continue
        figures: tuple[_Figure, ...] = (
            lambda one: one.mean_bits("global"),
            lambda one: one.max_bits("global"),
            lambda one: one.mean_control("global"),
            lambda one: one.mean_bits("update"),
            lambda one: one.mean_bits("personalized"),
            lambda one: one.mean_bits("others"),
        )
        shares: tuple[_Figure, ...] = (
            lambda one: one.share_extracted("global"),
            lambda one: one.share_extracted("update"),
        )
        final = main.final(name)
        yield (
            name,
            number(mean(list(final.values()))) if final else number(None),
            *(number(_mean(_by_seed(main, name, figure))) for figure in figures),
            *(percent(_mean(_by_seed(main, name, share)), 0) for share in shares),
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
