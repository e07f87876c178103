"""Whatever a plugin leaves changed is put back and the plugin is named; what it raises is its failure."""

# ruff: noqa: FBT003, N818, NPY002, PT012 - what plugins do
from __future__ import annotations

import os
import random
import signal
import sys
import types
import warnings
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from fedgen_bench.base import generators
from fedgen_bench.base.errors import PluginError, StoreError
from fedgen_bench.base.failures import Interrupted, blamed, interruptible, text_of, told
from fedgen_bench.base.guards import guarded
from fedgen_bench.contract.seeds import SeedTree

TREE = SeedTree("task", "adapter", "partitioner", "strategy", 1)


@pytest.mark.parametrize(
    ("library", "draw"),
    [("random", random.random), ("numpy", np.random.rand), ("torch", lambda: torch.rand(1))],
)
def test_generator_that_moved_is_named_and_put_back(library, draw):
    kept = random.getstate(), np.random.get_state()[1].tolist(), torch.random.get_rng_state().tolist()
    with pytest.raises(PluginError, match=f"Odd moved the global generator of {library}"), guarded("Odd"):
        draw()
    assert kept == (random.getstate(), np.random.get_state()[1].tolist(), torch.random.get_rng_state().tolist())


def test_own_generators_are_let_be():
    with guarded("Good"):
        TREE.numpy("split").random(3)
        torch.rand(3, generator=TREE.torch("split"))


def _leak_filter():
    warnings.simplefilter("ignore", ResourceWarning)


LEAKS = {
    "torch's default dtype": (torch.get_default_dtype, lambda: torch.set_default_dtype(torch.float64)),
    "torch's default device": (torch.get_default_device, lambda: torch.set_default_device("meta")),
    "torch's number of threads": (torch.get_num_threads, lambda: torch.set_num_threads(3)),
    "torch's grad mode": (torch.is_grad_enabled, lambda: torch.set_grad_enabled(False)),
    "torch's autocast": (lambda: torch.is_autocast_enabled("cpu"), lambda: torch.set_autocast_enabled("cpu", True)),
    "torch's deterministic algorithms": (
        torch.are_deterministic_algorithms_enabled,
        lambda: torch.use_deterministic_algorithms(True, warn_only=True),
    ),
    "torch's precision of matrix products": (
        torch.get_float32_matmul_precision,
        lambda: torch.set_float32_matmul_precision("medium"),
    ),
    "cuDNN's flags": (
        lambda: torch.backends.cudnn.benchmark,
        lambda: setattr(torch.backends.cudnn, "benchmark", True),
    ),
    "warnings filters": (lambda: warnings.filters[:], _leak_filter),
    "environment variables": (lambda: dict(os.environ), lambda: os.environ.update(ODD="1", HOME="/")),
    "the working folder": (os.getcwd, lambda: os.chdir("/")),
    "signal handlers": (
        lambda: signal.getsignal(signal.SIGINT),
        lambda: signal.signal(signal.SIGINT, lambda *_: None),
    ),
    "numpy's handling of errors": (np.geterr, lambda: np.seterr(all="raise")),
}


@pytest.mark.parametrize("name", LEAKS)
def test_setting_of_the_process_is_named_and_put_back(name):
    read, leak = LEAKS[name]
    before = read()
    with pytest.raises(PluginError, match=f"Odd left changed for everybody: {name}"), guarded("Odd"):
        leak()
        assert read() != before
    assert read() == before


@pytest.mark.parametrize("name", LEAKS)
def test_setting_is_put_back_behind_a_failure_too(name):
    read, leak = LEAKS[name]
    before = read()
    with pytest.raises(ValueError, match="its own"), guarded("Odd"):
        leak()
        raise ValueError("its own")
    assert read() == before


def test_what_libraries_do_when_imported_is_put_back_without_blame(monkeypatch):
    before = warnings.filters[:]
    with guarded("Metric"):
        monkeypatch.setitem(sys.modules, "fedgen_some_library", types.ModuleType("fedgen_some_library"))
        _leak_filter()
        os.environ["ODD"] = "1"
    assert warnings.filters[:] == before
    assert "ODD" not in os.environ


@dataclass(frozen=True)
class _Context:
    start: dict
    merges: tuple = ()


@pytest.mark.parametrize(
    ("mutate", "path"),
    [
        (lambda ctx: ctx.start["left"].add_(1), r"ctx.start\['left'\]"),
        (lambda ctx: ctx.merges[0]["b"].zero_(), r"ctx.merges\[0\]\['b'\]"),
    ],
)
def test_tensor_that_is_changed_in_place_is_named(mutate, path):
    ctx = _Context({"left": torch.zeros(2)}, ({"b": torch.ones(2)},))
    with pytest.raises(PluginError, match=f"Odd changed `{path}` in place"), guarded("Odd", ctx=ctx):
        mutate(ctx)


class _Mute(Exception):
    def __str__(self):
        raise RuntimeError("no words")


class _Own(BaseException):
    pass


@pytest.mark.parametrize(
    "error",
    [SystemExit(0), GeneratorExit(), _Own("x"), StoreError("disk"), KeyboardInterrupt(), StopIteration(3)],
    ids=lambda one: type(one).__name__,
)
@pytest.mark.parametrize("around", [guarded, blamed])
def test_what_is_no_ordinary_exception_becomes_that_plugins_failure(error, around):
    with interruptible(), pytest.raises(PluginError, match=f"Odd raised {type(error).__name__}"), around("Odd"):
        raise error


@pytest.mark.parametrize(
    "error", [ValueError("x"), PluginError("y"), Interrupted()], ids=lambda one: type(one).__name__
)
def test_ordinary_exceptions_and_the_users_interrupt_pass(error):
    with interruptible(), pytest.raises(type(error)) as raised, guarded("Odd"):
        raise error
    assert raised.value is error


@pytest.fixture
def usual_interrupts():
    """Python's own handler, whatever a command that ran in this process before has left."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("usual_interrupts")
def test_signal_is_the_users_interrupt_inside_a_plugin():
    with interruptible(), pytest.raises(Interrupted), guarded("Odd"):
        os.kill(os.getpid(), signal.SIGINT)
        signal.pause()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_errors_without_words_can_be_told():
    assert text_of(_Mute()) == "(its message cannot be had: str() raises RuntimeError)"
    assert told(_Mute()).startswith("_Mute: (its message")
    assert told(ValueError("two\n  lines")) == "ValueError: two lines"
    assert told(KeyboardInterrupt()) == "KeyboardInterrupt"


def test_a_library_that_draws_from_random_as_it_is_imported_is_put_back_and_not_blamed(tmp_path, monkeypatch):
    (tmp_path / "draws_at_import.py").write_text("import random\nrandom.random()\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    before = random.getstate()
    with guarded("It"):
        import draws_at_import  # noqa: F401
    assert random.getstate() == before
    with pytest.raises(PluginError, match="moved the global generator of random"), guarded("It"):
        random.random()


def _draw_the_stored_normal():
    np.random.standard_normal(1)


@pytest.mark.parametrize("draw", [_draw_the_stored_normal, lambda: np.random.set_bit_generator(np.random.PCG64(1))])
def test_a_generator_of_numpy_that_moved_without_a_trace_in_memory_is_named_and_put_back(draw):
    np.random.standard_normal(1)  # two are drawn, the second is stored
    kept = np.random.get_state()
    with pytest.raises(PluginError, match="moved the global generator of numpy"), guarded("Odd"):
        draw()
    assert repr(np.random.get_state()) == repr(kept)
    np.random.seed(0)


def test_a_global_generator_of_another_kind_is_watched():
    twister = np.random.get_bit_generator()
    np.random.set_bit_generator(np.random.PCG64(1))
    try:
        with guarded("Good"):
            pass
        with pytest.raises(PluginError, match="moved the global generator of numpy"), guarded("Odd"):
            np.random.rand()
    finally:
        np.random.set_bit_generator(twister)


def test_a_stored_normal_number_of_random_is_watched():
    random.seed(1)
    random.gauss(0, 1)  # two are drawn, the second is stored
    kept = random.getstate()
    with pytest.raises(PluginError, match="moved the global generator of random"), guarded("Odd"):
        random.gauss(0, 1)
    assert random.getstate() == kept


@pytest.mark.parametrize("draw", [random.random, lambda: random.gauss(0, 1), lambda: random.seed(3)])
def test_generators_are_read_where_they_lie_and_put_back(draw):
    read, write = generators.of_random()
    assert read is not random.getstate, "asked in this build, which is ten times slower"
    before, kept = read(), random.getstate()
    draw()
    assert read() != before
    write(before)
    assert (read(), random.getstate()) == (before, kept)
    assert generators.of_numpy()[0]().memory, "asked in this build, which is a hundred times slower"
