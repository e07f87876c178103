"""A suite: skip what is done, resume what was cut off, isolate what fails, on one or several worker processes."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from fedgen_bench.base.errors import Diverged, FedgenError, StoreError, UsageError
from fedgen_bench.base.failures import blamed, interruptible, origin, text_of, told
from fedgen_bench.base.signs import Ear, Gone, Mouth, listen
from fedgen_bench.base.workers import keep_freed_memory, portable, serve_only
from fedgen_bench.contract.reports import RoundReport, RunResult
from fedgen_bench.data.catalog import Places, finder
from fedgen_bench.registry.plugins import Registry, load_registry
from fedgen_bench.results.store import Store
from fedgen_bench.suite.suites import RunSpec

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from fedgen_bench.federation.world import Worlds

_SECONDS_TO_LEAVE = 10


@dataclass(frozen=True)
class Event:
    """What a runner tells about a run: it was `skipped`, it `started`, a `round` is committed, it `ended`."""

    kind: Literal["skipped", "started", "round", "ended"]
    run: str
    n_rounds: int = 0
    round_index: int = -1
    mean_loss: float = 0.0
    metrics: tuple[tuple[str, float], ...] = ()
    status: str = ""
    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Job:
    """What a worker process needs to run cells."""

    root: Path
    data: Places
    device: str
    plugin_files: tuple[str, ...]
    engine: str = "local"
    engine_params: Mapping[str, Any] = field(default_factory=dict)
    verbose: bool = False


OnEvent = Callable[[Event], object]


def pick_device(wanted: str) -> str:
    """`auto` is CUDA where there is one. Raises FedgenError when CUDA is asked for and not there."""
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UsageError("There is no CUDA device. Use `--device cpu`.")
    return wanted


def log_rounds() -> None:
    """Show what the logging observer says, on stderr."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)


class Executor:
    """Runs cells in this process, one after the other, sharing tasks and splits between them."""

    def __init__(self, job: Job, store: Store, registry: Registry, worlds: Worlds) -> None:
        from fedgen_bench.federation.world import build

        self._job, self._store, self._registry, self._worlds = job, store, registry, worlds
        self._engine = build(registry, "engine", {"name": job.engine, "params": job.engine_params})

    def close(self) -> None:
        """Give back what the engine holds."""
        with blamed(f"Engine `{self._job.engine}`"):
            self._engine.close()

    def run(self, spec: RunSpec, on_event: OnEvent) -> Event:
        """Run one cell to its end; what goes wrong in it becomes its status.

        Raises:
            StoreError: the store cannot be written; that concerns every cell.
        """
        import torch

        from fedgen_bench.base.environment import fingerprint
        from fedgen_bench.federation.clients import Recipe
        from fedgen_bench.federation.rounds import run_cell

        device = pick_device(self._job.device)
        threads = spec.config["training"]["threads"]
        torch.set_num_threads(threads)
        keep_freed_memory()
        began = time.monotonic()
        cell = self._store.begin(spec, fingerprint(device, threads), provenance(spec, self._registry, self._job.engine))
        committed = 0.0

        def on_round(report: RoundReport) -> None:
            nonlocal committed
            committed += report.seconds
            self._registry.observe("after_round", run=spec.name, report=report)
            on_event(_round_event(spec, report))

        final = None
        try:
            recipe = Recipe(spec, device, self._job.data, self._job.plugin_files)
            result, final = run_cell(recipe, self._registry, self._worlds, cell, self._engine, on_round)
        except StoreError:
            raise
        except Diverged as error:
            rounds = len(cell.batch_digests())
            result = RunResult("diverged", f"Round {rounds}: {text_of(error)}")
        except KeyboardInterrupt:  # a plugin's own came out of its guard as a PluginError
            raise
        except BaseException as error:  # noqa: BLE001 - a failed cell is a row in the table, not the end of the suite
            text = text_of(error) if isinstance(error, FedgenError) else f"{told(error)} ({origin(error)})"
            result = RunResult("failed", text)
        cell.finish(result, final, time.monotonic() - began - committed)
        self._registry.observe("after_run", run=spec.name, result=result)
        return Event("ended", spec.name, status=result.status, reason=result.reason, seconds=time.monotonic() - began)


def _round_event(spec: RunSpec, report: RoundReport) -> Event:
    n_rounds = spec.config["federation"]["rounds"]
    return Event(
        "round",
        spec.name,
        n_rounds,
        report.round_index,
        report.mean_loss,
        tuple(report.metrics.items()),
        seconds=report.seconds,
    )


def provenance(spec: RunSpec, registry: Registry, engine: str) -> dict[str, Any]:
    """Distribution, version and source hash of every component of a run, and of the engine that ran it."""
    contender = spec.config["contender"]
    used = [
        ("task", spec.config["task"]),
        ("partitioner", spec.config["partitioner"]),
        ("strategy", contender["strategy"]),
        ("adapter", contender["adapter"]),
        *(("compressor", one) for way in ("uplink", "downlink") for one in contender.get(way, ())),
        *(("attack", one) for one in [spec.config.get("attack")] if one is not None),
        ("engine", {"name": engine}),
    ]
    found: dict[str, Any] = {}
    for kind, one in used:
        key = kind if kind != "compressor" else f"compressor {one['name']}"
        found[key] = {"name": one["name"], **asdict(registry.get(kind, one["name"]).provenance)}
    return found


def pending(specs: Iterable[RunSpec], store: Store, on_event: OnEvent) -> list[RunSpec]:
    """The cells that are not finished; a diverged cell is finished, a failed one is tried again."""
    todo = []
    for spec in specs:
        status = store.status(spec)
        if status in {"done", "diverged"}:
            store.shown(spec)
            if status == "done":
                store.cell(spec).tidy()
            on_event(Event("skipped", spec.name, status=status))
        else:
            todo.append(spec)
    return todo


def run_cells(
    specs: Sequence[RunSpec], registry: Registry, job: Job, store: Store, *, workers: int, on_event: OnEvent
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


def resolved(specs: Iterable[RunSpec], registry: Registry, data: Places) -> list[RunSpec]:
    """The cells with the content of what they read; one whose data or task fail stays as it is, and fails when run."""
    from fedgen_bench.federation.world import Worlds

    worlds = Worlds(registry, finder(data))
    found = []
    for spec in specs:
        try:
            found.append(worlds.resolved(spec))
        except Exception:  # noqa: BLE001 - it is the cell's failure, told when the cell is run
            found.append(spec)
    return found


def _run_cells(
    todo: Sequence[RunSpec], registry: Registry, job: Job, store: Store, workers: int, on_event: OnEvent
) -> list[Event]:
    if not todo:
        return []
    from fedgen_bench.federation.preflight import preflight
    from fedgen_bench.federation.world import Worlds

    pick_device(job.device)
    worlds = Worlds(registry, finder(job.data))
    preflight(todo, worlds)
    workers = min(workers, len(todo))
    ended: dict[str, Event] = {}

    def note(event: Event) -> None:
        if event.kind == "ended":
            ended[event.run] = event
        on_event(event)

    if workers == 1:
        with contextlib.closing(Executor(job, store, registry, worlds)) as executor:
            for spec in todo:
                note(Event("started", spec.name, spec.config["federation"]["rounds"]))
                note(executor.run(spec, note))
    else:
        del worlds  # its models are for the workers to hold
        with contextlib.closing(_pooled(todo, job, workers)) as events:
            for event in events:
                note(event)
    return [ended[spec.name] for spec in todo if spec.name in ended]


def _pooled(todo: Sequence[RunSpec], job: Job, workers: int) -> Generator[Event, None, None]:
    context = multiprocessing.get_context("spawn")
    queue = list(todo)
    hired: dict[Ear, RunSpec | None] = {}
    try:
        for _ in range(workers):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, job, os.getpid()), daemon=True)
            process.start()
            theirs.close()
            hired[Ear(ours, process)] = None
        for ear in list(hired):
            yield from _hand_out(ear, queue, hired)
        while busy := [ear for ear, spec in hired.items() if spec is not None]:
            for ear, message in listen(busy, block=True):
                if isinstance(message, Gone):
                    spec = hired.pop(ear)
                    ear.end()
                    assert spec is not None
                    reason = f"The worker process died ({message.how}). Run the same command again to resume."
                    yield Event("ended", spec.name, status="crashed", reason=reason)
                    if queue and not any(hired.values()):
                        raise StoreError(
                            "Every worker process died. Run the same command again; finished cells are kept."
                        )
                    continue
                if isinstance(message, Exception):
                    raise message
                event = cast("Event", message)
                yield event
                if event.kind == "ended":
                    yield from _hand_out(ear, queue, hired)
        for ear in hired:
            ear.process.join(_SECONDS_TO_LEAVE)
    finally:
        for ear in hired:
            ear.end()


def _hand_out(ear: Ear, queue: list[RunSpec], hired: dict[Ear, RunSpec | None]) -> Iterator[Event]:
    spec = queue.pop(0) if queue else None
    hired[ear] = spec
    ear.give(spec)
    if spec is not None:
        yield Event("started", spec.name, spec.config["federation"]["rounds"])


def _serve(link: Connection, job: Job, parent: int) -> None:
    """A worker process: runs the cells it is handed until the coordinator is gone."""
    if not serve_only(parent):
        return
    if job.verbose:
        log_rounds()
    from fedgen_bench.federation.world import Worlds

    mouth = Mouth(link)
    try:
        registry = load_registry(job.plugin_files)
        worlds = Worlds(registry, finder(job.data))
        with (
            Store(job.root, lock=False) as store,
            contextlib.closing(Executor(job, store, registry, worlds)) as executor,
        ):
            while (spec := link.recv()) is not None:
                with mouth.working():
                    ended = executor.run(spec, mouth.say)
                mouth.say(ended)
    except FedgenError as error:  # what no cell can do without: the store, the engine
        mouth.say(portable(error))
    except EOFError:
        pass
