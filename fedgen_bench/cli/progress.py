"""Progress on stderr: bars with an estimate on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Self

import click

from fedgen_bench.base.safe_text import one_line
from fedgen_bench.cli.pace import Pace

if TYPE_CHECKING:
    from fedgen_bench.run.events import Event
    from fedgen_bench.session.answers import Plan


def show_notes(plan: Plan) -> None:
    """What a session has to say before the first cell."""
    for note in plan.notes:
        click.echo(note, err=True)


class Progress:
    """Shows what a session tells: its notes, then the suite's cells, and the rounds of each cell that runs."""

    def __init__(self) -> None:
        self._n_cells, self._metric = 0, ""
        self._done = 0
        self._pace = Pace(0)
        self._bars: dict[str, Any] = {}
        self._display: Any = None

    def __enter__(self) -> Self:
        return self

    def begin(self, plan: Plan) -> None:
        """Take the plan."""
        show_notes(plan)
        self._n_cells, self._metric = len(plan.cells), plan.metric
        self._pace = Pace(self._n_cells)
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as Bars

            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.fields[note]}"),
            )
            self._display = Bars(*columns, console=Console(stderr=True))
            self._display.start()
            self._bars[""] = self._display.add_task("suite", total=self._n_cells, note="")

    def __exit__(self, *exc: object) -> None:
        if self._display is not None:
            self._display.stop()

    def note(self, event: Event) -> None:
        """Take one event."""
        if event.kind in {"skipped", "ended"}:
            self._done += 1
        self._pace.note(event)
        if self._display is None:
            self._line(event)
        else:
            self._bar(event)

    def _left(self) -> str:
        seconds = self._pace.left()
        if seconds is None:
            return ""
        return f"about {seconds / 60:.0f} min left" if seconds > 90 else f"about {seconds:.0f} s left"  # noqa: PLR2004 - seconds

    def _line(self, event: Event) -> None:
        if event.kind == "skipped":
            click.echo(f"[{self._done}/{self._n_cells}] {event.run}: {event.status} already", err=True)
        elif event.kind == "ended":
            reason = f": {one_line(event.reason)}" if event.reason else ""
            click.echo(
                f"[{self._done}/{self._n_cells}] {event.run}: {event.status} in {event.seconds:.1f} "
                f"s{reason}{f', {left}' if (left := self._left()) else ''}",
                err=True,
            )

    def _bar(self, event: Event) -> None:
        if event.kind == "started":
            self._bars[event.run] = self._display.add_task(event.run, total=event.n_rounds, note="")
        elif event.kind == "round":
            value = dict(event.metrics).get(self._metric)
            note = f"loss {event.mean_loss:.3f}" + ("" if value is None else f", {self._metric} {value:.4g}")
            self._display.update(self._bars[event.run], completed=event.round_index + 1, note=note)
        else:
            if event.run in self._bars:
                self._display.remove_task(self._bars.pop(event.run))
            if event.reason:
                self._display.console.print(f"{event.run}: {event.status}: {one_line(event.reason)}", markup=False)
            self._display.update(self._bars[""], completed=self._done)
        self._display.update(self._bars[""], note=self._left())
