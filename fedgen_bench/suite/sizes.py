"""What a suite asks for, in figures, before it is begun: work that nobody finishes, tables that nobody holds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fedgen_bench.base.errors import UsageError

if TYPE_CHECKING:
    from fedgen_bench.suite.schema import Federation, SuiteSpec

MOST_STEPS = 10**10
_CLIENT_BYTES, _ASKED_BYTES = 64, 24  # what a split is drawn with and counted in; a client id in the schedule's text


def oversized(suite: SuiteSpec) -> Iterator[tuple[tuple[str, ...], str]]:
    """(path, sentence) of everything in one cell of the suite that no machine would finish."""
    federation, training, evaluation, own = suite.federation, suite.training, suite.evaluation, suite.personalization
    asked = federation.rounds * federation.clients_per_round
    per_client = training.local_steps or training.local_epochs or 1
    what = "local steps" if training.local_steps else "local epochs"
    for path, work, text in (
        (("federation", "rounds"), asked * per_client, f"rounds x clients_per_round x {what}"),
        (
            ("evaluation", "personalized_steps"),
            evaluation.personalized_clients * evaluation.personalized_steps,
            "personalized_clients x personalized_steps",
        ),
        (("personalization", "steps"), own.clients * own.steps if own else 0, "clients x steps"),
    ):
        if work > MOST_STEPS:
            days = work / 10_000 / 86_400
            figure = f"{text} is {work:,}: {days:,.0f} days for one run at 10,000 a second"
            yield path, f"{figure}, more than the {MOST_STEPS:,} that are accepted. Lower one of them."


def need_memory(federation: Federation) -> None:
    """Raises UsageError when this machine cannot hold the split and the schedule, with what they would take."""
    asked = federation.rounds * federation.clients_per_round
    needed = federation.n_clients * _CLIENT_BYTES + asked * _ASKED_BYTES
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        raise UsageError(
            f"The split over {federation.n_clients:,} clients and the schedule of {federation.rounds:,} rounds "
            f"with {federation.clients_per_round:,} clients each take about {needed / 1e9:,.1f} GB; this machine "
            f"has {there / 1e9:,.1f} GB of memory. Lower n_clients, rounds or clients_per_round."
        )
