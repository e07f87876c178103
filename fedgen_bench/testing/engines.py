"""What every engine must hold: the outcomes of the tasks, in their order, wherever they are worked off."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any
from unittest import SkipTest

from fedgen_bench.base.errors import Diverged, PluginError
from fedgen_bench.contract.specs import EngineSpec
from fedgen_bench.testing.locations import at
from fedgen_bench.testing.structure import assert_has, described

if TYPE_CHECKING:
    from fedgen_bench.contract.engines import ClientOutcome, ClientTask, Engine, EvaluationTask
    from fedgen_bench.federation.client_work import ClientWork

Check = Callable[[EngineSpec], None]
JOBS = 2


@cache
def toy_work(contender: str, *overrides: str) -> ClientWork:
    """What works off the toy suite's tasks for a contender, with how another process builds it."""
    import torch

    from fedgen_bench.federation.assembly import assemble
    from fedgen_bench.federation.blueprint import Blueprint
    from fedgen_bench.federation.loader import Loader
    from fedgen_bench.registry.datasets import finder
    from fedgen_bench.registry.plugins import load_registry
    from fedgen_bench.suite.cells import expand
    from fedgen_bench.suite.load import load_suite
    from fedgen_bench.testing import toy

    registry = load_registry([toy.__file__], environ={})
    suite = load_suite(registry.get("suite", "toy").spec, registry, overrides)
    (spec,) = expand(suite, registry, contenders=[contender], seeds=[1])
    experiment = assemble(spec, Loader(registry, finder(registry)), torch.device("cpu"))
    return experiment.work(Blueprint(spec, "cpu", plugin_files=registry.plugin_files))


def tasks_of(work: ClientWork, n: int = 6) -> Iterator[ClientTask]:
    """The first round's tasks of clients 0 to n - 1; each has a private state, every second is sent nothing."""
    from fedgen_bench.contract.engines import ClientTask
    from fedgen_bench.contract.messages import Header
    from fedgen_bench.federation import wire

    start = work.context(0, 0, {}, -1).start
    for client_id in range(n):
        message = None if client_id % 2 else wire.encode(start, Header(0, client_id, 1))
        keep = {name: tensor + client_id for name, tensor in start.items()}
        yield ClientTask(round_index=0, client_id=client_id, message=message, like=start, keep=keep)


def evaluations_of(work: ClientWork, n: int = 4) -> Iterator[EvaluationTask]:
    """The initial model on validation and test, on clients' held-out tails, and after these clients trained it."""
    from fedgen_bench.contract.engines import EvaluationTask
    from fedgen_bench.contract.messages import Fit, Proximal

    start = work.context(0, 0, {}, -1).start
    for split in ("valid", "test"):
        yield EvaluationTask(fit=Fit(start), split=split)
    pulled = Fit(start, penalty=Proximal(0.1, {name: tensor + 1 for name, tensor in start.items()}), correction=start)
    for fit, n_steps in ((Fit(start), 0), (Fit(start), 2), (pulled, 2)):
        for client_id in range(n):
            yield EvaluationTask(fit=fit, n_steps=n_steps, round_index=1, client_id=client_id)


def same_outcome(first: ClientOutcome, second: ClientOutcome) -> bool:
    """Whether two outcomes are equal to the bit."""
    from fedgen_bench.testing.bits import same_bits

    keeps = [one.keep for one in (first, second)]
    plain = [dataclasses.replace(one, keep=None) for one in (first, second)]
    if None in keeps:
        return plain[0] == plain[1] and keeps == [None, None]
    return plain[0] == plain[1] and same_bits(*keeps)


@contextlib.contextmanager
def opened(spec: EngineSpec) -> Iterator[Engine]:
    """The engine with two jobs, where it has such a parameter; closed afterwards.

    Raises:
        SkipTest: `build` raised a PluginError from an ImportError: a library that the engine needs is not installed.
    """
    has_jobs = any(one.name == "jobs" for one in dataclasses.fields(spec.params))
    try:
        engine = spec.build(spec.params(jobs=JOBS) if has_jobs else spec.params())
    except PluginError as error:
        if isinstance(error.__cause__, ImportError):
            raise SkipTest(str(error)) from error
        raise
    try:
        yield engine
    finally:
        engine.close()


def _assert_as_here(engine: Engine, work: ClientWork) -> None:
    got = list(engine.run(tasks_of(work), work))
    wanted = list(map(work.run, tasks_of(work)))
    assert [one.client_id for one in got] == [one.client_id for one in wanted], "outcomes are not in the tasks' order"
    for first, second in zip(got, wanted, strict=True):
        assert same_outcome(first, second), f"client {first.client_id}: the outcome is not that of `work.run`"


def check_rehearsal(spec: EngineSpec) -> None:
    """It has its methods, and gives the outcome of one task."""
    from fedgen_bench.contract.engines import ClientOutcome, Engine

    work = toy_work("local_only")
    with opened(spec) as engine:
        assert_has(engine, Engine, spec.build)
        with at(engine.run):
            (outcome,) = engine.run(tasks_of(work, 1), work)
            found: object = outcome
            assert isinstance(found, ClientOutcome), f"run gave {described(found)} for a task. Give `work.run(task)`."


def check_outcomes(spec: EngineSpec) -> None:
    """Outcomes are those of `work.run`, to the bit and in the tasks' order, for one cell after the other."""
    with opened(spec) as engine:
        _assert_as_here(engine, toy_work("local_only"))  # it goes on from its private state and sends nothing
        _assert_as_here(engine, toy_work("local_only", "contender.local_only.learning_rate=0.3"))


def check_tasks_are_taken_as_needed(spec: EngineSpec) -> None:
    """Tasks are taken from the iterable as workers come free: after one outcome, few of many."""
    work, taken = toy_work("local_only"), 0

    def counted() -> Iterator[ClientTask]:
        nonlocal taken
        for task in tasks_of(work, 6):
            for _ in range(10):
                taken += 1
                yield task

    with opened(spec) as engine:
        outcomes = engine.run(counted(), work)
        next(outcomes)
        assert taken <= 4 * JOBS, f"{taken} tasks were taken before the second outcome was asked for"
        close: Any = getattr(outcomes, "close", lambda: None)
        close()


def _raised(outcomes: Iterable[object]) -> str:
    try:
        list(outcomes)
    except Diverged as error:
        return f"{type(error).__name__}: {error}"
    raise AssertionError("the loss is not finite, and nothing says so")


def check_measuring(spec: EngineSpec) -> None:
    """Where it measures, too: metrics are those of `work.evaluate_each`, and what that raises is raised."""
    from fedgen_bench.contract.engines import Evaluating

    work, hopeless = (toy_work("local_only", f"contender.local_only.learning_rate={rate}") for rate in (0.3, 1e30))
    with opened(spec) as engine:
        if not isinstance(engine, Evaluating):
            return
        assert_has(engine, Evaluating, spec.build)
        wanted = list(work.evaluate_each(evaluations_of(work)))
        with at(engine.evaluate):
            got = [dict(one) for one in engine.evaluate(evaluations_of(work), work)]
            assert got == wanted, "evaluate does not give the metrics of `work.evaluate_each`, in the tasks' order"
            raised = _raised(engine.evaluate(evaluations_of(hopeless), hopeless))
            should = _raised(hopeless.evaluate_each(evaluations_of(hopeless)))
            assert raised == should, f"evaluate raised {raised} where `work.evaluate_each` raises {should}"


def check_errors(spec: EngineSpec) -> None:
    """What client work raises is raised in its turn with its type and message, and the engine goes on after it."""
    work = toy_work("local_only", "contender.local_only.learning_rate=1e30")
    wanted = _raised(map(work.run, tasks_of(work)))
    with opened(spec) as engine:
        got = _raised(engine.run(tasks_of(work), work))
        assert got == wanted, f"raised {got} where `work.run` raises {wanted}"
        _assert_as_here(engine, toy_work("local_only"))


def check_close(spec: EngineSpec) -> None:
    """An engine that did nothing can be closed, and a closed one once more."""
    with opened(spec) as engine:
        engine.close()


def engine_checks() -> tuple[Check, ...]:
    """The checks, in the order in which to read them."""
    return (
        check_rehearsal,
        check_outcomes,
        check_tasks_are_taken_as_needed,
        check_measuring,
        check_errors,
        check_close,
    )
