"""All contracts of all registered components, ready for pytest.

In a plugin's own tests:

    from fedgen_bench.testing import load_registry, parametrize_with_contracts

    @parametrize_with_contracts(load_registry(["my_method.py"]), names={"my_method"})
    def test_contract(contract):
        contract()
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from fedgen_bench.contract.params import make_params
from fedgen_bench.registry.datasets import finder
from fedgen_bench.testing import metrics
from fedgen_bench.testing.adapters import adapter_checks, on_kind
from fedgen_bench.testing.attacks import attack_checks
from fedgen_bench.testing.backbones import backbone_checks, ground_of
from fedgen_bench.testing.claims import claim_checks
from fedgen_bench.testing.compressors import compressor_checks
from fedgen_bench.testing.datasets import dataset_checks
from fedgen_bench.testing.device_profiles import device_profile_checks
from fedgen_bench.testing.engines import engine_checks
from fedgen_bench.testing.imports import check_light_import
from fedgen_bench.testing.locations import Broken, at
from fedgen_bench.testing.mechanisms import mechanism_checks
from fedgen_bench.testing.observers import OBSERVER_CHECKS
from fedgen_bench.testing.partitioners import partitioner_checks
from fedgen_bench.testing.promises import check_reduces_to
from fedgen_bench.testing.strategies import NEEDS, strategy_checks
from fedgen_bench.testing.structure import with_defaults
from fedgen_bench.testing.suites import SUITE_CHECKS
from fedgen_bench.testing.tables import TABLE_CHECKS
from fedgen_bench.testing.tasks import loaded, task_checks

if TYPE_CHECKING:
    from fedgen_bench.contract.backbones import Ground
    from fedgen_bench.contract.protocols import Task
    from fedgen_bench.contract.specs import AdapterSpec, StrategySpec, SuiteSource
    from fedgen_bench.registry.registry import Observer, Registry

FIRST = "check_rehearsal"  # of every kind: without it no other check says anything new
# What all others of a kind need besides.
ALL_NEED: Mapping[str, tuple[str, ...]] = {
    "partitioner": ("check_valid",),
    "compressor": ("check_deterministic", "check_layout_restored"),
    "attack": ("check_deterministic", "check_same_layout"),
    "mechanism": ("check_deterministic",),
    "adapter": ("check_deterministic",),
}
KINDS = (
    *("strategy", "adapter", "partitioner", "task", "metric", "compressor", "attack", "mechanism", "engine"),
    *("dataset", "backbone", "claim", "device_profile", "suite", "table_format", "observer"),
)
# What holds a check's name and docstring, what is called, and the kind of backbone for an adapter.
Check = tuple[Callable[..., None], Callable[[], None], str]


@dataclass(frozen=True)
class Contract:
    """One check of one component; call it.

    Args:
        summary: what must hold, one sentence.
        backbone: kind of backbone that an adapter is checked on.
        expected_failure: why it does not hold, where the component's `exceptions` say so.
        needs: checks of the same subject without which this one says nothing new.
        owner: a class or function of the plugin, whose files are the plugin's own.
    """

    kind: str
    component: str
    check: str
    summary: str
    run: Callable[[], None]
    expected_failure: str = ""
    backbone: str = ""
    needs: tuple[str, ...] = ()
    owner: Any = None

    def __call__(self) -> None:
        """Raises AssertionError when the component breaks the contract."""
        self.run()

    def __str__(self) -> str:
        return "-".join(part for part in (self.kind, self.component, self.backbone, self.check) if part)

    @property
    def subject(self) -> str:
        """What is checked, and on what."""
        return f"{self.kind}/{self.component}" + (f" on {self.backbone}" if self.backbone else "")


def contracts_of(
    registry: Registry,
    *,
    kinds: Collection[str] = KINDS,
    names: Collection[str] | None = None,
) -> Iterator[Contract]:
    """Every contract that applies to the registered components.

    Args:
        registry: from `load_registry`.
        kinds: of `KINDS`.
        names: components to check, as NAME or KIND/NAME; all when None.
    """
    load = _task_loader(registry)

    def wanted(kind: str, name: str) -> bool:
        return kind in kinds and (names is None or name in names or f"{kind}/{name}" in names)

    for kind in KINDS:
        for name, found in registry.components.get(kind, {}).items():
            if wanted(kind, name):
                yield from _of_kind(kind, found.spec, registry, load)
    for observer in registry.observers:
        if wanted("observer", observer.name):
            yield from _observer_contracts(observer)


def _of_kind(kind: str, spec: Any, registry: Registry, load: Callable[[str], Task]) -> Iterator[Contract]:
    if kind == "suite":
        return suite_contracts(spec, registry)
    if kind == "dataset":
        return _plain_contracts(kind, spec, dataset_checks())
    if kind == "device_profile":
        return _plain_contracts(kind, spec, device_profile_checks())
    if kind == "backbone":
        return _plain_contracts(kind, spec, backbone_checks(spec), spec.folder)
    if kind == "table_format":
        return _plain_contracts(kind, spec, TABLE_CHECKS, spec.build)
    if kind == "claim":
        return _plain_contracts(kind, spec, claim_checks(), spec.judge)
    return _contracts(kind, spec, registry, load)


def suite_contracts(source: SuiteSource, registry: Registry) -> Iterator[Contract]:
    """Of a suite, be it registered or not."""
    for check in SUITE_CHECKS:
        run = partial(check, source, registry)
        needs = needs_of("suite", check)
        yield Contract("suite", source.name, check.__name__, summary_of(check), run, needs=needs)


def _plain_contracts(
    kind: str, spec: Any, checks: Iterable[Callable[[Any], None]], owner: Any = None
) -> Iterator[Contract]:
    """Of what has no parameters."""
    if owner is not None:
        yield Contract(
            kind,
            spec.name,
            check_light_import.__name__,
            summary_of(check_light_import),
            partial(check_light_import, owner),
            owner=owner,
        )
    for check in checks:
        run = partial(check, spec)
        yield Contract(
            kind, spec.name, check.__name__, summary_of(check), run, needs=needs_of(kind, check), owner=owner
        )


def _observer_contracts(observer: Observer) -> Iterator[Contract]:
    for check in (check_light_import, OBSERVER_CHECKS[observer.hook]):
        run = partial(check, observer.function)
        yield Contract("observer", observer.name, check.__name__, summary_of(check), run, owner=observer.function)


def _contracts(kind: str, spec: Any, registry: Registry, load: Callable[[str], Task]) -> Iterator[Contract]:
    excused, unused = spec.exceptions, set(spec.exceptions)
    made = partial(Contract, kind, spec.name, owner=spec.build)
    try:
        spec = spec if kind == "task" else with_defaults(spec, spec.trial, f"`trial` of `{spec.name}`")
    except Broken as error:
        yield made("check_trial", "The parameters of `trial` are the component's.", partial(_raise, error))
        return
    for check, run, backbone in _checks(kind, spec, registry, load):
        unused.discard(check.__name__)
        yield made(
            check.__name__, summary_of(check), run, excused.get(check.__name__, ""), backbone, needs_of(kind, check)
        )
    for stray in sorted(unused):
        summary = "Exceptions are made from checks that apply."
        yield made(stray, summary, partial(_no_such_check, stray), needs=(FIRST,))


def summary_of(check: Callable[..., None]) -> str:
    """A check's first sentence."""
    return (check.__doc__ or "").strip().partition("\n")[0]


def needs_of(kind: str, check: Callable[..., None]) -> tuple[str, ...]:
    """The checks of a component without which another one says nothing new."""
    if check.__name__ in {FIRST, check_light_import.__name__}:
        return ()
    more = NEEDS.get(check.__name__, ()) if kind == "strategy" else ALL_NEED.get(kind, ())
    return (FIRST, *(name for name in more if name != check.__name__))


def _raise(error: Exception) -> None:
    raise error


def _no_such_check(name: str) -> None:
    raise AssertionError(f"no check `{name}` applies to this component: take it out of `exceptions`")


def parametrize_with_contracts(registry: Registry, **choice: Any) -> Any:
    """A pytest decorator: the test's argument `contract` runs over `contracts_of(registry, **choice)`.

    An expected failure is a strict xfail: a contract that holds after all must be taken off the list.
    """
    import pytest

    contracts = list(contracts_of(registry, **choice))
    cases = [
        pytest.param(
            contract, id=str(contract), marks=[pytest.mark.xfail(reason=contract.expected_failure, strict=True)]
        )
        if contract.expected_failure
        else pytest.param(contract, id=str(contract))
        for contract in contracts
    ]
    return pytest.mark.parametrize("contract", cases)


def _task_loader(registry: Registry) -> Callable[[str], Task]:
    find = finder(registry)

    def load(name: str) -> Task:
        spec = registry.get("task", name).spec
        params, problems = make_params(spec.params, spec.trial)
        if problems:
            raise Broken(f"`trial` of `{name}`: {' '.join(sentence for _, sentence in problems)}")
        return loaded(spec, params, find)

    return lru_cache(maxsize=None)(load)


def _checks(kind: str, spec: Any, registry: Registry, load: Callable[[str], Task]) -> Iterator[Check]:
    yield check_light_import, partial(check_light_import, spec.build), ""
    if kind == "task":
        yield from ((check, partial(_on_task, check, load, spec.name), "") for check in task_checks())
    elif kind == "metric":
        yield metrics.check_rehearsal, partial(metrics.check_rehearsal, spec), ""
        yield metrics.check_metric, partial(_on_some_task, spec, load, tuple(registry.components["task"])), ""
    elif kind == "strategy":
        yield from ((check, partial(check, spec), "") for check in strategy_checks(spec))
        if spec.reduces_to:
            yield check_reduces_to, partial(check_reduces_to, spec, partial(_strategy, registry)), ""
    elif kind == "adapter":
        for backbone in spec.backbones:
            yield from (
                (check, partial(_on_ground, check, spec, backbone, registry), backbone) for check in adapter_checks()
            )
    else:
        checks: Mapping[str, Callable[[], Iterable[Callable[[Any], None]]]] = {
            "partitioner": partitioner_checks,
            "compressor": compressor_checks,
            "attack": attack_checks,
            "mechanism": mechanism_checks,
            "engine": engine_checks,
        }
        main = getattr(
            spec.build,
            {"partitioner": "split", "attack": "distort", "mechanism": "release"}.get(kind, "build"),
            spec.build,
        )
        yield from ((check, partial(_at, main, check, spec), "") for check in checks[kind]())


def _on_ground(check: Callable[[Any, Ground], None], spec: AdapterSpec, kind: str, registry: Registry) -> None:
    check(on_kind(spec, kind), ground_of(registry, kind))


def _at(method: Any, check: Callable[[Any], None], spec: Any) -> None:
    with at(method):
        check(spec)


def _strategy(registry: Registry, name: str) -> StrategySpec:
    spec: StrategySpec = registry.get("strategy", name).spec
    return spec


def _on_task(check: Callable[[Any], None], load: Callable[[str], Task], name: str) -> None:
    check(load(name))


def _on_some_task(spec: Any, load: Callable[[str], Task], tasks: tuple[str, ...]) -> None:
    """A metric must fit at least one registered task, and hold on each that it fits."""
    lacking = []
    for name in tasks:
        try:
            metrics.check_metric(spec, load(name))
        except KeyError as error:
            lacking.append(f"{name} provides no {error}")
    assert len(lacking) < len(tasks), f"metric {spec.name} fits no task: {'; '.join(lacking)}"
