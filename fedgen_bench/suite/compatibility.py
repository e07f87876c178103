"""Whether a contender's strategy, adapter and training can work together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fedgen_bench.suite.mechanisms import unprotected

if TYPE_CHECKING:
    from fedgen_bench.registry.registry import Registry
    from fedgen_bench.suite.schema import Contender, SuiteSpec


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
    if contender.example_dp is not None and strategy.plain_gradients:
        yield (
            f"strategy `{strategy.name}` reads gradients off a client's change, which example_dp clips. Leave it out, "
            "or choose another strategy."
        )
    if contender.example_dp is not None and suite.training.micro_batch_size is not None:
        yield (
            "under example_dp examples go through the network one by one. Leave out training.micro_batch_size, which "
            "changes nothing then."
        )
    schedule = suite.training.schedule
    if schedule is not None and schedule.within and (strategy.plain_gradients or strategy.equal_rates):
        yield (
            f"strategy `{strategy.name}` takes all steps of a fit to have one learning rate, which "
            f"training.schedule.{schedule.within} changes. Write a suite without it; `over_rounds` is fine."
        )
    yield from unprotected(contender, suite, registry)


def _wants_other_optimizer(contender: Contender, suite: SuiteSpec, registry: Registry) -> bool:
    registered = registry.components["strategy"].get(contender.strategy.name)
    return registered is None or bool(
        registered.spec.optimizers and suite.training.optimizer not in registered.spec.optimizers
    )
