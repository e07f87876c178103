"""The JSON Schema of a suite, for editors: its tables, and every registered component with its parameters.

What it cannot say, as that a round asks no more clients than there are, `suite.checks` knows.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import typing
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import GenerateJsonSchema

from fedgen_bench.base.docstrings import arguments_of, summary_of
from fedgen_bench.contract.params import model_of
from fedgen_bench.suite.schema import SuiteSpec
from fedgen_bench.suite.structure import is_list, kind_of, models_in

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import core_schema

    from fedgen_bench.contract.specs import ComponentSpec
    from fedgen_bench.registry.registry import Registry

_DIALECT = "http://json-schema.org/draft-07/schema#"  # the latest that editors' TOML extensions know

Schema = dict[str, Any]


class _Toml(GenerateJsonSchema):
    """As pydantic makes it, without titles that repeat names; what may be left out cannot be null, which TOML lacks."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - overridden
        return False

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        made = super().default_schema(schema)
        return {key: value for key, value in made.items() if key != "default" or value is not None}


def suite_json_schema(registry: Registry) -> Schema:
    """What a suite may hold as far as JSON Schema can say it, with what is registered; descriptions are docstrings."""
    schema, generated = _generated(model=SuiteSpec, prefix="")
    definitions: dict[str, Schema] = {kind: _names(registry, kind) for kind in ("metric", "device_profile")}
    for model in _tables(SuiteSpec):
        table = schema
        if model is not SuiteSpec:
            table = definitions[model.__name__] = generated[model.__name__]
        _describe(table, model)
        for name, field in model.model_fields.items():
            if kind := kind_of(field):
                for inner in models_in(field.annotation):
                    definitions |= _slot(kind, inner, generated[inner.__name__], registry)
                one = {"$ref": f"#/definitions/{kind}"}
                table["properties"][name] = (
                    table["properties"][name] | {"items": one}
                    if is_list(field)
                    else _said(one, table["properties"][name].get("description", ""))
                )
    return {"$schema": _DIALECT, "title": "A suite of fedgen-bench", **schema, "definitions": definitions}


def schema_text(registry: Registry) -> str:
    """The same as a file."""
    return json.dumps(suite_json_schema(registry), indent=1, ensure_ascii=False) + "\n"


def _generated(model: type[BaseModel], prefix: str) -> tuple[Schema, dict[str, Schema]]:
    """A table, and by name, behind a prefix, the definitions that it refers to."""
    made = model.model_json_schema(ref_template=f"#/definitions/{prefix}{{model}}", schema_generator=_Toml)
    return made, {f"{prefix}{name}": one for name, one in made.pop("$defs", {}).items()}


def _tables(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A table and all within it but those of components."""
    yield model
    for field in model.model_fields.values():
        for inner in models_in(field.annotation) if kind_of(field) is None else ():
            yield from _tables(inner)


def _describe(table: Schema, documented: type) -> None:
    """Put into a table what its class' docstring says of it and of its keys."""
    table.pop("title", None)
    table["description"] = summary_of(documented)
    for name, text in arguments_of(documented).items():
        if name in table["properties"]:
            table["properties"][name] = _said(table["properties"][name], text)


def _said(schema: Schema, description: str) -> Schema:
    """With a description, which beside a `$ref` would not be read."""
    return {"description": description} | ({"allOf": [schema]} if "$ref" in schema else schema)


def _slot(kind: str, model: type[BaseModel], generated: Schema, registry: Registry) -> dict[str, Schema]:
    """Definitions of a table that names a component of a kind: its keys, and the parameters that each name has."""
    slot = copy.deepcopy(generated)
    _describe(slot, model)
    slot["properties"]["name"] |= _names(registry, kind)
    definitions, decided, offered = {kind: slot}, Schema(), list[Schema]()
    for name, registered in sorted(registry.components[kind].items(), reverse=True):
        own = f"{kind}.{name}"
        params, tables = _parameters(registered.spec, f"{own}.")
        definitions |= {own: params} | tables
        then = {"properties": {"params": {"$ref": f"#/definitions/{own}"}}}
        named = {"properties": {"name": {"const": name}}, "required": ["name"]}
        decided = {"if": named, "then": then} | ({"else": decided} if decided else {})
        offered.insert(0, then)
    slot |= decided
    slot["anyOf"] = [{"$comment": "always true: the others are for completion, which does not read `if`"}, *offered]
    return definitions


def _names(registry: Registry, kind: str) -> Schema:
    """Names of a kind, with what editors show beside them."""
    known = sorted(registry.components[kind].items())
    summaries = [registered.spec.summary for _, registered in known]
    return {"type": "string", "enum": [name for name, _ in known], "x-taplo": {"docs": {"enumValues": summaries}}}


def _parameters(spec: ComponentSpec, prefix: str) -> tuple[Schema, dict[str, Schema]]:
    """A component's parameters, and the definitions of tables among them."""
    schema, definitions = _generated(model_of(spec.params), prefix)
    schema.setdefault("properties", {})
    _describe(schema, spec.params)
    for one in _dataclasses(spec.params):
        if f"{prefix}{one.__name__}" in definitions:
            table = definitions[f"{prefix}{one.__name__}"]
            _describe(table, one)
            table["additionalProperties"] = False
    return schema, definitions


def _dataclasses(params: type) -> Iterator[type]:
    """Tables among parameters."""
    for hint in typing.get_type_hints(params).values():
        for one in (hint, *typing.get_args(hint)):
            if dataclasses.is_dataclass(one) and isinstance(one, type):
                yield one
                yield from _dataclasses(one)
