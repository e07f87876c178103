"""How many bytes an exchange takes either way, before a client works: of exchanges of one layout, one is encoded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fedgen_bench.federation import wire
from fedgen_bench.federation.exchange import begin
from fedgen_bench.federation.merges import n_merges_in

if TYPE_CHECKING:
    from collections.abc import Hashable

    from fedgen_bench.contract.contexts import ClientContext
    from fedgen_bench.contract.data import Tensors
    from fedgen_bench.contract.messages import Payload
    from fedgen_bench.federation.link import Link


class Lengths:
    """Encoded lengths by layout."""

    def __init__(self) -> None:
        self._known: dict[Any, tuple[int, int]] = {}

    def of(
        self, link: Link, payload: Payload | None, ctx: ClientContext, keep: Tensors, compressors: Hashable = ""
    ) -> tuple[int, int]:
        """Bytes to the client and back; none where nothing is sent.

        Args:
            link: compressors on the way.
            payload: what the strategy sends.
            ctx: what it was told when it did.
            keep: the client's private state, the core's part of it included.
            compressors: tells those of `link` from others that are asked for here.
        """
        if payload is None:
            return 0, 0
        key = (compressors, n_merges_in(keep), *_layout(payload, ctx))
        if key not in self._known:
            task, exchange = begin(link, payload, ctx, keep)
            self._known[key] = len(task.message or b""), len(exchange.reply_like()) if exchange.reply else 0
        return self._known[key]


def _layout(payload: Payload, ctx: ClientContext) -> tuple[Any, ...]:
    """What the lengths of both messages of an exchange hang on, but for the compressors."""
    reply = payload.tensors if payload.reply is None else payload.reply
    layouts = (tuple(wire.layout_of(one).items()) for one in (payload.tensors, reply, *payload.merges))
    return *layouts, len(f"{ctx.round_index}{ctx.client_id}{ctx.n_examples}")
