"""What is known of a round and of a cell: booked messages, quarantines, metrics, digests. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

GLOBAL, KEPT, PERSONALIZED = "global", "kept", "personalized"  # models that clients' own data are measured with


@dataclass(frozen=True, kw_only=True)
class LedgerEntry:
    """One booked message. `encoded_bytes == tensor_bytes + header_bytes`."""

    round_index: int
    client_id: int
    direction: Literal["up", "down"]
    phase: str
    encoded_bytes: int
    tensor_bytes: int
    header_bytes: int


@dataclass(frozen=True)
class Quarantine:
    """An update that the gate refused, with its reason code."""

    client_id: int
    code: str
    message: str


@dataclass(frozen=True)
class RoundReport:
    """One committed round.

    Args:
        drift: as `drift.Drift.summary` has it.
        leaks: what single updates of the round gave away, as `leaks.Watch.seen` has it.
        n_steps: local steps of all clients; 0 in rounds that were committed before these were counted.
    """

    round_index: int
    cohort: tuple[int, ...]
    n_accepted: int
    quarantined: tuple[Quarantine, ...]
    mean_loss: float
    metrics: Mapping[str, float]
    batch_digest: str
    ledger: tuple[LedgerEntry, ...]
    seconds: float
    drift: Mapping[str, float] = field(default_factory=dict)
    leaks: Mapping[str, Sequence[float]] = field(default_factory=dict)
    n_steps: int = 0


@dataclass(frozen=True)
class RunResult:
    """What a finished cell is.

    Args:
        metrics: final metrics by `<split>/<metric>`, those with parts by `<split>/<metric>/<part>`.
        per_client: clients' metric by model (`global`, `kept`, `personalized`) and client id.
        showcase: base64 of a PNG of what the global model generates; empty when there is none.
        sample: text that it generates; empty when there is none.
        halves: as `per_client`, on either half of a client's data, where the suite has `[personalization]` and the task
            gives halves.
        leaks: what models give away of planted secrets, as `results.leaks.Leaks` has it; empty where none are.
        costs: what the cell asks of a client, as `results.costs.ClientCosts` has it; empty where nothing is trained.
    """

    status: str
    reason: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    per_client: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    showcase: str = ""
    sample: str = ""
    halves: Mapping[str, Mapping[str, tuple[float, float]]] = field(default_factory=dict)
    leaks: Mapping[str, Any] = field(default_factory=dict)
    costs: Mapping[str, Any] = field(default_factory=dict)
