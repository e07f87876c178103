"""Write `docs/suite.schema.json`, and the table of keys in `docs/suites.md`: `python docs/make_schema.py`.

Both are what the schema of suites and the components that come with fedgen-bench say of themselves. With `--check`,
only compare.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from fedgen_bench.base.docstrings import arguments_of, first_sentence
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.suite.json_schema import schema_text
from fedgen_bench.suite.schema import SuiteSpec
from fedgen_bench.suite.structure import kind_of, models_in

SCHEMA, PAGE = (Path(__file__).with_name(name) for name in ("suite.schema.json", "suites.md"))


def rows(model: type = SuiteSpec, path: str = "", names: str = "") -> Iterator[tuple[str, str]]:
    """(key, meaning) of all that a table may hold; `names` says what the name of a component is."""
    said = arguments_of(model)
    for name, field in model.model_fields.items():
        key = f"{path}{name}"
        if inner := models_in(field.annotation):
            kind = kind_of(field)
            what = first_sentence(said[name]).partition(";")[0].removesuffix(".")
            yield from rows(inner[0], f"{key}.", f"{what}: see `fedgen-bench list {kind}`" if kind else "")
        else:
            yield key, names if names and name == "name" else _unstopped(said[name])


def _unstopped(text: str) -> str:
    return text if text.endswith("...") else text.removesuffix(".")


def page() -> str:
    """The page on suites with its table of keys."""
    table = "\n".join(["| key | meaning |", "|---|---|", *(f"| `{key}` | {meaning} |" for key, meaning in rows())])
    pattern = r"(<!-- keys: [^\n]*-->\n).*?(<!-- /keys -->\n)"
    text = PAGE.read_text(encoding="utf-8")
    return re.sub(pattern, lambda marks: f"{marks[1]}\n{table}\n\n{marks[2]}", text, flags=re.DOTALL)


def schema() -> str:
    """What the file holds."""
    return schema_text(load_registry(environ={}))


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        same = SCHEMA.read_text(encoding="utf-8") == schema() and PAGE.read_text(encoding="utf-8") == page()
        sys.exit(0 if same else f"{SCHEMA} or {PAGE} is not what the code says.")
    SCHEMA.write_text(schema(), encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")
