"""Everything that is registered, by kind and name."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pluggy

from fedgen_bench.base.errors import UsageError, unknown
from fedgen_bench.base.failures import is_interrupt, told
from fedgen_bench.base.guards import guarded
from fedgen_bench.contract.specs import Provenance
from fedgen_bench.registry.kinds import KINDS


@dataclass(frozen=True)
class Failure:
    """A plugin, or one of its components, that was left out, and why."""

    plugin: str
    reason: str


@dataclass(frozen=True)
class Registered:
    """A component with where it came from. `from_file` holds for `--plugin` and `FEDGEN_PLUGINS`."""

    spec: Any
    provenance: Provenance
    from_file: bool = False


@dataclass(frozen=True)
class Observer:
    """An observer's hook: its plugin's name, the hook, what is called, and where it came from."""

    name: str
    hook: str
    function: Callable[..., None]
    provenance: Provenance


@dataclass(frozen=True)
class Registry:
    """Everything that is registered, by kind and name; never changes after loading."""

    components: Mapping[str, Mapping[str, Registered]]
    failures: tuple[Failure, ...]
    plugin_files: tuple[str, ...] = ()
    observers: tuple[Observer, ...] = ()
    _manager: pluggy.PluginManager | None = field(default=None, repr=False, compare=False)

    def get(self, kind: str, name: str) -> Registered:
        """Raises UsageError with the closest name."""
        known = self.components[kind]
        if name not in known:
            raise UsageError(unknown(kind.replace("_", " "), name, known))
        return known[name]

    def find(self, name: str) -> list[tuple[str, Registered]]:
        """Every component called NAME, or the one called KIND/NAME, with its kind.

        Raises:
            UsageError: there is none, with the closest name.
        """
        kind, _, short = name.rpartition("/")
        if kind and kind not in KINDS:
            raise UsageError(unknown("kind", kind, KINDS))
        kinds = [kind] if kind else list(KINDS)
        found = [(kind, self.components[kind][short]) for kind in kinds if short in self.components[kind]]
        if not found:
            raise UsageError(unknown("component", short, {known for kind in kinds for known in self.components[kind]}))
        return found

    def observe(self, hook: str, **event: Any) -> None:
        """Call an observer hook; an observer's failure is a warning, never the cell's."""
        if self._manager is None:
            return
        for implementation in getattr(self._manager.hook, hook).get_hookimpls():
            wanted = {name: event[name] for name in implementation.argnames}
            name = f"Observer {implementation.plugin_name}"
            try:
                with guarded(f"{name}.{hook}", **wanted):
                    implementation.function(**wanted)
            except BaseException as error:
                if is_interrupt(error):
                    raise
                warnings.warn(f"{name} failed in {hook}: {told(error)}.", RuntimeWarning, stacklevel=2)
