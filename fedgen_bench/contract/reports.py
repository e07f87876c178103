"""What is known of a round and of a cell: booked messages, quarantines, metrics, digests. Imports no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

UNAVAILABLE, LEFT, LATE = CODES = "unavailable", "left", "late"  # why a client that was asked did not count
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


@dataclass(frozen=True, kw_only=True)
class Privacy:
    """What one cell's training guarantees everybody: (epsilon, delta)-differential privacy, and what it rests on.

    Args:
        unit: whose data count as one: all of a client's, or a single example.
        neighbours: which data sets are compared: one unit's data replaced by any others (`replace_one`), or a unit
            more or less (`add_or_remove_one`).
        epsilon: upper bound.
        delta: at which it holds.
        accountant: how epsilon was computed: from the distribution of privacy losses (`pld`), or exactly, of Gaussian
            mechanisms without sampling (`gaussian`).
        cross_check: another upper bound, by Renyi divergences; None where epsilon is exact.
        noise_multiplier: standard deviation of the noise over the sensitivity under `neighbours`.
        population: units that are drawn from.
        sample: units that are drawn at a time.
        n_steps: how often; of examples, how often one is used at most.
    """

    __pydantic_config__: ClassVar = {"strict": True, "extra": "forbid"}  # as records have it

    unit: Literal["client", "example"]
    neighbours: Literal["replace_one", "add_or_remove_one"]
    epsilon: float
    delta: float
    accountant: Literal["pld", "gaussian"]
    cross_check: float | None
    noise_multiplier: float
    population: int
    sample: int
    n_steps: int


@dataclass(frozen=True)
class Quarantine:
    """An update that the gate refused, with its reason code."""

    client_id: int
    code: str
    message: str


@dataclass(frozen=True, kw_only=True)
class TimedClient:
    """A client's part of a round by the simulated clock.

    Args:
        code: why its reply did not count (`unavailable`, `left`, `late`); empty when it was awaited.
        n_steps: local steps of a fit that it was given.
        download: seconds that its download takes, or would have taken; 0 when it was out of reach.
        work: those of its local steps.
        upload: those of its upload.
    """

    client_id: int
    code: str = ""
    n_steps: int = 0
    download: float = 0.0
    work: float = 0.0
    upload: float = 0.0


@dataclass(frozen=True, kw_only=True)
class RoundClock:
    """A round by the simulated clock.

    Args:
        began: seconds from the beginning of the run.
        seconds: from there until the round ended.
        clients: everybody who was asked, ascending; in the order of their ends where they come one by one.
        joules: estimate of what their devices drew for it; None where no suite says.
        one_by_one: whether they do, see `federation.flights`: a client may have several parts in one round then.
    """

    began: float
    seconds: float
    clients: tuple[TimedClient, ...]
    joules: float | None = None
    one_by_one: bool = False

    @property
    def ended(self) -> float:
        """Seconds from the beginning of the run."""
        return self.began + self.seconds

    @property
    def absent(self) -> tuple[TimedClient, ...]:
        """Those whose reply did not count."""
        return tuple(one for one in self.clients if one.code)


@dataclass(frozen=True)
class RoundReport:
    """One committed round.

    Args:
        drift: as `drift.Drift.summary` has it.
        leaks: what single updates of the round gave away, as `leaks.Watch.seen` has it.
        n_steps: local steps of all clients; 0 in rounds that were committed before these were counted.
        clock: who replied when in simulated time; None where the suite has no devices.
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
    leaks: Mapping[str, float] = field(default_factory=dict)
    n_steps: int = 0
    clock: RoundClock | None = None

    @property
    def admitted(self) -> tuple[int, ...]:
        """Clients of whom an update counted, in the order of the cohort."""
        missed = Counter(one.client_id for one in self.quarantined)
        missed.update(one.client_id for one in (() if self.clock is None else self.clock.absent))
        return tuple(client for client, n_parts in Counter(self.cohort).items() if n_parts > missed[client])


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
        clock: `slow`, as `results.clock.Clock` has it, where rounds had a simulated clock; else empty.
        privacy: what training guarantees, as `Privacy` has it; empty where it guarantees nothing.
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
    clock: Mapping[str, Any] = field(default_factory=dict)
    privacy: Mapping[str, Any] = field(default_factory=dict)
