"""The command line, in a process of its own or in this one, where starting it is not what is tested."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path
from unittest import mock

from fedgen_bench.cli.main import main

SCRIPT = str(Path(sysconfig.get_path("scripts"), "fedgen-bench"))
Done = subprocess.CompletedProcess[str]


def environ() -> dict[str, str]:
    """A terminal's width, and nothing that this shell says about plugins."""
    kept = {name: value for name, value in os.environ.items() if name not in {"FEDGEN_PLUGINS", "FEDGEN_BLOCK"}}
    return kept | {"COLUMNS": "200"}


def run(root: Path, *arguments: str) -> Done:
    """As a user calls it: 4 seconds for the libraries alone."""
    return subprocess.run([SCRIPT, *arguments], cwd=root, capture_output=True, text=True, check=False, env=environ())


def here(root: Path, *arguments: str) -> Done:
    """The same from `main` on."""
    stdout, stderr = io.StringIO(), io.StringIO()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with (
            contextlib.chdir(root),
            mock.patch.object(sys, "argv", [SCRIPT, *arguments]),
            mock.patch.dict(os.environ, environ(), clear=True),
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
