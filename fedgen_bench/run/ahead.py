"""What cells import is imported before they ask for it, here and in the process that workers come from."""

from __future__ import annotations

from collections.abc import Iterable

from fedgen_bench.registry.registry import Registry
from fedgen_bench.suite.cells import CellSpec

_OPTIMIZERS = "torch._dynamo"  # which they import when the first one is made
_OWN = ("torch", _OPTIMIZERS, "fedgen_bench.federation.dispatch", "fedgen_bench.federation.run_cell")


def libraries(cells: Iterable[CellSpec], registry: Registry) -> tuple[str, ...]:
    """What running the cells imports, as far as their components declare it."""
    used = dict.fromkeys((kind, one.name) for cell in cells for kind, one in cell.config.components())
    declared = (
        registry.components[kind][name].spec.libraries for kind, name in used if name in registry.components[kind]
    )
    return tuple(dict.fromkeys((*_OWN, *(name for names in declared for name in names))))
