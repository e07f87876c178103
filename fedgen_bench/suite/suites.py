"""TOML -> SuiteSpec -> ordered RunSpecs. Every problem of a suite file is reported at once, with its line."""

from __future__ import annotations

import json
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError

from fedgen_bench.base.errors import SuiteError, UsageError, unknown
from fedgen_bench.contract.params import defaults, make_params, problems_of
from fedgen_bench.contract.seeds import digest
from fedgen_bench.contract.specs import SuiteSource
from fedgen_bench.registry.registry import Registered, Registry
from fedgen_bench.suite.contenders import added_contenders
from fedgen_bench.suite.lines import lines_of
from fedgen_bench.suite.overrides import apply_overrides
from fedgen_bench.suite.schema import Component, Contender, Evaluation, SuiteSpec, Task, plain
from fedgen_bench.suite.sizes import oversized
from fedgen_bench.suite.sweeps import Variant, at_point, variants

_MAX_TEXT_BYTES = 1 << 20


@dataclass(frozen=True)
class RunSpec:
    """One cell: a contender under one seed, fully resolved.

    Args:
        config: everything that determines the result, JSON-able, with all defaults filled in.
        off_suite: the `--set` overrides; such a run is shown, never ranked.
        purpose: `leaderboard` or `tune` (no test evaluation).
        content: sha256 by name of the files and folders that the task reads, once they are known. One under the name of
            a task's parameter is what that parameter names, however it is spelled.
    """

    suite: str
    suite_version: int
    contender: str
    seed: int
    config: Mapping[str, Any]
    off_suite: tuple[str, ...] = ()
    purpose: str = "leaderboard"
    content: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """`suite/contender/seed`, for people; a tuning trial has its digest behind it."""
        trial = f"#{self.digest[:6]}" if self.purpose == "tune" else ""
        return f"{self.suite}/{self.contender}/{self.seed}{trial}"

    @property
    def digest(self) -> str:
        """Of the settings: equal digests mean equal bits on one machine, from the same data and backbone."""
        return self._digest(self.config, self.off_suite)

    def _digest(self, config: Mapping[str, Any], off_suite: Sequence[str], *more: Any) -> str:
        parts = [config, self.purpose, *([off_suite] if off_suite else []), *more]
        return digest(json.dumps(parts, sort_keys=True))[:24]

    @property
    def identity(self) -> str:
        """Of the result: of the settings and of the content that they name. The store keeps runs by it."""
        if not self.content:
            return self.digest
        named = [f"task.params.{name}" for name in self.config["task"]["params"] if name in self.content]
        off_suite = [one.partition("=")[0] if one.partition("=")[0] in named else one for one in self.off_suite]
        return self._digest({**self.config, "task": self.task}, off_suite, dict(self.content))

    @property
    def task(self) -> Mapping[str, Any]:
        """The task of the config, with the content of what its parameters name in place of their spelling."""
        task = self.config["task"]
        return {**task, "params": {name: self.content.get(name, value) for name, value in task["params"].items()}}

    @property
    def ranked(self) -> bool:
        """Whether the contender competes (reference rows do not)."""
        return bool(self.config["contender"]["ranked"])

    @property
    def followed_metric(self) -> str:
        """The metric that is read after rounds and on clients' own data."""
        evaluation = self.config["evaluation"]
        return str(evaluation.get("round_metric", evaluation["metric"]))

    @property
    def optional_metrics(self) -> tuple[str, ...]:
        """Those that are left out where the task gives no evidence for them."""
        return tuple(self.config["evaluation"].get("optional_metrics", ()))

    @property
    def metrics(self) -> tuple[str, ...]:
        """All that are measured after the last round, each once."""
        evaluation = self.config["evaluation"]
        named = [evaluation["metric"], self.followed_metric, *evaluation["other_metrics"], *self.optional_metrics]
        return tuple(dict.fromkeys(named))

    @property
    def round_metrics(self) -> tuple[str, ...]:
        """Those that are measured after rounds and on clients' own data."""
        return (self.followed_metric,) if "round_metric" in self.config["evaluation"] else self.metrics


def _where(source: SuiteSource, lines: Mapping[tuple[str, ...], int], path: tuple[str, ...]) -> str:
    for end in range(len(path), 0, -1):
        if path[:end] in lines:
            return f"{source.path}:{lines[path[:end]]}: "
    return f"{source.path}: "


def _accepted(model: type[BaseModel], prefix: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """What every table of the schema accepts, by path (list items under every index up to 99)."""
    yield prefix, list(model.model_fields)
    for name, one in model.model_fields.items():
        for inner in _models_in(one.annotation):
            in_list = typing.get_origin(one.annotation) is tuple
            prefixes = [(*prefix, name, str(i)) for i in range(100)] if in_list else [(*prefix, name)]
            for each in prefixes:
                yield from _accepted(inner, each)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if typing.get_origin(annotation) in (tuple, types.UnionType, typing.Union):
        return [model for part in typing.get_args(annotation) for model in _models_in(part)]
    return []


def load_suite(source: SuiteSource, registry: Registry, overrides: Sequence[str] = ()) -> SuiteSpec:
    """Parse and validate a suite against the registry.

    Raises:
        SuiteError: all that is wrong, each with file and line.
    """
    if len(source.text.encode()) > _MAX_TEXT_BYTES:
        raise SuiteError([f"{source.path}: larger than {_MAX_TEXT_BYTES} bytes. A suite is a short text."])
    try:
        table = tomllib.loads(source.toml)
    except (ValueError, RecursionError) as error:
        raise SuiteError([f"{source.path}: {error}. Mend the TOML."]) from None
    table = apply_overrides(table, overrides)
    lines = lines_of(source.toml)
    problems: list[str] = []
    try:
        suite = SuiteSpec.model_validate_json(json.dumps(table, default=str))
    except ValidationError as error:
        known = dict(_accepted(SuiteSpec))
        problems = [_where(source, lines, path) + sentence for path, sentence in problems_of(error, known)]
        raise SuiteError(
            problems + [where + text for where, text in _component_problems(table, registry, source, lines)]
        ) from None
    problems = [where + text for where, text in _component_problems(table, registry, source, lines)]
    problems += [_where(source, lines, path) + text for path, text in _cross_problems(suite, registry)]
    if problems:
        raise SuiteError(problems)
    return suite


def _component_problems(
    table: Mapping[str, Any], registry: Registry, source: SuiteSource, lines: Mapping[tuple[str, ...], int]
) -> Iterator[tuple[str, str]]:
    slots: list[tuple[str, tuple[str, ...], Any]] = [
        ("task", ("task",), table.get("task")),
        ("partitioner", ("partitioner",), table.get("partitioner")),
        ("attack", ("attack",), table.get("attack")),
    ]
    contenders = table.get("contender")
    for i, one in enumerate(contenders if isinstance(contenders, list) else ()):
        if isinstance(one, dict):
            slots += [(kind, ("contender", str(i), kind), one.get(kind)) for kind in ("strategy", "adapter")]
            for way in ("uplink", "downlink"):
                chain = one.get(way)
                links = enumerate(chain if isinstance(chain, list) else ())
                slots += [("compressor", ("contender", str(i), way, str(j)), link) for j, link in links]
    for kind, path, slot in slots:
        if not isinstance(slot, dict) or not isinstance(slot.get("name"), str):
            continue
        known = registry.components[kind]
        if slot["name"] not in known:
            yield _where(source, lines, (*path, "name")), unknown(kind, slot["name"], known)
            continue
        values = slot.get("params", {})
        if isinstance(values, dict):
            _, found = make_params(known[slot["name"]].spec.params, values)
            for inner, sentence in found:
                yield _where(source, lines, (*path, "params", *inner)), f"{kind} `{slot['name']}`: {sentence}"


def _cross_problems(suite: SuiteSpec, registry: Registry) -> Iterator[tuple[tuple[str, ...], str]]:
    names = [one.name for one in suite.contender]
    for i, name in enumerate(names):
        if name in names[:i]:
            yield ("contender", str(i), "name"), f"Contender `{name}` is defined twice. Rename one of them."
        for problem in unfit(suite.contender[i], suite, registry):
            yield ("contender", str(i)), f"Contender `{name}`: {problem}"
    for key in ("reference", "full_model"):
        if (wanted := getattr(suite.suite, key)) not in names:
            yield ("suite", key), unknown("contender", wanted, names)
    yield from _metric_problems(suite.evaluation, registry)
    if suite.federation.clients_per_round > suite.federation.n_clients:
        sizes = suite.federation
        text = f"clients_per_round ({sizes.clients_per_round}) exceeds n_clients ({sizes.n_clients})."
        yield ("federation", "clients_per_round"), text
    if suite.federation.min_updates > suite.federation.clients_per_round:
        yield ("federation", "min_updates"), "min_updates exceeds clients_per_round."
    if (suite.training.local_steps is None) == (suite.training.local_epochs is None):
        yield ("training",), "Give either local_steps or local_epochs."
    if not suite.seeds.leaderboard or len(set(suite.seeds.leaderboard)) != len(suite.seeds.leaderboard):
        yield ("seeds", "leaderboard"), "Leaderboard seeds must be given, each once."
    if suite.seeds.tuning in suite.seeds.leaderboard:
        yield ("seeds", "tuning"), f"Tuning seed {suite.seeds.tuning} is a leaderboard seed. Tune on another."
    yield from oversized(suite)
    yield from _sweep_problems(suite, registry)
    if suite.tuning is not None:
        for name in suite.tuning.grid:
            if name not in names:
                yield ("tuning", "grid", name), unknown("contender", name, names)
        if len({len(grid) for grid in suite.tuning.grid.values()}) > 1:
            yield ("tuning", "grid"), "Grids differ in size. Give every contender the same number of trials."


def _sweep_problems(suite: SuiteSpec, registry: Registry) -> Iterator[tuple[tuple[str, ...], str]]:
    if suite.sweep is None:
        return
    names = [one.name for one in suite.contender]
    for name in suite.sweep.contenders:
        if name not in names:
            yield ("sweep", "contenders"), unknown("contender", name, names)
    values = [point.value for point in suite.sweep.point]
    for i, point in enumerate(suite.sweep.point):
        path = ("sweep", "point", str(i))
        if point.value in values[:i]:
            yield path, f"Point {point.value:g} is there twice. Remove one of them."
        try:
            under = at_point(suite, point)
        except UsageError as error:
            yield path, str(error)
        except ValidationError as error:
            known = dict(_accepted(SuiteSpec))
            yield from (((*path, "set"), sentence) for _, sentence in problems_of(error, known))
        else:
            yield from (((*path, "set"), text) for _, text in _cross_problems(under, registry))
            source = SuiteSource(name=suite.suite.name, text="", path="")
            table = under.model_dump(mode="json")
            yield from (((*path, "set"), text) for _, text in _component_problems(table, registry, source, {}))


def _metric_problems(evaluation: Evaluation, registry: Registry) -> Iterator[tuple[tuple[str, ...], str]]:
    known = registry.components["metric"]
    for key in ("metric", "round_metric", "other_metrics", "optional_metrics"):
        value = getattr(evaluation, key)
        for metric in (value,) if isinstance(value, str) else value or ():
            if metric not in known:
                yield ("evaluation", key), unknown("metric", metric, known)
    needed = {evaluation.metric, evaluation.followed, *evaluation.other_metrics}
    for metric in evaluation.optional_metrics:
        if metric in needed:
            yield ("evaluation", "optional_metrics"), f"Metric `{metric}` is asked for already. Name it once."


def unfit(contender: Contender, suite: SuiteSpec, registry: Registry) -> Iterator[str]:
    """Why a contender's choices cannot work together, each with what would."""
    strategies, adapters = registry.components["strategy"], registry.components["adapter"]
    if contender.strategy.name not in strategies or contender.adapter.name not in adapters:
        return
    strategy, adapter = strategies[contender.strategy.name].spec, adapters[contender.adapter.name].spec
    if (strategy.low_rank or strategy.changes_backbone) and not adapter.low_rank:
        what = "folds updates into the backbone" if strategy.changes_backbone else "works on LoRA factors"
        able = ", ".join(f"`{name}`" for name, one in sorted(adapters.items()) if one.spec.low_rank)
        yield f"strategy `{strategy.name}` {what}, adapter `{adapter.name}` has none. Adapters that have: {able}."
    if adapter.mixes_ranks and not strategy.mixed_rank:
        able = ", ".join(f"`{name}`" for name, one in sorted(strategies.items()) if one.spec.mixed_rank)
        yield (
            f"its clients have different ranks, and strategy `{strategy.name}` needs factors of one rank. For mixed "
            f"ranks there are: {able}."
        )
    if strategy.optimizers and suite.training.optimizer not in strategy.optimizers:
        able = " or ".join(f'"{name}"' for name in strategy.optimizers)
        like = "; ".join(
            f"`{one.name}` would work"
            for one in suite.contender
            if one.name != contender.name and one.ranked and not _wants_other_optimizer(one, suite, registry)
        ).partition(";")[0]
        yield (
            f"strategy `{strategy.name}` holds for training.optimizer = {able}, the suite has "
            f'"{suite.training.optimizer}".{f" Contender {like} under it." if like else ""}'
        )
    for name in ("clip_norm", "ema_decay") if strategy.plain_gradients else ():
        if (value := getattr(suite.training, name)) is not None:
            yield (
                f"strategy `{strategy.name}` reads gradients off a client's change, which training.{name} = {value:g} "
                "alters. Write a suite without it."
            )


def _wants_other_optimizer(contender: Contender, suite: SuiteSpec, registry: Registry) -> bool:
    found = registry.components["strategy"].get(contender.strategy.name)
    return found is None or bool(found.spec.optimizers and suite.training.optimizer not in found.spec.optimizers)


def _resolved(kind: str, component: Component, registry: Registry) -> dict[str, Any]:
    found: Registered = registry.get(kind, component.name)
    return {
        "name": component.name,
        "params": json.loads(json.dumps(defaults(found.spec.params) | component.params)),
        "version": found.spec.version,
        "source_sha256": found.provenance.source_sha256,
    }


def _task(task: Task, registry: Registry) -> dict[str, Any]:
    """The task; where its evaluation was changed, also the parameters that the streams go on to see (`pairs_as`)."""
    found, spec = _resolved("task", task, registry), registry.get("task", task.name).spec
    if not task.pairs_as:
        return found
    meant = json.loads(json.dumps(defaults(spec.params) | task.pairs_as))
    pinned = {name: meant[name] for name in sorted(spec.evaluation_only) if meant[name] != found["params"][name]}
    return {**found, "pairs_as": pinned} if pinned else found


def _chains(contender: Contender, registry: Registry) -> dict[str, list[dict[str, Any]]]:
    """Compressors of a contender that has some."""
    chains = {"uplink": contender.uplink, "downlink": contender.downlink}
    return {way: [_resolved("compressor", one, registry) for one in chain] for way, chain in chains.items() if chain}


def expand(
    suite: SuiteSpec,
    registry: Registry,
    *,
    contenders: Sequence[str] = (),
    added: Sequence[str] = (),
    seeds: Sequence[int] = (),
    off_suite: Sequence[str] = (),
    purpose: str = "leaderboard",
) -> tuple[RunSpec, ...]:
    """Ordered cells: contenders as the suite lists them, then those of `added_contenders(..., added)`, seeds inside.

    Raises:
        UsageError: a contender that does not exist or cannot work, a seed that is not the suite's.
    """
    own = (suite.seeds.tuning,) if purpose == "tune" else suite.seeds.leaderboard
    for seed in seeds:
        if seed not in own:
            raise UsageError(
                f"Seed {seed} is not one of this suite's ({', '.join(map(str, own))}), whose table it would not enter. "
                f"Choose one of them, or run off the suite with `--set seeds.leaderboard=[{seed}]`."
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
    chosen = [one for one in everyone if not contenders or {one.name, one.contender.name} & set(contenders)]
    return tuple(
        RunSpec(
            suite=suite.suite.name,
            suite_version=suite.suite.version,
            contender=one.name,
            seed=seed,
            config=_config(one, seed, registry),
            off_suite=tuple(off_suite),
            purpose=purpose,
        )
        for one in chosen
        for seed in (seeds or own)
    )


def _config(variant: Variant, seed: int, registry: Registry) -> dict[str, Any]:
    suite, contender = variant.suite, variant.contender
    config: dict[str, Any] = {
        "suite": suite.suite.name,
        "suite_version": suite.suite.version,
        "task": _task(suite.task, registry),
        "partitioner": _resolved("partitioner", suite.partitioner, registry),
        "federation": plain(suite.federation),
        "training": plain(suite.training),
        "evaluation": {key: value for key, value in plain(suite.evaluation).items() if key != "target"},
        "seed": seed,
        "contender": {
            "name": variant.name,
            "ranked": contender.ranked,
            "learning_rate": contender.learning_rate,
            "strategy": _resolved("strategy", contender.strategy, registry),
            "adapter": _resolved("adapter", contender.adapter, registry),
            **_chains(contender, registry),
        },
    }
    if suite.attack is not None:
        config["attack"] = _resolved("attack", suite.attack, registry) | {"fraction": suite.attack.fraction}
    if variant.point is not None:
        config["point"] = dict(variant.point)
    return config
