"""Pages of the site that are made from the code: Python names and components. Nothing here imports torch."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import griffe
from site_sources import ROOT, places, plugins

from fedgen_bench.contract.params import tables_in
from fedgen_bench.contract.specs import ComponentSpec, SuiteSource
from fedgen_bench.registry.kinds import KINDS
from fedgen_bench.registry.registry import Registered

WHOLE = (
    "fedgen_bench.contract.specs",
    "fedgen_bench.contract.protocols",
    "fedgen_bench.contract.contexts",
    "fedgen_bench.contract.messages",
    "fedgen_bench.contract.data",
    "fedgen_bench.contract.reports",
    "fedgen_bench.contract.engines",
    "fedgen_bench.contract.datasets",
    "fedgen_bench.contract.backbones",
    "fedgen_bench.contract.claims",
    "fedgen_bench.review.claims.evidence",
    "fedgen_bench.review.claims.findings",
    "fedgen_bench.results.table",
    "fedgen_bench.federation.client_work",
    "fedgen_bench.testing.contracts",
    "fedgen_bench.api",
    "fedgen_bench.session.session",
    "fedgen_bench.session.frames",
    "fedgen_bench.session.plots",
    "fedgen_bench.session.answers",
    "fedgen_bench.results.contrasts",
)
INTRODUCTIONS = {
    "fedgen_bench.contract.specs": "What plugins declare.",
    "fedgen_bench.contract.protocols": "What `build` of a spec must return.",
    "fedgen_bench.contract.contexts": "What a strategy is told with every call.",
    "fedgen_bench.contract.messages": "What server, clients and the trainer give each other.",
    "fedgen_bench.contract.data": "What is split over clients and trained on.",
    "fedgen_bench.contract.reports": "What observers and table formats are given.",
    "fedgen_bench.contract.engines": "For engines: a client's part of a round as data, and what works it off.",
    "fedgen_bench.contract.datasets": "What plugins say of data sets.",
    "fedgen_bench.contract.backbones": "What plugins say of backbones.",
    "fedgen_bench.contract.claims": "What plugins say of claims.",
    "fedgen_bench.review.claims.evidence": "For judges; import these names from `fedgen_bench.authors.claims`.",
    "fedgen_bench.review.claims.findings": "For judges; import these names from `fedgen_bench.authors.claims`.",
    "fedgen_bench.results.table": "For table formats; import these names from `fedgen_bench.authors.tables`.",
    "fedgen_bench.federation.client_work": "For engines: what works a client's part of a round off.",
    "fedgen_bench.testing.contracts": "For the tests of plugins; import these names from `fedgen_bench.testing`.",
    "fedgen_bench.api": "Suites from Python; `fedgen_bench` imports this when one of its functions is asked for.",
    "fedgen_bench.session.session": "What the functions are one call into, and the commands too.",
    "fedgen_bench.session.frames": "What `run`, `leaderboard` and `load` return.",
    "fedgen_bench.session.plots": "What `plot` of the results returns.",
    "fedgen_bench.session.answers": "What the others tell and return.",
    "fedgen_bench.results.contrasts": "What `compare` returns.",
}


def python_names() -> str:
    """The page on public names: what `fedgen_bench` exports, by the module that it stands in."""
    package = griffe.load("fedgen_bench", search_paths=[ROOT], allow_inspection=False)
    names: dict[str, list[str]] = {module: [] for module in WHOLE}
    lazy = griffe.load("fedgen_bench.api", search_paths=[ROOT], allow_inspection=False).members
    for name in package.exports or ():
        if str(name) not in package.members and str(name) in lazy:
            continue
        target = package.members[str(name)].target_path
        names.setdefault(target.rpartition(".")[0], []).append(str(name))
    lines = [
        "# Python names",
        "",
        "Plugins import these from `fedgen_bench`; importing them loads no heavy library.",
        "",
    ]
    for module in sorted(names, key=lambda one: (one not in WHOLE, WHOLE.index(one) if one in WHOLE else one)):
        lines += [f"## `{module}`", "", INTRODUCTIONS.get(module, ""), ""]
        if module in WHOLE:
            lines += [f"::: {module}", "    options: {show_root_heading: false, show_root_toc_entry: false}", ""]
        else:
            lines += [line for name in sorted(names[module]) for line in (f"::: {module}.{name}", "")]
    return "\n".join(lines)


def components() -> str:
    """The page on what comes with fedgen-bench: every component with its parameters, and its card."""
    registry = plugins()
    cards = {Path(place).stem: place for place in places().values() if place.startswith("cards/")}
    lines = [
        "# Components",
        "",
        "What comes with fedgen-bench, made from the code. Cards give papers and equations.",
        "",
    ]
    for kind in KINDS:
        lines += [f"## {kind.replace('_', ' ').capitalize()}", ""]
        for name, found in sorted(registry.components[kind].items()):
            lines += [*_component(name, found, cards.get(name, "")), ""]
    others = sorted(cards.keys() - {name for kind in KINDS for name in registry.components[kind]})
    if others:
        lines += ["## Other cards", "", *(f"- [{name}]({cards[name]})" for name in others)]
    return "\n".join(lines)


def _component(name: str, found: Registered, card: str) -> Iterator[str]:
    spec = found.spec
    yield f"### `{name}`"
    yield ""
    if isinstance(spec, ComponentSpec):
        documents = [spec.summary, inspect.getdoc(spec.build) if inspect.isclass(spec.build) else None]
        params: dict[str, Any] = dataclasses.asdict(spec.params())
        if params:
            documents.append(inspect.getdoc(spec.params))
            documents += [f"[{name}]\n{inspect.getdoc(table)}" for name, table in tables_in(spec.params).items()]
        for text in filter(None, documents):
            yield f"```text\n{text}\n```\n" if text is not spec.summary else f"{text}\n"
        if params:
            yield "Defaults: " + ", ".join(f"`{key} = {json.dumps(value)}`" for key, value in params.items()) + ".\n"
    elif not isinstance(spec, SuiteSource):
        yield f"{spec.summary}\n"
    else:
        title = re.search(r'^title = "(.*)"$', spec.text, flags=re.MULTILINE)
        yield f"{title[1] if title else ''}. `fedgen-bench show suite/{name}` prints it.\n"
    if card:
        yield f"Card: [{name}]({card})."
