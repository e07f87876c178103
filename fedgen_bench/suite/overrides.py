"""Values of a suite's table by path: `federation.rounds`, `contender.fedprox_full.learning_rate`."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

from fedgen_bench.base.errors import UsageError, unknown

_MADE = frozenset({"params", "personalization", "schedule"})  # tables that a path may begin


def apply_overrides(table: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """A copy of a suite's table with `path=value` overrides.

    Raises:
        UsageError: a path that does not exist, with the closest name.
    """
    changed = dict(table)
    for override in overrides:
        path, separator, raw = override.partition("=")
        if not separator:
            raise UsageError(
                f"`--set {override}` has no `=`. Write `--set path=value`, for instance `--set federation.rounds=3`."
            )
        changed = with_value(changed, path, typed_value(raw), said=f"`--set {override}`")
    return changed


def typed_value(raw: str) -> Any:
    """What is typed behind `=`: a value of TOML, or a text that needs no quotes."""
    try:
        return tomllib.loads(f"value = {raw}")["value"]
    except (ValueError, RecursionError):
        return raw


def with_value(table: Mapping[str, Any], path: str, value: Any, *, said: str) -> dict[str, Any]:
    """A copy of a suite's table with one value set; contenders are addressed by name, messages begin with `said`.

    Raises:
        UsageError: a path that does not exist, with the closest name.
    """
    changed = copy.deepcopy(dict(table))
    node: Any = changed
    *parents, last = path.strip().split(".")
    for depth, part in enumerate(parents):
        if isinstance(node, list):
            by_name = {str(one["name"]): one for one in node if isinstance(one, dict) and "name" in one}
            if part not in by_name:
                raise UsageError(f"{said}: " + unknown("contender", part, by_name))
            node = by_name[part]
        elif isinstance(node, dict) and (part in node or part in _MADE or "params" in parents[:depth]):
            node = node.setdefault(part, {})
        else:
            raise UsageError(f"{said}: " + unknown("table", part, node if isinstance(node, dict) else ()))
    if not isinstance(node, dict):
        raise UsageError(f"{said}: {path} is not a value. Name one value of a table.")
    node[last] = value
    return _paired(changed, table) if parents[:1] == ["task"] and "params" in (last, *parents[1:]) else changed


def _paired(changed: dict[str, Any], table: Mapping[str, Any]) -> dict[str, Any]:
    """With the task's parameters as they were before: what bears on evaluation alone must not move the streams."""
    before = table["task"]
    return {**changed, "task": {**changed["task"], "pairs_as": before.get("pairs_as") or before.get("params", {})}}
