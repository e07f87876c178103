"""What is wrong with what a plugin registers: a name, a spec, its parameters."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

from fedgen_bench.contract.datasets import DataFile, DatasetSpec
from fedgen_bench.contract.specs import ComponentSpec, TaskSpec
from fedgen_bench.registry.kinds import KINDS, NAME


def spec_problem(kind: str, spec: object) -> str | None:
    """What is wrong with a registered object, or None."""
    expected = KINDS[kind].spec
    if not isinstance(spec, expected):
        return f"{KINDS[kind].hook} returned a {type(spec).__name__}, expected {expected.__name__}"
    name = spec.name  # type: ignore[attr-defined]
    if not isinstance(name, str) or not NAME.fullmatch(name):
        return f"{kind} name {name!r} does not match {NAME.pattern}"
    for one in ("build", "folder", "judge"):
        if not callable(getattr(spec, one, callable)):
            return f"{kind} `{name}`: {one} is not callable"
    if isinstance(spec, DatasetSpec) and not all(isinstance(file, DataFile) for file in spec.files):
        return f"{kind} `{name}`: files holds something else than DataFile"
    if isinstance(spec, DatasetSpec) and len(spec.sha256) < len(spec.files):
        return f"{kind} `{name}`: files names one twice"
    if isinstance(spec, ComponentSpec):
        if not (dataclasses.is_dataclass(spec.params) and spec.params.__dataclass_params__.frozen):  # type: ignore[attr-defined]
            return f"{kind} `{name}`: params is not a frozen dataclass"
        missing = [
            f.name
            for f in dataclasses.fields(spec.params)
            if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        ]
        if missing:
            return f"{kind} `{name}`: params without a default: {', '.join(missing)}"
        if not (isinstance(spec.libraries, tuple) and all(isinstance(one, str) for one in spec.libraries)):
            return f"{kind} `{name}`: libraries is not a tuple of names"
        for field, named in _named_parameters(spec):
            if strange := sorted(named - {f.name for f in dataclasses.fields(spec.params)}):
                return f"{kind} `{name}`: {field} names what is no parameter: {', '.join(strange)}"
    if odd := _not_told(spec):
        return f"{kind} `{name}`: {odd}"
    return None


def _named_parameters(spec: ComponentSpec) -> Iterator[tuple[str, frozenset[str]]]:
    """Fields of a spec that hold names of parameters, with these."""
    yield "later", spec.later
    if isinstance(spec, TaskSpec):
        yield "evaluation_only", spec.evaluation_only


def _not_told(spec: Any) -> str | None:
    """What `list` cannot show and results cannot record of a component or suite, or None."""
    for field in dataclasses.fields(spec):
        value = getattr(spec, field.name)
        if field.type in {"str", str} and not isinstance(value, str):
            return f"{field.name} is {type(value).__name__}, expected str"
    if isinstance(spec, ComponentSpec):
        try:
            values = dataclasses.asdict(spec.params())
        except Exception as error:  # noqa: BLE001 - a plugin's own class
            return f"the defaults of its params are refused: {type(error).__name__}: {error}"
        try:
            json.dumps(values, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            return f"a default of its params cannot be recorded as JSON: {error}"
    return None
