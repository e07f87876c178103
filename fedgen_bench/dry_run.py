"""What a run would do: cells, local steps, exact bytes of every message, an estimate of time. Nothing is written."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from fedgen_bench import wire
from fedgen_bench.records import Fit, Header
from fedgen_bench.setting import Setting
from fedgen_bench.trainer import Place, fit
from fedgen_bench.world import Worlds, seed_tree

if TYPE_CHECKING:
    from fedgen_bench.plugins import Registry
    from fedgen_bench.suites import RunSpec

_TIMED_STEPS = 2


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
    found: list[Forecast] = []
    step_seconds: dict[str, float] = {}
    for spec in specs:
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
                down += len(wire.encode(setting.downlink.compress(payload.tensors), header))
                reply = payload.tensors if payload.reply is None else payload.reply
                up += len(wire.encode(setting.uplink.layout(reply), header))
        if steps and spec.contender not in step_seconds:
            client_id = setting.cohort(0)[0]
            place = Place(seed_tree(setting.spec), 0, client_id)
            began = time.perf_counter()
            data = setting.examples(client_id)
            fit(setting.adapted, setting.task, data, Fit(start), setting.plan, place, _TIMED_STEPS)
            step_seconds[spec.contender] = (time.perf_counter() - began) / _TIMED_STEPS
        found.append(
            Forecast(spec.name, setting.n_rounds, steps, down, up, steps * step_seconds.get(spec.contender, 0.0))
        )
    return found
