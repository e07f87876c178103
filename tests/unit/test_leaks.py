"""What a cell's models give away of planted secrets: who holds them, which models are asked, what a record keeps."""

from __future__ import annotations

import json
from types import SimpleNamespace

import made_secrets
import pytest
import torch
from fedgen_bench_plugins.engines.local import Local
from made_records import made

from fedgen_bench.base.errors import NotReadyError, PluginError, StoreError
from fedgen_bench.contract.messages import Model
from fedgen_bench.contract.secrets import Exposure
from fedgen_bench.contract.specs import SuiteSource
from fedgen_bench.federation.assembly import assemble
from fedgen_bench.federation.blueprint import Blueprint
from fedgen_bench.federation.client_evaluation import own_task
from fedgen_bench.federation.client_states import ClientStates
from fedgen_bench.federation.evaluation_work import model_of
from fedgen_bench.federation.leaks import Watch
from fedgen_bench.federation.loader import Loader
from fedgen_bench.federation.preflight import preflight
from fedgen_bench.federation.run_cell import run_cell
from fedgen_bench.registry.datasets import finder
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.results.columns import Cells
from fedgen_bench.results.extras import extras_of
from fedgen_bench.results.leaks import Leaks
from fedgen_bench.results.published.schema import STATUSES
from fedgen_bench.results.record import from_json, to_json
from fedgen_bench.results.recording import record_of
from fedgen_bench.results.store import Store
from fedgen_bench.suite.cells import expand
from fedgen_bench.suite.load import load_suite
from fedgen_bench.testing import toy


@pytest.fixture(scope="module")
def registry():
    return load_registry([toy.__file__, made_secrets.__file__])


@pytest.fixture(scope="module")
def cells(registry):
    def make(contender, *overrides, personalization=True):
        text = made_secrets.text_of(personalization=personalization)
        suite = load_suite(SuiteSource(name="toy", text=text, path="toy.toml"), registry, overrides)
        return expand(suite, registry, contenders=[contender], seeds=[1])[0]

    return make


@pytest.fixture
def ran(registry, tmp_path):
    """A cell from its start, or from where a command before was cut off."""

    def run(spec, on_round=lambda _: None, folder="runs"):
        loader = Loader(registry, finder(registry))
        with Store(tmp_path / folder) as store:
            journal = store.begin(loader.resolved(spec), {}, {})
            result, final = run_cell(Blueprint(spec, "cpu"), loader, journal, Local(None), on_round)
            journal.finish(result, final, 0.0)
            (stored,) = store.runs("toy", 1)
        return stored

    return run


@pytest.fixture(scope="module")
def assembled(registry):
    return lambda spec: assemble(spec, Loader(registry, finder(registry)), torch.device("cpu"))


def test_secrets_are_the_same_for_every_contender_of_a_seed(cells, assembled):
    found = [assembled(cells(name)) for name in ("fedgen_edge", "fedavg", "centralized")]
    assert len({one.task.secrets for one in found}) == 1
    assert len({one.population.partition_digest for one in found}) == 1
    asked = {i for cohort in found[0].population.cohorts() for i in cohort}
    for owner in found[0].task.secrets.owners:
        assert owner in asked
        assert (found[0].population.client(owner).train.tensors["x"] == made_secrets.FAR).any()
    assert found[0].evaluator.task is found[0].task is found[0].population.task


def test_a_cell_records_what_its_models_give_away(cells, ran):
    stored = ran(cells("fedavg"))
    leaks = record_of(stored).leaks
    assert set(leaks.secrets) == {"global", "update", "personalized", "others"}
    last = {owner: max(one.round_index for one in stored.rounds if owner in one.cohort) for owner in leaks.owners}
    seen = {name: one.round_index for one in stored.rounds for name in one.leaks}
    for number, owner in enumerate(leaks.owners):
        assert seen[f"{number}/bits"] == seen[f"{number + 2}/calibrated"] == last[owner]
        (found,) = [one.leaks[f"{number}/bits"] for one in stored.rounds if f"{number}/bits" in one.leaks]
        assert leaks.secrets["update"].bits[number] == found
    assert leaks.controls["global"].bits == leaks.controls["personalized"].bits == (0.0, 0.0)
    assert leaks.controls["others"].bits == (None, None)  # an owner's model is asked for one control
    of = leaks.secrets
    assert of["others"].bits == (of["personalized"].bits[1], of["personalized"].bits[0])  # each of the next one's
    assert of["global"].calibrated[0] == pytest.approx(of["global"].bits[0] / 2)


def test_an_owners_own_model_is_the_one_that_it_trains_after_the_last_round(cells, assembled, ran):
    spec = cells("fedavg")
    leaks, experiment = record_of(ran(spec)).leaks, assembled(spec)
    stored = ran(spec)
    of = stored.result.leaks["secrets"]
    assert of["global"]["bits"][0] != of["personalized"]["bits"][0]
    state = experiment.first_state()
    model = experiment.export(state, None)
    task = own_task(experiment, state, ClientStates(None), model, leaks.owners[0], experiment.config.own)
    asked = experiment.work().evaluation.asked(task)
    trained = model_of(task, experiment.work().fitted(asked))
    assert experiment.evaluator.exposed(trained, (0,))["0/bits"] > 0


def test_an_update_is_looked_at_in_the_model_that_the_client_was_sent(cells, assembled):
    experiment = assembled(cells("fedavg"))
    watch, owners = Watch.of(experiment), experiment.task.secrets.owners
    state = experiment.first_state()
    (name,) = experiment.adapted.trainable
    rounds = {owner: index for index, due in watch.due.items() for owner in due}
    assert set(rounds) == set(owners)
    update = {name: torch.tensor([0.5, 0.5, 0.5]), "steps": torch.ones(1)}
    seen = watch.seen(rounds[owners[1]], state, owners[1], {name: torch.zeros(3)}, update)
    assert seen == {
        "1/bits": 1.5, "1/calibrated": 0.75, "1/extracted": 0.0, "3/bits": 0.0, "3/calibrated": 0.0, "3/extracted": 0.0,
    }  # fmt: skip
    for index, client_id, tensors in ((rounds[owners[1]] + 1, owners[1], update), (rounds[owners[1]], 99, update)):
        assert watch.seen(index, state, client_id, {}, tensors) == {}
    assert watch.seen(rounds[owners[1]], state, owners[1], {}, {"steps": torch.ones(1)}) == {}


def test_a_run_that_was_cut_off_tells_the_same(cells, ran):
    spec = cells("fedgen_edge")

    def cut(report):
        if report.round_index == 2:
            raise StoreError("cut")

    with pytest.raises(StoreError, match="cut"):
        ran(spec, cut, folder="cut")
    resumed, whole = ran(spec, folder="cut"), ran(spec)
    assert resumed.result.leaks == whole.result.leaks
    assert [one.leaks for one in resumed.rounds] == [one.leaks for one in whole.rounds]


@pytest.mark.parametrize("contender", ["centralized", "local_only"])
def test_kinds_of_model_that_there_are_not_are_left_out(cells, ran, contender):
    global_model = {"global"} if contender == "centralized" else set()  # and neither sends an update
    assert set(record_of(ran(cells(contender))).leaks.secrets) == {*global_model, "personalized", "others"}


def test_without_a_table_of_personalisation_no_model_of_a_client_is_asked(cells, ran):
    assert set(record_of(ran(cells("fedavg", personalization=False))).leaks.secrets) == {"global", "update"}


def test_a_task_without_secrets_has_no_such_key(cells, ran):
    stored = ran(cells("fedavg", 'task.name="toy"'))
    assert stored.result.leaks == {}
    assert "leaks" not in to_json(record_of(stored))


def test_secrets_that_cannot_be_planted_are_told_before_training(cells, registry):
    spec = cells("fedavg", "federation.clients_per_round=1", "federation.rounds=1")
    with pytest.raises(NotReadyError, match="Too few clients"):
        preflight([spec], Loader(registry, finder(registry)))


@pytest.mark.parametrize("given", [[], [Exposure(float("nan"))], [Exposure(1.0, float("inf"))]])
def test_a_task_that_gives_other_exposures_is_refused(cells, assembled, monkeypatch, given):
    experiment = assembled(cells("fedavg"))
    monkeypatch.setattr(experiment.task, "exposures", lambda *_: given)
    with pytest.raises(PluginError, match="must give finite bits for each of the numbers"):
        experiment.evaluator.exposed(Model(experiment.start), (0,))


LEAKS = {
    "owners": [3, 5],
    "n_candidates": 63,
    "space_bits": 20.0,
    "secrets": {
        "global": {"bits": [2.0, 6.0], "calibrated": [3.0, 5.0], "extracted": [False, True]},
        "update": {"bits": [None, 5.0], "calibrated": [None, None], "extracted": [None, False]},
    },
    "controls": {"global": {"bits": [1.0, 0.0], "calibrated": [1.0, 2.0], "extracted": [False, False]}},
}


def test_a_record_keeps_them_as_they_are():
    record = made({"config": {}, "leaks": LEAKS})
    written = json.loads(json.dumps(to_json(record)))
    assert written["leaks"] == LEAKS
    assert from_json(written) == record
    of = record.leaks.secrets["global"]
    assert (of.mean_bits, of.mean_calibrated, of.most_calibrated, of.share_extracted) == (4.0, 4.0, 5.0, 0.5)
    of = record.leaks.secrets["update"]
    assert (of.mean_bits, of.mean_calibrated, of.most_calibrated, of.share_extracted) == (5.0, None, None, 0.0)


@pytest.mark.parametrize(
    ("kind", "name", "values", "said"),
    [
        ("secrets", "bits", [2.0, 7.0], "`bits` of `secrets` of `global` is not within 0 and 6 bits"),
        ("controls", "calibrated", [-0.1, 2.0], "`calibrated` of `controls` of `global` is not within 0 and 6 bits"),
        ("secrets", "extracted", [True], "`extracted` of `secrets` has 1 values of `global` for 2 secrets"),
    ],
)
def test_leaks_that_cannot_be_are_refused(kind, name, values, said):
    table = json.loads(json.dumps(to_json(made({"config": {}, "leaks": LEAKS}))))
    table["leaks"][kind]["global"][name] = values
    with pytest.raises(ValueError, match=said):
        Leaks.of(table["leaks"])
    with pytest.raises(ValueError, match=said):
        STATUSES["done"].validate_json(json.dumps(table))


def test_tables_have_means_over_secrets_and_seeds():
    records = [made({"config": {}, "leaks": LEAKS, "seed": seed}) for seed in (1, 2)]
    found = extras_of(Cells(suite=None, done=records, at_target=[None, None]))
    assert {key: value for key, value in found.items() if key.startswith(("exposure", "calibrated", "extracted"))} == {
        "calibrated_global": 4.0, "calibrated_global_most": 5.0, "calibrated_control": 1.5, "exposure_global": 4.0,
        "exposure_update": 5.0, "extracted_global": 0.5, "extracted_update": 0.0,
    }  # fmt: skip
    without = made({"config": {}, "seed": 2})
    assert not any(
        "exposure" in key for key in extras_of(Cells(suite=None, done=[records[0], without], at_target=[None, None]))
    )


@pytest.mark.parametrize("has_global", [True, False])
def test_what_an_update_lacks_is_what_the_client_was_sent_else_the_servers(has_global):
    looked = []
    start = {name: torch.zeros(1) for name in "abc"}
    of_server = Model({name: torch.full((1,), 7.0) for name in "abc"}, ({"fold": torch.ones(1)},))
    experiment = SimpleNamespace(
        start=start,
        adapted=SimpleNamespace(trainable=start),
        export=lambda *_: of_server if has_global else None,
        evaluator=SimpleNamespace(exposed=lambda model, _: looked.append(model) or {"0/bits": 1.0}),
    )
    sent, update = {"a": torch.ones(1), "b": torch.ones(1)}, {"a": torch.full((1,), 2.0)}
    assert Watch(experiment, {0: {4: (0, 1)}}).seen(0, None, 4, sent, update) == {"0/bits": 1.0}
    (model,) = looked
    assert {name: float(one) for name, one in model.tensors.items()} == {"a": 2, "b": 1, "c": 7 if has_global else 0}
    assert len(model.merges) == has_global
