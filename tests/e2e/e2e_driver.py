"""The command line, in a process of its own or in this one, where starting it is not what is tested."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any
from unittest import mock

from fedgen_bench.cli.main import main

SCRIPT = str(Path(sysconfig.get_path("scripts"), "fedgen-bench"))
Done = subprocess.CompletedProcess[str]


def _environ() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in {"FEDGEN_PLUGINS", "FEDGEN_BLOCK"}}
    return kept | {"COLUMNS": "200"}


def run(root: Path, *arguments: str) -> Done:
    """As a user calls it: 4 seconds for the libraries alone."""
    return subprocess.run([SCRIPT, *arguments], cwd=root, capture_output=True, text=True, check=False, env=_environ())


def here(root: Path, *arguments: str) -> Done:
    """The same from `main` on."""
    stdout, stderr = io.StringIO(), io.StringIO()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with (
            contextlib.chdir(root),
            mock.patch.object(sys, "argv", [SCRIPT, *arguments]),
            mock.patch.dict(os.environ, _environ(), clear=True),
            contextlib.redirect_stdout(stdout),
            contextlib.redirect_stderr(stderr),
        ):
            main()
    except SystemExit as end:
        return Done([SCRIPT, *arguments], int(end.code), stdout.getvalue(), stderr.getvalue())
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    raise AssertionError("main always exits")


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
