"""A hook of MkDocs: pages that are made when the site is built, and links that hold in the repository and in the site.

The overview is the README; cards, published tables and claims are taken from where they stand; the pages on Python
names and components are made from the code. The leaderboard site stands below them. Nothing here imports torch.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import griffe
from mkdocs.structure.files import File

from fedgen_bench.contract.params import tables_in
from fedgen_bench.contract.specs import ComponentSpec, SuiteSource
from fedgen_bench.registry.kinds import KINDS
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.registry.registry import Registered, Registry
from fedgen_bench.results.published import open_folder
from fedgen_bench.site.building import FIRST, site_files, write_site
from fedgen_bench.suite.load import load_suite

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
LEADERBOARDS = "leaderboards"  # in the site
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


@functools.cache
def plugins() -> Registry:
    """What comes with fedgen-bench. Raises ValueError where it is not installed."""
    registry = load_registry(environ={})
    if registry.failures or not registry.components["strategy"]:
        raise ValueError(f"The plugins are not there: {registry.failures}. Install the package.")
    return registry


def results() -> str:
    """What follows the page on results: every published suite, and the leaderboard site."""
    pages = set(copied().values())
    lines = ["", "## Every published suite", "", _sorted_at(f"../{LEADERBOARDS}/{FIRST}", "all of them"), ""]
    for name, title in tables().items():
        claims = f", [which claims hold](results/{name}/claims.md)" if f"results/{name}/claims.md" in pages else ""
        texts = f", [generated text](results/{name}/samples.md)" if f"results/{name}/samples.md" in pages else ""
        lines.append(f"- [{title}](results/{name}.md){claims}{texts}")
    return "\n".join([*lines, ""])


def _sorted_at(target: str, what: str) -> str:
    """A link into the leaderboard site, which MkDocs knows no files of."""
    return f'<a href="{target}">Pages to sort and look into</a>: {what}, with every run, client and difference.'


@functools.cache
def places_of_contenders(name: str) -> Mapping[str, str]:
    """By contender of a published suite its card, or that of its strategy, or the latter's place among components."""
    suite = load_suite(open_folder(ROOT / "leaderboards" / name).source, plugins())
    cards = set(copied().values())
    found = {}
    for contender in suite.contender:
        strategy = contender.strategy.name
        own = [card for one in (contender.name, strategy) if (card := f"cards/{one}.md") in cards]
        found[contender.name] = own[0] if own else f"components.md#{strategy}"
    return found


def _places_of_all() -> Mapping[str, str]:
    return {name: place for suite in tables() for name, place in places_of_contenders(suite).items()}


def linked(text: str, places: Mapping[str, str], here: str) -> str:
    """Contenders in cells of tables lead to their pages."""

    def turned(cell: re.Match[str]) -> str:
        place = places.get(cell["name"])
        return f"[{cell[0]}]({posixpath.relpath(place, posixpath.dirname(here) or '.')})" if place else cell[0]

    return re.sub(r"(?<=\| )(?P<mark>`?)(?P<name>\w+)(?:@[^|`\n]+)?(?P=mark)(?= \|)", turned, text)


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
    registry = plugins()
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
    """Every published table and page of claims stands in the navigation, under the page on results."""
    pages = set(copied().values())
    under: list[Any] = ["results.md"]
    for name in tables():
        under.append({name: f"results/{name}.md"})
        if (claims := f"results/{name}/claims.md") in pages:
            under.append({f"{name}: claims": claims})
    config.nav[config.nav.index({"Results": "results.md"})] = {"Results": under}
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add what is not in `docs/`."""
    for source, target in copied().items():
        files.append(File.generated(config, target, abs_src_path=str(ROOT / source)))
    for page, made in MADE.items():
        files.append(File.generated(config, page, content=made()))
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
        if here in MADE or (site is None and not (ROOT / path).exists()):
            return link[0]
        if site is None:
            return text
        return f"{mark}[{text}]({posixpath.relpath(site, posixpath.dirname(here) or '.')}{anchor or ''})"

    text = re.sub(r"(!?)\[([^\]]*)\]\((?!https?:)([^)#\s]+)(#[^)\s]*)?\)", turned, markdown)
    if here in ("index.md", "results.md"):
        text = linked(text, _places_of_all(), here)
        return text + results() if here == "results.md" else text
    if not here.startswith("results/"):
        return text
    text = linked(text, places_of_contenders(here.split("/")[1].removesuffix(".md")), here)
    if not sources[here].endswith("/table.md"):
        return text
    name = posixpath.basename(here).removesuffix(".md")
    heading, _, table = text.partition("\n")
    lead = _sorted_at(f"../../{LEADERBOARDS}/{name}/{FIRST}", "this suite")
    return f"{heading}\n\n{lead}\n{table}{plots(name)}"


def on_post_build(config: Any) -> None:
    """The leaderboard site, below the pages."""
    write_site(Path(config.site_dir) / LEADERBOARDS, site_files(ROOT / "leaderboards", plugins()))


MADE = {"api.md": python_names, "components.md": components}
