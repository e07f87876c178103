"""One exchange with a client: what it is sent, as a task for an engine, and what the gate makes of its answer.

Rounds, the rehearsal before the first, forecasts and the contract tests all go through here. Nothing here keeps
anything: who books, quarantines, keeps or counts is the caller.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from fedgen_bench.base.errors import PluginError, WireError
from fedgen_bench.contract.contexts import ClientContext
from fedgen_bench.contract.data import Tensors
from fedgen_bench.contract.engines import ClientOutcome, ClientTask
from fedgen_bench.contract.messages import Header, Payload, Update
from fedgen_bench.contract.reports import LedgerEntry
from fedgen_bench.federation import wire
from fedgen_bench.federation.broadcast import Broadcast
from fedgen_bench.federation.changes import Changes
from fedgen_bench.federation.gate import admit, check_values
from fedgen_bench.federation.link import Link
from fedgen_bench.federation.merges import n_merges_in, with_n_merges


@dataclass(frozen=True)
class Admitted(Update):
    """An update that the gate lets through: whose it is, and what that client had received, decompressed."""

    client_id: int = -1
    received: Tensors = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """What the server holds a client's answer against while the client works.

    Args:
        asked: round and client, and the most examples that the client can have.
        down: the booked message to the client; None when nothing was sent.
        received: what the client has of it, decompressed.
        reply: names, shapes and dtypes that an answer must decompress to (values are not used).
        n_merges: updates of the backbone that the client has received with it.
    """

    link: Link
    asked: Header
    down: LedgerEntry | None = None
    received: Tensors = field(default_factory=dict)
    reply: Tensors = field(default_factory=dict)
    n_merges: int = 0

    def reply_like(self) -> bytes:
        """An encoded answer of the layout that is asked for, of zeros."""
        return wire.encode(self.link.uplink.layout(self.reply), self.asked)

    def booked(self, outcome: ClientOutcome) -> LedgerEntry | None:
        """The ledger's entry for the answer, whether or not it is admitted; None when nothing was sent."""
        return None if outcome.message is None else wire.book(outcome.message, self.asked, "up")

    def opened(self, outcome: ClientOutcome, what: str) -> Update:
        """The gate's first half: the answer is what was asked for, and is decompressed.

        Args:
            outcome: the client's answer.
            what: whose code gave it, for messages.

        Raises:
            WireError: its `code` is the quarantine reason.
            PluginError: the outcome contradicts its own message; a compressor gives back another layout.
        """
        client_id, n_most = self.asked.client_id, self.asked.n_examples
        if outcome.message is None:
            if self.reply:
                raise WireError("missing_key", f"Client {client_id} sent nothing.")
            if type(outcome.n_examples) is not int or not 0 < outcome.n_examples <= n_most:
                raise WireError("n_examples", f"Example count {outcome.n_examples} is not within 1 to {n_most}.")
            return Update({}, outcome.n_examples)
        uplink = self.link.uplink
        packed = admit(outcome.message, expected=uplink.layout(self.reply), header=self.asked)
        if packed.n_examples != outcome.n_examples:
            raise PluginError(
                f"{what} says that client {client_id} trained on {outcome.n_examples} examples, its message says "
                f"{packed.n_examples}. Give back outcomes as they are."
            )
        return Update(uplink.unpack(packed.tensors, self.reply, self.received), packed.n_examples)

    def admitted(self, outcome: ClientOutcome, what: str) -> tuple[Admitted, Changes]:
        """The whole gate: as `opened`, with finite values and a bounded change, given as well. Raises as `opened`."""
        update = self.opened(outcome, what)
        changes = check_values(update.tensors, self.received, self.link.max_update_norm)
        return Admitted(update.tensors, update.n_examples, None, outcome.client_id, self.received), changes

    def kept(self, outcome: ClientOutcome, keep: Callable[[int], Tensors]) -> Tensors | None:
        """The client's private state after an admitted answer; None where it stays as it is.

        `keep` gives the one before, by client.
        """
        if not self.n_merges:
            return outcome.keep
        return with_n_merges(keep(outcome.client_id) if outcome.keep is None else outcome.keep, self.n_merges)


def begin(
    link: Link, payload: Payload | None, ctx: ClientContext, keep: Tensors, broadcast: Broadcast | None = None
) -> tuple[ClientTask, Exchange]:
    """Send to a client: compress, encode and book; the task has the bytes.

    Args:
        link: compressors, and the gate that the answer will meet.
        payload: what the strategy sends; None for nothing.
        ctx: what the strategy was told when it sent.
        keep: the client's private state, the core's part of it included.
        broadcast: knows what other clients were sent.
    """
    header = Header(ctx.round_index, ctx.client_id, ctx.n_examples)
    task = ClientTask(
        round_index=ctx.round_index, client_id=ctx.client_id, message=None, like={}, keep=keep, kept_in=ctx.kept_in
    )
    if payload is None:
        return task, Exchange(link=link, asked=header)
    n_known = n_merges_in(keep)
    sent = (broadcast or Broadcast(link)).sent(payload, n_known)
    message = wire.addressed(sent.laid_out, sent.body, header)
    exchange = Exchange(
        link=link,
        asked=header,
        down=wire.book(message, header, "down"),
        received=sent.received,
        reply=sent.reply,
        n_merges=len(payload.merges),
    )
    return replace(task, message=message, like=sent.like, merges=payload.merges[:n_known]), exchange
