"""What an engine is: it runs the client tasks of a round somewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from fedgen_bench.federation.client_work import ClientWork
    from fedgen_bench.federation.clients import ClientOutcome, ClientTask


class Engine(Protocol):
    """Runs client tasks somewhere; used for one cell after the other and closed at the end."""

    def run(self, tasks: Iterable[ClientTask], work: ClientWork) -> Iterator[ClientOutcome]:
        """Outcomes in the order of the tasks, which are pure: one that was lost is run again elsewhere.

        Where `work` cannot be used, `fedgen_bench.federation.assembly.open_work(work.blueprint)` builds it anew.
        """

    def close(self) -> None:
        """Give back processes and connections."""
