"""Client work in another process: tensors cross as bytes, errors as themselves, and a cell is built once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fedgen_bench.base.devices import own_device
from fedgen_bench.base.failures import portable
from fedgen_bench.federation.assembly import open_loader, open_work
from fedgen_bench.federation.packing import (
    Answer,
    Packed,
    PackedEvaluation,
    PackedMetrics,
    pack_outcome,
    unpack,
    unpack_evaluation,
)

if TYPE_CHECKING:
    from fedgen_bench.federation.blueprint import Blueprint
    from fedgen_bench.federation.client_work import ClientWork
    from fedgen_bench.federation.loader import Loader
    from fedgen_bench.registry.datasets import Places


class Workshop:
    """What a worker process holds: a cell's work, and the tasks and splits that cells share."""

    def __init__(self) -> None:
        self._blueprint: Blueprint | None = None
        self._work: ClientWork
        self._source: tuple[Places, tuple[str, ...]] | None = None
        self._loader: Loader

    def answer(self, task: Packed) -> Answer:
        """What comes of a task and of those with it, or the error that the coordinator shall raise."""
        first, *others = self._answers(task)
        return first if isinstance(first, Exception) else replace(first, others=tuple(others))

    def _answers(self, task: Packed) -> Iterator[Any]:
        """In the order of the tasks, to the first error."""
        try:
            work = self._open(task.blueprint)
            if isinstance(task, PackedEvaluation):
                yield from map(PackedMetrics, work.evaluate_each(map(unpack_evaluation, (task, *task.others))))
            else:
                yield from map(pack_outcome, work.run_each(map(unpack, (task, *task.others))))
        except Exception as error:  # noqa: BLE001 - the coordinator decides what it means
            yield portable(error)

    def _open(self, blueprint: Blueprint) -> ClientWork:
        source = (blueprint.data, blueprint.plugin_files)
        if source != self._source:
            self._loader, self._source = open_loader(blueprint), source
        if blueprint != self._blueprint:
            here = replace(blueprint, device=own_device(blueprint.device))
            self._work, self._blueprint = open_work(here, self._loader), blueprint
        return self._work
