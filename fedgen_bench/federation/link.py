"""What lies between the server and the clients of a cell: compressors either way, and the gate's bound."""

from __future__ import annotations

from dataclasses import dataclass, field

from fedgen_bench.federation.compression import Chain, Uplink


@dataclass(frozen=True, kw_only=True)
class Link:
    """Compressors either way, and how far an update may be from what was sent.

    Args:
        downlink: compressors in front of the wire to the clients.
        uplink: those in front of the wire to the server.
        max_update_norm: the gate's bound on what a client changed, see `gate.check_values`; none when None.
    """

    downlink: Chain = field(default_factory=Chain)
    uplink: Uplink = field(default_factory=Uplink)
    max_update_norm: float | None = None
