"""`fedgen-bench validate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fedgen_bench.base.safe_text import printable
from fedgen_bench.cli import options

if TYPE_CHECKING:
    from fedgen_bench.session.session import Session


@click.command("validate")
@click.argument("path", type=options.PATH)
@options.session(options.plugin)
def command(session: Session, path: Path) -> int:
    """Check the results folder PATH without executing anything from it (exit code 1 when it has problems).

    Problems are what must be mended, remarks what a reader should know.
    """
    report = session.validate(path)
    for notice in report.notices:
        click.echo(f"{'problem' if notice.problem else 'remark'} ({notice.group}): {notice.text}")
    counts = ((report.n_records, "record"), (len(report.problems), "problem"), (len(report.remarks), "remark"))
    said = ", ".join(f"{n} {what}{'' if n == 1 else 's'}" for n, what in counts)
    click.echo(f"{printable(str(path))}: {said}")
    return 1 if report.problems else 0
