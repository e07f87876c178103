"""The finished `quick` suite."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from commands import Done, here


class Quick:
    """The finished `quick` suite, and what its run said."""

    def __init__(self, root: Path, stdout: str, stderr: str) -> None:
        self.root, self.stdout, self.stderr = root, stdout, stderr
        self.folder = root / "leaderboards" / "quick"

    def fedgen(self, *arguments: str) -> Done:
        return here(self.root, *arguments)

    @property
    def records(self) -> dict[tuple[str, int], dict[str, Any]]:
        results = json.loads((self.folder / "results.json").read_text(encoding="utf-8"))
        return {(one["contender"], one["seed"]): one for one in results["records"]}

    def published(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.folder.iterdir()}
