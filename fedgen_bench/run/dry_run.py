"""What a run would do: cells, local steps, every message in bytes; about what time and memory. Nothing is written."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from fedgen_bench.contract.messages import Fit
from fedgen_bench.contract.reports import UNAVAILABLE
from fedgen_bench.federation.assembly import assemble
from fedgen_bench.federation.batches import FitStreams
from fedgen_bench.federation.client_costs import costs_of, first_part
from fedgen_bench.federation.client_evaluation import evaluated_clients
from fedgen_bench.federation.footprint import Footprint, footprint
from fedgen_bench.federation.lengths import Lengths
from fedgen_bench.federation.loader import Loader
from fedgen_bench.federation.privacy import privacy_of
from fedgen_bench.federation.release import numbers_in, own
from fedgen_bench.federation.seeding import seed_tree
from fedgen_bench.federation.trainer import fit
from fedgen_bench.run.simulated import Simulated, simulated
from fedgen_bench.suite.cellconfig import canonical

if TYPE_CHECKING:
    from fedgen_bench.contract.data import Tensors
    from fedgen_bench.contract.reports import Privacy
    from fedgen_bench.federation.experiment import Experiment
    from fedgen_bench.results.costs import ClientCosts
    from fedgen_bench.suite.cells import CellSpec

_TIMED_STEPS = 2
_QUICK_SECONDS = 1.0


@dataclass(frozen=True)
class Forecast:
    """One cell before it is run; bytes are exact as long as no update is quarantined and payloads keep their layout.

    Estimates are the seconds of all local steps, those after the last round included, the bytes of memory that a
    process holds when it trains a client, and the energy that clients' devices draw.

    Args:
        costs: what training asks of a client, as the record will have it; None where nothing is trained, and where it
            cannot be told.
        training_flops: of the local steps of all rounds, counted; None where `costs` is.
        simulated: on the suite's devices; None where it has none.
        privacy: what training will guarantee; None where that is nothing.
    """

    run: str
    n_rounds: int
    local_steps: int
    down_bytes: int
    up_bytes: int
    seconds: float
    memory_bytes: int
    costs: ClientCosts | None = None
    training_flops: int | None = None
    simulated: Simulated | None = None

    @property
    def contender(self) -> str:
        """Whose cell it is."""
        return self.run.rsplit("/", 2)[-2]

    privacy: Privacy | None = None


def forecast(specs: Sequence[CellSpec], loader: Loader, device: torch.device) -> list[Forecast]:
    """Build every cell, encode its first messages, and time a few steps of each contender.

    Raises:
        DataError: data or backbone are not there.
    """
    forecasts: dict[str, Forecast] = {}
    step_seconds: dict[str, float] = {}
    costs: dict[str, tuple[ClientCosts | None, float]] = {}
    lengths = Lengths()
    for spec in sorted(specs, key=lambda one: one.seed):  # a split serves all cells of its seed
        torch.set_num_threads(spec.config.training.threads)
        experiment = assemble(spec, loader, device)
        strategy, state = experiment.strategy, experiment.first_state()
        release = experiment.release
        reply: Tensors = {}
        steps = down = up = carried = 0
        clock = simulated(experiment, state)
        parts = {} if clock is None else clock.parts
        compressors = canonical([spec.config.contender.downlink, spec.config.contender.uplink])
        for round_index in range(experiment.n_rounds):
            for client_id in experiment.cohort(round_index):
                ctx, part = experiment.context(round_index, client_id, {}), parts.get((round_index, client_id))
                if part is not None and part.code == UNAVAILABLE:
                    continue
                counts = part is None or not part.code
                steps += counts * (ctx.local_steps if part is None else part.n_steps)
                payload = strategy.send(own(state), ctx)
                if payload is not None and experiment.cohort_kind == "sampled":
                    there, back = lengths.of(experiment.link, payload, ctx, {}, compressors)
                    down, up = down + there, up + counts * back
                    reply = payload.tensors if payload.reply is None else payload.reply
            if release is not None and release.carries:  # in the place of the updates
                entries = release.forecast(numbers_in(reply), experiment.round_context(round_index))
                down += sum(one.encoded_bytes for one in entries if one.direction == "down")
                carried += sum(one.encoded_bytes for one in entries if one.direction == "up")
                up = carried
        if steps and spec.contender not in step_seconds:
            step_seconds[spec.contender] = _seconds_a_step(experiment)
        own_steps = len(evaluated_clients(experiment)) * spec.config.own.steps
        trained = steps * experiment.max_fits + own_steps if steps else 0
        seconds = trained * step_seconds.get(spec.contender, 0.0)
        memory = _memory(experiment).on(device.type) if steps else 0
        if steps and spec.contender not in costs:
            costs[spec.contender] = _costs(experiment)
        of_client, fits = costs.get(spec.contender, (None, 0.0))
        forecasts[spec.digest] = Forecast(
            run=spec.name,
            n_rounds=experiment.n_rounds,
            local_steps=steps,
            down_bytes=down,
            up_bytes=up,
            seconds=seconds,
            memory_bytes=memory,
            costs=of_client,
            training_flops=None if of_client is None else round(of_client.step_flops * steps * fits),
            simulated=clock,
            privacy=privacy_of(experiment),
        )
    return [forecasts[spec.digest] for spec in specs]


def _costs(experiment: Experiment) -> tuple[ClientCosts | None, float]:
    """What training asks of a client, and how many budgets of steps it uses in a round."""
    costs = costs_of(experiment)
    return costs, 0.0 if costs is None else first_part(experiment).steps_of(1)


def _memory(experiment: Experiment) -> Footprint:
    """Of a client's training, with as many examples as any of them holds."""
    data, device = experiment.examples(experiment.cohort(0)[0]), experiment.evaluator.device
    example = {name: tensor[:1].to(device) for name, tensor in data.tensors.items()}
    most = experiment.population.most_held(experiment.cohort_kind)
    return footprint(experiment.adapted, experiment.task, example, experiment.plan, most)


def _seconds_a_step(experiment: Experiment) -> float:
    """Measured on the first client: one step, or where that is quick the mean of a few; one before makes ready."""
    client_id = experiment.cohort(0)[0]
    streams = FitStreams(seed_tree(experiment.spec), 0, client_id)
    data = experiment.examples(client_id)

    def seconds(n_steps: int) -> float:
        began = time.perf_counter()
        fit(experiment.adapted, experiment.task, data, Fit(experiment.start), experiment.plan, streams, n_steps)
        return (time.perf_counter() - began) / n_steps

    return seconds(1 if seconds(1) > _QUICK_SECONDS else _TIMED_STEPS)  # torch's optimizers are imported by the first
