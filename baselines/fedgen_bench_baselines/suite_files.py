"""The suites beside this file."""

from __future__ import annotations

from pathlib import Path

from fedgen_bench import SuiteSource, hookimpl


@hookimpl
def register_suites() -> list[SuiteSource]:
    folder = Path(__file__).parent / "suites"
    return [
        SuiteSource(name=path.stem, text=path.read_text(encoding="utf-8"), path=str(path))
        for path in sorted(folder.glob("*.toml"))
    ]
