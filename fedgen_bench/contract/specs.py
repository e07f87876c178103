"""What a plugin declares: a frozen spec for every component, and where it came from. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pathlib import Path

Cohort = Literal["sampled", "pooled", "none"]


@dataclass(frozen=True)
class NoParams:
    """For components without knobs."""


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
        libraries: what it imports whenever it is used, `module` or `module:attribute` of a module that imports what it
            offers when it is asked for. It is imported ahead, once for all worker processes.
        later: parameters that came after results were published. They stand in a configuration only where they differ
            from their defaults, so that identities and random streams of what was published stay what they are.
    """

    name: str
    summary: str
    build: Callable[[Any], Any]
    params: type = NoParams
    version: str = "1"
    exceptions: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    trial: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    libraries: tuple[str, ...] = ()
    later: frozenset[str] = frozenset()

    def filled(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters as configurations have them: JSON values, those left out at their defaults."""
        from fedgen_bench.contract.params import completed, defaults, json_values

        known = json_values(defaults(self.params))
        whole = json_values(completed(self.params, values))
        return {name: one for name, one in whole.items() if name not in self.later or one != known.get(name)}


@dataclass(frozen=True, kw_only=True)
class StrategySpec(ComponentSpec):
    """A federated method. What it declares is checked: needs against a suite, promises by the contract tests.

    Args:
        cohort: `sampled` clients each round, all data `pooled` in one place, or `none` (nothing is trained).
        fits_per_round: how many step budgets one client may use in a round.
        optimizers: local optimizers that the method's equations hold for; all when empty.
        plain_gradients: it takes a client's change for its gradients' sum times the learning rate, so neither
            `training.clip_norm` nor `training.ema_decay` nor a schedule within the fit may stand in between.
        equal_rates: its equations take all steps of a fit to have one learning rate, so `training.schedule` may change
            it over rounds alone.
        low_rank: it needs an adapter made of LoRA factors.
        mixed_rank: its clients may have different ranks.
        changes_backbone: it folds low-rank updates into the backbone.
        stateful: its clients keep private state that their later rounds or their own models depend on.
        exact: the global model moves by exactly sum_k p_k s_k B_k A_k, p_k = n_k / sum n.
        server_step: the server moves the global model by a step that it computes from the clients' changes (momentum,
            adaptive rates, normalisation): what clients agree on comes back within rounding, and for a method with a
            reduction only under the first one's parameters.
        partial_work: a client may take fewer local steps than the suite's, as many as a deadline leaves time for or as
            its class of devices takes; clients of other methods take all of them, or their reply does not count.
        reduces_to: strategies by name, each with the own parameters under which the method is that one.
        averages: all clients of a round are sent the same tensors, an update holds some of these, trained, and the
            aggregate depends on the updates through their example-weighted mean alone. So one update may stand in the
            place of all of them, which is what privacy mechanisms need.
        sends_from_keep: what its clients send depends on their private state, and so on the rounds that they were in
            before. A guarantee that counts on nobody knowing who was asked does not hold for it.
    """

    cohort: Cohort = "sampled"
    fits_per_round: int = 1
    optimizers: tuple[str, ...] = ()
    plain_gradients: bool = False
    equal_rates: bool = False
    low_rank: bool = False
    mixed_rank: bool = False
    changes_backbone: bool = False
    stateful: bool = False
    exact: bool = False
    server_step: bool = False
    partial_work: bool = False
    reduces_to: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: MappingProxyType({}))
    averages: bool = False
    sends_from_keep: bool = False


@dataclass(frozen=True, kw_only=True)
class AdapterSpec(ComponentSpec):
    """What is trained on a backbone and travels: peft modules, soft prompts, every parameter.

    Args:
        low_rank: all of it are LoRA factors, which `Adapted.low_rank` lists and whose products can be folded into the
            backbone (`Adapted.fold`).
        mixes_ranks: its clients have different ranks.
        backbones: the kinds of backbone that it fits (`BackboneSpec.kind`), each with the parameters that the
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
class MechanismSpec(ComponentSpec):
    """What lets one change of a round through, so that the server learns no single client's.

    Args:
        carries: clients send its messages in the place of their updates, so nobody else sees one (see
            `mechanisms.Carrying`).
    """

    carries: bool = False


@dataclass(frozen=True, kw_only=True)
class EngineSpec(ComponentSpec):
    """Where the clients of a round are trained. Params named `jobs` and `address` are set by the command line.

    Args:
        hires: its workers are `authors.engines.Workers`; what these import is imported for them from the start.
    """

    hires: bool = False


@dataclass(frozen=True, kw_only=True)
class TableFormatSpec(ComponentSpec):
    """A file that a leaderboard is written to.

    Args:
        filename: inside `leaderboards/<suite>/`.
        exact: the same results give the same bytes under every version of the libraries (a plot's do not).
        on_request: written only into folders that have the file already.
    """

    filename: str
    exact: bool = True
    on_request: bool = False


@dataclass(frozen=True, kw_only=True)
class SuiteSource:
    """A suite's TOML text and where it came from.

    Args:
        name: the suite's.
        text: as it stands in the file.
        path: what error messages show.
        beside: the folder in which relative paths of its parameters begin; None for the working folder.
    """

    name: str
    text: str
    path: str
    beside: Path | None = None

    @property
    def option(self) -> str:
        """What `--suite` calls it: its name, or the path of a file of one's own."""
        return self.name if self.beside is None else self.path

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
