"""The sequential engine: one client after the other, where the coordinator stands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from fedgen_bench import EngineSpec, NoParams, hookimpl

if TYPE_CHECKING:
    from fedgen_bench.authors.engines import ClientOutcome, ClientTask, Work


class Local:
    """Every outcome, or cohort of them, is computed when it is asked for."""

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def run(self, tasks: Iterable[ClientTask], work: Work) -> Iterator[ClientOutcome]:
        return work.run_each(tasks)

    def close(self) -> None:
        """There is nothing to give back."""


@hookimpl
def register_engines() -> list[EngineSpec]:
    return [EngineSpec(name="local", summary="One client after the other; --jobs are cells at a time.", build=Local)]
