"""Frozen records that flow through a run: specs (declared), contexts (given to plugins), reports (per round).

Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import torch

    from fedgen_bench.contract.seeds import SeedTree

Tensors: TypeAlias = "Mapping[str, torch.Tensor]"
Cohort = Literal["sampled", "pooled", "none"]


@dataclass(frozen=True)
class NoParams:
    """For components without knobs."""


# --- specs: what a plugin declares -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ComponentSpec:
    """A component under its name.

    Args:
        name: what suites and the command line call it; lower case, digits, `_`, `-`, `.`.
        summary: one line for `fedgen-bench list`.
        build: called with a validated `params` instance; heavy imports belong in here, not at module level.
        params: a frozen dataclass of the component's knobs, each with a default.
        version: raised whenever results of the component change.
        exceptions: contract checks that it cannot keep, by name, each with the reason why.
        trial: parameters for the contract checks where the defaults do not fit. A strategy must suit the toy
            world, whose tensors are called `left` and `right` and four of whose five clients take part in a round; a
            task should read nothing that may not be there.
    """

    name: str
    summary: str
    build: Callable[[Any], Any]
    params: type = NoParams
    version: str = "1"
    exceptions: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    trial: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, kw_only=True)
class StrategySpec(ComponentSpec):
    """A federated method. What it declares is checked: needs against a suite, promises by the contract tests.

    Args:
        cohort: `sampled` clients each round, all data `pooled` in one place, or `none` (nothing is trained).
        fits_per_round: how many step budgets one client may use in a round.
        optimizers: local optimisers that the method's equations hold for; all when empty.
        plain_gradients: it takes a client's change for its gradients' sum times the learning rate, so neither
            `training.clip_norm` nor `training.ema_decay` may stand in between.
        low_rank: it needs an adapter made of LoRA factors.
        mixed_rank: its clients may have different ranks.
        changes_backbone: it folds low-rank updates into the backbone.
        stateful: its clients keep private state that their later rounds or their own models depend on.
        exact: the global model moves by exactly sum_k p_k s_k B_k A_k, p_k = n_k / sum n.
        server_step: the server moves the global model by a step that it computes from the clients' changes (momentum,
            adaptive rates, normalisation): what clients agree on comes back within rounding, and for a method with a
            reduction only under the first one's parameters.
        reduces_to: strategies by name, each with the own parameters under which the method is that one.
    """

    cohort: Cohort = "sampled"
    fits_per_round: int = 1
    optimizers: tuple[str, ...] = ()
    plain_gradients: bool = False
    low_rank: bool = False
    mixed_rank: bool = False
    changes_backbone: bool = False
    stateful: bool = False
    exact: bool = False
    server_step: bool = False
    reduces_to: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, kw_only=True)
class AdapterSpec(ComponentSpec):
    """What is trained on a backbone and travels: peft modules, soft prompts, every parameter.

    Args:
        low_rank: all of it are LoRA factors, which `Adapted.low_rank` lists and whose products can be folded into the
            backbone (`Adapted.fold`).
        mixes_ranks: its clients have different ranks.
        backbones: the kinds of backbone that it fits, `language_model` or `unet`, each with the parameters that the
            contract tests give it there; those left out have their defaults.
    """

    low_rank: bool = False
    mixes_ranks: bool = False
    backbones: Mapping[str, Mapping[str, Any]] = field(
        default_factory=lambda: MappingProxyType({"language_model": MappingProxyType({})})
    )


@dataclass(frozen=True, kw_only=True)
class PartitionerSpec(ComponentSpec):
    """How a task's units are split over clients."""


@dataclass(frozen=True, kw_only=True)
class TaskSpec(ComponentSpec):
    """Data, backbone, loss and evaluation.

    Args:
        evaluation_only: parameters that bear on nothing but evaluation. Changed with `--set` or by a sweep's point they
            leave split, cohorts, batches and initial tensors as they were.
    """

    evaluation_only: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class MetricSpec(ComponentSpec):
    """A number, or one a part, computed from a task's evidence (see `protocols.Task.observe`).

    Args:
        unit: stands in table notes.
        lower_is_better: direction of the ranking.
        minimum: values below are impossible; None where there is no bound.
        maximum: values above are.
        evidence: names of all evidence that it reads; where a task says what it gives (`protocols.Declaring`), what is
            missing is told before the first cell.
    """

    unit: str = ""
    lower_is_better: bool = True
    minimum: float | None = None
    maximum: float | None = None
    evidence: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class CompressorSpec(ComponentSpec):
    """How tensors are made smaller before they are encoded."""


@dataclass(frozen=True, kw_only=True)
class AttackSpec(ComponentSpec):
    """How a hostile client changes its update before it is sent."""


@dataclass(frozen=True, kw_only=True)
class EngineSpec(ComponentSpec):
    """Where the clients of a round are trained. Params named `jobs` and `address` are set by the command line."""


@dataclass(frozen=True, kw_only=True)
class TableFormatSpec(ComponentSpec):
    """A file that a leaderboard is written to.

    Args:
        filename: inside `leaderboards/<suite>/`.
        exact: the same results give the same bytes under every version of the libraries (a plot's do not).
    """

    filename: str
    exact: bool = True


@dataclass(frozen=True, kw_only=True)
class SuiteSource:
    """A suite's TOML text and where it came from."""

    name: str
    text: str
    path: str

    @property
    def toml(self) -> str:
        """The text without the byte-order mark that some editors write."""
        return self.text.removeprefix("\ufeff")

    @classmethod
    def all_in(cls, folder: Path) -> list[SuiteSource]:
        """Every `*.toml` of a folder, by name."""
        return [
            cls(name=path.stem, text=path.read_text(encoding="utf-8"), path=str(path))
            for path in sorted(folder.glob("*.toml"))
        ]


@dataclass(frozen=True)
class Provenance:
    """Which distribution (or file) brought a component, its version, and for a loose file the hash of its source."""

    distribution: str
    version: str
    source_sha256: str = ""


# --- contexts: what a plugin is given --------------------------------------------------------------------------------


@dataclass(frozen=True)
class LowRank:
    """One module's LoRA factors: its weight is W0 + scale * B A, whatever the rank.

    Args:
        module: the module's name in the backbone.
        a: name of A, of shape (rank, n_in), among the adapter's tensors.
        b: name of B, of shape (n_out, rank).
        rank: r of the adapter, or of the client that the context is about.
        scale: alpha / r.
    """

    module: str
    a: str
    b: str
    rank: int
    scale: float


@dataclass(frozen=True)
class ServerContext:
    """Given to `Strategy.init`. `n_clients` is the population, not the cohort; `low_rank` as in `ClientContext`."""

    n_clients: int
    clients_per_round: int
    seeds: SeedTree
    low_rank: tuple[LowRank, ...] = ()

    def generator(self) -> torch.Generator:
        """The strategy's own noise on the server before the first round."""
        return self.seeds.torch("strategy", purpose="init")


@dataclass(frozen=True)
class RoundContext:
    """Given to `Strategy.aggregate`. `cohort` holds the sampled client ids, ascending."""

    round_index: int
    cohort: tuple[int, ...]
    n_clients: int
    seeds: SeedTree
    low_rank: tuple[LowRank, ...] = ()

    def generator(self) -> torch.Generator:
        """The strategy's own noise on the server in this round."""
        return self.seeds.torch("strategy", round_index=self.round_index, purpose="aggregate")


@dataclass(frozen=True)
class ClientContext:
    """Given to `send`, `client` and `export`.

    Args:
        client_id: 0 to `n_clients - 1`.
        n_examples: training examples that the client holds.
        start: the adapter's initial tensors at this client's ranks, which everybody derives from the seed (never sent).
        keep: the client's private state, as its last `Update.keep`; empty before its first round, and always empty in
            `send`, since the server cannot see it. Never sent.
        local_steps: the step budget of one fit of this client.
        learning_rate: of the local optimiser.
        kept_in: the last round in which an update of this client was admitted, -1 before the first: its private state
            is of that round, and it has what was sent then.
        low_rank: the adapter's LoRA factors with this client's ranks; empty for adapters of another kind.
    """

    round_index: int
    client_id: int
    n_clients: int
    n_examples: int
    start: Tensors
    keep: Tensors
    local_steps: int
    learning_rate: float
    seeds: SeedTree
    kept_in: int = -1
    low_rank: tuple[LowRank, ...] = ()

    def generator(self) -> torch.Generator:
        """The strategy's own noise for this client and round."""
        return self.seeds.torch("strategy", round_index=self.round_index, client_id=self.client_id, purpose="client")


# --- messages and local work ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Payload:
    """What the server sends to one client.

    Args:
        tensors: the flat name -> tensor map that is encoded and booked.
        reply: names, shapes and dtypes that an update may carry back; `tensors` when None. Not sent.
        merges: every update of the backbone so far, oldest first, each a map of factors as in `Fit.merges`. Those that
            the client has not received yet are encoded and booked with `tensors`; its half is given all of them.
    """

    tensors: Tensors
    reply: Tensors | None = None
    merges: tuple[Tensors, ...] = ()


@dataclass(frozen=True)
class Update:
    """What a client returns. `tensors` is encoded and booked; empty means that nothing is sent.

    `keep` replaces the client's private state when it is not None.
    """

    tensors: Tensors
    n_examples: int
    keep: Tensors | None = None


@dataclass(frozen=True)
class Proximal:
    """The penalty mu/2 * ||y - anchor||^2 over the trainable tensors; `anchor` is the fit's start when None."""

    mu: float
    anchor: Tensors | None = None


@dataclass(frozen=True)
class Fit:
    """A request for local training.

    Args:
        start: tensors to begin from, exactly the adapter's trainable names. LoRA factors may have a lower rank than the
            adapter's; they are trained at that rank.
        trainable: the names to train; all when None.
        penalty: a proximal term added to the loss.
        correction: added to the gradient of each named tensor at every step (SCAFFOLD's c - c_k).
        n_steps: at most what is left of the round's budget; `ctx.local_steps` when None.
        merges: low-rank updates of the backbone, oldest first, each with tensors by the names of a module's factors:
            the module's frozen weight is W0 + sum of B A.
    """

    start: Tensors
    trainable: frozenset[str] | None = None
    penalty: Proximal | None = None
    correction: Tensors | None = None
    n_steps: int | None = None
    merges: tuple[Tensors, ...] = ()


@dataclass(frozen=True)
class Model:
    """What `Strategy.export` gives when the backbone was changed: the adapter's tensors, and merges as in `Fit`."""

    tensors: Tensors
    merges: tuple[Tensors, ...] = ()


@dataclass(frozen=True)
class FitReport:
    """What local training gave: detached copies of all trainable tensors, in the shapes of the start, and figures."""

    tensors: Tensors
    n_examples: int
    n_steps: int
    mean_loss: float
    batch_digest: str


# --- data ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class UnitTable:
    """What a partitioner splits: `n_units` indivisible pieces of data in their natural order.

    Args:
        columns: per-unit integer codes by name (`label`, `district`, ...), each of shape (n_units,).
    """

    n_units: int
    columns: Mapping[str, np.ndarray]

    def column(self, name: str) -> np.ndarray:
        """One column. Raises ValueError, naming those there are, when it is missing."""
        if name not in self.columns:
            raise ValueError(f"These units have no column `{name}`. They have: {', '.join(self.columns) or 'none'}.")
        return self.columns[name]


@dataclass(frozen=True)
class Examples:
    """A client's tensors, each with the example as its first dimension."""

    tensors: Tensors
    n: int


@dataclass(frozen=True)
class ClientData:
    """One client's training examples and what an evaluation needs of its held-out tail."""

    train: Examples
    heldout: Any


# --- wire ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Header:
    """The small typed header of every message."""

    round_index: int
    client_id: int
    n_examples: int


@dataclass(frozen=True)
class LedgerEntry:
    """One booked message. `encoded_bytes == tensor_bytes + header_bytes`."""

    round_index: int
    client_id: int
    direction: Literal["up", "down"]
    phase: str
    encoded_bytes: int
    tensor_bytes: int
    header_bytes: int


# --- reports ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Quarantine:
    """An update that the gate refused, with its reason code."""

    client_id: int
    code: str
    message: str


@dataclass(frozen=True)
class RoundReport:
    """One committed round; `drift` as `drift.Drift.summary` has it."""

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


@dataclass(frozen=True)
class RunResult:
    """What a finished run is.

    Args:
        metrics: final metrics by `<split>/<metric>`, those with parts by `<split>/<metric>/<part>`.
        per_client: the followed metric by model (`global`, `personalized`) and client id.
        showcase: base64 of a PNG of what the global model generates; empty when there is none.
    """

    status: str
    reason: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    per_client: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    showcase: str = ""
