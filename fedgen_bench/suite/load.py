"""TOML -> SuiteSpec. Every problem of a suite file is reported at once, with its line."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import ValidationError

from fedgen_bench.base.errors import SuiteError
from fedgen_bench.contract.params import problems_of
from fedgen_bench.suite.checks import component_problems, cross_problems
from fedgen_bench.suite.lines import lines_of
from fedgen_bench.suite.overrides import apply_overrides
from fedgen_bench.suite.schema import SuiteSpec
from fedgen_bench.suite.structure import accepted

if TYPE_CHECKING:
    from fedgen_bench.contract.specs import SuiteSource
    from fedgen_bench.registry.registry import Registry

MAX_TEXT_BYTES = 1 << 20


def load_suite(source: SuiteSource, registry: Registry, overrides: Sequence[str] = ()) -> SuiteSpec:
    """Parse and validate a suite against the registry.

    Raises:
        SuiteError: all that is wrong, each with file and line.
    """
    if len(source.text.encode()) > MAX_TEXT_BYTES:
        raise SuiteError([f"{source.path}: larger than {MAX_TEXT_BYTES} bytes. A suite is a short text."])
    try:
        table = tomllib.loads(source.toml)
    except (ValueError, RecursionError) as error:
        raise SuiteError([f"{source.path}: {error}. Mend the TOML."]) from None
    table = apply_overrides(table, overrides)
    lines = lines_of(source.toml)
    of_components = [place_in(source, lines, path) + text for path, text in component_problems(table, registry)]
    try:
        suite = SuiteSpec.model_validate_json(json.dumps(table, default=str))
    except ValidationError as error:
        known = dict(accepted(SuiteSpec))
        problems = [place_in(source, lines, path) + sentence for path, sentence in problems_of(error, known)]
        raise SuiteError(problems + of_components) from None
    problems = of_components + [place_in(source, lines, path) + text for path, text in cross_problems(suite, registry)]
    if problems:
        raise SuiteError(problems)
    return suite


def place_in(source: SuiteSource, lines: Mapping[tuple[str, ...], int], path: tuple[str, ...]) -> str:
    """`file:line: ` of a table or key, or of what is around it; what a message begins with."""
    for end in range(len(path), 0, -1):
        if path[:end] in lines:
            return f"{source.path}:{lines[path[:end]]}: "
    return f"{source.path}: "
