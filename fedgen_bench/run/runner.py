"""A suite: skip what is done, resume what was cut off, isolate what fails, on one or several worker processes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence

from fedgen_bench.base.determinism import settle
from fedgen_bench.base.devices import pick_device
from fedgen_bench.base.failures import interruptible
from fedgen_bench.base.libraries import import_ahead
from fedgen_bench.base.spans import span
from fedgen_bench.registry.datasets import Places, finder
from fedgen_bench.registry.registry import Registry
from fedgen_bench.results.store import Store
from fedgen_bench.run.ahead import libraries
from fedgen_bench.run.events import Event, OnEvent
from fedgen_bench.run.executor import Executor, Job
from fedgen_bench.run.parallel import in_parallel
from fedgen_bench.suite.cells import CellSpec


def pending(specs: Iterable[CellSpec], store: Store, on_event: OnEvent) -> list[CellSpec]:
    """The cells that are not finished; a diverged cell is finished, a failed one is tried again."""
    todo = []
    for spec in specs:
        status = store.status(spec)
        if status in {"done", "diverged"}:
            store.shown(spec)
            if status == "done":
                store.journal(spec).tidy()
            on_event(Event("skipped", spec.name, status=status))
        else:
            todo.append(spec)
    return todo


def run_cells(
    specs: Sequence[CellSpec], registry: Registry, job: Job, store: Store, *, workers: int, on_event: OnEvent
) -> list[Event]:
    """Run all unfinished cells; returns how each ended, in the order of `specs`.

    Raises:
        NotReadyError: what stands in their way; none is begun.
        StoreError: the store cannot be written.
        KeyboardInterrupt: interrupted; committed rounds are kept.
    """
    with interruptible():
        todo = pending(resolved(specs, registry, job.data), store, on_event)
        return _run_cells(todo, registry, job, store, workers, on_event)


def resolved(specs: Iterable[CellSpec], registry: Registry, data: Places) -> list[CellSpec]:
    """The cells with the content of what they read; one whose data or task fail stays as it is, and fails when run."""
    from fedgen_bench.federation.loader import Loader

    loader = Loader(registry, finder(registry, data))
    known = []
    for spec in specs:
        try:
            known.append(loader.resolved(spec))
        except Exception:  # noqa: BLE001 - it is the cell's failure, told when the cell is run
            known.append(spec)
    return known


def _run_cells(
    todo: Sequence[CellSpec], registry: Registry, job: Job, store: Store, workers: int, on_event: OnEvent
) -> list[Event]:
    if not todo:
        return []
    from fedgen_bench.federation.loader import Loader
    from fedgen_bench.federation.preflight import preflight

    settle(pick_device(job.device))
    import_ahead(libraries(todo, registry))

    def looked_at() -> Loader:
        loader = Loader(registry, finder(registry, job.data))
        with span("preflight"):
            preflight(todo, loader, job.device)
        return loader

    workers = min(workers, len(todo))
    ended: dict[str, Event] = {}

    def note(event: Event) -> None:
        if event.kind == "ended":
            ended[event.run] = event
        on_event(event)

    if workers == 1:
        with contextlib.closing(Executor(job, store, registry, looked_at())) as executor:
            for spec in todo:
                note(Event("started", spec.name, spec.config.federation.rounds))
                note(executor.run(spec, note))
    else:
        with contextlib.closing(in_parallel(todo, job, workers, looked_at)) as events:
            for event in events:
                note(event)
    return [ended[spec.name] for spec in todo if spec.name in ended]
