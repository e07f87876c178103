"""What a processor has for bf16: every command that runs cells says how slow it is without, on simulated processors."""

from __future__ import annotations

from types import MappingProxyType, SimpleNamespace

import pytest
import torch

from fedgen_bench.base.environment import fingerprint
from fedgen_bench.base.instructions import LIMITS, Instructions, instructions
from fedgen_bench.results.tiers import tier
from fedgen_bench.session import rerunning
from fedgen_bench.session.session import Session
from fedgen_bench.testing import toy

# class of instructions; whether torch has a library for products in bf16; flags of the processor; times slower
PROCESSORS = {
    "Sapphire Rapids": ("AVX512", True, {"avx512_f": True, "avx512_bf16": True, "amx_bf16": True}, ""),
    "Zen 4": ("AVX512", True, {"avx512_f": True, "avx512_bf16": True, "amx_bf16": False}, ""),
    "Ice Lake": ("AVX512", True, {"avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, "2 to 3"),
    "Zen 3": ("AVX2", False, {"avx2": True, "avx512_bf16": False}, "17 to 30"),
    "Lunar Lake": ("AVX2", True, {"avx2": True, "avx_ne_convert": True}, ""),
    "Graviton 3": ("SVE256", True, {"sve": True, "bf16": True}, ""),
    "Graviton 2": ("DEFAULT", False, {"neon": True, "bf16": False}, "17 to 30"),
    "M2, whose torch has no such library": ("DEFAULT", False, {"neon": True, "bf16": True}, "17 to 30"),
}


@pytest.fixture
def on(monkeypatch):
    """`on(class, library, flags)`: torch says so of this processor."""

    def simulate(name, library, flags):
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: name)
        monkeypatch.setattr(torch.ops, "mkldnn", SimpleNamespace(_is_mkldnn_bf16_supported=lambda: library))
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: MappingProxyType(flags), raising=False)

    return simulate


@pytest.mark.parametrize("processor", PROCESSORS)
def test_what_a_processor_has_for_bf16(processor, on):
    name, library, flags, slower = PROCESSORS[processor]
    on(name, library, flags)
    here = instructions()
    assert here == Instructions(name, library, any(flags.get(one) for one in ("avx512_bf16", "avx_ne_convert", "bf16")))
    assert here.times_slower("bf16", "cpu") == slower
    assert (here.times_slower("fp32", "cpu"), here.times_slower("bf16", "cuda"), here.times_slower("bf16", "mps")) == (
        "",
        "",
        "",
    )


@pytest.mark.parametrize(("name", "slower"), [("AVX512", ""), ("AVX2", "17 to 30"), ("DEFAULT", "17 to 30")])
def test_a_torch_that_does_not_say_leaves_the_class_of_instructions(name, slower, monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: name)
    monkeypatch.setattr(torch.ops, "mkldnn", SimpleNamespace())
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert instructions().times_slower("bf16", "cpu") == slower


def test_this_torch_answers_what_is_asked():
    assert isinstance(torch.ops.mkldnn._is_mkldnn_bf16_supported(), bool)
    here = instructions()
    assert here.name == torch.backends.cpu.get_cpu_capability()


@pytest.fixture
def session(tmp_path):
    return Session(
        plugins=[toy.__file__], runs=tmp_path / "runs", leaderboards=tmp_path / "boards", device="cpu", jobs=1
    )


class ToldError(Exception):
    """Stands for all that comes after the plan."""


@pytest.mark.parametrize("command", ["run", "forecast", "profile", "tune"])
def test_every_command_that_runs_cells_warns_before_the_first(command, session, on, tmp_path):
    suite = tmp_path / "own.toml"
    text = toy.SUITE.replace('name = "toy"', 'name = "own"', 1)
    suite.write_text(text.replace("[training]", '[training]\nprecision = "bf16"'))
    on(*PROCESSORS["Zen 3"][:3])
    told = []

    def plan(made):
        told.extend(made.notes)
        raise ToldError

    with pytest.raises(ToldError):
        getattr(session, command)(suite, on_plan=plan)
    (sentence,) = told
    assert sentence.startswith(
        "Warning: this processor (AVX2) has no instructions for bf16, so a step takes 17 to 30 times as long as in "
        "fp32. Take a suite in fp32, a GPU (`--device cuda`)"
    )
    assert ("`--set training.precision=fp32`" in sentence) is (command != "tune")
    assert not list(tmp_path.glob("runs/cells/*"))


def test_nothing_is_said_of_fp32_nor_of_a_processor_with_instructions(session, on, tmp_path):
    suite = tmp_path / "own.toml"
    suite.write_text(toy.SUITE.replace('name = "toy"', 'name = "own"', 1))
    for processor, overrides in (("Zen 3", ()), ("Zen 4", ("training.precision=bf16",))):
        on(*PROCESSORS[processor][:3])
        told = []
        session.forecast(
            suite, contenders=["fedavg"], seeds=[1], overrides=overrides, on_plan=lambda made, to=told: to.append(made)
        )
        assert [made.notes for made in told] == [()]


def test_reproduce_says_which_option_avoids_it(on):
    on(*PROCESSORS["Zen 3"][:3])
    config = SimpleNamespace(training=SimpleNamespace(precision="bf16", threads=1))
    record = SimpleNamespace(environment=fingerprint("cpu", 1))
    rerun = SimpleNamespace(spec=SimpleNamespace(config=config), record=record, changes=(), cohort=1)
    tiers, sentence = rerunning._foretold([rerun], "cpu")
    assert tiers.startswith("1 of 1 cells: exact tier")
    assert "17 to 30 times" in sentence
    assert "Take `--precision fp32`" in sentence


def test_what_limits_the_instructions_stands_in_the_environment_and_lowers_the_tier(monkeypatch):
    for name in LIMITS:
        monkeypatch.delenv(name, raising=False)
    free = fingerprint("cpu", 1)
    assert "limits" not in free
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    limited = fingerprint("cpu", 1)
    assert limited == {**free, "limits": {"ONEDNN_MAX_CPU_ISA": "AVX2"}}
    found = tier(free, limited)
    assert (found.name, found.reasons) == ("band", ("ONEDNN_MAX_CPU_ISA not set published, AVX2 here",))
    assert tier(limited, limited).name == "exact"
