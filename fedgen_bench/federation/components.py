"""A component built with its parameters, and whether it has the methods of its kind."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fedgen_bench.base.errors import PluginError
from fedgen_bench.base.guards import guarded
from fedgen_bench.contract import protocols
from fedgen_bench.contract.params import make_params
from fedgen_bench.registry.kinds import KINDS

if TYPE_CHECKING:
    from fedgen_bench.registry.registry import Registry
    from fedgen_bench.suite.schema import Component


def build(registry: Registry, kind: str, component: Component) -> Any:
    """A component with its parameters, built.

    Raises:
        PluginError: parameters that it refuses, a method that is missing or takes something else.
    """
    spec = registry.get(kind, component.name).spec
    params, problems = make_params(spec.params, component.params)
    if problems:
        raise PluginError(f"{kind} `{spec.name}`: {problems[0][1]}")
    with guarded(f"{kind} `{spec.name}`"):
        built = spec.build(params)
    if problem := broken_method(kind, built):
        raise PluginError(f"{kind} `{spec.name}`: {problem}")
    return built


def broken_method(kind: str, built: Any) -> str | None:
    """The first method of the kind's protocol that is missing or cannot be called as the core calls it, or None."""
    methods = methods_of(KINDS[kind].protocol)
    for also in (protocols.Personalizing, protocols.Absorbing) if kind == "strategy" else ():
        methods |= {name: wanted for name, wanted in methods_of(also).items() if hasattr(built, name)}
    for name, wanted in methods.items():
        method = getattr(built, name, None)
        if not callable(method):
            return f"it has no method `{name}({', '.join(wanted)})`. Add it."
        if not takes(method, wanted):
            own = inspect.signature(method)
            return f"`{name}{own}` is called as `{name}({', '.join(wanted)})`. Mend its arguments."
        if (kind, name) == ("strategy", "client") and not inspect.isgeneratorfunction(method):
            return "`client` never yields. Yield a `Fit` request to train."
    return None


def methods_of(protocol: type | None) -> dict[str, tuple[str, ...]]:
    """Names of the arguments of every public method of a protocol, by name."""
    declared = {} if protocol is None else vars(protocol)
    return {
        name: tuple(inspect.signature(method).parameters)[1:]
        for name, method in declared.items()
        if inspect.isfunction(method) and not name.startswith("_")
    }


def takes(method: Callable[..., Any], wanted: Sequence[str]) -> bool:
    """Whether a method can be called with so many arguments; what has no signature is taken at its word."""
    try:
        signature = inspect.signature(method)
    except (TypeError, ValueError):  # built-in functions may have none
        return True
    try:
        signature.bind(*wanted)
    except TypeError:
        return False
    return True
