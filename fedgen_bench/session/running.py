"""A suite's cells, or its trials, run and written down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fedgen_bench.base.errors import WouldLoseError
from fedgen_bench.base.files import inside
from fedgen_bench.base.instructions import instructions
from fedgen_bench.base.libraries import import_ahead
from fedgen_bench.base.safe_text import one_line
from fedgen_bench.base.spans import span
from fedgen_bench.results.files import TUNING
from fedgen_bench.results.folders import write_together
from fedgen_bench.results.publish import lacking, publish, ranked
from fedgen_bench.results.store import Store
from fedgen_bench.results.timing import published_time
from fedgen_bench.run.ahead import libraries
from fedgen_bench.run.events import OnEvent, log_rounds
from fedgen_bench.run.tuning import scored, trials
from fedgen_bench.session.agreeing import published_and_here
from fedgen_bench.session.answers import OnPlan, Plan, Tuning
from fedgen_bench.session.collecting import stored_results
from fedgen_bench.session.frames import Results
from fedgen_bench.session.workplace import Workplace
from fedgen_bench.suite.cells import CellSpec, expand
from fedgen_bench.suite.load import load_suite

if TYPE_CHECKING:
    from fedgen_bench.contract.specs import SuiteSource
    from fedgen_bench.registry.placement import Placement
    from fedgen_bench.run.dry_run import Forecast
    from fedgen_bench.suite.schema import SuiteSpec

_FASTER = "a suite in fp32, a GPU (`--device cuda`)"


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Cells of a suite, as `Session.run` takes them."""

    contenders: Sequence[str] = ()
    added: Sequence[str] = ()
    seeds: Sequence[int] = ()
    overrides: Sequence[str] = ()


def run(
    source: SuiteSource,
    selection: Selection,
    at: Workplace,
    *,
    runs: Path,
    leaderboards: Path,
    verbose: bool,
    keep_clients: bool,
    on_plan: OnPlan,
    on_event: OnEvent,
) -> Results:
    """Run what is left of the cells, publish the suite, and return all its results."""
    suite, cells = _chosen(source, selection, at)
    if verbose:
        log_rounds()
    own = load_suite(source, at.registry)
    with at.warmed(cells) as place, Store(runs) as store:
        plan = _planned(suite, cells, place, at)
        on_plan(replace(plan, notes=(*plan.notes, *_staying(leaderboards / source.name, plan.cells, store))))
        ended = at.run(plan.cells, store, place, on_event, verbose=verbose, keep_clients=keep_clients)
        try:
            with span("publish"):
                table, _ = publish(source, own, at.registry, store, leaderboards)
        except WouldLoseError as error:
            results = stored_results(store, own, ranked(own, at.registry, store), at.registry)
            published = published_and_here(leaderboards / source.name, results.records, at.registry)
            return replace(results, ended=ended, kept=error, published=published)
        return replace(stored_results(store, own, table, at.registry), ended=ended)


def forecast(
    source: SuiteSource, selection: Selection, at: Workplace, leaderboards: Path, on_plan: OnPlan
) -> tuple[Forecast, ...]:
    """What running the cells would take; nothing is written."""
    import torch

    from fedgen_bench.federation.loader import Loader
    from fedgen_bench.federation.preflight import preflight
    from fedgen_bench.registry.datasets import finder
    from fedgen_bench.run.dry_run import forecast as of_cells

    suite, cells = _chosen(source, selection, at)
    plan = _planned(suite, cells, at.placement(suite.training.threads), at)
    on_plan(replace(plan, notes=(*plan.notes, *_took(leaderboards / source.name, cells))))
    import_ahead(libraries(cells, at.registry))
    loader = Loader(at.registry, finder(at.registry, at.data, fetch=False))
    preflight(cells, loader, at.device)
    return tuple(of_cells(cells, loader, torch.device(at.device)))


def tune(
    source: SuiteSource,
    contenders: Sequence[str],
    at: Workplace,
    *,
    runs: Path,
    leaderboards: Path,
    on_plan: OnPlan,
    on_event: OnEvent,
) -> Tuning:
    """Run what is left of the suite's trials, of some contenders or all, and write what came of them."""
    suite = load_suite(source, at.registry)
    everything = trials(source, suite, at.registry)
    chosen = tuple({trial.spec.digest: trial.spec for trial in trials(source, suite, at.registry, contenders)}.values())
    with at.warmed(chosen) as place, Store(runs) as store:
        on_plan(Plan(chosen, suite.evaluation.followed, place.jobs, _slow(chosen, at, _FASTER)))
        at.run(chosen, store, place, on_event)
        stored = store.runs(source.name, suite.suite.version, "tune")
    folder = inside(leaderboards, source.name)
    tuning = Tuning(scored(everything, stored, at.registry), folder / TUNING)
    write_together(folder, {name: text.encode() for name, text in tuning.tables.items()})
    return tuning


def _chosen(source: SuiteSource, selection: Selection, at: Workplace) -> tuple[SuiteSpec, tuple[CellSpec, ...]]:
    """The suite with its overrides, and the cells that were asked for."""
    suite = load_suite(source, at.registry, selection.overrides)
    cells = expand(
        suite,
        at.registry,
        contenders=selection.contenders,
        added=selection.added,
        seeds=selection.seeds,
        off_suite=selection.overrides,
    )
    return suite, tuple(cells)


def _planned(suite: SuiteSpec, cells: tuple[CellSpec, ...], place: Placement, at: Workplace) -> Plan:
    slow = _slow(cells, at, f"{_FASTER}, or `--set training.precision=fp32`, whose results are never ranked")
    return Plan(cells, suite.evaluation.followed, place.jobs, slow)


def _slow(cells: Sequence[CellSpec], at: Workplace, instead: str) -> tuple[str, ...]:
    """Whether this processor makes their precision slow, and what to take instead."""
    return instructions().warnings((cell.config.training.precision for cell in cells), at.device, instead)


def _took(folder: Path, cells: Sequence[CellSpec]) -> tuple[str, ...]:
    """What the cells took when they were published."""
    took = published_time(folder, cells)
    if took is None:
        return ()
    which = "these" if took.n_cells == len(cells) else f"{took.n_cells} of these {len(cells)}"
    minutes, where = f"{took.seconds / 60:.1f}", one_line("; ".join(took.machines))
    return (f"{folder}: {which} cells took {minutes} min of one process, evaluation included ({where}).",)


def _staying(folder: Path, cells: Sequence[CellSpec], store: Store) -> tuple[str, ...]:
    """Whether the published folder will stay as it is."""
    asked = {cell.digest for cell in cells}
    lost = [one for one in lacking(folder, store) if one.digest not in asked]
    if not lost:
        return ()
    said = f"{folder} holds {len(lost)} results that {store.root} lacks"
    return (f"Warning: {said}. It will stay as it is; `--leaderboards` names another folder.",)
