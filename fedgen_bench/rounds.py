"""One federated run: sample, send, fit, reply, admit, aggregate, evaluate, commit; until the last round."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load

from fedgen_bench import wire
from fedgen_bench.conclusion import conclude
from fedgen_bench.engines.local import ClientOutcome, ClientTask
from fedgen_bench.errors import PluginError, RoundFailed, WireError
from fedgen_bench.keeps import KeepStore, encode_keeps
from fedgen_bench.killpoints import passing
from fedgen_bench.records import (
    Header,
    LedgerEntry,
    Quarantine,
    RoundContext,
    RoundReport,
    RunResult,
    ServerContext,
    Tensors,
    Update,
)
from fedgen_bench.seeds import digest, guarded_globals
from fedgen_bench.setting import Setting
from fedgen_bench.statecodec import decode_state, encode_state
from fedgen_bench.world import Worlds, seed_tree

if TYPE_CHECKING:
    from fedgen_bench.plugins import Registry
    from fedgen_bench.store import Cell
    from fedgen_bench.suites import RunSpec

OnRound = Callable[[RoundReport], None]


@dataclass
class _RoundInProgress:
    """What one round gathers while its updates stream into `aggregate`."""

    setting: Setting
    state: Any
    round_index: int
    keeps: KeepStore
    ledger: list[LedgerEntry] = field(default_factory=list)
    quarantined: list[Quarantine] = field(default_factory=list)
    new_keeps: dict[int, Tensors] = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)
    batch_digests: list[str] = field(default_factory=list)
    sent: dict[int, Tensors] = field(default_factory=dict)
    replies: dict[int, Tensors] = field(default_factory=dict)
    n_accepted: int = 0

    def tasks(self) -> Iterator[ClientTask]:
        """Send to each client of the cohort: encode, book, hand over the bytes."""
        setting = self.setting
        for client_id in setting.cohort(self.round_index):
            ctx = setting.context(self.round_index, client_id, self.keeps.get(client_id))
            with guarded_globals("The strategy's send"):
                payload = setting.strategy.send(self.state, ctx)
            message = None
            if payload is not None:
                header = Header(self.round_index, client_id, ctx.n_examples)
                message = wire.encode(payload.tensors, header)
                self._book(wire.book(message, header, "down"))
                self.sent[client_id] = payload.tensors
                self.replies[client_id] = payload.tensors if payload.reply is None else payload.reply
            passing("client.sent")
            yield ClientTask(ctx, message, setting.examples(client_id))

    def _book(self, entry: LedgerEntry) -> None:
        if self.setting.cohort_kind == "sampled":  # pooled data and their model stand on one machine
            self.ledger.append(entry)

    def updates(self) -> Iterator[Update]:
        """Admitted updates in client-id order; whatever the gate refuses is quarantined with its code."""
        answered: set[int] = set()
        for outcome in self.setting.engine.run(self.tasks()):
            self.losses.append(outcome.mean_loss)
            self.batch_digests.append(outcome.batch_digest)
            try:
                update = self._admitted(outcome, answered)
            except WireError as error:
                self.quarantined.append(Quarantine(outcome.client_id, error.code, str(error)))
                continue
            passing("gate.admitted")
            if outcome.keep is not None:
                self.new_keeps[outcome.client_id] = outcome.keep
            self.n_accepted += 1
            yield update

    def _admitted(self, outcome: ClientOutcome, answered: set[int]) -> Update:
        if outcome.client_id in answered:
            raise WireError("duplicate", f"Client {outcome.client_id} answered twice.")
        if outcome.client_id not in self.setting.cohort(self.round_index):
            raise WireError("wrong_client", f"Client {outcome.client_id} was not asked.")
        answered.add(outcome.client_id)
        expected = self.replies.get(outcome.client_id, {})
        n_most = self.setting.examples(outcome.client_id).n
        if outcome.message is None:
            if expected:
                raise WireError("missing_key", f"Client {outcome.client_id} sent nothing.")
            if type(outcome.n_examples) is not int or not 0 < outcome.n_examples <= n_most:
                raise WireError("n_examples", f"Example count {outcome.n_examples} is not within 1 to {n_most}.")
            return Update({}, outcome.n_examples)
        asked = Header(self.round_index, outcome.client_id, n_most)
        self._book(wire.book(outcome.message, asked, "up"))
        bound = self.setting.config["federation"]["max_update_norm"]
        sent = self.sent.get(outcome.client_id)
        tensors = wire.admit(outcome.message, expected=expected, header=asked, sent=sent, max_norm=bound)
        return Update(tensors, outcome.n_examples)

    def aggregate(self) -> Any:
        """The next state. Raises RoundFailed below the quorum."""
        setting = self.setting
        stream = self.updates()
        first = next(stream, None)
        quorum = 1 if setting.cohort_kind == "pooled" else setting.config["federation"]["min_updates"]
        state = None
        if first is not None:
            ctx = RoundContext(
                self.round_index, setting.cohort(self.round_index), setting.n_clients, seed_tree(setting.config)
            )
            with guarded_globals("The strategy's aggregate"):
                state = setting.strategy.aggregate(self.state, itertools.chain([first], stream), ctx)
            for _ in stream:  # a strategy that reads only some updates does not save the others their work
                pass
        if self.n_accepted < quorum:
            codes = ", ".join(sorted({one.code for one in self.quarantined})) or "no answer"
            raise RoundFailed(
                f"Round {self.round_index}: {self.n_accepted} valid updates, the suite wants {quorum} ({codes})."
            )
        return state


def run_cell(
    spec: RunSpec, registry: Registry, worlds: Worlds, cell: Cell, device: torch.device, on_round: OnRound
) -> tuple[RunResult, bytes | None]:
    """Run or resume one cell; every round is committed before the next begins.

    Returns the result and the encoded global tensors (None when there is no global model).
    """
    setting = Setting.make(spec, registry, worlds, device)
    seeds = seed_tree(spec.config)
    with guarded_globals("The strategy's init"):
        state = setting.strategy.init(
            setting.start, ServerContext(setting.n_clients, spec.config["federation"]["clients_per_round"], seeds)
        )
    checkpoint = cell.checkpoint()
    first_round, keep_rounds = 0, dict[int, int]()
    if checkpoint is not None:
        state = decode_state(checkpoint.state, state)
        first_round, keep_rounds = checkpoint.next_round, dict(checkpoint.keep_rounds)
    keeps = KeepStore(cell.keep_file, keep_rounds)
    for round_index in range(first_round, setting.n_rounds):
        state = _one_round(setting, state, round_index, keeps, cell, on_round)
    return conclude(setting, state, keeps, cell.batch_digests())


def _one_round(setting: Setting, state: Any, round_index: int, keeps: KeepStore, cell: Cell, on_round: OnRound) -> Any:
    began = time.perf_counter()
    passing("round.began")
    progress = _RoundInProgress(setting, state, round_index, keeps)
    new_state = progress.aggregate()
    content = encode_state(new_state)
    _check_finite(content, round_index)
    passing("round.aggregated")
    metrics: dict[str, float] = {}
    last = round_index == setting.n_rounds - 1
    if last or (round_index + 1) % setting.config["evaluation"]["every"] == 0:
        tensors = setting.export(new_state, None)
        if tensors is not None:
            metrics = setting.measure(tensors, setting.engine.task.split("valid_subset"))
    passing("round.evaluated")
    report = RoundReport(
        round_index, setting.cohort(round_index), progress.n_accepted, tuple(progress.quarantined),
        sum(progress.losses) / len(progress.losses), metrics, digest(*progress.batch_digests), tuple(progress.ledger),
        time.perf_counter() - began,
    )  # fmt: skip
    keep = encode_keeps(progress.new_keeps) if progress.new_keeps else None
    cell.commit_round(report, content, keep, tuple(progress.new_keeps))
    keeps.put(round_index, progress.new_keeps)
    on_round(report)
    return new_state


def _check_finite(state: bytes, round_index: int) -> None:
    for name, tensor in load(state).items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise PluginError(f"Round {round_index}: the aggregate holds NaN or infinity in `{name}`.")
