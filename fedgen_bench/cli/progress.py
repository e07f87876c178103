"""Progress on stderr: bars with an estimate on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Self

import click

from fedgen_bench.text import one_line

if TYPE_CHECKING:
    from fedgen_bench.runner import Event


class Progress:
    """Shows a runner's events: the suite's cells, and the rounds of each cell that runs."""

    def __init__(self, n_cells: int, metric: str) -> None:
        self._n_cells, self._metric = n_cells, metric
        self._done = self._skipped = 0
        self._began = time.monotonic()
        self._bars: dict[str, Any] = {}
        self._display: Any = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
            from rich.progress import Progress as Bars

            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
            )
            self._display = Bars(*columns, console=Console(stderr=True))
            self._display.start()
            self._bars[""] = self._display.add_task("suite", total=self._n_cells, note="")
        return self

    def __exit__(self, *exc: object) -> None:
        if self._display is not None:
            self._display.stop()

    def note(self, event: Event) -> None:
        """Take one event."""
        if event.kind in {"skipped", "ended"}:
            self._done += 1
            self._skipped += event.kind == "skipped"
        if self._display is None:
            self._line(event)
        else:
            self._bar(event)

    def _left(self) -> str:
        fresh = self._done - self._skipped
        if not fresh or self._done == self._n_cells:
            return ""
        seconds = (time.monotonic() - self._began) / fresh * (self._n_cells - self._done)
        return f", about {seconds / 60:.0f} min left" if seconds > 90 else f", about {seconds:.0f} s left"  # noqa: PLR2004 - seconds

    def _line(self, event: Event) -> None:
        if event.kind == "skipped":
            click.echo(f"[{self._done}/{self._n_cells}] {event.run}: {event.status} already", err=True)
        elif event.kind == "ended":
            reason = f": {one_line(event.reason)}" if event.reason else ""
            click.echo(
                f"[{self._done}/{self._n_cells}] {event.run}: {event.status} in {event.seconds:.1f} "
                f"s{reason}{self._left()}",
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
