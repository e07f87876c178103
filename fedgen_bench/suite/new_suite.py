"""A suite to begin from: a template or another suite's text under a new name, with comments."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedgen_bench.base.errors import UsageError
from fedgen_bench.base.files import present, write_atomic
from fedgen_bench.contract.specs import SuiteSource
from fedgen_bench.registry.kinds import NAME
from fedgen_bench.suite.commented import commented
from fedgen_bench.suite.json_schema import schema_text
from fedgen_bench.suite.load import load_suite
from fedgen_bench.suite.source import SUFFIX, suite_source

if TYPE_CHECKING:
    from fedgen_bench.registry.registry import Registry

SCHEMA = "suite.schema.json"
_HEAD = f"""#:schema ./{SCHEMA}
# A comment is about the line below it. `#key = value` is left out and has this default; `# key: ...` is left out and
# has none.
"""


def new_suite(name: str, registry: Registry, like: str | None = None) -> str:
    """The text of a suite, like another one (a registered name or a file's path), else like the template.

    Raises:
        UsageError: the name breaks a rule or is a registered suite's, or there is no such other suite.
        SuiteError: what it would name is not registered here.
    """
    if not NAME.fullmatch(name):
        raise UsageError(f"`{name}` is no name of a suite. Match {NAME.pattern}.")
    if name in registry.components["suite"]:
        owner = registry.components["suite"][name].provenance.distribution
        raise UsageError(f"Suite `{name}` is there already, from {owner}. Choose another name.")
    source = _template() if like is None else suite_source(like, registry)
    load_suite(source, registry)
    table = tomllib.loads(source.toml)
    after = "" if like is None else f", after {table['suite']['name']}"
    text = f"{_HEAD}\n{commented(table | {'suite': _head(table['suite'], name, after)}, registry)}"
    load_suite(SuiteSource(name=name, text=text, path=f"{name}{SUFFIX}"), registry)
    return text


def _template() -> SuiteSource:
    text = (files("fedgen_bench") / "templates" / f"suite{SUFFIX}.txt").read_text(encoding="utf-8")
    return SuiteSource(name="suite", text=text, path=f"suite{SUFFIX}")


def _head(head: Mapping[str, Any], name: str, after: str) -> dict[str, Any]:
    """The new suite's; notes were about the other one."""
    kept = {key: value for key, value in head.items() if key != "notes"}
    return kept | {"name": name, "version": 1, "title": f"{name}{after}"}


def write_new(file: Path, text: str, registry: Registry) -> tuple[Path, ...]:
    """Write a suite, and the schema beside it unless it is there; which files were written.

    Raises:
        UsageError: the file exists, or cannot be given with `--suite`.
    """
    if file.suffix != SUFFIX:
        raise UsageError(
            f"{file} does not end in {SUFFIX}, by which `--suite` knows a file. Name another with `--out`."
        )
    if present(file):
        raise UsageError(f"{file} is there already and nothing is overwritten. Name another with `--out`.")
    write_atomic(file, text.encode())
    schema = file.with_name(SCHEMA)
    if present(schema):
        return (file,)
    write_atomic(schema, schema_text(registry).encode())
    return file, schema
