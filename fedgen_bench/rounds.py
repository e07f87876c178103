"""One federated run: sample, send, fit, reply, admit, aggregate, evaluate, commit; then export and final evaluation."""

from __future__ import annotations

import hashlib
import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load, save

from fedgen_bench import wire
from fedgen_bench.engines.local import ClientOutcome, ClientTask, LocalEngine
from fedgen_bench.errors import Diverged, PluginError, RoundFailed, WireError
from fedgen_bench.keeps import KeepStore, encode_keeps
from fedgen_bench.killpoints import passing
from fedgen_bench.records import (
    ClientContext,
    ClientData,
    Examples,
    Fit,
    Header,
    LedgerEntry,
    Quarantine,
    RoundContext,
    RoundReport,
    RunResult,
    ServerContext,
    Tensors,
    Update,
)
from fedgen_bench.seeds import digest, guarded_globals
from fedgen_bench.statecodec import decode_state, encode_state
from fedgen_bench.store import Cell
from fedgen_bench.trainer import Place, TrainingPlan, autocast, dump_tensors, fit, load_tensors
from fedgen_bench.world import POOLED_CLIENT, Population, Worlds, build, seed_tree

if TYPE_CHECKING:
    from fedgen_bench.plugins import Registry
    from fedgen_bench.protocols import Metric
    from fedgen_bench.suites import RunSpec

OnRound = Callable[[RoundReport], None]


@dataclass(frozen=True)
class Setting:
    """Everything a run needs, built from its spec: components, data, adapted backbone."""

    spec: RunSpec
    strategy: Any
    cohort_kind: str
    engine: LocalEngine
    population: Population
    metrics: Mapping[str, Metric]
    lower_is_better: bool
    start: Tensors
    device: torch.device

    @classmethod
    def make(cls, spec: RunSpec, registry: Registry, worlds: Worlds, device: torch.device) -> Setting:
        """Load task, split data, attach the adapter, build the strategy."""
        config = spec.config
        task = worlds.task(config)
        passing("cell.loaded")
        population = worlds.population(config)
        passing("cell.partitioned")
        strategy_spec = registry.get("strategy", config["contender"]["strategy"]["name"]).spec
        strategy = build(registry, "strategy", config["contender"]["strategy"])
        with guarded_globals("The adapter"):
            adapted = build(registry, "adapter", config["contender"]["adapter"]).attach(
                task.new_module(), seed_tree(config)
            )
        adapted.module.to(device).eval()
        training = config["training"]
        plan = TrainingPlan(
            training["optimizer"], config["contender"]["learning_rate"], training["weight_decay"],
            training["batch_size"],
            training["local_steps"], training["local_epochs"], training["clip_norm"], training["precision"],
        )  # fmt: skip
        names = [config["evaluation"]["metric"], *config["evaluation"]["other_metrics"]]
        metrics = {name: build(registry, "metric", {"name": name, "params": {}}) for name in names}
        engine = LocalEngine(strategy, adapted, task, plan, strategy_spec.fits_per_round)
        lower = registry.get("metric", names[0]).spec.lower_is_better
        return cls(
            spec,
            strategy,
            strategy_spec.cohort,
            engine,
            population,
            metrics,
            lower,
            dump_tensors(adapted.trainable),
            device,
        )

    @property
    def config(self) -> Mapping[str, Any]:
        """The run's resolved config."""
        return self.spec.config

    @property
    def n_clients(self) -> int:
        """The population that the strategy sees."""
        return 1 if self.cohort_kind == "pooled" else len(self.population.parts)

    @property
    def n_rounds(self) -> int:
        """Rounds to run; none when nothing is trained."""
        return 0 if self.cohort_kind == "none" else self.config["federation"]["rounds"]

    def cohort(self, round_index: int) -> tuple[int, ...]:
        """Client ids of a round, ascending; one pseudo-client when the data are pooled."""
        return (POOLED_CLIENT,) if self.cohort_kind == "pooled" else self.population.schedule[round_index]

    def examples(self, client_id: int) -> Examples:
        """The training examples a client of this run works on."""
        return self.population.pooled if self.cohort_kind == "pooled" else self.population.client(client_id).train

    def local_steps(self, round_index: int, client_id: int) -> int:
        """The step budget of one fit; the pooled data get the sum of what the round's clients would."""
        steps_for = self.engine.plan.steps_for
        if self.cohort_kind == "pooled" and round_index < self.n_rounds:
            return sum(steps_for(self.population.client(i).train.n) for i in self.population.schedule[round_index])
        return steps_for(self.examples(client_id).n)

    def context(self, round_index: int, client_id: int, keep: Tensors) -> ClientContext:
        """What the strategy is told about a client in a round."""
        return ClientContext(
            round_index, client_id, self.n_clients, self.examples(client_id).n, self.start, keep,
            self.local_steps(round_index, client_id), self.engine.plan.learning_rate, seed_tree(self.config),
        )  # fmt: skip

    def measure(self, tensors: Tensors, data: Any) -> dict[str, float]:
        """All metrics of the adapted backbone with these tensors. Raises Diverged when one is not finite."""
        load_tensors(self.engine.adapted.trainable, tensors)
        self.engine.adapted.module.eval()
        with torch.inference_mode(), autocast(self.device, self.config["training"]["precision"]):
            evidence = self.engine.task.observe(self.engine.adapted.module, data, seed_tree(self.config))
        measured = {name: metric.compute(evidence) for name, metric in self.metrics.items()}
        for name, value in measured.items():
            if not math.isfinite(value):
                raise Diverged(f"{name} of the trained model is {value}.")
        return measured

    def export(self, state: Any, ctx: ClientContext | None) -> Tensors | None:
        """The strategy's export, watched."""
        with guarded_globals("The strategy's export"):
            return self.strategy.export(state, ctx)  # type: ignore[no-any-return]


@dataclass
class _RoundInProgress:
    """What one round gathers while its updates stream into `aggregate`."""

    setting: Setting
    state: Any
    round_index: int
    keeps: KeepStore
    ledger: list[LedgerEntry] = field(default_factory=list)
    quarantined: list[Quarantine] = field(default_factory=list)
    new_keeps: dict[int, Tensors] = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)
    batch_digests: list[str] = field(default_factory=list)
    sent: dict[int, Tensors] = field(default_factory=dict)
    replies: dict[int, Tensors] = field(default_factory=dict)
    n_accepted: int = 0

    def tasks(self) -> Iterator[ClientTask]:
        """Send to each client of the cohort: encode, book, hand over the bytes."""
        setting = self.setting
        for client_id in setting.cohort(self.round_index):
            ctx = setting.context(self.round_index, client_id, self.keeps.get(client_id))
            with guarded_globals("The strategy's send"):
                payload = setting.strategy.send(self.state, ctx)
            message = None
            if payload is not None:
                header = Header(self.round_index, client_id, ctx.n_examples)
                message = wire.encode(payload.tensors, header)
                self._book(wire.book(message, header, "down"))
                self.sent[client_id] = payload.tensors
                self.replies[client_id] = payload.tensors if payload.reply is None else payload.reply
            passing("client.sent")
            yield ClientTask(ctx, message, setting.examples(client_id))

    def _book(self, entry: LedgerEntry) -> None:
        if self.setting.cohort_kind == "sampled":  # pooled data and their model stand on one machine
            self.ledger.append(entry)

    def updates(self) -> Iterator[Update]:
        """Admitted updates in client-id order; whatever the gate refuses is quarantined with its code."""
        answered: set[int] = set()
        for outcome in self.setting.engine.run(self.tasks()):
            self.losses.append(outcome.mean_loss)
            self.batch_digests.append(outcome.batch_digest)
            try:
                update = self._admitted(outcome, answered)
            except WireError as error:
                self.quarantined.append(Quarantine(outcome.client_id, error.code, str(error)))
                continue
            passing("gate.admitted")
            if outcome.keep is not None:
                self.new_keeps[outcome.client_id] = outcome.keep
            self.n_accepted += 1
            yield update

    def _admitted(self, outcome: ClientOutcome, answered: set[int]) -> Update:
        if outcome.client_id in answered:
            raise WireError("duplicate", f"Client {outcome.client_id} answered twice.")
        if outcome.client_id not in self.setting.cohort(self.round_index):
            raise WireError("wrong_client", f"Client {outcome.client_id} was not asked.")
        answered.add(outcome.client_id)
        expected = self.replies.get(outcome.client_id, {})
        n_most = self.setting.examples(outcome.client_id).n
        if outcome.message is None:
            if expected:
                raise WireError("missing_key", f"Client {outcome.client_id} sent nothing.")
            if type(outcome.n_examples) is not int or not 0 < outcome.n_examples <= n_most:
                raise WireError("n_examples", f"Example count {outcome.n_examples} is not within 1 to {n_most}.")
            return Update({}, outcome.n_examples)
        asked = Header(self.round_index, outcome.client_id, n_most)
        self._book(wire.book(outcome.message, asked, "up"))
        bound = self.setting.config["federation"]["max_update_norm"]
        sent = self.sent.get(outcome.client_id)
        tensors = wire.admit(outcome.message, expected=expected, header=asked, sent=sent, max_norm=bound)
        return Update(tensors, outcome.n_examples)

    def aggregate(self) -> Any:
        """The next state. Raises RoundFailed below the quorum."""
        setting = self.setting
        stream = self.updates()
        first = next(stream, None)
        quorum = 1 if setting.cohort_kind == "pooled" else setting.config["federation"]["min_updates"]
        state = None
        if first is not None:
            ctx = RoundContext(
                self.round_index, setting.cohort(self.round_index), setting.n_clients, seed_tree(setting.config)
            )
            with guarded_globals("The strategy's aggregate"):
                state = setting.strategy.aggregate(self.state, itertools.chain([first], stream), ctx)
            for _ in stream:  # a strategy that reads only some updates does not save the others their work
                pass
        if self.n_accepted < quorum:
            codes = ", ".join(sorted({one.code for one in self.quarantined})) or "no answer"
            raise RoundFailed(
                f"Round {self.round_index}: {self.n_accepted} valid updates, the suite wants {quorum} ({codes})."
            )
        return state


def run_cell(
    spec: RunSpec, registry: Registry, worlds: Worlds, cell: Cell, device: torch.device, on_round: OnRound
) -> tuple[RunResult, bytes | None]:
    """Run or resume one cell; every round is committed before the next begins.

    Returns the result and the encoded global tensors (None when there is no global model).
    """
    setting = Setting.make(spec, registry, worlds, device)
    seeds = seed_tree(spec.config)
    with guarded_globals("The strategy's init"):
        state = setting.strategy.init(
            setting.start, ServerContext(setting.n_clients, spec.config["federation"]["clients_per_round"], seeds)
        )
    checkpoint = cell.checkpoint()
    first_round, keep_rounds = 0, dict[int, int]()
    if checkpoint is not None:
        state = decode_state(checkpoint.state, state)
        first_round, keep_rounds = checkpoint.next_round, dict(checkpoint.keep_rounds)
    keeps = KeepStore(cell.keep_file, keep_rounds)
    for round_index in range(first_round, setting.n_rounds):
        state = _one_round(setting, state, round_index, keeps, cell, on_round)
    return _final(setting, state, keeps, cell)


def _one_round(setting: Setting, state: Any, round_index: int, keeps: KeepStore, cell: Cell, on_round: OnRound) -> Any:
    began = time.perf_counter()
    passing("round.began")
    progress = _RoundInProgress(setting, state, round_index, keeps)
    new_state = progress.aggregate()
    content = encode_state(new_state)
    _check_finite(content, round_index)
    passing("round.aggregated")
    metrics: dict[str, float] = {}
    last = round_index == setting.n_rounds - 1
    if last or (round_index + 1) % setting.config["evaluation"]["every"] == 0:
        tensors = setting.export(new_state, None)
        if tensors is not None:
            metrics = setting.measure(tensors, setting.engine.task.split("valid_subset"))
    passing("round.evaluated")
    report = RoundReport(
        round_index, setting.cohort(round_index), progress.n_accepted, tuple(progress.quarantined),
        sum(progress.losses) / len(progress.losses), metrics, digest(*progress.batch_digests), tuple(progress.ledger),
        time.perf_counter() - began,
    )  # fmt: skip
    keep = encode_keeps(progress.new_keeps) if progress.new_keeps else None
    cell.commit_round(report, content, keep, tuple(progress.new_keeps))
    keeps.put(round_index, progress.new_keeps)
    on_round(report)
    return new_state


def _check_finite(state: bytes, round_index: int) -> None:
    for name, tensor in load(state).items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise PluginError(f"Round {round_index}: the aggregate holds NaN or infinity in `{name}`.")


def _final(setting: Setting, state: Any, keeps: KeepStore, cell: Cell) -> tuple[RunResult, bytes | None]:
    tensors = setting.export(state, None)
    passing("final.exported")
    task = setting.engine.task
    metrics: dict[str, float] = {}
    splits = ("valid",) if setting.spec.purpose == "tune" else ("valid", "test")
    if tensors is not None:
        for split in splits:
            metrics |= {f"{split}/{name}": value for name, value in setting.measure(tensors, task.split(split)).items()}
    passing("final.evaluated")
    per_client: dict[str, dict[str, float]] = {}
    if setting.spec.purpose != "tune":
        per_client = _per_client(setting, state, keeps, tensors)
        main = setting.config["evaluation"]["metric"]
        for name, values in per_client.items():
            if values:
                spread_of = spread(list(values.values()), lower_is_better=setting.lower_is_better)
                metrics |= {f"{name}/{main}/{what}": value for what, value in spread_of.items()}
    passing("final.personalized")
    rounds = cell.batch_digests()
    adapted = setting.engine.adapted
    digests = {
        "partition": setting.population.partition_digest,
        "cohort": setting.population.schedule_digest,
        "initial": tensors_digest(setting.start),
        "batches": digest(*rounds),
    }
    trainable = sum(parameter.numel() for parameter in adapted.trainable.values())
    facts = {
        "cohort_kind": setting.cohort_kind,
        "trainable_params": trainable,
        "backbone_params": task.backbone_parameters,
        "data": dict(task.provenance),
        "final_sha256": "" if tensors is None else tensors_digest(tensors),
    }
    final = None if tensors is None else save(wire.owned(tensors))
    return RunResult("done", "", metrics, per_client, digests, facts), final


def _per_client(
    setting: Setting, state: Any, keeps: KeepStore, global_tensors: Tensors | None
) -> dict[str, dict[str, float]]:
    """The main metric on held-out tails of the evaluated clients: `global` and `personalized`, by client id."""
    chosen = evaluated_clients(setting)
    main = setting.config["evaluation"]["metric"]
    found: dict[str, dict[str, float]] = {"global": {}, "personalized": {}}
    for client_id in chosen:
        data = setting.population.client(client_id)
        if global_tensors is not None:
            found["global"][str(client_id)] = setting.measure(global_tensors, data.heldout)[main]
        own = _personal(setting, state, keeps, client_id, data)
        if own is not None:
            found["personalized"][str(client_id)] = setting.measure(own, data.heldout)[main]
    return found


def _personal(setting: Setting, state: Any, keeps: KeepStore, client_id: int, data: ClientData) -> Tensors | None:
    """The client's own adapter after `personalized_steps` more local steps; None when nothing is trained."""
    if setting.cohort_kind == "none":
        return None
    n_rounds, seeds = setting.n_rounds, seed_tree(setting.config)
    sampled = setting.cohort_kind == "sampled"
    ctx = setting.context(n_rounds, client_id, keeps.get(client_id) if sampled else {})
    tensors = setting.export(state, ctx)
    n_steps = setting.config["evaluation"]["personalized_steps"]
    if tensors is None or not n_steps:
        return tensors
    place = Place(seeds, n_rounds, client_id)
    return fit(
        setting.engine.adapted, setting.engine.task, data.train, Fit(tensors), setting.engine.plan, place, n_steps
    ).tensors


def evaluated_clients(setting: Setting) -> tuple[int, ...]:
    """Clients whose held-out tails are evaluated: a fixed draw from the evaluation stream among those with data."""
    population, wanted = setting.population, setting.config["evaluation"]["personalized_clients"]
    able = [
        i
        for i in range(len(population.parts))
        if population.client(i).train.n and population.client(i).heldout is not None
    ]
    rng = seed_tree(setting.config).numpy("evaluation", purpose="clients")
    return tuple(sorted(int(i) for i in rng.choice(able, size=min(wanted, len(able)), replace=False))) if able else ()


def spread(values: Sequence[float], *, lower_is_better: bool) -> dict[str, float]:
    """Mean, sample standard deviation, and the mean of the worst tenth (at least one client)."""
    n = len(values)
    mean = sum(values) / n
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / (n - 1)) if n > 1 else 0.0
    worst = sorted(values, reverse=lower_is_better)[: max(1, n // 10)]
    return {"mean": mean, "std": deviation, "worst_decile": sum(worst) / len(worst)}


def tensors_digest(tensors: Tensors) -> str:
    """Hex sha256 over names, dtypes, shapes and values."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        total.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        total.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return total.hexdigest()
