"""What torch and CUDA are told in every process that trains on a GPU, so that a cell gives its numbers again.

On the processor they do so untold: nothing is set there.
"""

from __future__ import annotations

import os
from typing import TypeAlias

from fedgen_bench.base.errors import UsageError

STRICTNESS = "FEDGEN_DETERMINISTIC"
_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"
_WORKSPACE = ":4096:8"  # of the two with which products of matrices are deterministic, the one with more memory
_ATTENTION = ("math", "mem_efficient", "flash")  # cuDNN's has no deterministic gradient

Settings: TypeAlias = dict[str, str | bool]


def settings_of(device: str) -> Settings:
    """What `settle` sets for a device of this name, as environments record it; empty where that is nothing.

    `deterministic` is `strict` on CUDA: an operator that has no deterministic implementation raises. It is `warn` where
    the environment variable FEDGEN_DETERMINISTIC says so, and on MPS, where few operators have one.

    Raises:
        UsageError: the variable says something else.
    """
    if device == "mps":
        return {"deterministic": "warn"}
    if not device.startswith("cuda"):
        return {}
    wanted = os.environ.get(STRICTNESS) or "strict"
    if wanted not in ("strict", "warn"):
        raise UsageError(f"{STRICTNESS} is `{wanted}`. Set it to `strict` or `warn`, or not at all.")
    return {
        "deterministic": wanted,
        "cublas_workspace": os.environ.get(_CUBLAS) or _WORKSPACE,
        "cudnn_benchmark": False,
        "tf32": False,
        "attention": ", ".join(_ATTENTION),
    }


def settle(device: str) -> None:
    """Set it for this process and those that it starts; before CUDA is used, which reads its variable once.

    Raises:
        UsageError: as `settings_of`.
    """
    settings = settings_of(device)
    if not settings:
        return
    os.environ.setdefault(_CUBLAS, _WORKSPACE)
    import torch

    torch.use_deterministic_algorithms(mode=True, warn_only=settings["deterministic"] == "warn")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined] # it is there all the same
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")
    torch.backends.cuda.enable_math_sdp("math" in _ATTENTION)
    torch.backends.cuda.enable_mem_efficient_sdp("mem_efficient" in _ATTENTION)
    torch.backends.cuda.enable_flash_sdp("flash" in _ATTENTION)
    torch.backends.cuda.enable_cudnn_sdp("cudnn" in _ATTENTION)
