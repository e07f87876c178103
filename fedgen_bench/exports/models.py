"""The model that a finished run left in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedgen_bench.base.errors import StoreError, UsageError
from fedgen_bench.federation.client_evaluation import own_task
from fedgen_bench.federation.client_states import ClientStates
from fedgen_bench.federation.evaluation_work import model_of as model_of_task
from fedgen_bench.federation.final_result import model_of, tensors_digest
from fedgen_bench.federation.statecodec import decode_state

if TYPE_CHECKING:
    from fedgen_bench.contract.messages import Model
    from fedgen_bench.exports.choosing import Chosen
    from fedgen_bench.federation.experiment import Experiment
    from fedgen_bench.results.journal import Checkpoint, Journal


def check_trained(chosen: Chosen, client_id: int | None) -> None:
    """Raises UsageError where a run has nothing of the kind to export: of everybody, or of one client."""
    record = chosen.record
    how, strategy = f"`{record.contender}`", record.config.contender.strategy.name
    n_clients = record.config.federation.n_clients
    if record.facts.cohort_kind == "none" or not record.facts.trainable_params:
        raise UsageError(f"{how} trains nothing (strategy `{strategy}`): there is nothing to export but the backbone.")
    if client_id is None and not record.facts.final_sha256:
        raise UsageError(
            f"{how} has no global model (strategy `{strategy}`): every client has its own. Choose one with "
            f"`--client` (0 to {n_clients - 1})."
        )
    if client_id is not None and record.facts.cohort_kind == "pooled":
        raise UsageError(f"{how} has no clients (strategy `{strategy}` pools their data). Leave out `--client`.")
    if client_id is not None and not 0 <= client_id < n_clients:
        raise UsageError(f"There is no client {client_id}: clients are 0 to {n_clients - 1}.")


def global_model(chosen: Chosen, journal: Journal) -> Model:
    """What stands for everybody after the last round.

    Raises:
        StoreError: its file is missing, or is not what the run wrote.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = journal.final_file
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise StoreError(f"{path} cannot be read ({error}). Restore the store, or run the contender again.") from error
    if tensors_digest(tensors) != chosen.record.facts.final_sha256:
        raise StoreError(f"{path} is not what its run wrote. Restore the store, or run the contender again.")
    return model_of(tensors)


def check_kept(chosen: Chosen, journal: Journal, command: str) -> Checkpoint:
    """What the run kept of its last round. Raises UsageError where it kept nothing; `command` runs it."""
    kept = journal.kept()
    if kept is None:
        raise UsageError(
            f"{chosen.run.spec.name} did not keep what its clients have when it was done. Run it again into another "
            f"store: `{command} --seed {chosen.record.seed} --keep-clients --runs DIR`, and export from there."
        )
    return kept


def client_model(experiment: Experiment, journal: Journal, kept: Checkpoint, client_id: int) -> Model:
    """A client's own model as it was measured: after the local steps that follow the last round.

    Raises:
        UsageError: the client holds no data to train on, or the strategy gives it no model of its own.
    """
    if not experiment.n_examples(client_id):
        raise UsageError(
            f"Client {client_id} holds no data to train on, so it has no model of its own. Leave out `--client`."
        )
    state = decode_state(kept.state, experiment.first_state())
    states = ClientStates(journal.keep_file, kept.keep_rounds)
    task = own_task(experiment, state, states, experiment.export(state, None), client_id, experiment.config.own)
    if task is None:
        name = experiment.config.contender.strategy.name
        raise UsageError(f"Strategy `{name}` gives client {client_id} no model of its own. Leave out `--client`.")
    work = experiment.work()
    assert work.evaluation is not None, "that of an experiment measures"
    return model_of_task(task, work.fitted(work.evaluation.asked(task)) if task.n_steps else None)
