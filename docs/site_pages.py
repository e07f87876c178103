"""A hook of MkDocs: pages that are made when the site is built, and links that hold in the repository and in the site.

The overview is the README; cards, published tables and claims are taken from where they stand; the pages on Python
names and components are made from the code, that on results from the published folders. Nothing here imports torch.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import griffe
from mkdocs.structure.files import File

from fedgen_bench.contract.params import tables_in
from fedgen_bench.contract.specs import ComponentSpec, SuiteSource
from fedgen_bench.registry.kinds import KINDS
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.registry.registry import Registered

ROOT = Path(__file__).parents[1]
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
SHOWN = {"convergence.svg": "Over rounds", "quality_vs_uplink.svg": "Over bytes", "samples.png": "Generated pictures"}
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


def copied() -> dict[str, str]:
    """Files of the repository outside `docs/` that are pages or pictures of the site, by path: their path there."""
    found = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
    for card in sorted(ROOT.glob("*/*/cards/*.md")):
        found[card.relative_to(ROOT).as_posix()] = f"cards/{card.name}"
    for table in sorted(ROOT.glob("leaderboards/*/table.md")):
        found[table.relative_to(ROOT).as_posix()] = f"results/{table.parent.name}.md"
        beside = ("*.svg", "samples.*", "claims.md", "claims/*.*")
        for shown in sorted(path for pattern in beside for path in table.parent.glob(pattern)):
            inside = shown.relative_to(table.parent).as_posix()
            found[shown.relative_to(ROOT).as_posix()] = f"results/{table.parent.name}/{inside}"
    if len(set(found.values())) < len(found):
        raise ValueError("Two cards have one name. Rename one of them.")
    return found


def tables() -> dict[str, str]:
    """The title of every published suite by its name."""
    found = {}
    for table in sorted(ROOT.glob("leaderboards/*/table.md")):
        heading = table.read_text(encoding="utf-8").partition("\n")[0]
        found[table.parent.name] = heading.removeprefix("# ").rpartition(": suite ")[0]
    return found


def results() -> str:
    """The page that leads to all others on results."""
    pages = set(copied().values())
    said = "Every published suite, with its plots. `fedgen-bench site` makes [pages](site.md) to sort and look into."
    lines = ["# Results", "", said, ""]
    for name, title in tables().items():
        claims = f", [which claims hold](results/{name}/claims.md)" if f"results/{name}/claims.md" in pages else ""
        texts = f", [generated text](results/{name}/samples.md)" if f"results/{name}/samples.md" in pages else ""
        lines.append(f"- [{title}](results/{name}.md){claims}{texts}")
    return "\n".join([*lines, ""])


def plots(name: str) -> str:
    """What follows a published table: its drawings and pictures."""
    there = {path for path in copied().values() if path.startswith(f"results/{name}/")}
    links = [f"![{what}]({name}/{file})" for file, what in SHOWN.items() if f"results/{name}/{file}" in there]
    more = [f"[Which claims hold]({name}/claims.md)"] if f"results/{name}/claims.md" in there else []
    return "\n\n".join(["", "## Plots", *links, *more, ""]) if links or more else ""


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
    registry = load_registry(environ={})
    if registry.failures or not registry.components["strategy"]:
        raise ValueError(f"The plugins are not there: {registry.failures}. Install the package.")
    cards = {Path(target).stem: target for target in copied().values() if target.startswith("cards/")}
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


def on_config(config: Any) -> Any:
    """Every published table and page of claims is in the navigation."""
    pages = set(copied().values())
    under: list[Any] = [{"All": "results.md"}]
    for name in tables():
        under.append({name: f"results/{name}.md"})
        if (claims := f"results/{name}/claims.md") in pages:
            under.append({f"{name}: claims": claims})
    config.nav.insert(2, {"Results": under})
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add what is not in `docs/`."""
    for source, target in copied().items():
        files.append(File.generated(config, target, abs_src_path=str(ROOT / source)))
    files.append(File.generated(config, "api.md", content=python_names()))
    files.append(File.generated(config, "components.md", content=components()))
    files.append(File.generated(config, "results.md", content=results()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links between files of the repository into links between pages; what is no page becomes plain text."""
    pages = copied()
    sources = {target: source for source, target in pages.items()}
    here = page.file.src_uri
    folder = posixpath.dirname(sources.get(here, f"docs/{here}"))

    def turned(link: re.Match[str]) -> str:
        mark, text, target, anchor = link.groups()
        path = posixpath.normpath(posixpath.join(folder, target))
        site = pages.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else None)
        if here in GENERATED or (site is None and not (ROOT / path).exists()):
            return link[0]
        if site is None:
            return text
        return f"{mark}[{text}]({posixpath.relpath(site, posixpath.dirname(here) or '.')}{anchor or ''})"

    text = re.sub(r"(!?)\[([^\]]*)\]\((?!https?:)([^)#\s]+)(#[^)\s]*)?\)", turned, markdown)
    is_table = sources.get(here, "").endswith("/table.md")
    return text + plots(posixpath.basename(here).removesuffix(".md")) if is_table else text


GENERATED = ("api.md", "components.md", "results.md")
