"""What devices mean for a run is told beforehand: simulated time, who would be late, and whose memory is too small."""

from __future__ import annotations

import pytest
import torch
from click.testing import CliRunner

from fedgen_bench.base.errors import NotReadyError
from fedgen_bench.cli.main import cli
from fedgen_bench.federation.device_checks import too_large
from fedgen_bench.federation.footprint import Footprint
from fedgen_bench.federation.loader import Loader
from fedgen_bench.federation.preflight import preflight
from fedgen_bench.registry.datasets import Places, finder
from fedgen_bench.results.store import Store
from fedgen_bench.run.dry_run import forecast
from fedgen_bench.run.executor import Job
from fedgen_bench.run.runner import run_cells
from fedgen_bench.suite.cells import expand
from fedgen_bench.testing import toy

MIXED = (
    'devices={classes=[{name="fast", share=0.5, flops=1e9, down=1e6, up=1e6},'
    ' {name="slow", share=0.5, flops=1e9, down=50.0, up=50.0}], first=2}'
)
SMALL = 'devices={classes=[{name="tiny", share=1.0, flops=1e9, down=1e6, up=1e6, memory=%d}]%s}'


@pytest.fixture
def loader(registry):
    return Loader(registry, finder(registry))


def test_a_forecast_is_what_the_clock_of_a_run_says(registry, toy_suite, loader, tmp_path):
    specs = expand(toy_suite(MIXED), registry, contenders=["fedavg"], seeds=[1])
    (told,) = forecast(specs, loader, torch.device("cpu"))
    run = ran(registry, specs, tmp_path)
    clocks = [one.clock for one in run.rounds]
    booked = {
        way: sum(e.encoded_bytes for r in run.rounds for e in r.ledger if e.direction == way) for way in ("up", "down")
    }
    assert (told.up_bytes, told.down_bytes) == (booked["up"], booked["down"])
    assert told.local_steps == sum(one.n_steps for one in run.rounds)
    assert told.simulated.seconds == clocks[-1].ended
    assert told.simulated.missed == {"late": sum(len(one.absent) for one in clocks)}
    assert set(told.simulated.late_on) <= {"fast", "slow"}
    assert "slow" in told.simulated.late_on
    assert told.simulated.n_partial == 0


def ran(registry, specs, folder):
    with Store(folder) as store:
        job = Job(folder, Places(), "cpu", registry.plugin_files)
        run_cells(specs, registry, job, store, workers=1, on_event=lambda _: None)
        (run,) = store.runs("toy", 1)
    return run


@pytest.mark.parametrize("change", ["", "availability=0.7, ", "leaving=0.3, "])
@pytest.mark.parametrize("method", ["fedbuff", "fedasync"])
def test_a_forecast_of_arrivals_is_what_the_clock_of_a_run_says(method, change, registry, toy_suite, loader, tmp_path):
    devices = MIXED.replace('name="slow", ', f'name="slow", {change}').replace(", first=2", "")
    wanted = [devices, f"contender.fedavg.strategy.name={method}"]
    specs = expand(toy_suite(*wanted), registry, contenders=["fedavg"], seeds=[1])
    (told,) = forecast(specs, loader, torch.device("cpu"))
    run = ran(registry, specs, tmp_path)
    clocks = [one.clock for one in run.rounds]
    assert run.status == "done", run.reason
    assert (told.simulated.seconds, told.simulated.late_on) == (clocks[-1].ended, ())
    assert sum(told.simulated.missed.values()) == sum(len(one.absent) for one in clocks)
    assert bool(told.simulated.missed) == bool(change)
    assert told.local_steps == sum(one.n_steps for one in run.rounds)
    booked = {
        way: sum(e.encoded_bytes for r in run.rounds for e in r.ledger if e.direction == way) for way in ("up", "down")
    }
    assert (told.up_bytes, told.down_bytes) == (booked["up"], booked["down"])


def test_a_forecast_without_devices_has_no_simulated_time(registry, toy_suite, loader):
    (told,) = forecast(expand(toy_suite(), registry, contenders=["fedavg"], seeds=[1]), loader, torch.device("cpu"))
    assert told.simulated is None


def test_a_dry_run_says_who_would_be_late():
    words = ["run", "--suite", "toy", "--plugin", toy.__file__, "--seed", "1", "--set", MIXED, "--dry-run"]
    shown = CliRunner().invoke(cli, words)
    assert shown.exit_code == 0, shown.output
    lines = [line.split() for line in shown.stdout.splitlines()]
    assert ["contender", "simulated", "time", "unavailable", "left", "late", "partial", "late", "on"] in lines
    (row,) = (line for line in lines if line[:1] == ["fedavg"] and "slow" in line[-1])
    assert row[2] == "s"


def problems(registry, toy_suite, loader, *overrides):
    with pytest.raises(NotReadyError) as told:
        preflight(expand(toy_suite(*overrides), registry), loader)
    return told.value.problems


def test_devices_without_memory_for_training_are_refused_beforehand(registry, toy_suite, loader):
    (problem,) = problems(registry, toy_suite, loader, SMALL % (8, ""))
    assert "of a device's memory, and class `tiny` has 8 B." in problem
    assert "Lower `training.batch_size`" in problem
    preflight(expand(toy_suite(SMALL % (10**9, "")), registry), loader)


def test_the_refusal_names_a_contender_that_would_fit(registry, toy_suite, monkeypatch):
    monkeypatch.setattr(Footprint, "on_client", property(lambda one: one.trained_bytes))
    suite = toy_suite(SMALL % (10, ""))
    held = [(spec, takes(n)) for spec, n in zip(expand(suite, registry, seeds=[1]), (100, 5, 100, 100), strict=False)]
    ((some, text),) = too_large(held)
    assert held[0][0] in some
    assert held[1][0] not in some
    assert f"Contender `{held[1][0].contender}` would fit;" in text


def takes(n):
    return Footprint(0, n, 0, 0, 0, 1)


def test_a_wrong_trace_is_told_beforehand(registry, toy_suite, tmp_path):
    (tmp_path / "few.csv").write_text("client,since_s,step_s,down_bytes_s,up_bytes_s,available\n0,0,1,1,1,1\n")
    here = Loader(registry, finder(registry, Places(beside=tmp_path)))
    (problem,) = problems(registry, toy_suite, here, 'devices={trace="few.csv"}')
    assert "has 1 clients, the suite 6. Add clients to the trace" in problem
    assert "There is no trace" in problems(registry, toy_suite, here, 'devices={trace="none.csv"}')[0]
