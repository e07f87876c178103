"""Cells of one suite as data frames and plots."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fedgen_bench.base.errors import UsageError
from fedgen_bench.results.contrasts import Contrast, contrasts
from fedgen_bench.results.record import Record
from fedgen_bench.results.table import Table
from fedgen_bench.session.plots import Plot, plot

if TYPE_CHECKING:
    import pandas as pd

    from fedgen_bench.base.errors import WouldLoseError
    from fedgen_bench.registry.registry import Registry
    from fedgen_bench.results.details import MessageRow
    from fedgen_bench.results.store import StoredRun
    from fedgen_bench.review.comparison import ComparedCell
    from fedgen_bench.run.events import Event


@dataclass(frozen=True, kw_only=True)
class Results:
    """Runs of one suite.

    Args:
        table: the leaderboard, with what its formats need.
        records: one published record a run.
        registry: what they were read with.
        stored: the runs as the store has them; None when only published results were loaded.
        messages: rows of a published folder's ledger.
        ended: how each cell ended that the call ran; cells that were done before are not among them.
        kept: why the published folder stayed as it was; None where it holds these results, or none were to be written.
        published: where it stayed, all its cells against these; none where these lack one.
    """

    table: Table
    records: tuple[Record, ...]
    registry: Registry = field(repr=False, compare=False)
    stored: tuple[StoredRun, ...] | None = None
    messages: tuple[MessageRow, ...] = field(default=(), repr=False, compare=False)
    ended: tuple[Event, ...] = ()
    kept: WouldLoseError | None = None
    published: tuple[ComparedCell, ...] = field(default=(), repr=False)

    @property
    def reproduced(self) -> bool:
        """Whether the published folder stayed because it has the same cells from elsewhere, and all of them agree."""
        return bool(self.published) and all(cell.reproduced for cell in self.published)

    @cached_property
    def leaderboard(self) -> pd.DataFrame:
        """One row a contender, ranked ones first, with the columns of `table.csv`."""
        import pandas as pd

        return pd.DataFrame([dict(row) for row in self.table.rows], columns=list(self.table.columns))

    @cached_property
    def rounds(self) -> pd.DataFrame:
        """One row for every evaluated round of a run: rounds done, the followed metric, uplink bytes until then.

        What nobody trains has one row, of round 0.
        """
        return self._frame(
            ("n_rounds", self.table.followed.metric, "uplink_bytes"),
            lambda record: [(int(done), value, int(uplink)) for done, value, uplink in record.curve],
        )

    @cached_property
    def clients(self) -> pd.DataFrame:
        """The metric of every evaluated client of a run, by model (`global`, `kept`, `personalized`)."""
        return self._frame(
            ("model", "client_id", self.table.own.metric),
            lambda record: [
                (model, int(client_id), value)
                for model, values in record.per_client.items()
                for client_id, value in values.items()
            ],
        )

    @cached_property
    def ledger(self) -> pd.DataFrame:
        """One row for every booked message.

        Raises:
            UsageError: these results were loaded from a folder that was published without one.
        """
        import pandas as pd

        if self.stored is None:
            return self._published_ledger()
        rows = [
            {"contender": run.spec.contender, "seed": run.spec.seed, "off_suite": ", ".join(run.spec.off_suite)}
            | vars(entry)
            for run in self.stored
            for report in run.rounds
            for entry in report.ledger
        ]
        return pd.DataFrame(rows)

    def _published_ledger(self) -> pd.DataFrame:
        import pandas as pd

        if not self.messages:
            raise UsageError(
                'These results were published without a ledger. Load the store: `load_results("runs", suite=...)`.'
            )
        off_suite = {record.digest: ", ".join(record.off_suite) for record in self.records}
        frame = pd.DataFrame(list(self.messages))
        frame.insert(2, "off_suite", frame["digest"].map(off_suite))
        return frame.drop(columns="digest")

    def compare(self, first: str, second: str) -> pd.DataFrame:
        """One row for every metric that both contenders have, seed by seed: SECOND minus FIRST, with a paired interval.

        Raises:
            UsageError: a contender without a finished run, with the closest name.
        """
        import pandas as pd

        rows = [asdict(one) for one in contrasts(self.records, first, second)]
        return pd.DataFrame(rows, columns=[one.name for one in fields(Contrast)])

    def plot(self, name: str = "convergence") -> Plot:
        """A plot of the leaderboard: a registered table format that draws, by the name of its file without `.svg`.

        Raises:
            UsageError: there is no such plot, with the closest name, or none of this table.
        """
        return plot(self.table, self.registry, name)

    def _frame(self, columns: Sequence[str], rows: Callable[[Record], Sequence[tuple[Any, ...]]]) -> pd.DataFrame:
        import pandas as pd

        found = [
            (record.contender, record.seed, ", ".join(record.off_suite), *row)
            for record in self.records
            for row in rows(record)
        ]
        return pd.DataFrame(found, columns=["contender", "seed", "off_suite", *columns])
