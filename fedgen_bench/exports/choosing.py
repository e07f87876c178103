"""Which finished run of the store an export is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fedgen_bench.base.errors import StoreError, UsageError, unknown
from fedgen_bench.results.record import Done
from fedgen_bench.results.recording import record_of
from fedgen_bench.suite.cells import expand

if TYPE_CHECKING:
    from fedgen_bench.registry.registry import Registry
    from fedgen_bench.results.store import Store, StoredRun
    from fedgen_bench.suite.schema import SuiteSpec


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """A finished run.

    Args:
        run: as the store has it.
        record: of it.
        siblings: records of all finished runs of the contender under the same conditions, by seed, its own included.
    """

    run: StoredRun
    record: Done
    siblings: tuple[Done, ...]


def choose(
    store: Store,
    suite: SuiteSpec,
    registry: Registry,
    contender: str,
    seed: int | None,
    overrides: Sequence[str],
    command: str,
) -> Chosen:
    """The run of a contender under `seed`; without one, under the first of the suite's seeds that is finished.

    `command` runs the contender.

    Raises:
        UsageError: there is no such contender or seed, or it was not run.
        StoreError: its run did not finish.
    """
    name, version = suite.suite.name, suite.suite.version
    stored = store.runs(name, version)
    known = {cell.contender for cell in expand(suite, registry)} | {run.spec.contender for run in stored}
    if contender not in known:
        raise UsageError(unknown("contender", contender, known))
    runs = {
        run.spec.seed: run
        for run in stored
        if run.spec.contender == contender and run.spec.off_suite == tuple(overrides)
    }
    done = {at: run for at, run in runs.items() if run.status == "done"}
    how = f"`{contender}` of suite `{name}`" + (f" with {', '.join(overrides)}" if overrides else "")
    if seed is None:
        seed = next((at for at in (*suite.seeds.leaderboard, *sorted(done)) if at in done), None)
    if seed is None and not runs:
        raise UsageError(f"{store.root} has no run of {how}. Run it first: `{command}`.")
    if seed is not None and seed not in runs:
        there = f"It has {', '.join(map(str, sorted(runs)))}" if runs else f"Run it first: `{command} --seed {seed}`"
        raise UsageError(f"{store.root} has no run of {how} under seed {seed}. {there}.")
    if seed is None or seed not in done:
        run = runs[seed if seed is not None else min(runs)]
        raise StoreError(_unfinished(run, how, command))
    records = {at: record_of(run) for at, run in done.items()}
    siblings = tuple(record for _, record in sorted(records.items()) if isinstance(record, Done))
    record = records[seed]
    assert isinstance(record, Done), "what is done has a record of it"
    return Chosen(run=done[seed], record=record, siblings=siblings)


def _unfinished(run: StoredRun, how: str, command: str) -> str:
    said = f"The run of {how} under seed {run.spec.seed}"
    if run.status == "diverged":
        return f"{said} diverged, so there is no model to export. Choose another contender or seed."
    state = f"has {len(run.rounds)} rounds of {run.spec.config.federation.rounds}"
    return f"{said} is not finished: it {state}. Run it to its end: `{command} --seed {run.spec.seed}`."
