"""Devices by name, and workers that take GPUs in turn; `devices.visible_gpus` alone knows what there is."""

from __future__ import annotations

import time
from contextlib import nullcontext
from functools import partial

import pytest

from fedgen_bench.base import devices, environment, processes
from fedgen_bench.base.devices import check_device, default_jobs, own_device, pick_device
from fedgen_bench.base.errors import UsageError
from fedgen_bench.base.pool import Died, Pool
from fedgen_bench.base.workers import Workers
from fedgen_bench.cli.main import cli
from fedgen_bench.federation import remote
from fedgen_bench.federation.blueprint import Blueprint
from fedgen_bench.federation.footprint import memory_bytes
from fedgen_bench.session.session import Session
from fedgen_bench.suite.cells import expand


@pytest.fixture
def gpus(monkeypatch):
    """`gpus(n)`: CUDA shows n GPUs."""
    return lambda n: monkeypatch.setattr(devices, "visible_gpus", lambda: n)


@pytest.fixture
def apple(monkeypatch):
    """A machine whose GPU is MPS, as far as names of devices go."""
    monkeypatch.setattr(devices, "visible_gpus", lambda: 0)
    monkeypatch.setattr(devices, "has_mps", lambda: True)


@pytest.mark.parametrize(
    ("wanted", "n_gpus", "picked"),
    [
        ("auto", 0, "cpu"), ("auto", 2, "cuda"), ("cpu", 2, "cpu"), ("cuda", 1, "cuda"), ("cuda:0", 1, "cuda:0"),
        ("cuda:1", 2, "cuda:1"),
    ],
)  # fmt: skip
def test_device_that_is_there(wanted, n_gpus, picked, gpus):
    gpus(n_gpus)
    assert pick_device(wanted) == picked


@pytest.mark.parametrize(
    ("wanted", "n_gpus", "message"),
    [
        ("cuda", 0, "There is no CUDA device."),
        ("cuda:0", 0, "There is no CUDA device."),
        ("cuda:2", 2, "There is no `cuda:2`: CUDA shows 2 here, from `cuda:0` on."),
        ("mps", 0, "There is no MPS device, which is the GPU of Apple silicon. Use `--device cpu`."),
        ("mps:0", 0, "Unknown device `mps:0`."),
        ("cuda:-1", 2, "Unknown device `cuda:-1`."),
        ("cuda:", 2, "Unknown device `cuda:`."),
        ("cuda:1\n", 2, "Unknown device `cuda:1"),
        ("gpu", 2, "Unknown device `gpu`."),
        (None, 2, "Unknown device `None`."),
        (1, 2, "Unknown device `1`."),
    ],
)
def test_device_that_is_not_there_is_refused(wanted, n_gpus, message, gpus):
    gpus(n_gpus)
    with pytest.raises(UsageError) as refused:
        pick_device(wanted)
    assert str(refused.value).startswith(message)


def test_device_is_refused_alike_from_python_and_on_the_command_line(gpus):
    from click.testing import CliRunner

    gpus(1)
    with pytest.raises(UsageError, match="There is no `cuda:3`: CUDA shows 1 here"):
        Session(device="cuda:3").run("quick")
    assert isinstance(CliRunner().invoke(cli, ["run", "--suite", "quick", "--device", "cuda:3"]).exception, UsageError)
    done = CliRunner().invoke(cli, ["run", "--suite", "quick", "--device", "gpu"])
    assert done.exit_code == 2
    assert "'--device': Unknown device `gpu`." in done.output


def test_name_is_checked_without_a_look_at_the_machine(monkeypatch):
    monkeypatch.setattr(devices, "visible_gpus", None)
    check_device("cuda:7")


@pytest.mark.parametrize(("device", "n_gpus", "jobs"), [("cuda", 4, 4), ("cuda:1", 4, 1), ("cuda", 0, 1)])
def test_one_job_for_each_gpu(device, n_gpus, jobs, gpus):
    gpus(n_gpus)
    assert default_jobs(1, device) == jobs


@pytest.mark.usefixtures("apple")
def test_mps_is_taken_where_it_is_asked_for_by_one_worker():
    assert pick_device("mps") == own_device("mps") == "mps"
    assert pick_device("auto") == "cpu"
    assert default_jobs(1, "mps") == 1
    assert Session(device="mps")._workplace.device == "mps"


def test_what_mps_is_and_has_is_told(monkeypatch):
    monkeypatch.setattr(environment, "processor", lambda: "Apple M4")
    monkeypatch.setattr("torch.mps.recommended_max_memory", lambda: 5 << 30)
    assert environment.fingerprint("mps", 1)["accelerator"] == "GPU of Apple M4"
    assert memory_bytes("mps") == 5 << 30


@pytest.mark.parametrize("n_gpus", range(1, 5))
@pytest.mark.parametrize("n_workers", range(1, 10))
def test_workers_take_gpus_in_turn(n_workers, n_gpus, gpus, monkeypatch):
    gpus(n_gpus)
    taken = []
    for place in range(n_workers):
        monkeypatch.setattr(processes, "_place", place)
        taken.append(own_device("cuda"))
    each = [taken.count(f"cuda:{index}") for index in range(n_gpus)]
    assert sum(each) == n_workers
    assert max(each) - min(each) <= 1
    assert own_device("cpu") == "cpu"
    assert own_device("cuda:3") == "cuda:3"


def test_coordinator_keeps_what_was_asked_for(gpus):
    gpus(2)
    assert own_device("cuda") == "cuda"


def _place(task, _tell):
    time.sleep(0.05)
    if task == "die":
        raise SystemExit
    return processes.own_place()


@pytest.mark.usefixtures("forked")
def test_who_replaces_a_dead_worker_takes_its_place():
    pool = Pool(Workers(partial(nullcontext, _place)))
    for task in ("one", "die", "two"):
        pool.give(task, task)
    first = {}
    while pool.n_busy:
        first |= pool.wait(block=True)
    assert isinstance(first.pop("die"), Died)
    assert first == {"one": 0, "two": 2}
    for task in ("one", "two", "three"):
        pool.give(task, task)
    again = {}
    while pool.n_busy:
        again |= pool.wait(block=True)
    pool.close()
    assert again["three"] == 1
    assert sorted(again.values()) == [0, 1, 2]


def test_workshop_of_a_worker_builds_cells_on_its_own_gpu(toy_suite, registry, gpus, monkeypatch):
    built = []
    monkeypatch.setattr(remote, "open_loader", lambda _: None)
    monkeypatch.setattr(remote, "open_work", lambda blueprint, _: built.append(blueprint.device))
    monkeypatch.setattr(processes, "_place", 3)
    gpus(2)
    spec = expand(toy_suite(), registry)[0]
    workshop = remote.Workshop()
    for device in ("cuda", "cuda", "cuda:0", "cpu"):
        workshop._open(Blueprint(spec, device))
    assert built == ["cuda:1", "cuda:0", "cpu"]
