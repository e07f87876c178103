"""What the devices of a suite cannot do for its cells, told before the first of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fedgen_bench.base.digits import show_bytes
from fedgen_bench.federation.attaching import with_ranks

if TYPE_CHECKING:
    from fedgen_bench.contract.adapting import Adapted
    from fedgen_bench.federation.footprint import Footprint
    from fedgen_bench.federation.loader import Loader
    from fedgen_bench.suite.cells import CellSpec

Held = Sequence[tuple["CellSpec", "Footprint"]]


def fit_devices(spec: CellSpec, adapted: Adapted, loader: Loader) -> None:
    """Have the cell's devices read, and their ranks held against the adapter's. Raises DataError or PluginError."""
    with_ranks(adapted, loader.fleet(loader.resolved(spec)))


def too_large(held: Held) -> Iterator[tuple[list[CellSpec], str]]:
    """Cells whose training takes more memory than a class of their devices has, with a contender that would fit."""
    told: dict[str, list[CellSpec]] = {}
    for spec, footprint in held:
        if problem := _problem(spec, footprint):
            told.setdefault(f"{problem} {_remedy(spec, held)}", []).append(spec)
    yield from ((some, text) for text, some in told.items())


def _problem(spec: CellSpec, footprint: Footprint) -> str:
    """Which class has too little; empty when all have enough."""
    devices = spec.config.devices
    least = min(
        (one for one in (() if devices is None else devices.classes) if one.memory is not None),
        key=lambda one: one.memory or 0,
        default=None,
    )
    if least is None or least.memory is None or footprint.on_client <= least.memory:
        return ""
    adapter, takes, has = spec.config.contender.adapter.name, footprint.on_client, least.memory
    return (
        f"training adapter `{adapter}` takes about {show_bytes(takes)} of a device's memory, and class `{least.name}` "
        f"has {show_bytes(has)}."
    )


def _remedy(spec: CellSpec, held: Held) -> str:
    fitting = (one.contender for one, footprint in held if one.seed == spec.seed and not _problem(one, footprint))
    name = next(fitting, None)
    if name is None:
        return "Lower `training.batch_size`, set `training.micro_batch_size`, or leave such devices out."
    return f"Contender `{name}` would fit; or lower `training.batch_size`, or leave such devices out."
