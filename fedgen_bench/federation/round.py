"""One round: an exchange with each client of the cohort through the engine, the gate, and `aggregate`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from fedgen_bench.base.errors import PluginError, RoundFailed, WireError
from fedgen_bench.base.failures import blamed
from fedgen_bench.base.guards import guarded
from fedgen_bench.base.spans import span
from fedgen_bench.contract.engines import ClientOutcome, ClientTask
from fedgen_bench.contract.messages import Update
from fedgen_bench.federation.exchange import Exchange
from fedgen_bench.federation.intake import Intake


@dataclass(kw_only=True)
class Round(Intake):
    """One round, and what it gathers while its updates stream into `aggregate`."""

    _begun: dict[int, Exchange] = field(init=False, default_factory=dict)
    _answered: set[int] = field(init=False, default_factory=set)
    _failure: Exception | None = field(init=False, default=None)

    def tasks(self) -> Iterator[ClientTask]:
        """Send to each client of the cohort."""
        experiment = self.experiment
        for client_id in experiment.cohort(self.index):
            ctx = experiment.context(self.index, client_id, {}, self.admitted_in.get(client_id, -1))
            task, self._begun[client_id] = self.begun(self.state, ctx)
            yield task

    def updates(self) -> Iterator[Update]:
        """Admitted updates in client-id order."""
        for outcome in self._outcomes():
            update = self.admitted(outcome, self._exchange_of)
            del outcome
            if update is not None:
                yield update
            del update  # its memory is free while the next client is trained

    def _outcomes(self) -> Iterator[ClientOutcome]:
        """The engine's outcomes, as far as they are some; what goes wrong is kept for who swallows it."""
        what = self.answering
        try:
            with blamed(what):
                outcomes = iter(self.engine.run(self.tasks(), self.work))
            while True:
                with span("engine"), blamed(what):
                    outcome = next(outcomes, None)
                if outcome is None:
                    self.broadcast.check()  # before `aggregate` goes on, which may write into what was sent
                    return
                yield _sound(outcome, what)
                del outcome  # as in `updates`
        except Exception as error:
            self._failure = error
            raise

    def _exchange_of(self, outcome: ClientOutcome) -> Exchange:
        """The exchange that an outcome ends. Raises WireError for a second answer, and for one of nobody's."""
        if outcome.client_id in self._answered:
            raise WireError("duplicate", f"Client {outcome.client_id} answered twice.")
        if outcome.client_id not in self._begun:
            raise WireError("wrong_client", f"Client {outcome.client_id} was not asked.")
        self._answered.add(outcome.client_id)
        return self._begun.pop(outcome.client_id)

    def aggregate(self) -> Any:
        """The next state. Raises RoundFailed below the quorum."""
        experiment = self.experiment
        stream = self.updates()
        first = next(stream, None)
        state = None
        if first is not None:
            ctx = experiment.round_context(self.index)
            updates = _behind([first], stream)
            del first  # nobody holds it while the next client is trained
            with span("aggregate"), guarded(f"{experiment.strategy_name}.aggregate", state=self.state):
                state = experiment.strategy.aggregate(self.state, updates, ctx)
            if self._failure is not None:  # `aggregate` caught what went wrong in a client
                raise self._failure
            for _ in updates:  # a strategy that reads only some updates does not save the others their work
                pass
        if self.n_accepted < experiment.quorum:
            codes = ", ".join(sorted({one.code for one in self.quarantined})) or "no answer"
            raise RoundFailed(
                f"Round {self.index}: {self.n_accepted} valid updates, the suite wants {experiment.quorum} ({codes})."
            )
        return state


def _behind(first: list[Update], others: Iterator[Update]) -> Iterator[Update]:
    yield first.pop()
    yield from others


def _sound(outcome: object, what: str) -> ClientOutcome:
    """The outcome. Raises PluginError, naming the engine, when it is none or its loss is no finite number."""
    if not isinstance(outcome, ClientOutcome):
        raise PluginError(f"{what} gave a {type(outcome).__name__}. Give one `ClientOutcome` for each task.")
    loss: object = outcome.mean_loss
    if not isinstance(loss, int | float) or not math.isfinite(loss):
        raise PluginError(
            f"{what} gave the mean loss {loss!r} for client {outcome.client_id}. Give back outcomes as they are."
        )
    return outcome
