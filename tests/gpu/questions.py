"""What a GPU is asked. Each question notes what it knows as it goes: one that is cut off leaves what it found."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from fedgen_bench.base.files import write_atomic
from fedgen_bench.contract.data import Examples
from fedgen_bench.contract.messages import Fit, Model
from fedgen_bench.contract.seeds import SeedTree
from fedgen_bench.federation.asked import Asked
from fedgen_bench.federation.assembly import assemble
from fedgen_bench.federation.batches import FitStreams, batch_order, batches_of
from fedgen_bench.federation.experiment import Experiment
from fedgen_bench.federation.loader import Loader
from fedgen_bench.federation.parameters import dump_tensors
from fedgen_bench.federation.seeding import seed_tree
from fedgen_bench.federation.trainer import TrainingPlan, autocast, fit
from fedgen_bench.registry.datasets import finder
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.session.session import Session
from fedgen_bench.suite.cells import expand
from fedgen_bench.suite.load import load_suite
from fedgen_bench.testing.bits import same_bits

TASKS = ("quick", "quick-images")


@dataclass
class Place:
    """Where a question is answered.

    Args:
        device: of torch.
        folder: for the answer and whatever it leaves.
        small: as little as shows that the question works.
        known: the answer so far.
    """

    device: str
    folder: Path
    small: bool = False
    known: dict[str, Any] = field(default_factory=dict)

    def note(self, name: str, value: object) -> None:
        """Write down a part of the answer."""
        self.known[name] = value
        write_atomic(self.folder / "answer.json", json.dumps(self.known, indent=1).encode())

    def wait(self) -> None:
        """Until the device has done all that it was asked for."""
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()


Question = Callable[[Place], None]


def _experiments(suite: str, contenders: tuple[str, ...], *devices: str) -> Iterator[tuple[str, list[Experiment]]]:
    """Each contender's first cell, on every device."""
    registry = load_registry(environ={})
    loader = Loader(registry, finder(registry))
    loaded = load_suite(registry.get("suite", suite).spec, registry)
    for spec in expand(loaded, registry, contenders=contenders, seeds=loaded.seeds.leaderboard[:1]):
        yield spec.contender, [assemble(spec, loader, torch.device(device)) for device in devices]


def _asked(experiment: Experiment) -> Asked:
    client = experiment.cohort(0)[0]
    streams = FitStreams(seed_tree(experiment.spec), 0, client)
    return Asked(Fit(experiment.start), experiment.examples(client), streams, experiment.local_steps(0, client))


def streams(place: Place) -> None:
    """Whether device and processor begin alike, see the same batches, draw the same noise; how far apart they are."""
    for suite in TASKS[: 1 if place.small else None]:
        for _, (here, there) in _experiments(suite, ("fedgen_edge",), "cpu", place.device):
            asked, device, followed = _asked(here), there.evaluator.device, here.config.evaluation.followed
            size = here.plan.batch_size
            order = batch_order(asked.data.n, size, asked.n_steps, asked.streams.batch_generator())
            pairs = list(
                zip(*(batches_of(asked.data, order, one) for one in (torch.device("cpu"), device)), strict=True)
            )
            with torch.no_grad():
                losses = [
                    float(one.task.loss(one.adapted.module, batch, asked.streams.noise_generator()))
                    for one, batch in zip((here, there), pairs[0], strict=True)
                ]
            scores = [
                one.evaluator.measure(Model(one.start), one.task.split("valid_subset"), [followed])[followed]
                for one in (here, there)
            ]
            reports = [one.work().fitted(_asked(one)) for one in (here, there)]
            place.note(
                suite,
                {
                    "initial tensors equal": same_bits(dict(here.start), dict(there.start)),
                    "batches equal": all(
                        torch.equal(ours[name], theirs[name].cpu()) for ours, theirs in pairs for name in ours
                    ),
                    "batch digests equal": reports[0].batch_digest == reports[1].batch_digest,
                    "first loss, relative difference": _apart(*losses),
                    "evaluation, relative difference": _apart(*scores),
                    "trained tensors, relative difference": max(
                        float((ours - reports[1].tensors[name]).norm() / ours.norm().clamp(min=1e-12))
                        for name, ours in reports[0].tensors.items()
                    ),
                },
            )


def _apart(here: float, there: float) -> float:
    return abs(here - there) / max(abs(here), 1e-12)


def again(place: Place) -> None:
    """Whether the same fit gives the same bits again, and which operators have no deterministic implementation."""
    for suite in TASKS[: 1 if place.small else None]:
        for contender, (there,) in _experiments(suite, ("fedgen_edge", "fedavg_full"), place.device):
            work, asked = there.work(), _asked(there)
            try:
                first, second = (work.fitted(asked) for _ in range(2))
            except RuntimeError as error:
                place.note(f"{suite}/{contender}", f"no deterministic implementation: {error}"[:300])
            else:
                place.note(f"{suite}/{contender}", "equal" if same_bits(first.tensors, second.tensors) else "DIFFERENT")


def _run(place: Place, suite: str, device: str, name: str, jobs: int | None = None, **asked: Any) -> tuple[Any, float]:
    """A suite's results, of a store of that name, and the seconds that it took."""
    folder = place.folder / name
    session = Session(runs=folder / "runs", leaderboards=folder / "leaderboards", device=device, jobs=jobs)
    began = time.perf_counter()
    results = session.run(suite, **asked)
    return results, time.perf_counter() - began


def _both(suite: str, place: Place) -> None:
    asked: dict[str, Any] = {"seeds": (1,), "contenders": ("fedgen_edge", "fedavg_full", "frozen")}
    if place.small:
        asked |= {"overrides": ("federation.rounds=1", "training.local_steps=1"), "contenders": ("fedgen_edge",)}
    found = {}
    for name, device in (("device", place.device), ("processor", "cpu")):
        results, seconds = _run(place, suite, device, name, 1, **asked)
        place.note(f"seconds on the {name}", round(seconds, 1))
        found[name] = {record.contender: record for record in results.records}
    for contender, here in found["processor"].items():
        there = found["device"][contender]
        place.note(
            contender,
            {
                "status": there.status,
                "streams equal": there.status == "done"
                and all(getattr(there.digests, name) == getattr(here.digests, name) for name in _STREAMS),
                "metrics, largest relative difference": max(
                    (_apart(value, there.metrics.get(name, math.nan)) for name, value in here.metrics.items()),
                    default=None,
                ),
            },
        )


_STREAMS = ("partition", "cohort", "initial", "batches")


def quick(place: Place) -> None:
    """`quick` on the device and on the processor."""
    _both("quick", place)


def quick_images(place: Place) -> None:
    """`quick-images` on the device and on the processor."""
    _both("quick-images", place)


class _Text:
    """Next-token training on random tokens."""

    def loss(self, module: Any, batch: Mapping[str, torch.Tensor], _: torch.Generator) -> torch.Tensor:
        """Mean over all tokens."""
        scores = module(input_ids=batch["tokens"][:, :-1]).logits
        return cross_entropy(scores.flatten(0, 1).float(), batch["tokens"][:, 1:].flatten())


def pace(place: Place) -> None:
    """Tokens a second of a fit beside a bare loop, and the most memory, in fp32 and bf16: LoRA on 124 M parameters."""
    from transformers import GPT2Config, GPT2LMHeadModel

    shape = {"n_layer": 2, "n_embd": 32, "n_head": 2, "vocab_size": 100} if place.small else {}
    config = GPT2Config(**shape, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, use_cache=False)
    length, size, n_steps = (16, 2, 2) if place.small else (256, 16, 30)
    registry = load_registry(environ={})
    lora = registry.get("adapter", "lora").spec
    for precision in ("fp32", "bf16"):
        torch.manual_seed(0)
        adapted = lora.build(lora.params()).attach(GPT2LMHeadModel(config).eval(), SeedTree(*"abcd", 1))
        adapted.module.to(place.device)
        tokens = torch.randint(config.vocab_size, (4 * size, length + 1))
        data = Examples({"tokens": tokens}, len(tokens))
        plan = TrainingPlan(
            optimizer="adamw", learning_rate=1e-3, batch_size=size, local_steps=n_steps, clip_norm=1.0,
            precision=precision,
        )  # fmt: skip
        task: Any = _Text()
        request, own = Fit(dump_tensors(adapted.trainable)), FitStreams(SeedTree(*"abcd", 1), 0, 0)

        def ours(n_steps: int, held: Any = (adapted, task, data, request, plan, own)) -> None:
            fit(*held, n_steps)

        def bare(n_steps: int, held: Any = (adapted, task, tokens, plan)) -> None:
            _bare(*held, n_steps)

        rates = {}
        for name, loop in (("fit", ours), ("bare loop", bare)):
            loop(2)  # what is made at first use
            place.wait()
            if place.device.startswith("cuda"):
                torch.cuda.reset_peak_memory_stats()
            began = time.perf_counter()
            loop(n_steps)
            place.wait()
            rates[name] = n_steps * size * length / (time.perf_counter() - began)
        place.note(
            precision,
            {f"{name}, tokens/s": round(rate) for name, rate in rates.items()}
            | {"ratio": round(rates["fit"] / rates["bare loop"], 3), "peak MiB": _peak(place)},
        )


def _bare(adapted: Any, task: Any, tokens: torch.Tensor, plan: TrainingPlan, n_steps: int) -> None:
    """The loop that people write themselves."""
    parameters = list(adapted.trainable.values())
    device = parameters[0].device
    optimizer = torch.optim.AdamW(parameters, lr=plan.learning_rate, weight_decay=0.0, fused=True)
    adapted.module.train()
    there, noise = tokens.to(device), torch.Generator()
    for step in range(n_steps):
        at = step % (len(tokens) // plan.batch_size) * plan.batch_size
        with autocast(device, plan.precision):
            loss = task.loss(adapted.module, {"tokens": there[at : at + plan.batch_size]}, noise)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def _peak(place: Place) -> int | None:
    return torch.cuda.max_memory_allocated() // 2**20 if place.device.startswith("cuda") else None


def processes(place: Place) -> None:
    """Seconds of the same cells by one process and by two on one device."""
    asked: dict[str, Any] = {"contenders": ("fedgen_edge", "fedavg_full"), "seeds": (1,)}
    if place.small:
        asked |= {"overrides": ("federation.rounds=1", "training.local_steps=1")}
    for jobs in (1, 2):
        seconds = _run(place, "quick", place.device, f"by {jobs}", jobs, **asked)[1]
        place.note(f"seconds by {jobs}", round(seconds, 1))


def _as_far(suite: str, place: Place) -> None:
    """The reference's first cell, then the others' of its seed, round by round, for as long as there is time."""
    began = time.perf_counter()
    registry = load_registry(environ={})
    seeds = load_suite(registry.get("suite", suite).spec, registry).seeds.leaderboard[:1]

    def heard(event: Any) -> None:
        if event.kind == "round":
            note = {"rounds": f"{event.round_index + 1}/{event.n_rounds}", "seconds a round": round(event.seconds, 2)}
            place.note(event.run, {**note, **dict(event.metrics)})
        elif event.kind == "ended":
            place.note(f"{event.run}, ended", f"{event.status} {event.reason}".strip())
        place.note("seconds", round(time.perf_counter() - began, 1))

    _run(place, suite, place.device, "as far", 1, seeds=seeds, contenders=("fedgen_edge",), on_event=heard)
    _run(place, suite, place.device, "as far", 1, seeds=seeds, on_event=heard)


def ptb(place: Place) -> None:
    """`ptb` as far as the time allows."""
    _as_far("ptb", place)


def cifar10(place: Place) -> None:
    """`cifar10` as far as the time allows."""
    _as_far("cifar10", place)


def ptb_smollm2(place: Place) -> None:
    """`ptb-smollm2` as far as the time allows."""
    _as_far("ptb-smollm2", place)


# In the order in which they are asked, each with the seconds that it may take.
QUESTIONS: Mapping[str, tuple[Question, int]] = {
    "streams": (streams, 60),
    "again": (again, 45),
    "pace": (pace, 60),
    "quick": (quick, 75),
    "quick_images": (quick_images, 75),
    "processes": (processes, 60),
    "ptb_smollm2": (ptb_smollm2, 90),
    "ptb": (ptb, 65),
    "cifar10": (cifar10, 60),
}
