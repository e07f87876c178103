"""What models give away of secrets that a task has planted: single updates as they come, then those of the end.

A single update is what the server sees of one client, and what secure aggregation would hide from it: the update's
tensors in place of those that the client was sent. It is looked at in its owner's last round.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fedgen_bench.contract.engines import EvaluationTask
from fedgen_bench.contract.messages import Fit, Model
from fedgen_bench.contract.protocols import Planting
from fedgen_bench.federation.client_evaluation import own_task
from fedgen_bench.federation.evaluation import exposures_in
from fedgen_bench.federation.final_evaluation import measured
from fedgen_bench.results.leaks import GLOBAL_MODEL, OTHERS, OWN_MODEL, UPDATE, Exposed, LeakingModel, Leaks

if TYPE_CHECKING:
    from fedgen_bench.contract.data import Tensors
    from fedgen_bench.contract.engines import Engine, Work
    from fedgen_bench.contract.secrets import Exposure, Secrets
    from fedgen_bench.federation.client_states import ClientStates
    from fedgen_bench.federation.experiment import Experiment

Seen = Mapping[str, float]  # as a round's report has it, see `evaluation.exposures_in`


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
        return experiment.evaluator.exposed(Model(tensors, merges), numbers)


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
    owner's model is asked for its own secret, a control, and the secret of the next owner. Raises as `final_scores`.
    """
    secrets = secrets_of(experiment)
    if secrets is None or experiment.spec.purpose == "tune":
        return None
    n = len(secrets.owners)
    found: dict[LeakingModel, dict[int, Exposure]] = {UPDATE: exposures_in(seen)}
    asked = list(_tasks(experiment, state, states, model, secrets))
    whose = [own for own, _ in asked]
    for own, metrics in zip(whose, measured((task for _, task in asked), work, engine), strict=True):
        for number, one in exposures_in(metrics).items():
            of = GLOBAL_MODEL if own is None else OWN_MODEL if number % n == own else OTHERS
            found.setdefault(of, {})[number] = one
    return Leaks(
        owners=secrets.owners,
        n_candidates=secrets.n_candidates,
        space_bits=secrets.space_bits,
        secrets={of: _exposed(one, secrets.planted) for of, one in found.items() if one},
        controls={of: _exposed(one, secrets.controls) for of, one in found.items() if one},
    )


def _exposed(found: Mapping[int, Exposure], numbers: Sequence[int]) -> Exposed:
    there = [found.get(number) for number in numbers]
    return Exposed(
        bits=tuple(None if one is None else one.bits for one in there),
        calibrated=tuple(None if one is None else one.calibrated for one in there),
        extracted=tuple(None if one is None else one.extracted for one in there),
    )


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
            others = {(number + 1) % len(secrets.owners)} - {number}
            yield number, replace(task, secrets=(number, secrets.controls[number], *others))
