"""A suite's page: everything that its table and, where they are at hand, its records tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from fedgen_bench.base.digits import show_bytes
from fedgen_bench.base.looks import looks
from fedgen_bench.results.pairing import comparable
from fedgen_bench.results.record import Record
from fedgen_bench.results.table import Table
from fedgen_bench.site.charts import curves, quality_against_uplink, quality_over_axis
from fedgen_bench.site.drawing import Drawing, draw
from fedgen_bench.site.grid import Grid, grid_of
from fedgen_bench.site.parts import HeatMap, heat_maps
from fedgen_bench.site.runs import Behind, behind
from fedgen_bench.site.strips import Strips, clients, differences
from fedgen_bench.site.svg import swatch

if TYPE_CHECKING:
    from fedgen_bench.review.claims.findings import Finding


@dataclass(frozen=True, kw_only=True)
class Download:
    """A published file beside the page."""

    name: str
    size: str


@dataclass(frozen=True, kw_only=True)
class SuitePage:
    """What the page's template gets.

    Args:
        home: address of the overview; empty for a page that stands alone.
        samples: contender and what its model writes, by rank.
        swatches: every contender's shape in its colour.
        findings: of the claims about the suite's reference, by number; empty where none are published.
    """

    home: str
    table: Table
    grid: Grid
    facts: tuple[tuple[str, str], ...]
    drawings: tuple[tuple[Drawing, Markup], ...]
    differences: Strips | None
    clients: Strips | None
    heat_maps: tuple[HeatMap, ...]
    behind: tuple[Behind, ...]
    samples: tuple[tuple[str, str], ...]
    swatches: Mapping[str, Markup]
    findings: Mapping[str, Finding]
    downloads: tuple[Download, ...]

    @property
    def linked(self) -> frozenset[str]:
        """Contenders that the page tells more about."""
        return frozenset(one.contender for one in self.behind)


def suite_page(
    table: Table,
    records: Sequence[Record] = (),
    *,
    home: str = "",
    findings: Mapping[str, Finding] | None = None,
    files: Mapping[str, int] | None = None,
    elapsed: Mapping[str, Mapping[int, float]] | None = None,
) -> SuitePage:
    """The page of a table.

    Args:
        table: the leaderboard.
        records: what it was made of; without them, the page has no runs and no clients.
        home: address of the overview.
        findings: of the claims about its reference, by number.
        files: bytes of the published files beside the page, by name.
        elapsed: simulated seconds by contender and number of rounds.
    """
    looked = looks(row["contender"] for row in table.rows)
    drawings = [
        quality_over_axis(table),
        quality_against_uplink(table, looked),
        *curves(table, looked, elapsed or {}),
    ]
    return SuitePage(
        home=home,
        table=table,
        grid=grid_of(table, looked),
        facts=tuple(facts_of(table)),
        drawings=tuple((one, draw(one)) for one in drawings if one is not None),
        differences=differences(table, looked),
        clients=clients(table, comparable(records), looked),
        heat_maps=tuple(heat_maps(table)),
        behind=behind(table, records),
        samples=tuple((row["contender"], table.samples[row["contender"]]) for row in table.rows
                      if row["contender"] in table.samples),
        swatches={name: swatch(look) for name, look in looked.items()},
        findings=findings or {},
        downloads=tuple(Download(name=name, size=show_bytes(size)) for name, size in (files or {}).items()),
    )  # fmt: skip


def facts_of(table: Table) -> list[tuple[str, str]]:
    """What the suite is, in a few words each."""
    setup, federation = table.setup, table.setup["federation"]
    task = setup["task"].get("params", {})
    of_task = [str(task[key]) for key in ("dataset", "backbone") if task.get(key)]
    seeds = ", ".join(map(str, table.seeds))
    if table.reference_seeds:
        seeds += f" (reference rows: {', '.join(map(str, table.reference_seeds))})"
    facts = [
        ("Task", f"{_named(setup['task'])}{': ' if of_task else ''}{', '.join(of_task)}"),
        ("Clients", f"{federation['n_clients']}, of whom {federation['clients_per_round']} a round"),
        ("Rounds", str(federation["rounds"])),
        ("Split", _component(setup["partitioner"], _swept(setup, "partitioner.params."))),
        ("Seeds", seeds),
        ("Ranked by", f"{table.metric_unit}, {'lower' if table.lower_is_better else 'higher'} is better"),
        ("Reference", table.reference),
    ]
    if sweep := setup.get("sweep"):
        facts.append(("Ablation", f"{sweep['axis']} of {sweep['of']}"))
    if attack := setup.get("attack"):
        facts.append(("Attack", _component(attack)))
    return facts


def _named(component: Mapping[str, Any]) -> str:
    return str(component["name"]).replace("_", " ")


def _swept(setup: Mapping[str, Any], start: str) -> dict[str, str]:
    """What an ablation sets of the values whose path begins so, at all of its points."""
    values: dict[str, list[str]] = {}
    for point in setup.get("sweep", {}).get("point", ()):
        for path, value in point["set"].items():
            if path.startswith(start):
                values.setdefault(path.removeprefix(start), []).append(f"{value:g}")
    return {key: ", ".join(dict.fromkeys(found)) for key, found in values.items()}


def _component(component: Mapping[str, Any], swept: Mapping[str, str] = MappingProxyType({})) -> str:
    params = ", ".join(f"{key} {value}" for key, value in {**component.get("params", {}), **swept}.items())
    return _named(component) + (f" ({params})" if params else "")
