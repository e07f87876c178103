"""Write `docs/cli.md` from the command line's own help: `python docs/make_cli.py`. With `--check`, only compare."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from fedgen_bench.cli.main import cli

TARGET = Path(__file__).with_name("cli.md")
HEAD = """# Command line

Made from the commands themselves by `python docs/make_cli.py`; a test holds it to them.

`python -m fedgen_bench` is the same as `fedgen-bench`. In paths, `~` is your home folder. Names of suites, contenders,
components and data sets complete behind TAB after `eval "$(_FEDGEN_BENCH_COMPLETE=bash_source fedgen-bench)"` (also
`zsh_source`, `fish_source`). An error is one line; `FEDGEN_TRACEBACK=1` shows where it comes from.
"""


def sections(command: click.Command, path: str, parent: click.Context | None = None) -> Iterator[str]:
    """The help of a command and of all below it, as Markdown."""
    width: dict[str, Any] = {"max_content_width": 100, "terminal_width": 100}
    settings = command.context_settings | width
    context = click.Context(command, parent, info_name=path.rsplit(" ", 1)[-1], **settings)
    level = "##" if parent is None or parent.parent is None else "###"
    yield f"{level} `{path}`\n\n```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None:
                yield from sections(inner, f"{path} {name}", context)


def text() -> str:
    """The whole page."""
    return HEAD + "\n" + "\n".join(sections(cli, "fedgen-bench"))


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        sys.exit(0 if TARGET.read_text(encoding="utf-8") == text() else f"{TARGET} is not what the commands say.")
    TARGET.write_text(text(), encoding="utf-8")
