"""What a session tells and returns, beside data frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fedgen_bench.results.files import PERSONALIZATION
from fedgen_bench.run.tuning import Scored, personalization_csv, tuning_csv

if TYPE_CHECKING:
    from fedgen_bench.review.claims.findings import Finding
    from fedgen_bench.review.comparison import ComparedCell, SeedTest
    from fedgen_bench.review.merging import Addition
    from fedgen_bench.suite.cells import CellSpec


@dataclass(frozen=True)
class Plan:
    """What a call is about to do, told before the first cell.

    Args:
        cells: all of them; those that are done already will be skipped.
        metric: the followed metric, in the events of rounds.
        jobs: worker processes.
        notes: sentences for people: what is to be expected, and warnings.
    """

    cells: tuple[CellSpec, ...]
    metric: str
    jobs: int
    notes: tuple[str, ...] = ()


OnPlan = Callable[[Plan], object]


@dataclass(frozen=True)
class Tuning:
    """A suite's trials.

    Args:
        trials: in the suite's order.
        path: the table of those of training that was written; that of personalisation stands beside it.
    """

    trials: tuple[Scored, ...]
    path: Path

    @property
    def text(self) -> str:
        """The trials of training as CSV."""
        return tuning_csv(self.trials)

    @property
    def tables(self) -> Mapping[str, str]:
        """What is written, by name: trials of training and, where there are any, of personalisation."""
        own = personalization_csv(self.trials)
        return {self.path.name: self.text} | ({PERSONALIZATION: own} if own else {})


@dataclass(frozen=True)
class Reproduction:
    """Cells of a published folder that were run again.

    Args:
        cells: each with every value of both records, and a verdict on each that its tier judges.
        tests: in the statistical tier, of each contender over its seeds.
        path: the report that was written.
    """

    cells: tuple[ComparedCell, ...]
    tests: tuple[SeedTest, ...]
    path: Path

    @property
    def reproduced(self) -> bool:
        """Whether every cell was."""
        return all(cell.reproduced for cell in self.cells)


@dataclass(frozen=True)
class Merged:
    """Rows of another machine's folder.

    Args:
        folder: the published folder that they were added to, or can be.
        rows: what is added, and how cells compare that both folders hold.
    """

    folder: Path
    rows: Addition


@dataclass(frozen=True, kw_only=True)
class Export:
    """What was exported.

    Args:
        folder: where it is.
        seed: of the run that it was trained in.
        seeds: all under which the contender has finished.
        client: whose model it is; None for everybody's.
        code: Python that loads it.
    """

    folder: Path
    seed: int
    seeds: tuple[int, ...]
    client: int | None
    code: str


@dataclass(frozen=True)
class Verdicts:
    """What came of the claims about a suite's reference.

    Args:
        findings: by the claim's number, in the page's order.
        path: the page that was written, with its charts beside it.
        undrawn: charts that are wanting, by name, because there is no matplotlib to draw them.
    """

    findings: Mapping[str, Finding]
    path: Path
    undrawn: tuple[str, ...] = ()
