"""SuiteSpec -> ordered cells: each a contender under one seed, its configuration with all defaults filled in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from fedgen_bench.base.errors import UsageError, unknown
from fedgen_bench.contract.seeds import digest
from fedgen_bench.suite.cellconfig import (
    CellConfig,
    Measurement,
    Resolved,
    ResolvedAttack,
    ResolvedContender,
    ResolvedTask,
    canonical,
)
from fedgen_bench.suite.compatibility import unfit
from fedgen_bench.suite.contenders import added_contenders
from fedgen_bench.suite.devices import TRACE
from fedgen_bench.suite.devices import resolved as resolved_devices
from fedgen_bench.suite.personalization import resolved as resolved_personalization
from fedgen_bench.suite.schema import Component, SuiteSpec, Task
from fedgen_bench.suite.sweeps import Variant, variants

if TYPE_CHECKING:
    from fedgen_bench.registry.registry import Registry

Purpose = Literal["leaderboard", "tune"]


@dataclass(frozen=True)
class CellSpec:
    """One cell: a contender under one seed, fully resolved.

    Args:
        config: everything that determines the result, with all defaults filled in.
        off_suite: the `--set` overrides; such a cell is shown, never ranked.
        purpose: `leaderboard` or `tune` (no test evaluation).
        content: sha256 by name of the files and folders that the task reads, once they are known. One under the name of
            a task's parameter (`name`, or `table.name` of a table within) is what that names, however it is spelled.
    """

    config: CellConfig
    off_suite: tuple[str, ...] = ()
    purpose: Purpose = "leaderboard"
    content: Mapping[str, str] = field(default_factory=dict)

    @property
    def suite(self) -> str:
        """The suite's name."""
        return self.config.suite

    @property
    def suite_version(self) -> int:
        """The suite's version."""
        return self.config.suite_version

    @property
    def contender(self) -> str:
        """The row, with the point that it runs at."""
        return self.config.contender.name

    @property
    def seed(self) -> int:
        """The suite's seed."""
        return self.config.seed

    @property
    def name(self) -> str:
        """`suite/contender/seed`, for people; a tuning trial has its digest behind it."""
        trial = f"#{self.digest[:6]}" if self.purpose == "tune" else ""
        return f"{self.suite}/{self.contender}/{self.seed}{trial}"

    @property
    def digest(self) -> str:
        """Of the settings: equal digests mean equal bits on one machine, from the same data and backbone."""
        return self._digest(self.config, self.off_suite)

    def _digest(self, config: CellConfig, off_suite: Sequence[str], *more: Any) -> str:
        return digest(canonical([config, self.purpose, *([off_suite] if off_suite else []), *more]))[:24]

    @property
    def identity(self) -> str:
        """Of the result: of the settings and of the content that they name. The store keeps cells by it."""
        if not self.content:
            return self.digest
        named = [name if name == TRACE else f"task.params.{name}" for name in self.content]
        off_suite = [one.partition("=")[0] if one.partition("=")[0] in named else one for one in self.off_suite]
        devices = self.config.devices and self.config.devices.with_content(self.content.get(TRACE, ""))
        config = self.config.model_copy(update={"task": self.task, "devices": devices})
        return self._digest(config, off_suite, dict(self.content))

    @property
    def task(self) -> ResolvedTask:
        """The task of the config, with the content of what its parameters name in place of their spelling."""
        task = self.config.task
        return task.model_copy(update={"params": _by_content(task.params, self.content)})


def _by_content(params: Mapping[str, Any], content: Mapping[str, str], path: str = "") -> dict[str, Any]:
    """Parameters with the content of what they name in place of its spelling."""
    return {
        name: _by_content(value, content, f"{path}{name}.")
        if isinstance(value, Mapping)
        else content.get(path + name, value)
        for name, value in params.items()
    }


def expand(
    suite: SuiteSpec,
    registry: Registry,
    *,
    contenders: Sequence[str] = (),
    added: Sequence[str] = (),
    seeds: Sequence[int] = (),
    off_suite: Sequence[str] = (),
    purpose: Purpose = "leaderboard",
) -> tuple[CellSpec, ...]:
    """Ordered cells: contenders as the suite lists them, then those of `added_contenders(..., added)`, seeds inside.

    A seed that is not that of a row (see `Seeds.of`) leaves the row out.

    Raises:
        UsageError: a contender that does not exist or cannot work, a seed that is not the suite's, or not that of a
            contender that is named.
    """
    tuned = (suite.seeds.tuning,) if purpose == "tune" else ()
    own = tuned or suite.seeds.leaderboard
    for seed in seeds:
        if seed not in own:
            others = " --set seeds.references=[]" if suite.seeds.references else ""
            raise UsageError(
                f"Seed {seed} is not one of this suite's ({', '.join(map(str, own))}), whose table it would not enter. "
                f"Choose one of them, or run off the suite with `--set seeds.leaderboard=[{seed}]{others}`."
            )
    brought = added_contenders(suite, registry, added)
    for one in brought:
        if problems := list(unfit(one, suite, registry)):
            raise UsageError(f"`{one.name}` cannot be a contender of this suite: {problems[0]}")
    everyone = (*variants(suite), *(Variant(one.name, one, suite) for one in brought))
    known = {name for one in everyone for name in (one.name, one.contender.name)}
    for name in contenders:
        if name not in known:
            raise UsageError(unknown("contender", name, known))
    cells: list[CellSpec] = []
    for variant in everyone:
        if contenders and not {variant.name, variant.contender.name} & set(contenders):
            continue
        theirs = tuned or suite.seeds.of(ranked=variant.contender.ranked)
        asked = [seed for seed in (seeds or theirs) if seed in theirs]
        if contenders and not asked:
            raise UsageError(
                f"`{variant.name}` is a reference row, which has no seed {', '.join(map(str, seeds))}. Choose one of "
                f"{', '.join(map(str, theirs))}."
            )
        cells += (CellSpec(_config(variant, seed, registry), tuple(off_suite), purpose) for seed in asked)
    return tuple(cells)


def _config(variant: Variant, seed: int, registry: Registry) -> CellConfig:
    suite, contender, attack = variant.suite, variant.contender, variant.suite.attack
    return CellConfig(
        suite=suite.suite.name,
        suite_version=suite.suite.version,
        task=_task(suite.task, registry),
        partitioner=_resolved("partitioner", suite.partitioner, registry),
        federation=suite.federation,
        training=suite.training,
        evaluation=Measurement(**suite.evaluation.model_dump(exclude={"target"})),
        seed=seed,
        contender=ResolvedContender(
            name=variant.name,
            ranked=contender.ranked,
            learning_rate=contender.learning_rate,
            strategy=_resolved("strategy", contender.strategy, registry),
            adapter=_resolved("adapter", contender.adapter, registry),
            uplink=tuple(_resolved("compressor", one, registry) for one in contender.uplink),
            downlink=tuple(_resolved("compressor", one, registry) for one in contender.downlink),
            example_dp=contender.example_dp,
            mechanism=None if contender.mechanism is None else _resolved("mechanism", contender.mechanism, registry),
        ),
        attack=None
        if attack is None
        else ResolvedAttack(**_filled("attack", attack, registry), fraction=attack.fraction),
        devices=None if suite.devices is None else resolved_devices(suite.devices, registry),
        point=variant.point,
        personalization=None
        if suite.personalization is None
        else resolved_personalization(suite.personalization, contender.personalization, contender.learning_rate),
    )


def _resolved(kind: str, component: Component, registry: Registry) -> Resolved:
    return Resolved(**_filled(kind, component, registry))


def _task(task: Task, registry: Registry) -> ResolvedTask:
    """The task; where its evaluation was changed, also the parameters that the streams go on to see (`pairs_as`)."""
    filled, spec = _filled("task", task, registry), registry.get("task", task.name).spec
    meant, params = spec.filled(task.pairs_as) if task.pairs_as else filled["params"], filled["params"]
    fixed = sorted(spec.evaluation_only)
    return ResolvedTask(
        **filled,
        pairs_as={name: meant[name] for name in fixed if name in meant and meant[name] != params.get(name)},
        pairs_without=tuple(name for name in fixed if name in params and name not in meant),
    )


def _filled(kind: str, component: Component, registry: Registry) -> dict[str, Any]:
    """The component's name and parameters with those left out at their defaults, its version and source."""
    registered = registry.get(kind, component.name)
    return {
        "name": component.name,
        "params": registered.spec.filled(component.params),
        "version": registered.spec.version,
        "source_sha256": registered.provenance.source_sha256,
    }
