"""What another process builds the same client work from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fedgen_bench.registry.datasets import Places

if TYPE_CHECKING:
    from fedgen_bench.suite.cells import CellSpec


@dataclass(frozen=True)
class Blueprint:
    """What another process needs to build the same `ClientWork`.

    Args:
        cohort: clients that are trained in one pass where their fits allow it.
    """

    spec: CellSpec
    device: str
    data: Places = field(default_factory=Places)
    plugin_files: tuple[str, ...] = ()
    cohort: int = 1

    @property
    def threads(self) -> int:
        """Threads that torch may use for one client."""
        return self.spec.config.training.threads
