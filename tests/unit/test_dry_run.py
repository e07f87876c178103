"""Forecasts: exact bytes from few encodings, and one split a seed."""

from __future__ import annotations

import pytest
import torch

from fedgen_bench.federation import wire
from fedgen_bench.federation.loader import Loader
from fedgen_bench.registry.datasets import finder
from fedgen_bench.run import dry_run
from fedgen_bench.run.dry_run import forecast
from fedgen_bench.suite.cells import expand


def test_bytes_are_exact_from_one_encoding_of_each_layout(registry, toy_suite, monkeypatch):
    suite = toy_suite("federation.rounds=12", "contender.fedavg.uplink=[{name='fp16'}]")
    specs = expand(suite, registry)
    encoded = []
    encode = wire.encode
    monkeypatch.setattr(wire, "encode", lambda *given: encoded.append(1) or encode(*given))
    quick = forecast(specs, Loader(registry, finder(registry)), torch.device("cpu"))
    n_quick = len(encoded)
    lengths = dry_run._lengths
    monkeypatch.setattr(dry_run, "_lengths", lambda _, key, exchanged: lengths({}, key, exchanged))
    every = forecast(specs, Loader(registry, finder(registry)), torch.device("cpu"))
    assert [(one.run, one.down_bytes, one.up_bytes) for one in quick] == [
        (one.run, one.down_bytes, one.up_bytes) for one in every
    ]
    assert [one.run for one in quick] == [one.name for one in specs]
    assert 0 < n_quick <= 20


def test_one_split_serves_all_cells_of_a_seed(registry, toy_suite, monkeypatch):
    made = []
    make = dry_run.Loader.population.__globals__["make_population"]
    counted = lambda *given, **named: made.append(1) or make(*given, **named)  # noqa: E731
    monkeypatch.setattr("fedgen_bench.federation.loader.make_population", counted)
    forecast(expand(toy_suite(), registry), Loader(registry, finder(registry)), torch.device("cpu"))
    assert len(made) == 2


def test_seconds_are_also_those_of_clients_after_the_last_round(registry, toy_suite, monkeypatch):
    monkeypatch.setattr(dry_run, "_seconds_a_step", lambda _: 1.0)

    def seconds(steps):
        suite = toy_suite(f"evaluation.personalized_steps={steps}")
        specs = expand(suite, registry, contenders=["fedavg"], seeds=[1])
        (one,) = forecast(specs, Loader(registry, finder(registry)), torch.device("cpu"))
        return one.seconds, one.local_steps

    assert [seconds(0), seconds(5)] == [(24.0, 24), (34.0, 24)]  # two clients are evaluated


@pytest.mark.parametrize("seconds_a_step", [0.5, 4.0])
def test_the_first_step_of_a_process_is_not_the_one_that_is_timed(seconds_a_step, toy_experiment, monkeypatch):
    clock, fits = [0.0], []

    def fit(*given):
        clock[0] += seconds_a_step * given[-1] + (0 if fits else 100)
        fits.append(given[-1])

    monkeypatch.setattr(dry_run, "fit", fit)
    monkeypatch.setattr(dry_run.time, "perf_counter", lambda: clock[0])
    assert dry_run._seconds_a_step(toy_experiment("fedavg")) == seconds_a_step
