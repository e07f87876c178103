"""For authors of plugins: contract tests and a toy world, shipped in the wheel."""

from __future__ import annotations

from typing import Any

from fedgen_bench.registry.plugins import load_registry

__all__ = ["Contract", "contracts_of", "load_registry", "parametrize_with_contracts"]


def __getattr__(name: str) -> Any:
    """The contracts' names, imported when asked for: the toy world alone loads nothing heavy."""
    if name in __all__:
        from fedgen_bench.testing import contracts

        return getattr(contracts, name)
    raise AttributeError(name)
