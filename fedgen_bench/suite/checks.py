"""What is wrong with a suite beyond its schema: (path, sentence) of every problem."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from fedgen_bench.base.errors import UsageError, unknown
from fedgen_bench.contract.params import make_params, problems_of
from fedgen_bench.suite.compatibility import unfit
from fedgen_bench.suite.device_checks import device_problems
from fedgen_bench.suite.schema import Evaluation, Seeds, SuiteSpec, Training
from fedgen_bench.suite.sizes import oversized
from fedgen_bench.suite.structure import accepted, is_list, kind_of, models_in
from fedgen_bench.suite.sweeps import at_point

if TYPE_CHECKING:
    from fedgen_bench.registry.registry import Registry

Problem = tuple[tuple[str, ...], str]


def component_problems(table: Mapping[str, Any], registry: Registry) -> Iterator[Problem]:
    """Of a suite's table, whatever else is wrong with it: components that are not there, parameters they refuse."""
    for kind, path, slot in _slots(SuiteSpec, table):
        if not isinstance(slot, dict) or not isinstance(name := slot.get("name"), str):
            continue
        known = registry.components[kind]
        if name not in known:
            yield (*path, "name"), unknown(kind, name, known)
        elif isinstance(values := slot.get("params", {}), dict):
            _, refused = make_params(known[name].spec.params, values)
            for inner, sentence in refused:
                yield (*path, "params", *inner), f"{kind} `{name}`: {sentence}"


def _slots(
    model: type[BaseModel], table: Any, path: tuple[str, ...] = ()
) -> Iterator[tuple[str, tuple[str, ...], Any]]:
    """(kind, path, what stands there) of every place of a suite's table that holds a component."""
    for name, field in model.model_fields.items() if isinstance(table, dict) else ():
        found = table.get(name)
        listed = enumerate(found if isinstance(found, list) else ()) if is_list(field) else None
        at = [((*path, name), found)] if listed is None else [((*path, name, str(i)), one) for i, one in listed]
        for where, one in at:
            for inner in models_in(field.annotation):
                if kind := kind_of(field):
                    yield kind, where, one
                else:
                    yield from _slots(inner, one, where)


def cross_problems(suite: SuiteSpec, registry: Registry) -> Iterator[Problem]:
    """Of a suite whose tables are right: what they say about each other, and of what is registered."""
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
    yield from _training_problems(suite.training)
    yield from _schedule_problems(suite)
    yield from device_problems(suite, registry)
    yield from _personalization_problems(suite)
    yield from _seed_problems(suite.seeds)
    yield from oversized(suite)
    yield from _sweep_problems(suite, registry)
    if suite.tuning is not None:
        for key in ("grid", "personalization"):
            grids = getattr(suite.tuning, key)
            for name in grids:
                if name not in names:
                    yield ("tuning", key, name), unknown("contender", name, names)
            if len({len(grid) for grid in grids.values()}) > 1:
                yield ("tuning", key), "Grids differ in size. Give every contender the same number of trials."


def _seed_problems(seeds: Seeds) -> Iterator[Problem]:
    if not seeds.leaderboard or len(set(seeds.leaderboard)) != len(seeds.leaderboard):
        yield ("seeds", "leaderboard"), "Leaderboard seeds must be given, each once."
        return
    if seeds.tuning in seeds.leaderboard:
        yield ("seeds", "tuning"), f"Tuning seed {seeds.tuning} is a leaderboard seed. Tune on another."
    if len(set(seeds.references)) != len(seeds.references):
        yield ("seeds", "references"), "Seeds of reference rows are given each once. Remove the second."
    if foreign := [seed for seed in seeds.references if seed not in seeds.leaderboard]:
        text = f"Seed {foreign[0]} of reference rows is no leaderboard seed. Choose among these."
        yield ("seeds", "references"), text
    elif seeds.references and seeds.leaderboard[0] not in seeds.references:
        first = seeds.leaderboard[0]
        yield ("seeds", "references"), f"Reference rows lack seed {first}, of which samples are shown. Add it."


def _training_problems(training: Training) -> Iterator[Problem]:
    if (training.local_steps is None) == (training.local_epochs is None):
        yield ("training",), "Give either local_steps or local_epochs."
    if training.micro_batch_size is not None and training.micro_batch_size > training.batch_size:
        text = f"micro_batch_size ({training.micro_batch_size}) exceeds batch_size ({training.batch_size})."
        yield ("training", "micro_batch_size"), text


def _schedule_problems(suite: SuiteSpec) -> Iterator[Problem]:
    schedule, tuning = suite.training.schedule, suite.tuning
    if schedule is None:
        return
    for key, whole, n in (
        ("warmup_rounds", "federation.rounds", suite.federation.rounds),
        ("warmup_rounds", "tuning.rounds", None if tuning is None else tuning.rounds),
        ("warmup_steps", "training.local_steps", suite.training.local_steps),
    ):
        if n is not None and (rising := getattr(schedule, key)) >= n:
            text = f"{key} ({rising}) leaves none of {whole} ({n}) at the full rate. Lower it."
            yield ("training", "schedule", key), text


def _personalization_problems(suite: SuiteSpec) -> Iterator[Problem]:
    if suite.personalization is None:
        said = [i for i, one in enumerate(suite.contender) if one.personalization is not None]
        for path in (("contender", str(i), "personalization") for i in said):
            yield path, "There is no [personalization] table that this could differ from. Add one."
        if suite.tuning is not None and suite.tuning.personalization:
            yield ("tuning", "personalization"), "There is no [personalization] table to tune. Add one."
        return
    for key in ("personalized_clients", "personalized_steps"):
        if getattr(suite.evaluation, key):
            yield ("evaluation", key), "[personalization] says this. Remove it here."


def _sweep_problems(suite: SuiteSpec, registry: Registry) -> Iterator[Problem]:
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
            known = dict(accepted(SuiteSpec))
            yield from (((*path, "set"), sentence) for _, sentence in problems_of(error, known))
        else:
            yield from (((*path, "set"), text) for _, text in cross_problems(under, registry))
            table = under.model_dump(mode="json")
            yield from (((*path, "set"), text) for _, text in component_problems(table, registry))


def _metric_problems(evaluation: Evaluation, registry: Registry) -> Iterator[Problem]:
    known = registry.components["metric"]
    for key in ("metric", "round_metric", "client_metric", "other_metrics", "optional_metrics"):
        value = getattr(evaluation, key)
        for metric in (value,) if isinstance(value, str) else value or ():
            if metric not in known:
                yield ("evaluation", key), unknown("metric", metric, known)
    needed = {evaluation.metric, evaluation.followed, evaluation.own, *evaluation.other_metrics}
    for metric in evaluation.optional_metrics:
        if metric in needed:
            yield ("evaluation", "optional_metrics"), f"Metric `{metric}` is asked for already. Name it once."
