"""The page of a suite's claims: every finding with its tables and drawings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from fedgen_bench.base.looks import looks
from fedgen_bench.results.table import Table
from fedgen_bench.site.charts import of_claim
from fedgen_bench.site.drawing import Drawing, draw

if TYPE_CHECKING:
    from fedgen_bench.review.claims.findings import Chart, Finding, Grid
    from fedgen_bench.review.claims.views import View


@dataclass(frozen=True, kw_only=True)
class Section:
    """A claim or a view: its heading, what is said, tables and drawings (each with the name of its data)."""

    anchor: str
    title: str
    verdict: str
    claim: str
    method: str
    reading: str
    grids: tuple[Grid, ...]
    drawings: tuple[tuple[str, Drawing, Markup], ...]


@dataclass(frozen=True, kw_only=True)
class ClaimsPage:
    """What the page's template gets.

    Args:
        home: address of the overview.
    """

    home: str
    table: Table
    sections: tuple[Section, ...]


def claims_page(table: Table, findings: Mapping[str, Finding], views: tuple[View, ...], home: str) -> ClaimsPage:
    """Findings by number, then views."""
    judged = [
        Section(
            anchor=f"claim-{number}",
            title=f"{number}. {one.title}",
            verdict=one.verdict,
            claim=one.claim,
            method=one.method,
            reading=one.reading,
            grids=one.grids,
            drawings=tuple(map(_drawn, one.charts)),
        )
        for number, one in findings.items()
    ]
    viewed = [
        Section(
            anchor=f"view-{place}",
            title=one.title,
            verdict="",
            claim="",
            method="",
            reading=one.text,
            grids=(one.grid,),
            drawings=tuple(map(_drawn, one.charts)),
        )
        for place, one in enumerate(views, start=1)
    ]
    return ClaimsPage(home=home, table=table, sections=(*judged, *viewed))


def _drawn(chart: Chart) -> tuple[str, Drawing, Markup]:
    drawing = of_claim(chart, looks(name for name, _ in chart.series))
    return chart.name, drawing, draw(drawing)
