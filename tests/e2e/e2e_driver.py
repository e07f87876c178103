"""The command line in subprocesses."""

from __future__ import annotations

import json
import os
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

SCRIPT = str(Path(sysconfig.get_path("scripts"), "fedgen-bench"))
Done = subprocess.CompletedProcess[str]


def run(root: Path, *arguments: str) -> Done:
    environ = {name: value for name, value in os.environ.items() if name not in {"FEDGEN_PLUGINS", "FEDGEN_BLOCK"}}
    return subprocess.run(
        [SCRIPT, *arguments], cwd=root, capture_output=True, text=True, check=False, env=environ | {"COLUMNS": "200"}
    )


class Quick:
    """The finished `quick` suite, and what its run said."""

    def __init__(self, root: Path, stdout: str, stderr: str) -> None:
        self.root, self.stdout, self.stderr = root, stdout, stderr
        self.folder = root / "leaderboards" / "quick"

    def fedgen(self, *arguments: str) -> Done:
        return run(self.root, *arguments)

    @property
    def records(self) -> dict[tuple[str, int], dict[str, Any]]:
        results = json.loads((self.folder / "results.json").read_text(encoding="utf-8"))
        return {(one["contender"], one["seed"]): one for one in results["records"]}

    def published(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.folder.iterdir()}
