"""Parameters of a component: from a plain table to its frozen dataclass, strictly, with every problem named.

Pydantic is imported when used.
"""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from fedgen_bench.base.errors import did_you_mean

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError


def problems_of(
    error: ValidationError, known: Mapping[tuple[str, ...], typing.Iterable[str]] | typing.Iterable[str] = ()
) -> list[tuple[tuple[str, ...], str]]:
    """(path, sentence) of every problem that pydantic found; `known` names what would have been accepted."""
    problems = []
    for fault in error.errors():
        path = tuple(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            names = known.get(path[:-1], ()) if isinstance(known, Mapping) else known
            problems.append((path, f"Unknown parameter `{path[-1]}`.{did_you_mean(path[-1], names)}"))
        elif fault["type"] == "unexpected_keyword_argument":  # of a table within
            names = known.get(path[:-1], ()) if isinstance(known, Mapping) else ()
            problems.append((path, f"Unknown parameter `{'.'.join(path)}`.{did_you_mean(path[-1], names)}"))
        elif fault["type"] == "value_error":
            problems.append((path, str(fault["ctx"]["error"])))
        elif fault["type"] == "missing":
            problems.append((path, f"`{'.'.join(path)}` is missing."))
        else:
            problems.append(
                (path, f"`{'.'.join(path)}`: {fault['msg'][0].lower()}{fault['msg'][1:]} (got {fault['input']!r}).")
            )
    return problems


@cache
def model_of(params: type) -> type[BaseModel]:
    """The table that a component's parameters are written in, as pydantic checks it."""
    from pydantic import ConfigDict, create_model

    hints = typing.get_type_hints(params)
    fields: dict[str, Any] = {}
    for knob in dataclasses.fields(params):
        default = knob.default_factory() if knob.default_factory is not dataclasses.MISSING else knob.default
        fields[knob.name] = (hints[knob.name], default)
    config = ConfigDict(strict=True, extra="forbid", protected_namespaces=())
    model: type[BaseModel] = create_model(params.__name__, __config__=config, **fields)
    return model


def make_params(params: type, values: Mapping[str, Any]) -> tuple[Any, list[tuple[tuple[str, ...], str]]]:
    """The params instance (None when there are problems) and the problems."""
    from pydantic import ValidationError

    model = model_of(params)
    names = list(model.model_fields)
    try:
        valid = model.model_validate_json(json.dumps(dict(values), default=str))
    except ValidationError as error:
        return None, problems_of(error, dict(_names(params)))
    try:
        return params(**{name: getattr(valid, name) for name in names}), []
    except ValueError as error:
        return None, [((), str(error))]


def _names(params: type, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """Names of the parameters of every table, by its path."""
    yield path, [knob.name for knob in dataclasses.fields(params)]
    for name, table in tables_in(params).items():
        yield from _names(table, (*path, name))


def tables_in(params: type) -> dict[str, type]:
    """Name -> what it is read into, of every parameter that is a table of its own."""
    hints = typing.get_type_hints(params)
    kinds = {knob.name: hints[knob.name] for knob in dataclasses.fields(params)}
    return {name: kind for name, kind in kinds.items() if dataclasses.is_dataclass(kind) and isinstance(kind, type)}


def defaults(params: type) -> dict[str, Any]:
    """Name -> default of every parameter."""
    return dataclasses.asdict(params())


def completed(params: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """All parameters: `values`, and defaults for what they leave out, in tables of parameters within them as well."""
    return _completed(defaults(params), values, params)


def _completed(known: Mapping[str, Any], values: Mapping[str, Any], params: type) -> dict[str, Any]:
    hints = typing.get_type_hints(params)
    return dict(known) | {
        name: _completed(known[name], value, hints[name])
        if dataclasses.is_dataclass(hints.get(name)) and isinstance(value, Mapping)
        else value
        for name, value in values.items()
    }


def json_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """A private copy with what JSON makes of each value: lists in place of tuples."""
    copied: dict[str, Any] = json.loads(json.dumps(values))
    return copied
