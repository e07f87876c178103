"""What a run would do: cells, local steps, exact bytes of every message, an estimate of time. Nothing is written."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any

import torch

from fedgen_bench.contract.data import Tensors
from fedgen_bench.contract.messages import Fit, Header
from fedgen_bench.federation import wire
from fedgen_bench.federation.setting import Setting
from fedgen_bench.federation.trainer import Place, fit
from fedgen_bench.federation.world import Worlds, seed_tree

if TYPE_CHECKING:
    from fedgen_bench.registry.plugins import Registry
    from fedgen_bench.suite.suites import RunSpec

_TIMED_STEPS = 2
_QUICK_SECONDS = 1.0


@dataclass(frozen=True)
class Forecast:
    """One cell before it is run; bytes are exact as long as no update is quarantined and payloads keep their layout."""

    run: str
    n_rounds: int
    local_steps: int
    down_bytes: int
    up_bytes: int
    seconds: float


def forecast(specs: Sequence[RunSpec], registry: Registry, worlds: Worlds, device: torch.device) -> list[Forecast]:
    """Build every cell, encode its first messages, and time a few steps of each contender.

    Raises:
        DataError: data or backbone are not there.
    """
    found: dict[str, Forecast] = {}
    step_seconds: dict[str, float] = {}
    lengths: dict[Any, int] = {}
    for spec in sorted(specs, key=lambda one: one.seed):  # a split serves all cells of its seed
        torch.set_num_threads(spec.config["training"]["threads"])
        setting = Setting.make(spec, registry, worlds, device)
        strategy, start = setting.strategy, setting.start
        state = strategy.init(start, setting.server_context())
        steps = down = up = 0
        for round_index in range(setting.n_rounds):
            for client_id in setting.cohort(round_index):
                ctx = setting.context(round_index, client_id, {})
                steps += ctx.local_steps
                payload = strategy.send(state, ctx)
                if payload is None or setting.cohort_kind != "sampled":
                    continue
                header = Header(round_index, client_id, ctx.n_examples)
                reply = payload.tensors if payload.reply is None else payload.reply
                contender = spec.config["contender"]
                down += _length(lengths, contender.get("downlink"), setting.downlink.compress, payload.tensors, header)
                up += _length(lengths, contender.get("uplink"), setting.uplink.layout, reply, header)
        if steps and spec.contender not in step_seconds:
            step_seconds[spec.contender] = _seconds_a_step(setting)
        seconds = steps * step_seconds.get(spec.contender, 0.0)
        found[spec.digest] = Forecast(spec.name, setting.n_rounds, steps, down, up, seconds)
    return [found[spec.digest] for spec in specs]


def _length(
    known: dict[Any, int], chain: Any, pack: Callable[[Tensors], Tensors], tensors: Tensors, header: Header
) -> int:
    """Length of the message that `pack` makes of the tensors; one of each layout and length of header is encoded."""
    key = (json.dumps(chain), tuple(wire.layout_of(tensors).items()), len("".join(map(str, astuple(header)))))
    if key not in known:
        known[key] = len(wire.encode(pack(tensors), header))
    return known[key]


def _seconds_a_step(setting: Setting) -> float:
    """Measured on the first client: one step, or where that is quick the mean of a few more."""
    client_id = setting.cohort(0)[0]
    place = Place(seed_tree(setting.spec), 0, client_id)
    data = setting.examples(client_id)

    def seconds(n_steps: int) -> float:
        began = time.perf_counter()
        fit(setting.adapted, setting.task, data, Fit(setting.start), setting.plan, place, n_steps)
        return (time.perf_counter() - began) / n_steps

    first = seconds(1)
    return first if first > _QUICK_SECONDS else seconds(_TIMED_STEPS)
