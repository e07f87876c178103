"""The notebook's cells run one after the other, and what they show is what the folders say."""

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebooks" / "results.ipynb"


def test_every_cell_of_the_notebook_runs(monkeypatch):
    monkeypatch.chdir(NOTEBOOK.parent)
    body = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    known = {}
    for cell in body["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [], "outputs belong to whoever runs it"
            exec(compile("".join(cell["source"]), NOTEBOOK.name, "exec"), known)
    assert known["published"].leaderboard["contender"].iloc[0] == "fedprox_full"
    assert set(known["results"].leaderboard["status"]) == {"incomplete"}
    assert known["gain"].groupby("contender").mean()["fedgen_edge"] > 0
