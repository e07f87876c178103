"""From published folders to evidence."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fedgen_bench.base.errors import StoreError, UsageError
from fedgen_bench.registry.kinds import NAME
from fedgen_bench.results.details import FigureRow
from fedgen_bench.results.pairing import check_pairing, comparable, enters
from fedgen_bench.results.published import has_results, open_folder
from fedgen_bench.review.claims.evidence import Evidence, Published, Scale, mean
from fedgen_bench.review.claims.own_point import with_own_point
from fedgen_bench.suite.load import load_suite

if TYPE_CHECKING:
    from fedgen_bench.registry.registry import Registry
    from fedgen_bench.suite.schema import SuiteSpec


def gather(leaderboards: Path, suite: str, registry: Registry) -> Evidence:
    """Read a suite's published folder, and those of every sweep `of` it that is published.

    Of two on one axis a registered one counts.

    Raises:
        UsageError, StoreError: there is no published result, or it cannot be read.
        PairingError: runs that must not stand side by side.
    """
    main = read_published(leaderboards / suite, registry)
    sweeps = {}
    for name, spec in (*_unregistered(leaderboards, registry), *_registered(leaderboards, registry)):
        if spec.sweep is not None and spec.sweep.of == suite:
            sweep = read_published(leaderboards / name, registry, main.reference)
            sweeps[spec.sweep.axis] = with_own_point(main, sweep)
    return Evidence(main, sweeps)


def _registered(leaderboards: Path, registry: Registry) -> Iterator[tuple[str, SuiteSpec]]:
    """Registered suites with published results, by name."""
    for name, registered in sorted(registry.components["suite"].items()):
        if has_results(leaderboards / name):
            yield name, load_suite(registered.spec, registry)


def _unregistered(leaderboards: Path, registry: Registry) -> Iterator[tuple[str, SuiteSpec]]:
    """Suites of one's own, by the text that was published with their results; what cannot be read here is nobody's."""
    for folder in sorted(leaderboards.iterdir()):
        if NAME.fullmatch(folder.name) and folder.name not in registry.components["suite"] and has_results(folder):
            with contextlib.suppress(UsageError, StoreError):
                yield folder.name, load_suite(open_folder(folder).source, registry)


def read_published(folder: Path, registry: Registry, reference: str = "") -> Published:
    """One published folder; the reference is the suite's own unless given. Raises as `gather`."""
    opened = open_folder(folder)
    if opened.source.name != folder.name:
        raise StoreError(f"{folder} holds results of suite `{opened.source.name}`. Restore the folder from its commit.")
    suite = load_suite(opened.source, registry)
    records = tuple(record for record in comparable(opened.records) if enters(record, suite))
    if not records:
        raise StoreError(f"{folder} has no finished run. Run the suite first.")
    check_pairing(records)
    asked = suite.evaluation
    quality, followed, own = (_scale(name, registry) for name in (asked.metric, asked.followed, asked.own))
    drift = _drift(opened.figures)
    return Published(suite, reference or suite.suite.reference, records, quality, followed, own, drift)


def _scale(name: str, registry: Registry) -> Scale:
    spec = registry.get("metric", name).spec
    return Scale(name, spec.unit, spec.lower_is_better)


def _drift(rows: Iterable[FigureRow]) -> dict[tuple[str, str], float]:
    figures: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if row.name.startswith("drift/"):
            figures.setdefault((row.digest, row.name.removeprefix("drift/")), []).append(row.value)
    return {key: mean(values) for key, values in figures.items()}
