"""Provenance: library versions, processor, threads, device and the code's own commit."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from fedgen_bench.base.determinism import settings_of
from fedgen_bench.base.instructions import LIMITS, instruction_set

_LIBRARIES = (
    "fedgen-bench",
    "torch",
    "transformers",
    "diffusers",
    "torch-fidelity",
    "torchvision",
    "pillow",
    "peft",
    "bitsandbytes",
    "safetensors",
    "tokenizers",
    "numpy",
    "scikit-learn",
    "pluggy",
    "pandas",
)


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _told(command: list[str]) -> str:
    """What a command prints; nothing where it fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def git_commit(folder: Path | None = None) -> str:
    """Commit of the checkout that the code runs from (with `+dirty`), or empty outside one."""
    where = folder or Path(__file__).parent
    try:
        commit = subprocess.run(
            ["git", "-C", str(where), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=True
        ).stdout.strip()
        tracked = subprocess.run(
            ["git", "-C", str(where), "ls-files", "--error-unmatch", str(Path(__file__))],
            capture_output=True,
            timeout=10,
            check=False,
        )
        if tracked.returncode:
            return ""
        changed = subprocess.run(
            ["git", "-C", str(where), "status", "--porcelain", "--untracked-files=no", "--", "*.py", "*.toml"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
    return commit + ("+dirty" if changed else "")


def processor() -> str:
    """The processor's model name."""
    if sys.platform == "darwin":
        return _told(["sysctl", "-n", "machdep.cpu.brand_string"]) or platform.processor()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()


def fingerprint(device: str, threads: int, cohort: int = 1) -> dict[str, Any]:
    """What two runs must share to be equal to the bit; `cohort`, clients trained in one pass, where it is not 1.

    On a GPU also what is set for it (`determinism`), on a processor what keeps libraries from its instructions.

    Raises:
        UsageError: what is set for a GPU cannot be known.
    """
    import torch

    accelerator = torch.cuda.get_device_name(device) if device.startswith("cuda") else ""
    if device == "mps":
        accelerator = f"GPU of {processor()}"
    found = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "instruction_set": instruction_set(),
        "device": device.partition(":")[0],
        "accelerator": accelerator,
        "threads": threads,
        "libraries": {name: version for name in _LIBRARIES if (version := _version(name))},
        "commit": git_commit(),
    }
    if device.startswith("cuda"):
        found["cuda"] = f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
    if settings := settings_of(device):
        found["settings"] = settings
    if device == "cpu" and (limits := {name: os.environ[name] for name in LIMITS if os.environ.get(name)}):
        found["limits"] = limits
    return found if cohort == 1 else {**found, "cohort": cohort}
