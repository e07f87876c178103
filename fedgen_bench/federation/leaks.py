"""What models give away of secrets that a task has planted: single updates as they come, then those of the end.

A single update is what the server sees of one client, and what secure aggregation would hide from it: the update's
tensors in place of those that the client was sent. It is looked at in its owner's last round.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fedgen_bench.contract.engines import EvaluationTask
from fedgen_bench.contract.messages import Fit, Model
from fedgen_bench.contract.protocols import Planting
from fedgen_bench.federation.client_evaluation import own_task
from fedgen_bench.federation.evaluation import exposures_in
from fedgen_bench.federation.final_evaluation import measured
from fedgen_bench.results.leaks import GLOBAL_MODEL, OTHERS, OWN_MODEL, UPDATE, LeakingModel, Leaks

if TYPE_CHECKING:
    from fedgen_bench.contract.data import Tensors
    from fedgen_bench.contract.engines import Engine, Work
    from fedgen_bench.contract.secrets import Exposure, Secrets
    from fedgen_bench.federation.client_states import ClientStates
    from fedgen_bench.federation.experiment import Experiment

Seen = Mapping[str, Sequence[float]]  # as a round's report has it: by number of a secret, bits and whether extracted


def secrets_of(experiment: Experiment) -> Secrets | None:
    """Those that are planted with the cell's clients."""
    return experiment.task.secrets if isinstance(experiment.task, Planting) else None


@dataclass(frozen=True)
class Watch:
    """Looks at updates of secrets' owners.

    Args:
        due: by round, the owners that are asked for the last time, each with the numbers of its secret and a control.
    """

    experiment: Experiment
    due: Mapping[int, Mapping[int, Sequence[int]]]

    @classmethod
    def of(cls, experiment: Experiment) -> Watch:
        """Of a cell; where nothing is planted or no cohort is sampled, it never looks."""
        secrets = secrets_of(experiment)
        if secrets is None or experiment.cohort_kind != "sampled":
            return cls(experiment, {})
        due: dict[int, dict[int, Sequence[int]]] = {}
        numbers = dict(zip(secrets.owners, zip(secrets.planted, secrets.controls, strict=True), strict=True))
        last = {i: index for index in range(experiment.n_rounds) for i in experiment.cohort(index) if i in numbers}
        for owner, index in last.items():
            due.setdefault(index, {})[owner] = numbers[owner]
        return cls(experiment, due)

    def seen(self, round_index: int, state: Any, client_id: int, sent: Tensors, update: Tensors) -> Seen:
        """Exposures in one update; none where it is not due, or holds nothing under the adapter's names.

        Args:
            round_index: of the round that it came in.
            state: the strategy's, before that round.
            client_id: whose it is.
            sent: what the client had received.
            update: what came back, decompressed.
        """
        numbers = self.due.get(round_index, {}).get(client_id)
        experiment = self.experiment
        names = experiment.adapted.trainable.keys()
        if not numbers or not names & update.keys():
            return {}
        model = experiment.export(state, None)
        base, merges = (experiment.start, ()) if model is None else (model.tensors, model.merges)
        tensors = {name: update.get(name, sent.get(name, base[name])) for name in names}
        found = exposures_in(experiment.evaluator.exposed(Model(tensors, merges), numbers))
        return {str(number): (one.bits, float(one.extracted)) for number, one in found.items()}


def leaks_of(
    experiment: Experiment,
    state: Any,
    states: ClientStates,
    model: Model | None,
    seen: Seen,
    work: Work,
    engine: Engine,
) -> Leaks | None:
    """What a finished cell gives away; None where nothing is planted, and of tuning trials.

    The global model, owners' own models where the suite has `[personalization]`, and what was `seen` of updates. An
    owner's model is asked for the secrets of all owners. Raises as `final_scores`.
    """
    secrets = secrets_of(experiment)
    if secrets is None or experiment.spec.purpose == "tune":
        return None
    n = len(secrets.owners)
    found: dict[LeakingModel, dict[int, list[Exposure]]] = {}

    def noted(of: LeakingModel, number: int, one: Exposure) -> None:
        found.setdefault(of, {}).setdefault(number, []).append(one)

    asked = list(_tasks(experiment, state, states, model, secrets))
    whose = [own for own, _ in asked]
    for own, metrics in zip(whose, measured((task for _, task in asked), work, engine), strict=True):
        for number, one in exposures_in(metrics).items():
            of = GLOBAL_MODEL if own is None else OWN_MODEL if number % n == own else OTHERS
            noted(of, number, one)
    for name, (bits, extracted) in seen.items():
        noted(UPDATE, int(name), exposures_in({f"{name}/bits": bits, f"{name}/extracted": extracted})[int(name)])

    def by_secret(of: LeakingModel, numbers: Iterable[int]) -> tuple[float | None, ...]:
        return tuple(_mean([one.bits for one in found[of].get(number, ())]) for number in numbers)

    return Leaks(
        owners=secrets.owners,
        n_candidates=secrets.n_candidates,
        space_bits=secrets.space_bits,
        bits={of: by_secret(of, secrets.planted) for of in found},
        controls={of: by_secret(of, secrets.controls) for of in found},
        extracted={
            of: tuple(
                any(one.extracted for one in found[of][number]) if number in found[of] else None
                for number in secrets.planted
            )
            for of in found
        },
    )


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _tasks(
    experiment: Experiment, state: Any, states: ClientStates, model: Model | None, secrets: Secrets
) -> Iterator[tuple[int | None, EvaluationTask]]:
    """Measurements with the number of the secret whose owner's model it is; None for the global one."""
    if model is not None:
        fit = Fit(model.tensors, merges=model.merges)
        yield None, EvaluationTask(fit=fit, secrets=(*secrets.planted, *secrets.controls))
    if experiment.config.personalization is None or experiment.cohort_kind == "none":
        return
    for number, owner in enumerate(secrets.owners):
        task = own_task(experiment, state, states, model, owner, experiment.config.own)
        if task is not None:
            yield number, replace(task, secrets=(*secrets.planted, secrets.controls[number]))
