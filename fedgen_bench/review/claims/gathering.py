"""From published folders to evidence."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from fedgen_bench.base.errors import StoreError
from fedgen_bench.results.details import FigureRow
from fedgen_bench.results.pairing import check_pairing, comparable
from fedgen_bench.results.published import has_results, open_folder
from fedgen_bench.review.claims.evidence import Evidence, Published, Scale, mean
from fedgen_bench.suite.load import load_suite

if TYPE_CHECKING:
    from fedgen_bench.registry.registry import Registry


def gather(leaderboards: Path, suite: str, registry: Registry) -> Evidence:
    """Read a suite's published folder, and those of every registered sweep `of` it that is published.

    Raises:
        UsageError, StoreError: there is no published result, or it cannot be read.
        PairingError: runs that must not stand side by side.
    """
    main = read_published(leaderboards / suite, registry)
    sweeps = {}
    for name, registered in sorted(registry.components["suite"].items()):
        if has_results(leaderboards / name):
            spec = load_suite(registered.spec, registry)
            if spec.sweep is not None and spec.sweep.of == suite:
                sweeps[spec.sweep.axis] = read_published(leaderboards / name, registry, main.reference)
    return Evidence(main, sweeps)


def read_published(folder: Path, registry: Registry, reference: str = "") -> Published:
    """One published folder; the reference is the suite's own unless given. Raises as `gather`."""
    opened = open_folder(folder)
    if opened.source.name != folder.name:
        raise StoreError(f"{folder} holds results of suite `{opened.source.name}`. Restore the folder from its commit.")
    suite = load_suite(opened.source, registry)
    records = tuple(record for record in comparable(opened.records) if record.seed in suite.seeds.leaderboard)
    if not records:
        raise StoreError(f"{folder} has no finished run. Run the suite first.")
    check_pairing(records)
    quality, followed = (_scale(name, registry) for name in (suite.evaluation.metric, suite.evaluation.followed))
    drift = _drift(opened.figures)
    return Published(suite, reference or suite.suite.reference, records, quality, followed, drift)


def _scale(name: str, registry: Registry) -> Scale:
    spec = registry.get("metric", name).spec
    return Scale(name, spec.unit, spec.lower_is_better)


def _drift(rows: Iterable[FigureRow]) -> dict[tuple[str, str], float]:
    figures: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if row.name.startswith("drift/"):
            figures.setdefault((row.digest, row.name.removeprefix("drift/")), []).append(row.value)
    return {key: mean(values) for key, values in figures.items()}
