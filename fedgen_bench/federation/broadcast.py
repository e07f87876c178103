"""What several clients of a round are sent alike is compressed and encoded once, and they share its bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fedgen_bench.base.errors import PluginError
from fedgen_bench.federation.compression import layout_like
from fedgen_bench.federation.merges import with_merges
from fedgen_bench.federation.pieces import Pieces, pieces

if TYPE_CHECKING:
    from fedgen_bench.contract.data import Tensors
    from fedgen_bench.contract.messages import Payload
    from fedgen_bench.federation.link import Link


@dataclass(frozen=True, eq=False)
class Sent:
    """A payload as it travels.

    Args:
        laid_out: its tensors, compressed, beside the merges that the receivers lack.
        body: the same, joined.
        received: what receivers make of it, decompressed.
        like: layout of the payload's tensors.
        reply: names, shapes and dtypes that an answer must decompress to.
    """

    laid_out: Pieces
    body: bytes
    received: Tensors
    like: Tensors
    reply: Tensors


class Broadcast:
    """Knows what was sent last: a payload whose tensors are the same objects, not changed since, is sent as it is."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._marks: Any = None
        self._last: tuple[Payload, Sent] | None = None
        self._is_shared = False

    def sent(self, payload: Payload, n_known: int) -> Sent:
        """The payload for a client that has received so many merges. Raises as `check`."""
        marks = (n_known, *map(_marks, (payload.tensors, *payload.merges)), _layout(payload.reply))
        if self._last is not None and marks == self._marks:
            self._is_shared = True
            return self._last[1]
        self.check()
        downlink = self._link.downlink
        packed = downlink.compress(payload.tensors)
        like = layout_like(payload.tensors)
        laid_out = pieces(with_merges(payload, packed, n_known))
        sent = Sent(
            laid_out=laid_out,
            body=b"".join(laid_out.body),
            received=downlink.decompress(packed, like),
            like=like,
            reply=like if payload.reply is None else layout_like(payload.reply),
        )
        self._marks, self._last, self._is_shared = marks, (payload, sent), False
        return sent

    def check(self) -> None:
        """What clients shared is as it was sent. Raises PluginError when it was written to."""
        if self._last is None or not self._is_shared:
            return
        _, sent = self._last
        at = 0
        for memory in sent.laid_out.body:
            there = memory.reshape(-1).view(f"u{memory.itemsize}")
            here = np.frombuffer(sent.body, there.dtype, there.size, at) if there.size else there
            if not np.array_equal(here, there):
                raise PluginError(
                    "Tensors that several clients receive were written to past torch's counters (through `.data` or "
                    "numpy) before all had answered. Clone what is to be changed."
                )
            at += there.nbytes


def _marks(tensors: Tensors) -> list[tuple[str, int, Any]]:
    """Which tensors, and how often each was written to; of inference tensors torch does not tell."""
    return [(name, id(one), object() if one.is_inference() else one._version) for name, one in tensors.items()]  # noqa: SLF001


def _layout(tensors: Tensors | None) -> Any:
    return tensors and [(name, one.dtype, one.shape) for name, one in tensors.items()]
