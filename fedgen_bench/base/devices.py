"""Devices by name: which there are, what a command's `--device` means here, and which one a worker takes."""

from __future__ import annotations

import re

from fedgen_bench.base.errors import UsageError
from fedgen_bench.base.processes import own_place
from fedgen_bench.base.system import cores, trains

DEVICES = ("auto", "cpu", "cuda", "mps")
_NAME = re.compile(rf"{'|'.join(DEVICES)}|cuda:\d{{1,4}}")


def visible_gpus() -> int:
    """GPUs that CUDA shows to this process, in its order: `CUDA_VISIBLE_DEVICES` chooses among the machine's."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def has_mps() -> bool:
    """Whether this is Apple silicon whose GPU torch can use."""
    import torch

    return torch.backends.mps.is_available()


def check_system() -> None:
    """Raises UsageError where nothing can be trained, whatever the device."""
    if not trains():
        raise UsageError(
            "Nothing is trained on Windows itself. Run this in WSL, where all is as on Linux; `list`, `show`, "
            "`validate`, `leaderboard`, `claims` and `compare` work here, too."
        )


def check_device(wanted: object) -> None:
    """Raises UsageError for what is no name of a device, here or elsewhere."""
    if not isinstance(wanted, str) or not _NAME.fullmatch(wanted):
        raise UsageError(
            f"Unknown device `{wanted}`. Use `auto`, `cpu`, `cuda`, `cuda:1` for the second GPU, or `mps`."
        )


def pick_device(wanted: str) -> str:
    """`auto` is CUDA where there is one, else the CPU; `cuda` is any of the visible GPUs, `cuda:1` the second of them.

    `mps`, Apple's GPU, is taken where it is asked for.

    Raises:
        UsageError: there is no such device, here or anywhere.
    """
    check_device(wanted)
    if wanted == "cpu":
        return wanted
    if wanted == "mps":
        if not has_mps():
            raise UsageError("There is no MPS device, which is the GPU of Apple silicon. Use `--device cpu`.")
        return wanted
    n_gpus = visible_gpus()
    if wanted == "auto":
        return "cuda" if n_gpus else "cpu"
    if not n_gpus:
        raise UsageError("There is no CUDA device. Use `--device cpu`.")
    if wanted != "cuda" and int(wanted.removeprefix("cuda:")) >= n_gpus:
        raise UsageError(f"There is no `{wanted}`: CUDA shows {n_gpus} here, from `cuda:0` on. Use one, or `cuda`.")
    return wanted


def has_dtype(device: str, dtype: str) -> bool:
    """Whether a device that is there computes in a dtype, by torch's name for it such as `bfloat16`."""
    import torch

    try:
        torch.ones(1, dtype=getattr(torch, dtype), device=device).sum()
    except (RuntimeError, TypeError):
        return False
    return True


def own_device(device: str) -> str:
    """What a device means in this process: for a worker, `cuda` is one of the visible GPUs, by its place in turn."""
    place = own_place()
    return device if device != "cuda" or place is None else f"cuda:{place % max(1, visible_gpus())}"


def default_jobs(threads: int, device: str) -> int:
    """Worker processes: one for each GPU, or on the CPU as many as have `threads` cores each."""
    if device != "cpu":
        return max(1, visible_gpus()) if device == "cuda" else 1
    return max(1, cores() // threads)
