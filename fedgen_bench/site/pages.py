"""Pages as text: templates filled, each with its style and its script, so that a page is one file."""

from __future__ import annotations

import functools
import re
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from fedgen_bench.base.looks import DARK_HUES, HUES
from fedgen_bench.base.safe_text import printable
from fedgen_bench.site.suite_page import suite_page

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

    from fedgen_bench.results.table import Table
    from fedgen_bench.site.claims_page import ClaimsPage
    from fedgen_bench.site.overview import Overview
    from fedgen_bench.site.suite_page import SuitePage

_TEMPLATES = files("fedgen_bench.site") / "templates"


def suite_text(page: SuitePage) -> str:
    """A suite's page."""
    return _filled("suite.html", page=page)


def page_of(table: Table) -> str:
    """A table's page by itself: without runs, clients and claims, which no table holds."""
    return suite_text(suite_page(table))


def claims_text(page: ClaimsPage) -> str:
    """The page of a suite's claims."""
    return _filled("claims.html", page=page)


def overview_text(page: Overview) -> str:
    """The first page."""
    return _filled("overview.html", page=page)


def _filled(name: str, **given: Any) -> str:
    return printable(_environment().get_template(name).render(given), keep="\n")


@functools.cache
def _environment() -> Environment:
    """Templates of this room; every value is escaped unless it is markup, and a missing one is an error."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    made = Environment(
        loader=FunctionLoader(lambda name: (_TEMPLATES / name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {"prose": _prose, "parted": _parted, "begun": _begun}
    made.globals |= {"hues": HUES, "dark_hues": DARK_HUES}
    return made


def _begun(words: str) -> str:
    """The beginning of a sentence; abbreviations stay as they are."""
    return words[:1].upper() + words[1:]


def _parted(name: str) -> Markup:
    """A name that may be broken after its parts on a narrow screen."""
    from markupsafe import Markup, escape

    return Markup("<wbr>").join(map(escape, re.findall(r"[^_@=]+[_@=]*", name)))


def _prose(text: str) -> Markup:
    """Code spans and bold of a sentence; anything else in it is text."""
    from markdown_it import MarkdownIt
    from markupsafe import Markup

    parser = MarkdownIt("zero", {"html": False}).enable(["backticks", "emphasis"])
    return Markup(parser.renderInline(text))  # noqa: S704 - it escapes what it does not render
