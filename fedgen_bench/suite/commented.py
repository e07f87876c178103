"""A suite's text with a comment for every table and key, from the docstrings of what they are read into."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from fedgen_bench.base.docstrings import arguments_of, first_sentence
from fedgen_bench.base.toml_text import WIDTH, toml_key, toml_value
from fedgen_bench.contract.params import tables_in
from fedgen_bench.suite.schema import SuiteSpec
from fedgen_bench.suite.structure import is_list, kind_of, models_in

if TYPE_CHECKING:
    from fedgen_bench.registry.registry import Registry


def commented(table: Mapping[str, Any], registry: Registry) -> str:
    """A valid suite's table as TOML, where what it leaves out stands behind `#` with its default.

    Keys, and a component's parameters, are explained where they come first.
    """
    return "\n".join(_Writer(registry).below(SuiteSpec, table, ())).lstrip("\n") + "\n"


@dataclass(frozen=True)
class _Key:
    """A key of a table: what it means, what it is when left out, and the table that it holds, if any."""

    name: str
    said: str
    default: Any
    table: type | None = None
    kind: str | None = None
    listed: bool = False


def _keys(documented: type) -> Iterator[_Key]:
    """Of a table of the schema, or of a component's parameters."""
    said = arguments_of(documented)
    if issubclass(documented, BaseModel):
        for name, one in documented.model_fields.items():
            default = None if one.is_required() else one.default
            inner = next(iter(models_in(one.annotation)), None)
            yield _Key(name, said.get(name, ""), default, inner, kind_of(one), is_list(one))
    elif dataclasses.is_dataclass(documented):
        tables, usual = tables_in(documented), documented()
        for knob in dataclasses.fields(documented):
            table = tables.get(knob.name)
            default = None if table else getattr(usual, knob.name)
            yield _Key(knob.name, said.get(knob.name, ""), default, table)


@dataclass
class _Writer:
    """Writes tables; `explained` are the tables and components whose keys have been."""

    registry: Registry
    explained: set[object] = field(default_factory=set)

    def below(self, documented: type, values: Mapping[str, Any], path: Sequence[str]) -> Iterator[str]:
        """What stands below a table's head: keys, then the tables in it."""
        again = documented in self.explained
        self.explained.add(documented)
        tables: list[tuple[_Key, Any]] = []
        for key in _keys(documented):
            value = values.get(key.name)
            if value is None and key.table is not None and not key.listed:
                tables += [] if again else [(key, None)]
            elif value is None:
                yield from () if again else _left_out(key)
            elif self._stands_alone(key, value):
                tables.append((key, value))
            else:
                yield from () if again else _comment(first_sentence(key.said))
                yield f"{toml_key(key.name)} = {toml_value(value)}"
        for key, value in tables:
            if value is None:
                yield from ("", *_table_left_out(key, path))
            else:
                yield from self._tables(key, value, (*path, key.name), again=again)

    def _stands_alone(self, key: _Key, value: Any) -> bool:
        """Whether a value has a head of its own; else it stands on its key's line."""
        if key.kind is not None:
            return not key.listed and key.table is not None and (key.kind, value["name"]) not in self.explained
        return key.table is not None or (isinstance(value, dict) and len(toml_value(value)) > WIDTH)

    def _tables(self, key: _Key, value: Any, path: tuple[str, ...], *, again: bool) -> Iterator[str]:
        head = ".".join(map(toml_key, path))
        yield from () if again and len(path) > 1 else ("", *_comment(first_sentence(key.said)))
        if key.listed:
            for i, one in enumerate(value):
                yield from (*([""] if i else []), f"[[{head}]]", *self.below(key.table or dict, one, path))
            return
        yield f"[{head}]"
        if key.kind is not None:
            yield from self._component(key, value, path)
        elif key.table is not None:
            yield from self.below(key.table, value, path)
        else:
            yield from (f"{toml_key(name)} = {toml_value(one)}" for name, one in value.items())

    def _component(self, key: _Key, value: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
        spec = self.registry.get(str(key.kind), value["name"]).spec
        self.explained.add((key.kind, value["name"]))
        yield from _comment(f"{first_sentence(spec.summary).rstrip('.')}; `fedgen-bench list {key.kind}` names others.")
        yield f"name = {toml_value(value['name'])}"
        keys = {one.name: one for one in _keys(key.table or dict)}
        for name, more in keys.items():
            if name in value and name not in {"name", "params"}:
                yield from (*_comment(first_sentence(more.said)), f"{name} = {toml_value(value[name])}")
        if dataclasses.fields(spec.params):
            yield from _comment(first_sentence(keys["params"].said))
            yield f"[{'.'.join(map(toml_key, (*path, 'params')))}]"
            yield from self.below(spec.params, value.get("params", {}), (*path, "params"))


def _left_out(key: _Key) -> Iterator[str]:
    """What a key means, and its default where it has one."""
    if key.default is None or key.default in ((), {}):
        yield from _comment(f"{key.name}: {first_sentence(key.said)}")
    else:
        yield from _comment(first_sentence(key.said))
        yield from (f"#{line}" for line in f"{toml_key(key.name)} = {toml_value(key.default)}".splitlines())


def _table_left_out(key: _Key, path: Sequence[str]) -> Iterator[str]:
    names = ", ".join(one.name for one in _keys(key.table or dict))
    yield from _comment(f"[{'.'.join((*path, key.name))}] may be given ({names}): {first_sentence(key.said)}")


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="# ")
