"""Pages and pictures of the site, as text and bytes by their place, and what `mkdocs.yml` lists of them.

The overview is the README; cards, published tables and claims are taken from where they stand, with links that hold
in the site; the pages on Python names and components are made from the code. The leaderboard site is not among them:
it stands below what is built of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from site_formulas import with_formulas
from site_links import with_contenders, with_links
from site_reference import components, python_names
from site_sources import ROOT, places, places_of_contenders, tables

from fedgen_bench.site.building import FIRST

LEADERBOARDS = "leaderboards"  # in the site
WIDE = "---\nhide: [toc]\n---\n\n"  # a table has the contents' room
MADE = {"api.md": python_names, "components.md": components}


def pages() -> dict[str, bytes]:
    """Every page and picture of the site by its place; the same repository gives the same bytes."""
    found = {place: made().encode() for place, made in MADE.items()}
    for source, place in places().items():
        content = (ROOT / source).read_bytes()
        found[place] = page(source, content.decode()).encode() if source.endswith(".md") else content
    return found


def page(source: str, text: str) -> str:
    """The page that the text of a file becomes."""
    text = with_links(text, source, places(), lambda path: (ROOT / path).exists())
    text = with_contenders(text, places()[source], _contenders_of(source))
    if source == "docs/results.md":
        text += results()
    if source.endswith("/table.md"):
        text = _table_page(text, _suite_of(source))
    return with_formulas(text)


def navigation(config: str) -> str:
    """`mkdocs.yml` with every published table and page of claims, under the page on results."""
    entries = []
    for name in tables():
        entries.append(f"      - {name}: results/{name}.md\n")
        if claims := _if_there(name, "claims.md"):
            entries.append(f'      - "{name}: claims": {claims}\n')
    marks = r"( +# published: [^\n]*\n).*?( +# /published\n)"
    return re.sub(marks, lambda found: found[1] + "".join(entries) + found[2], config, flags=re.DOTALL)


def results() -> str:
    """What follows the page on results: every published suite, and the leaderboard site."""
    lines = ["", "## Every published suite", "", _sorted_at(f"../{LEADERBOARDS}/{FIRST}", "all of them"), ""]
    for name, title in tables().items():
        claims = f", [which claims hold]({place})" if (place := _if_there(name, "claims.md")) else ""
        texts = f", [generated text]({place})" if (place := _if_there(name, "samples.md")) else ""
        lines.append(f"- [{title}](results/{name}.md){claims}{texts}")
    return "\n".join([*lines, ""])


def _table_page(table: str, suite: str) -> str:
    """A published table below links to all else that is published of its suite."""
    heading, _, rest = table.partition("\n")
    lead = _sorted_at(f"../../{LEADERBOARDS}/{suite}/{FIRST}", "this suite")
    if _if_there(suite, "claims.md"):
        lead += f" [Which claims hold]({suite}/claims.md)."
    return f"{WIDE}{heading}\n\n{lead}\n{rest}"


def _if_there(suite: str, file: str) -> str:
    """The place of a published file; empty where the suite has none."""
    place = f"results/{suite}/{file}"
    return place if place in places().values() else ""


def _sorted_at(target: str, what: str) -> str:
    """A link into the leaderboard site; as HTML, for generators know no files of it."""
    return f'<a href="{target}">Pages to sort and look into</a>: {what}, with every run, client and difference.'


def _contenders_of(source: str) -> Mapping[str, str]:
    """Where contenders that a file's tables name have their places."""
    if source in {"README.md", "docs/results.md"}:
        return {name: place for suite in tables() for name, place in places_of_contenders(suite).items()}
    return places_of_contenders(_suite_of(source)) if source.startswith("leaderboards/") else {}


def _suite_of(source: str) -> str:
    return source.split("/")[1]
