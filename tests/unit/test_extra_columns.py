"""Columns that stand only where a row has a value: in every format, and nowhere else."""

import csv
import io
import json

import pytest
from made_records import all_made
from test_leaderboard import both, render

from fedgen_bench.base.looks import looks
from fedgen_bench.results import extras
from fedgen_bench.results.columns import Measured
from fedgen_bench.results.leaderboard import build_table
from fedgen_bench.results.table import COLUMNS, Extra
from fedgen_bench.site.grid import grid_of

WEIGHT = Extra(group="Load", key="load_joules", label="load", told="Made up.", unit="joules", lower_is_better=True)
UNHEARD = Extra(group="Load", key="unheard", label="unheard", told="Nobody has it.")


@pytest.fixture
def table(registry, toy_suite, monkeypatch):
    def load(cells):
        contender = cells.done[0].contender
        return None if contender == "fedavg" else 1200.0 + len(cells.done)

    monkeypatch.setattr(extras, "MEASURED", (Measured(WEIGHT, load), Measured(UNHEARD, lambda _: None)))
    return build_table(toy_suite(), all_made([*both("fedavg", 0.3), *both("fedgen_edge", 0.4)]), registry)


def test_table_has_the_columns_that_a_row_has_a_value_of(table):
    assert table.columns == (*COLUMNS, "load_joules")
    assert {row["contender"]: row["load_joules"] for row in table.rows} == {"fedavg": None, "fedgen_edge": 1202.0}


def test_csv_and_json_have_them_behind_the_others(registry, table):
    rows = list(csv.DictReader(io.StringIO(render(registry, "csv", table))))
    assert tuple(rows[0]) == table.columns
    assert {row["load_joules"] for row in rows} == {"", "1202.0"}
    assert [one["key"] for one in json.loads(render(registry, "json", table))["extras"]] == ["load_joules"]


def test_markdown_has_a_grid_for_their_group(registry, table):
    text = render(registry, "markdown", table)
    assert "## Load\n\n| contender | load |\n" in text
    assert "| fedgen_edge | **1.20 kJ** |" in text
    assert "| fedavg | – |" in text
    assert "- **load**: Made up." in text


def test_page_offers_them(table):
    grid = grid_of(table, looks(row["contender"] for row in table.rows))
    place = [column.key for column in grid.columns].index("load_joules")
    assert not grid.columns[place].shown
    assert {row.cells[place].text for group in grid.groups for row in group.rows} == {"–", "1.20 kJ"}
