"""Before the first cell: everything that stands in its way and can be known without training, all of it at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from fedgen_bench.base.digits import show_bytes
from fedgen_bench.base.errors import FedgenError, NotReadyError
from fedgen_bench.base.failures import blamed, origin, text_of, told
from fedgen_bench.base.guards import guarded
from fedgen_bench.contract.protocols import Declaring
from fedgen_bench.federation.components import build
from fedgen_bench.federation.footprint import footprint, memory_bytes
from fedgen_bench.federation.seeding import seed_tree
from fedgen_bench.federation.trainer import plan_of
from fedgen_bench.suite.cellconfig import canonical
from fedgen_bench.suite.schema import Component

if TYPE_CHECKING:
    from fedgen_bench.contract.adapting import Adapted
    from fedgen_bench.contract.protocols import Task
    from fedgen_bench.federation.footprint import Footprint
    from fedgen_bench.federation.loader import Loader
    from fedgen_bench.registry.registry import Registry
    from fedgen_bench.suite.cellconfig import CellConfig
    from fedgen_bench.suite.cells import CellSpec

_BUILT_ONLY = frozenset({"strategy", "compressor", "attack"})


def preflight(specs: Sequence[CellSpec], loader: Loader, device: str = "cpu") -> None:
    """Load every task, split it for the first seed, attach every adapter once, and try one example of a first batch.

    Everything happens on the CPU, one adapter at a time; tasks stay in `loader`, nothing else does. What training
    takes is held against the memory of `device`.

    Raises:
        NotReadyError: all problems, each with the contenders that it concerns where these are not all.
    """
    problems = list(dict.fromkeys(_problems(specs, loader, device)))
    if problems:
        raise NotReadyError(problems)


def _problems(specs: Sequence[CellSpec], loader: Loader, device: str) -> Iterator[str]:
    def told_of(some: Sequence[CellSpec], problem: str) -> str:
        names, everybody = (list(dict.fromkeys(one.contender for one in group)) for group in (some, specs))
        if names == everybody:
            return problem
        return f"{', '.join(f'`{name}`' for name in names)}: {problem}"

    for some in _alike(specs, lambda config: config.task):
        task, problem = _tried(lambda some=some: loader.task(loader.resolved(some[0])))  # type: ignore[misc]
        if problem:
            yield told_of(some, problem)
        for kind, component, users in _components(some):
            _, problem = _tried(lambda kind=kind, one=component: build(loader.registry, kind, one))  # type: ignore[misc]
            if problem:
                yield told_of(users, problem)
        if task is None:
            continue
        for users in _alike(some, lambda config: config.evaluation):
            for problem in _metric_problems(users[0], task, loader.registry):
                yield told_of(users, problem)
        split: set[int] = set()
        for users in _alike(some, lambda config: [config.partitioner, config.federation]):
            _, problem = _tried(lambda users=users: loader.population(loader.resolved(users[0])))  # type: ignore[misc]
            if problem:
                yield told_of(users, problem)
            else:
                split |= {id(one) for one in users}
        for users in _alike(some, lambda config: config.contender.adapter):
            spec = next((one for one in users if _is_trained(one, loader.registry)), users[0])
            if problem := _adapter_problem(spec, task, loader, device, is_split=id(users[0]) in split):
                yield told_of(users, problem)


def _alike(specs: Sequence[CellSpec], part: Callable[[CellConfig], Any]) -> list[list[CellSpec]]:
    """The specs in groups of one value of this part of their config, in their order."""
    groups: dict[str, list[CellSpec]] = {}
    for spec in specs:
        groups.setdefault(canonical(part(spec.config)), []).append(spec)
    return list(groups.values())


def _components(specs: Sequence[CellSpec]) -> Iterator[tuple[str, Component, list[CellSpec]]]:
    """Every component that is only built here, with those that use it."""
    used: dict[tuple[str, str], tuple[Component, list[CellSpec]]] = {}
    for spec in specs:
        for kind, one in spec.config.components():
            if kind in _BUILT_ONLY:
                _, users = used.setdefault((kind, canonical(one)), (one, []))
                if spec not in users:
                    users.append(spec)
    for (kind, _), (component, users) in used.items():
        yield kind, component, users


def _tried(call: Callable[[], Any]) -> tuple[Any, str]:
    """What `call` gives, or what is wrong on one line; only the user's interrupt gets through."""
    try:
        with blamed("A component"):
            return call(), ""
    except FedgenError as error:
        return None, text_of(error)
    except Exception as error:  # noqa: BLE001 - foreign code may raise anything
        return None, f"{told(error)} ({origin(error)})"


def _metric_problems(spec: CellSpec, task: Task, registry: Registry) -> Iterator[str]:
    """Metrics that cannot be built, or whose evidence the task says that it does not give."""
    for name in spec.config.evaluation.metrics:
        metric = Component(name=name)
        _, problem = _tried(lambda metric=metric: build(registry, "metric", metric))  # type: ignore[misc]
        if problem:
            yield problem
            continue
        if not isinstance(task, Declaring) or name in spec.config.evaluation.optional_metrics:
            continue
        for split in (*(["valid_subset"] if name in spec.config.evaluation.round_metrics else []), "valid", "test"):
            if missing := registry.get("metric", name).spec.evidence - task.evidence(split):
                names = ", ".join(f"`{one}`" for one in sorted(missing))
                yield (
                    f"Metric `{name}` reads {names}, which task `{spec.config.task.name}` does not give on "
                    f"`{split}`. Name another metric in the suite's [evaluation], or put this one into "
                    "`optional_metrics`."
                )
                break


def _is_trained(spec: CellSpec, registry: Registry) -> bool:
    """Whether a cell trains anything: a reference may be the backbone as it is."""
    return bool(registry.get("strategy", spec.config.contender.strategy.name).spec.cohort != "none")


def _adapter_problem(spec: CellSpec, task: Task, loader: Loader, device: str, *, is_split: bool) -> str:
    from fedgen_bench.federation.attaching import attach

    adapter = spec.config.contender.adapter
    adapted, problem = _tried(lambda: attach(loader.registry, adapter, task, seed_tree(loader.resolved(spec))))
    if problem or not is_split:
        return problem
    needed, problem = _tried(lambda: _needed(spec, task, adapted, loader).on(device))
    if problem:
        return f"a first example fails with adapter `{adapter.name}` on this backbone: {problem}"
    if _is_trained(spec, loader.registry) and needed > (there := memory_bytes(device)):
        return (
            f"training adapter `{adapter.name}` takes about {show_bytes(needed)} of memory, and "
            f"{'this machine' if device == 'cpu' else f'`{device}`'} has {show_bytes(there)}. Lower "
            "`training.batch_size`, choose an adapter that trains less, or a larger machine."
        )
    return ""


def _needed(spec: CellSpec, task: Task, adapted: Adapted, loader: Loader) -> Footprint:
    """What training takes, from the loss of one example."""
    population = loader.population(loader.resolved(spec))
    first = population.client(int(population.eligible[0])).train
    example = {name: tensor[:1] for name, tensor in first.tensors.items()}
    with guarded(f"{type(task).__name__}.loss"):
        return footprint(adapted, task, example, plan_of(spec.config))
