"""What cards say of published tables."""

import csv
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTENT = sorted(ROOT.glob("*/fedgen_bench_*"))
UNPUBLISHED = sorted(
    card
    for folder in CONTENT
    for card in folder.glob("cards/*.md")
    if re.search(r"(^|\. )No published row", card.read_text(encoding="utf-8"), re.MULTILINE)
)
TABLES = sorted(
    card for folder in CONTENT for card in folder.glob("cards/*.md") if (ROOT / "leaderboards" / card.stem).is_dir()
)


def published() -> set[str]:
    """Names of components that a published result was made with."""
    found = set()
    for file in ROOT.glob("leaderboards/*/results.json"):
        for record in json.loads(file.read_text(encoding="utf-8"))["records"]:
            config = record["config"]
            used = [config["contender"][kind] for kind in ("strategy", "adapter")]
            found |= {one["name"] for one in (*used, config.get("attack")) if one}
    return found


def described(card: Path) -> set[str]:
    """Names of the components of the module that a card is named after, or else those that its first lines name."""
    modules = [module for folder in CONTENT for module in folder.rglob(f"{card.stem}.py")]
    if not modules:
        return set(re.findall(r"`(\w+)`", card.read_text(encoding="utf-8").split("\n## ")[0]))
    sources = [module.read_text(encoding="utf-8") for module in modules]
    return {card.stem, *(name for source in sources for name in re.findall(r'\bname="(\w+)"', source))}


def test_cards_are_found():
    assert {"ptb", "cifar10"} <= {card.stem for card in TABLES}
    assert {"scaffold", "dora"} <= {card.stem for card in UNPUBLISHED}
    assert {"fedbuff", "median", "sign_flip", "lora"} <= published()


@pytest.mark.parametrize("card", UNPUBLISHED, ids=lambda card: card.stem)
def test_card_that_knows_no_published_row_is_right(card):
    assert described(card) & published() == set()


@pytest.mark.parametrize("card", TABLES, ids=lambda card: card.stem)
def test_card_tells_what_the_published_cells_took(card):
    with (ROOT / "leaderboards" / card.stem / "timing.csv").open(encoding="utf-8", newline="") as handle:
        seconds = [float(row["seconds"]) for row in csv.DictReader(handle)]
    text = " ".join(card.read_text(encoding="utf-8").split())
    assert f"{len(seconds)} cells took {sum(seconds) / 60:.0f} minutes of processes" in text
