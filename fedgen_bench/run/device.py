"""The device that a command's `--device` means on this machine."""

from __future__ import annotations

from fedgen_bench.base.errors import UsageError


def pick_device(wanted: str) -> str:
    """`auto` is CUDA where there is one. Raises UsageError for another one, and when CUDA is not there."""
    import torch

    if wanted not in {"auto", "cpu", "cuda"}:
        raise UsageError(f"Unknown device `{wanted}`. Use `auto`, `cpu` or `cuda`.")
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UsageError("There is no CUDA device. Use `--device cpu`.")
    return wanted
