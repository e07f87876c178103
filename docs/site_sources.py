"""What the site is made from: files of the repository by their place in it, published suites, plugins."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.registry.registry import Registry
from fedgen_bench.results.published import open_folder
from fedgen_bench.suite.load import load_suite

ROOT = Path(__file__).parents[1]
_BESIDE_TABLE = ("*.svg", "samples.*", "claims.md", "claims/*.*")


@functools.cache
def places() -> Mapping[str, str]:
    """Files of the repository that are pages or pictures of the site, by path: their place there.

    Raises ValueError when two have one place.
    """
    found = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
    for path in sorted((ROOT / "docs").rglob("*")):
        if path.is_file() and path.suffix not in {".py", ".pyc"}:
            found[path.relative_to(ROOT).as_posix()] = path.relative_to(ROOT / "docs").as_posix()
    for card in sorted(ROOT.glob("*/fedgen_bench_*/cards/*.md")):
        found[card.relative_to(ROOT).as_posix()] = f"cards/{card.name}"
    for table in sorted(ROOT.glob("leaderboards/*/table.md")):
        found[table.relative_to(ROOT).as_posix()] = f"results/{table.parent.name}.md"
        for shown in sorted(path for pattern in _BESIDE_TABLE for path in table.parent.glob(pattern)):
            inside = shown.relative_to(table.parent).as_posix()
            found[shown.relative_to(ROOT).as_posix()] = f"results/{table.parent.name}/{inside}"
    if len(set(found.values())) < len(found):
        raise ValueError("Two files have one place, as cards of one name do. Rename one of them.")
    return found


def tables() -> dict[str, str]:
    """The title of every published suite by its name."""
    found = {}
    for table in sorted(ROOT.glob("leaderboards/*/table.md")):
        heading = table.read_text(encoding="utf-8").partition("\n")[0]
        found[table.parent.name] = heading.removeprefix("# ").rpartition(": suite ")[0]
    return found


@functools.cache
def plugins() -> Registry:
    """What comes with fedgen-bench. Raises ValueError where it is not installed."""
    registry = load_registry(environ={})
    if registry.failures or not registry.components["strategy"]:
        raise ValueError(f"The plugins are not there: {registry.failures}. Install the package.")
    return registry


@functools.cache
def places_of_contenders(suite: str) -> Mapping[str, str]:
    """By contender of a published suite its card, or that of its strategy, or the latter's place among components."""
    cards = set(places().values())
    found = {}
    for contender in load_suite(open_folder(ROOT / "leaderboards" / suite).source, plugins()).contender:
        strategy = contender.strategy.name
        own = [card for one in (contender.name, strategy) if (card := f"cards/{one}.md") in cards]
        found[contender.name] = own[0] if own else f"components.md#{strategy}"
    return found
