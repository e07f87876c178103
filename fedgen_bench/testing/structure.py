"""What a component must have before anything is asked of it: its methods, called as the core calls them."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field, make_dataclass, replace
from functools import partial
from typing import Any

from fedgen_bench.base.guards import guarded
from fedgen_bench.contract import protocols
from fedgen_bench.contract.params import make_params
from fedgen_bench.federation.components import methods_of, takes
from fedgen_bench.registry.kinds import KINDS
from fedgen_bench.testing.locations import Broken, line_of


def built(kind: str, spec: Any) -> Any:
    """The component with its default parameters, with every method that its kind needs.

    Raises:
        Broken: methods that are missing or take other arguments, all of them.
    """
    with guarded(f"{kind} {spec.name}.build"):
        instance = spec.build(spec.params())
    protocol = KINDS[kind].protocol
    assert protocol is not None, f"a {kind} is not built"
    assert_has(instance, protocol, spec.build)
    for also in (protocols.Personalizing, protocols.Absorbing):
        if isinstance(instance, also):
            assert_has(instance, also, spec.build)
    return instance


def with_defaults(spec: Any, values: Mapping[str, Any], where: str) -> Any:
    """A component's spec with other defaults: a params type that is the same but for them.

    Raises:
        Broken: they are not the component's parameters; begins with `where`.
    """
    if not values:
        return spec
    wanted, problems = make_params(spec.params, values)
    if problems:
        raise Broken(f"{where}: {' '.join(sentence for _, sentence in problems)}")
    kinds = typing.get_type_hints(spec.params)
    fields = [(name, kinds[name], field(default_factory=partial(getattr, wanted, name))) for name in values]
    params = make_dataclass(spec.params.__name__, fields, bases=(spec.params,), frozen=True)
    return replace(spec, params=params)


def assert_has(instance: Any, protocol: type, owner: Any) -> None:
    """Raises Broken for all that is missing, at the first place to mend."""
    if instance is None or isinstance(instance, type):
        what = "None" if instance is None else f"the class `{instance.__name__}`"
        raise Broken(f"`build` returned {what}. Return an instance with the methods of a {_words(protocol)}.")
    problems = list(_problems(instance, protocol, owner))
    if problems:
        raise Broken(" ".join(sentence for _, sentence in problems), problems[0][0])


def _problems(instance: Any, protocol: type, owner: Any) -> Iterator[tuple[str, str]]:
    name = type(instance).__name__
    location = line_of(type(instance)) or line_of(owner)
    missing = [member for member in _members(protocol) if not hasattr(instance, member)]
    if missing:
        names = ", ".join(f"`{member}`" for member in missing)
        yield location, f"`{name}` has no {names}. A {_words(protocol)} needs {_listed(protocol)}."
    for method, wanted in methods_of(protocol).items():
        if method in missing:
            continue
        there = getattr(instance, method)
        if not callable(there):
            yield location, f"`{name}.{method}` is a {type(there).__name__}. Make it a method."
            continue
        if not takes(there, wanted):
            own = ", ".join(inspect.signature(there).parameters)
            yield (
                line_of(there) or location,
                f"`{name}.{method}` takes ({own}), it is called with ({', '.join(wanted)}), in this order.",
            )


def _members(protocol: type) -> list[str]:
    properties = [name for name, member in vars(protocol).items() if isinstance(member, property)]
    return [*methods_of(protocol), *properties, *inspect.get_annotations(protocol)]


def _listed(protocol: type) -> str:
    methods = [f"`{name}({', '.join(arguments)})`" for name, arguments in methods_of(protocol).items()]
    return ", ".join([*methods, *(f"`{name}`" for name in _members(protocol)[len(methods) :])])


def _words(protocol: type) -> str:
    return {"TaskFactory": "task's factory"}.get(protocol.__name__, protocol.__name__.lower())


def assert_tensors(value: Any, what: str, location: Callable[[], str]) -> None:
    """Raises Broken at `location()` for what is no map from names to tensors."""
    import torch

    if not isinstance(value, Mapping):
        raise Broken(f"{what} is {described(value)}. Give tensors by name.", location())
    for name, tensor in value.items():
        if not isinstance(tensor, torch.Tensor) or not isinstance(name, str):
            raise Broken(f"{what} holds {described(tensor)} under {name!r}. Give tensors by name.", location())


def described(value: Any) -> str:
    """`None`, or a value's type with its article."""
    if value is None:
        return "None"
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
