"""Before the first cell: everything that stands in its way and can be known without training, all of it at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fedgen_bench.base.devices import has_dtype
from fedgen_bench.base.digits import show_bytes
from fedgen_bench.base.errors import FedgenError, NotReadyError
from fedgen_bench.base.failures import blamed, origin, text_of, told
from fedgen_bench.base.guards import guarded
from fedgen_bench.contract.contexts import ServerContext
from fedgen_bench.contract.protocols import Declaring, MicroBatching
from fedgen_bench.federation.clipped_gradients import batch_norm_in
from fedgen_bench.federation.components import build
from fedgen_bench.federation.device_checks import fit_devices, too_large
from fedgen_bench.federation.footprint import Footprint, footprint, memory_bytes
from fedgen_bench.federation.guarantees import unguaranteed
from fedgen_bench.federation.parameters import dump_tensors
from fedgen_bench.federation.seeding import seed_tree
from fedgen_bench.federation.trainer import plan_of
from fedgen_bench.suite.cellconfig import canonical
from fedgen_bench.suite.schema import Component

if TYPE_CHECKING:
    from fedgen_bench.contract.adapting import Adapted
    from fedgen_bench.contract.protocols import Task
    from fedgen_bench.federation.loader import Loader
    from fedgen_bench.registry.registry import Registry
    from fedgen_bench.suite.cellconfig import CellConfig
    from fedgen_bench.suite.cells import CellSpec

_NO_MICRO_BATCHES = (
    "does not say how a batch is trained in parts (`micro_batches`). Leave out `training.micro_batch_size`, and lower "
    "`training.batch_size` where memory is short."
)
_NO_EXAMPLES = (
    "does not say how a batch is taken apart (`micro_batches`), so single examples have no gradients. Leave out "
    "`example_dp`."
)
_BUILT_ONLY = frozenset({"strategy", "compressor", "attack", "mechanism"})


def preflight(specs: Sequence[CellSpec], loader: Loader, device: str = "cpu") -> None:
    """Load every task, split it for the first seed, attach every adapter once, begin its strategies, try one example.

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
        for users in _alike(some, lambda config: config.training.micro_batch_size):
            if users[0].config.training.micro_batch_size is not None and not isinstance(task, MicroBatching):
                yield told_of(users, f"task `{users[0].config.task.name}` {_NO_MICRO_BATCHES}")
        for users in _alike(some, lambda config: config.contender.example_dp):
            if users[0].config.contender.example_dp is not None and not isinstance(task, MicroBatching):
                yield told_of(users, f"task `{users[0].config.task.name}` {_NO_EXAMPLES}")
        split: set[int] = set()
        for users in _alike(some, lambda config: [config.partitioner, config.federation]):
            population, problem = _tried(lambda users=users: loader.population(loader.resolved(users[0])))  # type: ignore[misc]
            if problem:
                yield told_of(users, problem)
                continue
            split |= {id(one) for one in users}
            for alike in _alike(users, lambda config: [config.contender.mechanism, config.contender.example_dp]):
                if problem := unguaranteed(alike[0], population, loader.registry):
                    yield told_of(alike, problem)
        held: list[tuple[CellSpec, Footprint]] = []
        for users in _alike(some, lambda config: config.contender.adapter):
            is_split = id(users[0]) in split
            for concerned, problem in _adapter_problems(users, task, loader, device, held, is_split=is_split):
                yield told_of(concerned, problem)
        for concerned, problem in too_large(held):
            yield told_of(concerned, problem)


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


def _lacking(adapted: Adapted, device: str) -> str:
    """What is wrong where weights are stored in a dtype that the device does not have."""
    kinds = {str(one.dtype).removeprefix("torch.") for one in adapted.module.parameters() if one.is_floating_point()}
    for kind in sorted(kinds - {"float32"}):
        if not has_dtype(device, kind):
            return (
                f"`{device}` has no {kind}, in which weights of the backbone are stored. Store them in another dtype "
                "(`task.params.loading.dtype`), or choose another `--device`."
            )
    return ""


def _folds(spec: CellSpec, registry: Registry) -> bool:
    return bool(registry.get("strategy", spec.config.contender.strategy.name).spec.changes_backbone)


def _cohort_kind(spec: CellSpec, registry: Registry) -> str:
    return str(registry.get("strategy", spec.config.contender.strategy.name).spec.cohort)


def _adapter_problems(
    users: Sequence[CellSpec],
    task: Task,
    loader: Loader,
    device: str,
    held: list[tuple[CellSpec, Footprint]],
    *,
    is_split: bool,
) -> Iterator[tuple[Sequence[CellSpec], str]]:
    """What is wrong with an adapter, and the cells that it concerns: all of its users, or those that take too much.

    `held` gets what training holds in each cell whose clients train on devices of their own.
    """
    from fedgen_bench.federation.attaching import attach

    adapter = users[0].config.contender.adapter
    adapted, problem = _tried(lambda: attach(loader.registry, adapter, task, seed_tree(loader.resolved(users[0]))))
    if problem:
        yield users, problem
        return
    if problem := _lacking(adapted, device):
        yield users, problem
        return
    quantised = not all(one.is_floating_point() for one in adapted.module.parameters())
    if quantised and (folding := [one for one in users if _folds(one, loader.registry)]):
        names = ", ".join(sorted({f"`{one.config.contender.strategy.name}`" for one in folding}))
        yield (
            folding,
            (
                f"strategy {names} folds updates into the backbone, which is stored quantised and takes none. Leave "
                "`quantization` out, or choose another strategy."
            ),
        )
        return
    private = [one for one in users if one.config.contender.example_dp is not None]
    if private and (norm := batch_norm_in(adapted.module)):
        yield (
            private,
            (
                f"`{norm}` of the backbone computes with all examples of a batch at once, so single examples have no "
                "gradients of their own. Leave `example_dp` out, or choose a backbone without batch norm."
            ),
        )
        return
    for some in _alike(users, lambda config: config.devices):
        _, problem = _tried(lambda some=some: fit_devices(some[0], adapted, loader))  # type: ignore[misc]
        if problem:
            yield some, problem
    for some in _alike(users, lambda config: config.contender.strategy):
        if problem := _refusal(some[0], adapted, loader):
            yield some, problem
    if not is_split:
        return
    takes: dict[int, list[CellSpec]] = {}
    for some in _alike(users, lambda config: config.training):
        taken, problem = _tried(lambda some=some: _taken(users[0], some, task, adapted, loader))  # type: ignore[misc]
        if problem:
            yield users, f"a first example fails with adapter `{adapter.name}` on this backbone: {problem}"
            return
        for spec, one in taken:
            takes.setdefault(one.on(device), []).append(spec)
            if _cohort_kind(spec, loader.registry) == "sampled":
                held.append((spec, one))
    there = memory_bytes(device) if takes else 0
    for needed, some in takes.items():
        if needed > there:
            has = f"{'this machine' if device == 'cpu' else f'`{device}`'} has {show_bytes(there)}"
            figures = f"training adapter `{adapter.name}` takes about {show_bytes(needed)} of memory, and {has}"
            remedy = (
                "Lower `training.batch_size` or set `training.micro_batch_size`, choose an adapter that trains less, "
                "or a larger machine."
            )
            yield some, f"{figures}. {remedy}"


def _refusal(spec: CellSpec, adapted: Adapted, loader: Loader) -> str:
    """Why the strategy begins nothing with this adapter, in its words; what else it does wrong is told by its cell."""
    strategy, problem = _tried(lambda: build(loader.registry, "strategy", spec.config.contender.strategy))
    if problem:
        return ""
    sizes, pooled = spec.config.federation, _cohort_kind(spec, loader.registry) == "pooled"
    seeds, n_clients = seed_tree(loader.resolved(spec)), 1 if pooled else sizes.n_clients
    ctx = ServerContext(n_clients, sizes.clients_per_round, seeds, adapted.low_rank)

    def words() -> str:
        with guarded(f"{type(strategy).__name__}.init"):
            try:
                strategy.init(dump_tensors(adapted.trainable), ctx)
            except ValueError as error:
                return text_of(error)
        return ""

    return _tried(words)[0] or ""


def _taken(
    split: CellSpec, some: Sequence[CellSpec], task: Task, adapted: Adapted, loader: Loader
) -> list[tuple[CellSpec, Footprint]]:
    """What training takes in each of these cells, which train alike, from the loss of one example of `split`'s."""
    population = loader.population(loader.resolved(split))
    first = population.client(int(population.eligible[0])).train
    example = {name: tensor[:1] for name, tensor in first.tensors.items()}
    plan = plan_of(some[0].config)
    with guarded(f"{type(task).__name__}.loss"):
        held = footprint(adapted, task, example, plan, plan.examples_at_once)
    kinds = ((spec, _cohort_kind(spec, loader.registry)) for spec in some)
    return [
        (spec, replace(held, batch_size=min(plan.examples_at_once, population.most_held(kind))))
        for spec, kind in kinds
        if kind != "none"
    ]
