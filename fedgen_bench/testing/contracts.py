"""All contracts of all registered components, ready for pytest.

In a plugin's own tests:

    from fedgen_bench.plugins import load_registry
    from fedgen_bench.testing import parametrize_with_contracts

    @parametrize_with_contracts(load_registry(["my_method.py"]), names={"my_method"})
    def test_contract(contract):
        contract()
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, make_dataclass, replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from fedgen_bench.data.catalog import finder
from fedgen_bench.params import make_params
from fedgen_bench.testing.adapters import adapter_checks
from fedgen_bench.testing.partitioners import partitioner_checks
from fedgen_bench.testing.strategies import strategy_checks
from fedgen_bench.testing.tasks import check_metric, task_checks

if TYPE_CHECKING:
    from fedgen_bench.plugins import Registry
    from fedgen_bench.protocols import Task

KINDS = ("strategy", "adapter", "partitioner", "task", "metric")
Params = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Contract:
    """One check of one component; call it. `expected_failure` says why it does not hold, where that is documented."""

    kind: str
    component: str
    check: str
    run: Callable[[], None]
    expected_failure: str = ""

    def __call__(self) -> None:
        """Raises AssertionError when the component breaks the contract."""
        self.run()

    def __str__(self) -> str:
        return f"{self.kind}-{self.component}-{self.check}"


def contracts_of(
    registry: Registry,
    *,
    kinds: Collection[str] = KINDS,
    names: Collection[str] | None = None,
    task_params: Params | None = None,
    strategy_params: Params | None = None,
    expected_failures: Mapping[str, Mapping[str, str]] | None = None,
) -> Iterator[Contract]:
    """Every contract that applies to the registered components.

    Args:
        registry: from `load_registry`.
        kinds: of `strategy`, `adapter`, `partitioner`, `task`, `metric`.
        names: components to check; all when None.
        task_params: by task, the parameters to check it with where its defaults need data that may not be there.
        strategy_params: by strategy, the parameters to check it with where its defaults do not fit the toy world: its
            tensors are called `left` and `right`, and 4 of 5 clients take part in a round.
        expected_failures: by component and check, the reason why the contract does not hold.
    """
    load = _task_loader(registry, task_params or {})
    excused = expected_failures or {}
    for kind in KINDS:
        for name, found in registry.components[kind].items():
            if kind not in kinds or (names is not None and name not in names):
                continue
            spec = found.spec
            if kind == "strategy" and strategy_params and name in strategy_params:
                spec = _with_defaults(spec, strategy_params[name])
            for check, run in _checks(kind, spec, registry, load):
                yield Contract(kind, name, check, run, excused.get(name, {}).get(check, ""))


def parametrize_with_contracts(registry: Registry, **choice: Any) -> Any:
    """A pytest decorator: the test's argument `contract` runs over `contracts_of(registry, **choice)`.

    An expected failure is a strict xfail: a contract that holds after all must be taken off the list.
    """
    import pytest

    found = list(contracts_of(registry, **choice))
    cases = [
        pytest.param(one, id=str(one), marks=[pytest.mark.xfail(reason=one.expected_failure, strict=True)])
        if one.expected_failure
        else pytest.param(one, id=str(one))
        for one in found
    ]
    return pytest.mark.parametrize("contract", cases)


def _task_loader(registry: Registry, task_params: Params) -> Callable[[str], Task]:
    def load(name: str) -> Task:
        spec = registry.get("task", name).spec
        params, problems = make_params(spec.params, task_params.get(name, {}))
        assert not problems, f"task {name}: {problems}"
        task: Task = spec.build(params).load(finder(None))
        return task

    return lru_cache(maxsize=None)(load)


def _with_defaults(spec: Any, values: Mapping[str, Any]) -> Any:
    """The spec with other defaults: a params type that is the same but for them."""
    wanted, problems = make_params(spec.params, values)
    assert not problems, f"{spec.name}: {problems}"
    kinds = typing.get_type_hints(spec.params)
    fields = [(name, kinds[name], field(default_factory=partial(getattr, wanted, name))) for name in values]
    params = make_dataclass(spec.params.__name__, fields, bases=(spec.params,), frozen=True)
    return replace(spec, params=params)


def _checks(
    kind: str, spec: Any, registry: Registry, load: Callable[[str], Task]
) -> Iterable[tuple[str, Callable[[], None]]]:
    if kind == "task":
        return [(check.__name__, partial(_on_task, check, load, spec.name)) for check in task_checks()]
    if kind == "metric":
        return [("check_metric", partial(_on_some_task, spec, load, tuple(registry.components["task"])))]
    checks: Iterable[Callable[[Any], None]]
    if kind == "strategy":
        checks = strategy_checks(spec)
    else:
        checks = adapter_checks() if kind == "adapter" else partitioner_checks()
    return [(check.__name__, partial(check, spec)) for check in checks]


def _on_task(check: Callable[[Any], None], load: Callable[[str], Task], name: str) -> None:
    check(load(name))


def _on_some_task(spec: Any, load: Callable[[str], Task], tasks: tuple[str, ...]) -> None:
    """A metric must fit at least one registered task, and hold on each that it fits."""
    lacking = []
    for name in tasks:
        try:
            check_metric(spec, load(name))
        except KeyError as error:
            lacking.append(f"{name} provides no {error}")
    assert len(lacking) < len(tasks), f"metric {spec.name} fits no task: {'; '.join(lacking)}"
