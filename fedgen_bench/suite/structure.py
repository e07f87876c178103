"""What tables of a schema are made of: keys that name components, lists, and tables within."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo


@dataclass(frozen=True)
class OfKind:
    """Mark of a key whose value names components of a kind."""

    kind: str


def kind_of(field: FieldInfo) -> str | None:
    """The kind of component that a key's value names, None for any other key."""
    return next((one.kind for one in field.metadata if isinstance(one, OfKind)), None)


def is_list(field: FieldInfo) -> bool:
    """Whether a key holds a list."""
    return typing.get_origin(field.annotation) is tuple


def accepted(model: type[BaseModel], prefix: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """What every table of a model accepts, by path (list items under every index up to 99)."""
    yield prefix, list(model.model_fields)
    for name, one in model.model_fields.items():
        for inner in models_in(one.annotation):
            prefixes = [(*prefix, name, str(i)) for i in range(100)] if is_list(one) else [(*prefix, name)]
            for each in prefixes:
                yield from accepted(inner, each)


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The tables that a field's type is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if typing.get_origin(annotation) in (tuple, types.UnionType, typing.Union):
        return [model for part in typing.get_args(annotation) for model in models_in(part)]
    return []
