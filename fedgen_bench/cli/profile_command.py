"""`fedgen-bench profile`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from fedgen_bench.base.digits import show_bytes, show_percent
from fedgen_bench.base.safe_text import one_line, printable
from fedgen_bench.cli import options
from fedgen_bench.cli.progress import Progress
from fedgen_bench.cli.screen import print_grid

if TYPE_CHECKING:
    from fedgen_bench.session.session import Session

_SHOWN_OPERATORS = 20
_MIB = 1 << 20
_INTERRUPTED = 130


@click.command("profile")
@options.many(options.suite, options.contender, options.seed)
@click.option(
    "--rounds",
    type=click.IntRange(1),
    default=None,
    metavar="K",
    help="Rounds of a cell.  [default: 2, or the suite's where it has one]",
)
@options.overrides
@click.option(
    "--operators",
    is_flag=True,
    help="Also what torch does in two fits, by operator; cells are then run in this process.",
)
@options.session(
    options.data,
    options.files,
    options.device,
    options.plugin,
    options.engine,
    options.jobs,
    options.address,
    options.cohort,
)
@click.option(
    "--out",
    type=options.PATH,
    default=None,
    metavar="DIR",
    help="Folder for phases.csv and trace.json.  [default: profile/<suite>]",
)
def command(session: Session, suite: str, **asked: Any) -> int:
    """Show where the time, bytes and memory of a suite's rounds go, by phase.

    Cells are run in a store that is thrown away: the suite's reference under its first seed, where none are chosen.
    `trace.json` opens at https://ui.perfetto.dev and in any viewer of Chrome's trace format. Seconds of a phase are
    without the phases within it, summed over processes. Exit codes: 0 all cells done, 1 some failed, 2 wrong usage,
    130 interrupted.
    """
    try:
        with Progress() as progress:
            seen = session.profile(suite, **asked, on_plan=progress.begin, on_event=progress.note)
    except KeyboardInterrupt:  # what other commands say of committed rounds would be wrong here
        click.echo("Interrupted. Nothing is kept of a profile that was cut off.", err=True)
        return _INTERRUPTED
    print_grid(
        ("phase", "calls", "seconds", "share", "bytes", "peak memory"),
        [
            (
                one.name,
                f"{one.calls:,}",
                f"{one.seconds:.3f}",
                show_percent(one.share),
                show_bytes(one.n_bytes) if one.n_bytes else "",
                f"{one.peak_bytes / _MIB:,.0f} MiB",
            )
            for one in seen.phases
        ],
    )
    if asked["operators"]:
        click.echo()
        print_grid(
            ("operator", "calls", "seconds", "share", "on the GPU", "memory"),
            [
                (
                    one.name,
                    f"{one.calls:,}",
                    f"{one.seconds:.4f}",
                    show_percent(one.share),
                    f"{one.device_seconds:.4f}" if one.device_seconds else "",
                    show_bytes(one.n_bytes) if one.n_bytes > 0 else "",
                )
                for one in seen.operators[:_SHOWN_OPERATORS]
            ],
        )
    bad = [event for event in seen.ended if event.status != "done"]
    for event in bad:
        click.echo(f"{event.run}: {event.status}: {one_line(event.reason)}", err=True)
    click.echo(printable(f"Written to {seen.folder}; trace.json opens at https://ui.perfetto.dev"), err=True)
    return 1 if bad else 0
