"""The first page: a card a suite, methods by suites, and which claims hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from fedgen_bench.base.digits import show_bytes
from fedgen_bench.base.looks import looks
from fedgen_bench.site.grid import GridRow, anchor_of
from fedgen_bench.site.suite_page import SuitePage
from fedgen_bench.site.svg import swatch


@dataclass(frozen=True, kw_only=True)
class Card:
    """A suite in short.

    Args:
        address: of its page.
        first: contenders on the first rank, with their quality.
        points: values of the axis of an ablation.
        cheapest: the ranked contenders that send least, with how much a client of theirs sends in a round.
    """

    address: str
    title: str
    name: str
    facts: tuple[tuple[str, str], ...]
    first: tuple[tuple[str, str], ...]
    points: tuple[str, ...]
    cheapest: tuple[tuple[str, ...], str] | None
    verdicts: tuple[tuple[str, int], ...]


@dataclass(frozen=True, kw_only=True)
class Place:
    """A contender in a suite: its rank and quality with interval; without a rank it is a reference there."""

    address: str
    rank: str
    quality: str
    interval: str
    first: bool


@dataclass(frozen=True, kw_only=True)
class Method:
    """A contender over all suites; None where a suite does not have it."""

    contender: str
    swatch: Markup
    family: str
    reference: bool
    places: tuple[Place | None, ...]


@dataclass(frozen=True, kw_only=True)
class Overview:
    """What the page's template gets.

    Args:
        suites: names, titles and addresses of the suites that are no ablations.
        families: adapters of the methods, which they can be filtered by.
        judged: names and addresses of suites with claims.
        claims: number, title and, by judged suite, verdict.
    """

    cards: tuple[Card, ...]
    ablations: tuple[Card, ...]
    suites: tuple[tuple[str, str], ...]
    methods: tuple[Method, ...]
    families: tuple[str, ...]
    judged: tuple[tuple[str, str], ...]
    claims: tuple[tuple[str, str, tuple[str, ...]], ...]


def overview(pages: Mapping[str, SuitePage]) -> Overview:
    """The first page over suites' pages by address, in the order given."""
    main = {address: page for address, page in pages.items() if "sweep" not in page.table.setup}
    methods = _methods(main)
    judged = {address: page for address, page in pages.items() if page.findings}
    numbers = dict.fromkeys(number for page in judged.values() for number in page.findings)
    return Overview(
        cards=tuple(_card(address, page) for address, page in main.items()),
        ablations=tuple(_card(address, page) for address, page in pages.items() if address not in main),
        suites=tuple((page.table.suite, address) for address, page in main.items()),
        methods=methods,
        families=tuple(sorted({one.family for one in methods})),
        judged=tuple((page.table.suite, address) for address, page in judged.items()),
        claims=tuple(
            (number, _title(number, judged.values()), tuple(_verdict(number, page) for page in judged.values()))
            for number in numbers
        ),
    )


def _title(number: str, pages: Iterable[SuitePage]) -> str:
    return next(page.findings[number].title for page in pages if number in page.findings)


def _verdict(number: str, page: SuitePage) -> str:
    return page.findings[number].verdict if number in page.findings else ""


def _card(address: str, page: SuitePage) -> Card:
    rows = [row for row in page.table.rows if row["rank"] is not None]
    sending = [row for row in rows if row["uplink_per_client_round_bytes"]]
    least = min((row["uplink_per_client_round_bytes"] for row in sending), default=None)
    verdicts: dict[str, int] = {}
    for finding in page.findings.values():
        verdicts[finding.verdict] = verdicts.get(finding.verdict, 0) + 1
    return Card(
        address=address,
        title=page.table.title,
        name=page.table.suite,
        facts=tuple(fact for fact in page.facts if fact[0] in {"Task", "Clients", "Split", "Seeds", "Ablation"}),
        first=() if page.table.among else _first(page),
        points=tuple(f"{point['value']:g}" for point in page.table.setup.get("sweep", {}).get("point", ())),
        cheapest=None
        if page.table.among or least is None
        else (
            tuple(row["contender"] for row in sending if row["uplink_per_client_round_bytes"] == least),
            show_bytes(least),
        ),
        verdicts=tuple(sorted(verdicts.items())),
    )


def _first(page: SuitePage) -> tuple[tuple[str, str], ...]:
    cells = _cells(page)
    names = [row["contender"] for row in page.table.rows if row["rank"] == 1]
    return tuple((name, cells[name]["quality_mean"]) for name in names)


def _cells(page: SuitePage) -> dict[str, dict[str, str]]:
    """Texts of the page's table by contender and column."""
    keys = [column.key for column in page.grid.columns]
    rows: list[GridRow] = [row for group in page.grid.groups for row in group.rows]
    return {row.contender: dict(zip(keys, (cell.text for cell in row.cells), strict=True)) for row in rows}


def _methods(pages: Mapping[str, SuitePage]) -> tuple[Method, ...]:
    """Contenders by how many suites rank them, then by mean rank, then by name; reference rows last."""
    rows: dict[str, dict[str, Mapping[str, Any]]] = {}
    for address, page in pages.items():
        for row in page.table.rows:
            if row["status"] in {"done", "incomplete"}:
                rows.setdefault(row["contender"], {})[address] = row
    looked = looks(rows)

    def order(name: str) -> tuple[int, float, str]:
        ranks = [row["rank"] for row in rows[name].values() if row["rank"] is not None]
        return -len(ranks), sum(ranks) / len(ranks) if ranks else 0.0, name

    return tuple(
        Method(
            contender=name,
            swatch=swatch(looked[name]),
            family=next(iter(rows[name].values()))["adapter"],
            reference=all(row["rank"] is None for row in rows[name].values()),
            places=tuple(_place(address, page, rows[name].get(address)) for address, page in pages.items()),
        )
        for name in sorted(rows, key=order)
    )


def _place(address: str, page: SuitePage, row: Mapping[str, Any] | None) -> Place | None:
    if row is None:
        return None
    cells = _cells(page)[row["contender"]]
    return Place(
        address=f"{address}#{anchor_of(row['contender'])}",
        rank="" if row["rank"] is None else str(row["rank"]),
        quality=cells["quality_mean"].partition(" ")[0],
        interval=cells["interval"],
        first=row["rank"] == 1,
    )
