"""Forecasts: exact bytes from few encodings, and one split a seed."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
import torch
from fedgen_bench_plugins.engines.local import Local
from made_records import DIGESTS, all_made

from fedgen_bench.federation import wire
from fedgen_bench.federation.blueprint import Blueprint
from fedgen_bench.federation.lengths import Lengths
from fedgen_bench.federation.loader import Loader
from fedgen_bench.federation.run_cell import run_cell
from fedgen_bench.registry.datasets import finder
from fedgen_bench.results.published.writing import results_text
from fedgen_bench.results.recording import record_of
from fedgen_bench.results.store import Store
from fedgen_bench.results.timing import Took, published_time
from fedgen_bench.run import dry_run
from fedgen_bench.run.dry_run import forecast
from fedgen_bench.session import running
from fedgen_bench.suite.cells import expand


def test_bytes_are_exact_from_one_encoding_of_each_layout(registry, toy_suite, monkeypatch):
    suite = toy_suite("federation.rounds=12", "contender.fedavg.uplink=[{name='fp16'}]")
    specs = expand(suite, registry)
    encoded = []
    encode = wire.encode
    monkeypatch.setattr(wire, "encode", lambda *given: encoded.append(1) or encode(*given))
    quick = forecast(specs, Loader(registry, finder(registry)), torch.device("cpu"))
    n_quick = len(encoded)
    of = Lengths.of
    monkeypatch.setattr(Lengths, "of", lambda _, *given: of(Lengths(), *given))
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


def test_seconds_are_those_of_every_fit_of_a_round(registry, toy_suite, monkeypatch):
    monkeypatch.setattr(dry_run, "_seconds_a_step", lambda _: 1.0)
    specs = expand(toy_suite(), registry, contenders=["ditto"], added=["ditto"], seeds=[1])
    (one,) = forecast(specs, Loader(registry, finder(registry)), torch.device("cpu"))
    after = specs[0].config.own
    assert one.seconds == 2 * one.local_steps + after.clients * after.steps


@pytest.mark.parametrize("seconds_a_step", [0.5, 4.0])
def test_the_first_step_of_a_process_is_not_the_one_that_is_timed(seconds_a_step, toy_experiment, monkeypatch):
    clock, fits = [0.0], []

    def fit(*given):
        clock[0] += seconds_a_step * given[-1] + (0 if fits else 100)
        fits.append(given[-1])

    monkeypatch.setattr(dry_run, "fit", fit)
    monkeypatch.setattr(dry_run.time, "perf_counter", lambda: clock[0])
    assert dry_run._seconds_a_step(toy_experiment("fedavg")) == seconds_a_step


TIMES = "contender,seed,status,seconds\nfedgen_edge,1,done,60.0\nfedgen_edge,2,done,90.0\nfedavg,1,failed,1.0\n"


@pytest.fixture
def published(registry, toy_suite, tmp_path):
    """A published folder with two finished runs, one failed one, and their times; and the suite's cells."""
    cells = expand(toy_suite(), registry)
    environment = {"processor": "Some\nCPU", "instruction_set": "AVX2", "accelerator": ""}
    done = {"metrics": {"test/toy_loss": 0.5}, "digests": dict.fromkeys(DIGESTS, "0" * 64)}
    failed = {"status": "failed", "reason": "broke", "digests": {}, "facts": {}}
    records = all_made(
        {
            "contender": cell.contender, "seed": cell.seed, "config": cell.config.to_json(), "digest": cell.digest,
            "environment": environment, **more,
        }
        for cell, more in zip(cells, (done, done, failed), strict=False)
    )  # fmt: skip
    text = results_text(toy_suite(), registry.get("suite", "toy").spec.text, records)
    (tmp_path / "results.json").write_text(text)
    (tmp_path / "timing.csv").write_text(TIMES)
    return tmp_path, cells


def test_what_cells_took_when_they_were_published(published):
    folder, cells = published
    assert published_time(folder, cells) == Took(2, 150.0, ("Some\nCPU, AVX2",))
    (sentence,) = running._took(folder, cells)
    assert (
        sentence == f"{folder}: 2 of these 8 cells took 2.5 min of one process, evaluation included (Some CPU, AVX2)."
    )
    (sentence,) = running._took(folder, cells[:1])
    assert "these cells took 1.0 min" in sentence


def test_nothing_is_said_of_other_versions_overrides_and_folders_that_cannot_be_read(published, registry, toy_suite):
    folder, cells = published
    assert published_time(folder / "none", cells) is None
    assert published_time(folder, expand(toy_suite("suite.version=2"), registry)) is None
    assert published_time(folder, [replace(cell, off_suite=("a=1",)) for cell in cells]) is None
    for broken in ("contender\nx\n", "contender,seed,status,seconds\nfedgen_edge,one,done,60\n"):
        (folder / "timing.csv").write_text(broken)
        assert published_time(folder, cells) is None
    (folder / "timing.csv").unlink()
    assert published_time(folder, cells) is None
    (folder / "timing.csv").write_text(TIMES)
    (folder / "results.json").write_text("{")
    assert published_time(folder, cells) is None


DRAWING = 'devices={classes=[{name="one", share=1.0, flops=1e3, down=1e3, up=1e3, watts=5.0, radio_watts=2.0}]}'


def test_costs_are_those_that_the_record_will_have(registry, toy_suite, monkeypatch, tmp_path):
    monkeypatch.setattr("fedgen_bench.federation.client_costs.step_flops", lambda *_: 1000)
    (spec,) = expand(toy_suite(DRAWING), registry, contenders=["fedgen_edge"], seeds=[1])
    (told,) = forecast([spec], Loader(registry, finder(registry)), torch.device("cpu"))
    with Store(tmp_path) as store:
        journal = store.begin(spec, {}, {})
        loader = Loader(registry, finder(registry))
        journal.finish(*run_cell(Blueprint(spec, "cpu"), loader, journal, Local(None), lambda _: None), 0.0)
        (stored,) = store.runs("toy", 1)
    found = record_of(stored).costs
    assert (told.training_flops, told.simulated.joules) == (found.training_flops, found.joules)
    assert {name: getattr(found, name) for name in asdict(told.costs)} == asdict(told.costs)
    assert (told.contender, told.training_flops) == ("fedgen_edge", 24 * 1000)
    assert told.simulated.joules > 0


def test_no_energy_is_told_where_devices_do_not_say_what_they_draw(registry, toy_suite):
    for devices in ("devices={classes=[{name='one', share=1.0, flops=1e3, down=1e3, up=1e3}]}", "seeds.tuning=9"):
        specs = expand(toy_suite(devices), registry, contenders=["fedavg"], seeds=[1])
        (told,) = forecast(specs, Loader(registry, finder(registry)), torch.device("cpu"))
        assert told.simulated is None or told.simulated.joules is None
        assert told.costs is not None
