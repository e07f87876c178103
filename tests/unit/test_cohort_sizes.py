from __future__ import annotations

import json
from types import SimpleNamespace

import click
import pytest

from fedgen_bench.base.errors import DataError, UsageError
from fedgen_bench.cli import options
from fedgen_bench.federation.cohort_timing import fastest, seconds_a_client
from fedgen_bench.federation.loader import Loader
from fedgen_bench.registry.datasets import finder
from fedgen_bench.run import cohorts
from fedgen_bench.run.cohorts import Cohorts
from fedgen_bench.suite.cells import expand


@pytest.fixture
def cell(registry, toy_suite):
    (spec,) = expand(toy_suite(), registry, contenders=["fedavg"], seeds=[1])
    return spec


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """The most clients of each measurement; as many at a time are fastest."""
    asked = []

    def seconds(_experiment, most):
        asked.append(most)
        return {1: 1.0, most: 0.5}

    monkeypatch.setenv("FEDGEN_CACHE", str(tmp_path))
    monkeypatch.setattr("fedgen_bench.federation.cohort_timing.seconds_a_client", seconds)
    monkeypatch.setattr("fedgen_bench.federation.assembly.assemble", lambda *_: None)
    return asked


def store(environment=None):
    return SimpleNamespace(begun_in=lambda _spec: environment)


@pytest.fixture
def size_of(registry, cell):
    loader = Loader(registry, finder(registry))
    return lambda rule, environment=None: rule.of(cell, store(environment), loader, "cpu")


def test_size_is_the_one_that_is_asked_for(size_of, cell):
    assert size_of(Cohorts()) == 1
    assert size_of(Cohorts(4)) == 4
    assert size_of(Cohorts(4, {cell.digest: 2})) == 2


def test_cell_with_committed_rounds_keeps_the_size_of_these(size_of):
    assert size_of(Cohorts(4), {"cohort": 3}) == 3
    assert size_of(Cohorts("auto"), {"device": "cpu"}) == 1


def test_size_is_measured_once_and_kept(size_of, measured, tmp_path):
    assert [size_of(Cohorts("auto")) for _ in range(2)] == [3, 3]
    assert len(measured) == 1
    (path,) = (tmp_path / "cohorts").glob("*.json")
    path.write_text('{"size": "many"}')
    assert size_of(Cohorts("auto")) == 3
    assert len(measured) == 2
    assert json.loads(path.read_text())["size"] == 3


def test_size_leaves_clients_for_all_workers(size_of, measured, cell):
    n = cell.config.federation.clients_per_round
    assert size_of(Cohorts("auto", side_by_side=2)) <= -(-n // 2)
    assert measured == [-(-n // 2)]


@pytest.mark.usefixtures("measured")
@pytest.mark.parametrize("error", [DataError("There are no data."), RuntimeError("a plugin's own")])
def test_cell_that_cannot_be_measured_is_left_to_tell_why(size_of, monkeypatch, error):
    def assemble(*_):
        raise error

    monkeypatch.setattr("fedgen_bench.federation.assembly.assemble", assemble)
    assert size_of(Cohorts("auto")) == 1


def test_cohort_of_nobody_is_refused():
    with pytest.raises(UsageError, match="0 clients trains nobody"):
        Cohorts(0)


@pytest.mark.parametrize(
    ("seconds", "size"),
    [
        ({1: 1.0}, 1),
        ({1: 1.0, 2: 0.99}, 1),
        ({1: 1.0, 2: 0.8, 4: 0.7, 8: 0.75}, 4),
        ({1: 1.0, 2: 0.8, 4: 0.8}, 2),
        ({1: 1.0, 2: 1.2}, 1),
    ],
)
def test_another_size_is_taken_where_it_is_clearly_faster(seconds, size):
    assert fastest(seconds) == size


def test_clients_that_are_not_trained_in_one_pass_are_not_measured(toy_experiment):
    assert fastest(seconds_a_client(toy_experiment("fedavg"), 4)) == 1


def test_key_does_not_depend_on_the_commit(cell, monkeypatch):
    before = cohorts._key(cell, "cpu", 4)
    monkeypatch.setattr("fedgen_bench.base.environment.git_commit", lambda: "other")
    assert cohorts._key(cell, "cpu", 4) == before
    assert cohorts._key(cell, "cpu", 2) != before


@pytest.mark.parametrize(("given", "meant"), [("3", 3), ("auto", "auto"), ("AUTO", "auto")])
def test_option_is_a_number_or_auto(given, meant):
    assert options._Cohort().convert(given, None, None) == meant


@pytest.mark.parametrize("given", ["0", "-1", "2.5", "many", "", "\u00b2"])
def test_option_that_is_neither_is_told_in_one_sentence(given):
    with pytest.raises(click.UsageError, match="is no number of clients from 1 on, and not `auto`"):
        options._Cohort().convert(given, None, None)
