"""Vector instructions of this processor, as torch uses them, and how much longer a step takes where bf16 has none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

LIMITS = ("MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
"""Environment variables that keep numerical libraries from instructions that the processor has."""

_FOR_BF16 = ("avx512_bf16", "amx_bf16", "avx_ne_convert", "bf16")  # by cpuinfo's names; the last one is Arm's


@dataclass(frozen=True)
class Instructions:
    """What torch computes with on this processor.

    Args:
        name: the class of instructions that numerical libraries dispatch on, such as `AVX2`.
        bf16_library: whether products of matrices in bf16 go to a library, and not one element at a time.
        bf16_units: whether the processor has instructions for bf16.
    """

    name: str
    bf16_library: bool
    bf16_units: bool

    def times_slower(self, precision: str, device: str) -> str:
        """How many times as long a step takes as in fp32, in words; empty where it takes no longer.

        Measured with language models of 5 to 15 million parameters, on one thread. On AVX2: 17, and 29 where
        AVX-512 was switched off; on AVX-512 with its instructions for bf16 switched off: 2.5 and 3.
        """
        if precision != "bf16" or device != "cpu":
            return ""
        if not self.bf16_library:
            return "17 to 30"
        return "" if self.bf16_units else "2 to 3"

    def warnings(self, precisions: Iterable[str], device: str, instead: str) -> tuple[str, ...]:
        """A sentence for every precision that makes a step slow here: by how much, and what to take `instead`."""
        return tuple(
            f"Warning: this processor ({self.name}) has no instructions for {precision}, so a step takes {times} times "
            f"as long as in fp32. Take {instead}."
            for precision in sorted(set(precisions))
            if (times := self.times_slower(precision, device))
        )


def instruction_set() -> str:
    """The class of vector instructions that numerical libraries dispatch on."""
    import torch

    return torch.backends.cpu.get_cpu_capability()


def instructions() -> Instructions:
    """Of this processor. Where a version of torch does not say what it knows of bf16, AVX-512 and AMX count as apt."""
    import torch

    name = instruction_set()
    apt = name.startswith(("AVX512", "AMX"))
    try:
        library = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001 - what torch itself asks
    except (AttributeError, RuntimeError):
        library = apt
    known: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return Instructions(name, library, any(known.get(one) for one in _FOR_BF16) if known else apt)
