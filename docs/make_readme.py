"""Write the tables of `README.md` and `docs/results.md` from published folders: `python docs/make_readme.py`.

With `--check`, only compare. A table stands between `<!-- NAME -->` and `<!-- /NAME -->`; tests/docs/test_readme.py
holds the sentences with figures. `--absolute ADDRESS TAG` makes README's links lead to a repository's files at a tag,
for the package index, where relative ones lead nowhere.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
TARGETS = (README, ROOT / "docs" / "results.md")
LANGUAGE = {
    "rank": "rank",
    "contender": "contender",
    "quality": "perplexity per word, test",
    "personalised": "personalised",
    "uplink": "uplink",
    "uplink per client-round": "uplink per client-round",
    "uplink saved": "saved",
}
IMAGES = {
    "rank": "rank",
    "contender": "contender",
    "quality": "FID (`cifarnet`, 1,000 images), test",
    "test/class_accuracy": "recognised (%), test",
    "test/denoising_loss": "denoising loss, test",
    "uplink": "uplink",
    "uplink per client-round": "uplink per client-round",
    "uplink saved": "saved",
}
DEVICES = {
    "rank": "rank",
    "contender": "contender",
    "quality": "perplexity per word, test",
    "slowest devices": "own text, slowest tenth of devices",
    "simulated time": "simulated time",
    "simulated time to target": "to the target",
    "energy in all": "energy",
    "wasted bytes": "sent in vain",
    "clients heard": "clients heard",
}
LEAKS = {
    "contender": "contender",
    "epsilon": "epsilon at 0.001",
    "quality": "perplexity per word, test",
    "global model (bits)": "global model",
    "single update (bits)": "single update",
    "owner's model (bits)": "owner's own model",
    "another's model (bits)": "another's own model",
    "control (bits)": "control",
    "extracted": "extracted",
}
RANKING = {
    "ptb": ("ptb-table", LANGUAGE),
    "cifar10": ("cifar10-table", IMAGES),
    "ptb-edge": ("ptb-edge-table", DEVICES),
    "ptb-privacy": ("ptb-privacy-table", LEAKS),
}
FURTHER = {"9": "ptb-privacy", "10": "ptb-edge"}  # claims that other suites have the evidence for
JUDGED = {"ptb": "Penn Treebank", "cifar10": "CIFAR-10", "beige-book": "Beige Book"}


class Published:
    """What a published folder says of itself."""

    def __init__(self, suite: str) -> None:
        self.folder = ROOT / "leaderboards" / suite

    def text(self, name: str) -> str:
        """A file."""
        return (self.folder / name).read_text(encoding="utf-8")

    @cached_property
    def table(self) -> dict[str, Any]:
        """`table.json`."""
        return dict(json.loads(self.text("table.json")))

    @cached_property
    def rows(self) -> dict[str, Mapping[str, Any]]:
        """Rows of the table by contender."""
        return {row["contender"]: row for row in self.table["rows"]}

    @cached_property
    def shown(self) -> dict[str, dict[str, str]]:
        """The same as the first table of `table.md` shows them, by heading."""
        return {line["contender"]: line for line in grids(self.text("table.md"))[0]}

    @cached_property
    def records(self) -> list[Mapping[str, Any]]:
        """Finished records."""
        return [one for one in json.loads(self.text("results.json"))["records"] if one["status"] == "done"]

    def mean(self, contender: str, metric: str) -> float:
        """Of a metric over a contender's records."""
        values = [one["metrics"][metric] for one in self.records if one["contender"] == contender]
        return float(sum(values) / len(values))

    @property
    def minutes(self) -> float:
        """Of all processes together."""
        return sum(float(one["seconds"]) for one in csv.DictReader(self.text("timing.csv").splitlines())) / 60

    def verdict(self, number: str) -> tuple[str, str]:
        """Of a claim by its number: the verdict, and what it rests on; nothing where it is not judged."""
        page = self.text("claims.md")
        summary = {line[""]: line for line in grids(page)[0]}
        if number not in summary:
            return "", ""
        section = page.split(f"\n## {number}. ")[1].split("\n## ")[0]
        compared = next((one for one in grids(section) if "outcome" in one[0]), None)
        reading = summary[number]["reading"] if compared is None else "; ".join(map(_outcome, compared))
        return summary[number]["verdict"].strip("*"), reading


def _outcome(line: Mapping[str, str]) -> str:
    needed = line.get("seeds to decide", "–")
    more = "" if needed == "–" else f", {needed} seeds to decide"
    return f"{line['compared']} {line['outcome']} ({line['advantage']}{more})"


def grids(page: str) -> list[list[dict[str, str]]]:
    """Markdown tables of a page that have lines, by heading."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", page, flags=re.MULTILINE):
        head, _, *lines = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in block.splitlines()]
        if lines:
            found.append([dict(zip(head, line, strict=True)) for line in lines])
    return found


def line(cells: Iterator[str] | list[str]) -> str:
    """Of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def all_shown(published: Published) -> dict[str, dict[str, str]]:
    """By contender, what every table of `table.md` shows of it, by heading; best figures are not marked."""
    return {
        contender: {
            name: value.replace("*", "") for name, value in {**row, **_other_metrics(published, contender)}.items()
        }
        for contender, row in published.shown.items()
    }


def ranking(suite: str, columns: Mapping[str, str]) -> str:
    """Columns of the folder's own table under headings for readers; best figures are not marked."""
    published = Published(suite)
    lines = [line(list(columns.values())), f"|{'---|' * len(columns)}"]
    for contender, shown in all_shown(published).items():
        cells = {**shown, "contender": f"`{contender}`"}
        lines.append(line([cells[column] for column in columns]))
    return "\n".join(lines)


def _other_metrics(published: Published, contender: str) -> dict[str, str]:
    """As `table.md` shows them in its table of other metrics."""
    return {
        key: value
        for grid in grids(published.text("table.md"))[1:]
        for row in grid
        if row.get("contender") == contender
        for name, value in row.items()
        for key in (name, name.split(" ")[0].strip("`"))
    }


def verdicts() -> str:
    """A line for every claim, a column for every folder with claims."""
    folders = {name: Published(suite) for suite, name in JUDGED.items()}
    folders = {name: one for name, one in folders.items() if (one.folder / "claims.md").exists()}
    claims = {row[""]: row["claim"] for one in folders.values() for row in grids(one.text("claims.md"))[0]}
    lines = [line(["claim", *folders]), f"|{'---|' * (len(folders) + 1)}"]
    for number, claim in claims.items():
        found = [one.verdict(number) for one in folders.values()]
        cells = [f"**{verdict}**: {why}" if verdict != "no evidence" else verdict for verdict, why in found]
        lines.append(line([f"{number}. {claim}", *cells]))
    return "\n".join(lines)


def further() -> str:
    """A line for every claim that a suite of its own has the evidence for."""
    lines = [line(["claim", "suite", "verdict"]), "|---|---|---|"]
    for number, suite in FURTHER.items():
        one = Published(suite)
        claim = next(row["claim"] for row in grids(one.text("claims.md"))[0] if row[""] == number)
        lines.append(
            line(
                [
                    f"{number}. {claim}",
                    f"[`{suite}`](../leaderboards/{suite}/claims.md)",
                    "**{}**: {}".format(*one.verdict(number)),
                ]
            )
        )
    return "\n".join(lines)


def blocks() -> dict[str, str]:
    """What stands between the marks, by their name."""
    made = {mark: ranking(suite, columns) for suite, (mark, columns) in RANKING.items()}
    return {**made, "claims-table": verdicts(), "further-claims": further()}


def text(target: Path) -> str:
    """The whole page."""
    page = target.read_text(encoding="utf-8")
    for mark, content in blocks().items():
        pattern = rf"(<!-- {mark} -->\n).*?(<!-- /{mark} -->)"
        page = re.sub(pattern, lambda marks, made=content: f"{marks[1]}{made}\n{marks[2]}", page, flags=re.DOTALL)
    return page


def absolute(page: str, address: str, tag: str) -> str:
    """The page with links to files as addresses in a repository: pictures as they are, other files as shown there."""

    def turned(link: re.Match[str]) -> str:
        mark, label, target = link.groups()
        return f"{mark}[{label}]({address}/{'raw' if mark else 'blob'}/{tag}/{target})"

    return re.sub(r"(!?)\[([^\]]*)\]\((?!https?:|#)([^)\s]+)\)", turned, page)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--absolute"]:
        README.write_text(absolute(README.read_text(encoding="utf-8"), *sys.argv[2:]), encoding="utf-8")
    elif "--check" in sys.argv[1:]:
        old = [str(one) for one in TARGETS if one.read_text(encoding="utf-8") != text(one)]
        sys.exit(f"Not what leaderboards/ say: {', '.join(old)}" if old else 0)
    else:
        for one in TARGETS:
            one.write_text(text(one), encoding="utf-8")
