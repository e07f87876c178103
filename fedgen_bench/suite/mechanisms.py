"""A contender's privacy mechanism: whether it can work with the rest of the contender, and what it guarantees."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fedgen_bench.base.failures import text_of
from fedgen_bench.base.guards import guarded
from fedgen_bench.contract.mechanisms import Accounting, Sampling
from fedgen_bench.contract.params import make_params

if TYPE_CHECKING:
    from fedgen_bench.contract.reports import Privacy
    from fedgen_bench.registry.registry import Registry
    from fedgen_bench.suite.schema import Component, Contender, Federation, SuiteSpec


def sampling_of(federation: Federation) -> Sampling:
    """Who is asked, as a suite says it."""
    return Sampling(federation.n_clients, federation.clients_per_round, federation.rounds)


def guarantee(mechanism: Component | None, federation: Federation, registry: Registry) -> Privacy | None:
    """What a mechanism guarantees in a federation; None where there is none, or it guarantees nothing.

    Raises:
        ValueError: it cannot work so, in a sentence for what is wrong and one for what to do.
        ModuleNotFoundError: a library is missing that it computes with.
    """
    if mechanism is None:
        return None
    built, sampling = _built("mechanism", mechanism, registry), sampling_of(federation)
    with guarded(f"{type(built).__name__}.init"):
        built.init(sampling)
    return guaranteed(built, sampling)


def guaranteed(built: Any, sampling: Sampling) -> Privacy | None:
    """As `guarantee`, of a mechanism that is built."""
    if not isinstance(built, Accounting):
        return None
    with guarded(f"{type(built).__name__}.account"):
        return built.account(sampling)


def _built(kind: str, component: Component, registry: Registry) -> Any:
    spec = registry.get(kind, component.name).spec
    params, problems = make_params(spec.params, component.params)
    if problems:
        raise ValueError(problems[0][1])
    with guarded(f"{kind} `{spec.name}`"):
        return spec.build(params)


def unprotected(contender: Contender, suite: SuiteSpec, registry: Registry) -> Iterator[str]:
    """Why a contender's mechanism cannot work with the rest of it, each with what would."""
    mechanism, strategies = contender.mechanism, registry.components["strategy"]
    known = registry.components["mechanism"]
    if mechanism is None or mechanism.name not in known or contender.strategy.name not in strategies:
        return
    what, strategy = f"mechanism `{mechanism.name}`", strategies[contender.strategy.name].spec
    carries = known[mechanism.name].spec.carries
    if strategy.cohort != "sampled":
        yield f"strategy `{strategy.name}` has no rounds of clients, so {what} has nothing to protect. Leave it out."
        return
    if not strategy.averages:
        able = ", ".join(f"`{name}`" for name, one in sorted(strategies.items()) if one.spec.averages)
        like = [one.name for one in suite.contender if strategies[one.strategy.name].spec.averages and one.ranked]
        hint = f" Contender `{like[0]}` of this suite could have it." if like else ""
        yield (
            f"{what} lets one change of a round through, and strategy `{strategy.name}` needs clients' own. Strategies "
            f"that need their mean alone: {able}.{hint}"
        )
    if carries and contender.uplink:
        names = ", ".join(f"`{one.name}`" for one in contender.uplink)
        yield f"under {what} clients send no updates that {names} could make smaller. Leave `uplink` out."
    if carries and suite.federation.max_update_norm is not None:
        yield (
            f"under {what} nobody sees a single update, so federation.max_update_norm = "
            f"{suite.federation.max_update_norm:g} cannot be held against one. Write a suite without it."
        )
    if carries and suite.devices is not None:
        yield f"the simulated clock of [devices] does not time the messages of {what}. Leave one of them out."
    with contextlib.suppress(ModuleNotFoundError):  # told before the first cell, not to who reads results
        try:
            privacy = guarantee(mechanism, suite.federation, registry)
        except ValueError as error:
            yield f"{what}: {text_of(error)}"
            return
        if privacy is not None:
            yield from _unaccounted(what, contender, suite, registry)


def _unaccounted(what: str, contender: Contender, suite: SuiteSpec, registry: Registry) -> Iterator[str]:
    """Why a guarantee that counts on nobody knowing who was asked would be none, each with what would do."""
    strategies, compressors = registry.components["strategy"], registry.components["compressor"]
    counts = f"epsilon of {what} counts on nobody knowing who was asked in earlier rounds"
    if strategies[contender.strategy.name].spec.sends_from_keep:
        able = sorted(name for name, one in strategies.items() if one.spec.averages and not one.spec.sends_from_keep)
        yield (
            f"{counts}, and clients of strategy `{contender.strategy.name}` send what their private state went "
            f"into. Strategies whose clients do not: {', '.join(f'`{one}`' for one in able)}."
        )
    for one in contender.uplink:
        if one.name in compressors and _built("compressor", one, registry).error_feedback:
            yield f"{counts}, and `{one.name}` sends what a client's own left over. Switch its error feedback off."
    first = None if suite.devices is None else suite.devices.first
    if first is not None and suite.training.local_epochs is not None:
        yield (
            f"under {what} a client's data may change its own part alone, and with devices.first = {first} and "
            "training.local_epochs how much it holds decides who else is in time. Give training.local_steps, or leave "
            "`first` out."
        )
