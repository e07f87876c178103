"""What training guarantees, from a suite's text to its published folder, and computed again from there."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections import Counter
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from fedgen_bench.cli.main import cli
from fedgen_bench.exports import card
from fedgen_bench.exports.card import Subject
from fedgen_bench.federation.guarantees import unguaranteed
from fedgen_bench.federation.loader import Loader
from fedgen_bench.federation.privacy import privacy_of
from fedgen_bench.registry.datasets import finder
from fedgen_bench.results.published import open_folder
from fedgen_bench.results.record import from_json, to_json
from fedgen_bench.review.validation.privacy import guarantees
from fedgen_bench.suite.cells import expand
from fedgen_bench.suite.example_privacy import gaussian_epsilon
from fedgen_bench.testing import toy

MECHANISM = 'mechanism = { name = "client_dp", params = { clip_norm = 0.5, delta = 0.01 } }'
TEXT = toy.SUITE.replace('name = "toy"\nversion', 'name = "private"\nversion').replace(
    "learning_rate = 0.1\n", f"learning_rate = 0.1\n{MECHANISM}\n", 1
)


def run(folder, *options):
    (folder / "private.toml").write_text(TEXT)
    words = ["run", "--suite", str(folder / "private.toml"), "--plugin", toy.__file__, "--contender", "fedgen_edge"]
    done = CliRunner().invoke(cli, [*words, "--seed", "1", *options], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def published(made_once):
    def make(folder):
        run(folder, "--runs", str(folder / "runs"), "--leaderboards", str(folder), "--jobs", "1")

    return made_once("private", make) / "private"


@pytest.fixture
def record(published):
    (one,) = open_folder(published).records
    return one


def test_epsilon_is_told_beforehand(tmp_path):
    told = run(tmp_path, "--dry-run")
    assert "epsilon at delta" in told
    assert "10.59 at 0.01" in told


def test_record_and_table_have_what_is_guaranteed(published, record):
    assert record.privacy.epsilon == pytest.approx(10.59, abs=0.01)
    assert record.privacy.delta == 0.01
    assert from_json(json.loads(json.dumps(to_json(record)))) == record
    head, row = (line.split(",") for line in (published / "table.csv").read_text().splitlines())
    assert head[-2:] == ["epsilon", "delta"]
    assert row[-2:] == [str(record.privacy.epsilon), "0.01"]
    assert "## Privacy" in (published / "table.md").read_text()


def test_validation_computes_it_again(record, registry):
    def told(**changes):
        changed = dataclasses.replace(record, privacy=dataclasses.replace(record.privacy, **changes))
        return [one.text for one in guarantees([changed], registry)]

    assert told() == told(epsilon=record.privacy.epsilon * (1 + 1e-6)) == []
    (text,) = told(epsilon=1.0)
    assert "`privacy.epsilon` is 1.0, its configuration gives 10.5" in text
    assert "`privacy.population` is 60" in told(population=60)[0]
    assert "`privacy.unit` is example" in told(unit="example")[0]
    missing = list(guarantees([dataclasses.replace(record, privacy=None)], registry))
    assert [one.problem for one in missing] == [True]


def test_a_guarantee_without_a_mechanism_is_a_problem(record, registry):
    contender = record.config.contender.model_copy(update={"mechanism": None})
    without = dataclasses.replace(record, config=record.config.model_copy(update={"contender": contender}))
    (one,) = guarantees([without], registry)
    assert "its configuration gives None" in one.text


def test_without_the_accountants_library_a_review_says_so(record, registry, monkeypatch):
    from fedgen_bench_plugins.mechanisms import accounting

    accounting.by_privacy_losses.cache_clear()
    monkeypatch.setitem(sys.modules, "dp_accounting.pld", None)
    (one,) = guarantees([record], registry)
    assert (one.problem, "was not computed again, for want of" in one.text) == (False, True)


def test_clients_without_data_void_the_accounting(registry, toy_suite):
    suite = toy_suite('contender.fedgen_edge.mechanism={name="client_dp"}')
    (spec,) = expand(suite, registry, contenders=["fedgen_edge"], seeds=[1])
    loader = Loader(registry, finder(registry))
    population = loader.population(loader.resolved(spec))
    assert unguaranteed(spec, population, registry) == ""
    fewer = dataclasses.replace(population)
    fewer.__dict__["eligible"] = population.eligible[:-1]
    assert "drawn from all 6 clients, and 5 of them hold training data" in unguaranteed(spec, fewer, registry)


def test_what_the_library_lacks_is_told_before_the_first_cell(registry, toy_suite, monkeypatch):
    from fedgen_bench_plugins.mechanisms import accounting

    accounting.by_privacy_losses.cache_clear()
    monkeypatch.setitem(sys.modules, "dp_accounting.pld", None)
    suite = toy_suite('contender.fedgen_edge.mechanism={name="client_dp"}')  # a reader's suite is none the worse
    (spec,) = expand(suite, registry, contenders=["fedgen_edge"], seeds=[1])
    loader = Loader(registry, finder(registry))
    population = loader.population(loader.resolved(spec))
    assert "`dp_accounting`, which is not installed" in unguaranteed(spec, population, registry)


EXAMPLES = "contender.fedgen_edge.example_dp={clip=0.5, noise=4.0, delta=0.01}"


def test_noise_in_local_training_guarantees_something_for_single_examples(registry, toy_experiment, record):
    experiment = toy_experiment("fedgen_edge", EXAMPLES)
    found = privacy_of(experiment)
    most = max(experiment.n_examples(i) for i in range(6))
    assert (found.unit, found.noise_multiplier, found.population, found.sample) == ("example", 2.0, most, 4)
    assert found.n_steps == max(Counter(i for index in range(4) for i in experiment.cohort(index)).values())
    assert found.epsilon == pytest.approx(gaussian_epsilon(found.n_steps, 4.0, 0.01))
    assert privacy_of(toy_experiment("fedgen_edge", EXAMPLES.replace("4.0", "0.0"))) is None
    assert privacy_of(toy_experiment("fedgen_edge")) is None
    both = toy_experiment("fedgen_edge", EXAMPLES, 'contender.fedgen_edge.mechanism={name="client_dp"}')
    assert privacy_of(both).unit == "client"  # all of a client's examples
    published = dataclasses.replace(record, config=experiment.config, privacy=found)
    assert list(guarantees([published], registry)) == []
    better = dataclasses.replace(published, privacy=dataclasses.replace(found, epsilon=found.epsilon / 2))
    assert "its configuration gives" in next(guarantees([better], registry)).text


def test_the_card_of_an_export_tells_it_with_what_it_is_worth(record):
    chosen, backbone = SimpleNamespace(record=record), SimpleNamespace(name="toy", revision="", licence="")

    def told(client_id):
        return dict(card._origin(chosen, Subject(client_id=client_id, n_steps=0, licences={}), backbone))

    assert "epsilon 10.59 at delta 0.01 for all data of one client, had the noise been secret" in told(None)["privacy"]
    assert told(None)["mechanism"].startswith("`client_dp`")
    assert told(3)["privacy"].startswith("none: ")
