"""`claims.md` and the files that it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from fedgen_bench.base.errors import PluginError
from fedgen_bench.registry.kinds import NAME
from fedgen_bench.results.files import CLAIMS, CLAIMS_FOLDER
from fedgen_bench.review.claims.charts import as_csv, as_svg
from fedgen_bench.review.claims.evidence import Evidence
from fedgen_bench.review.claims.findings import Chart, Finding, Grid
from fedgen_bench.review.claims.views import View

if TYPE_CHECKING:
    from fedgen_bench.suite.schema import Seeds

_OF_UNDECIDED = (
    "An undecided comparison names the seeds that would decide it if its effect and deviation were those observed, "
    "which so few seeds tell only roughly."
)


def page_files(
    evidence: Evidence, findings: Mapping[str, Finding], views: Sequence[View], *, drawn: bool = True
) -> dict[str, bytes]:
    """Every file by its name below the published folder; charts as data alone where they are not `drawn`.

    Raises:
        PluginError: for a chart without a name of its own.
    """
    files = {CLAIMS: _page(evidence, findings, views).encode()}
    charts = [chart for finding in findings.values() for chart in finding.charts]
    for chart in charts + [chart for view in views for chart in view.charts]:
        if not NAME.fullmatch(chart.name) or f"{CLAIMS_FOLDER}/{chart.name}.csv" in files:
            raise PluginError(f"A chart of the claims is called `{chart.name}`: taken, or no name. Rename it.")
        files[f"{CLAIMS_FOLDER}/{chart.name}.csv"] = as_csv(chart).encode()
        if drawn:
            files[f"{CLAIMS_FOLDER}/{chart.name}.svg"] = as_svg(chart).encode()
    return files


def _page(evidence: Evidence, findings: Mapping[str, Finding], views: Sequence[View]) -> str:
    main = evidence.main.suite
    suites = (main, *(one.suite for one in evidence.sweeps.values()))
    sources = [f"`{one.suite.name}` version {one.suite.version} ({_seeds(one.seeds)})" for one in suites]
    lines = [
        f"# Which claims hold: suite `{main.suite.name}`",
        "",
        f"Judged of `{main.suite.reference}` from published results: {', '.join(sources)}.",
        f"Written by `fedgen-bench claims --suite {main.suite.name}`; docs/claims.md says what the words mean.",
        _OF_UNDECIDED,
        "",
        *_grid(
            Grid(
                ("", "claim", "verdict", "reading"),
                tuple((number, f.title, f"**{f.verdict}**", f.reading) for number, f in findings.items()),
            )
        ),
    ]
    for number, finding in findings.items():
        lines += ["", f"## {number}. {finding.title}: {finding.verdict}", "", finding.claim]
        if finding.method:
            lines += ["", f"How: {finding.method}"]
        lines += ["", finding.reading, *_shown(finding.grids, finding.charts)]
    for view in views:
        lines += ["", f"## {view.title}", "", view.text, *_shown((view.grid,), view.charts)]
    return "\n".join(lines) + "\n"


def _seeds(seeds: Seeds) -> str:
    fewer = f", {len(seeds.references)} for reference rows" if seeds.references else ""
    return f"{len(seeds.leaderboard)} seeds{fewer}"


def _shown(grids: Sequence[Grid], charts: Sequence[Chart]) -> list[str]:
    lines = []
    for grid in grids:
        lines += ["", *([f"{grid.caption}:", ""] if grid.caption else []), *_grid(grid)]
    for chart in charts:
        lines += [
            "",
            f"![{chart.title}]({CLAIMS_FOLDER}/{chart.name}.svg)",
            "",
            f"Data: [{chart.name}.csv]({CLAIMS_FOLDER}/{chart.name}.csv)",
        ]
    return lines


def _grid(grid: Grid) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"

    return [line(grid.head), f"|{'|'.join(' --- ' for _ in grid.head)}|", *map(line, grid.rows)]
