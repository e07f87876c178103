"""Libraries that training and drawing need and a review does not: `fedgen-bench-core` is installed without them."""

from __future__ import annotations

LEFT_OUT = (
    "PIL", "diffusers", "dp_accounting", "gguf", "huggingface_hub", "matplotlib", "pandas", "peft", "safetensors",
    "sklearn", "threadpoolctl", "tokenizers", "torch", "torch_fidelity", "torchvision", "transformers",
)  # fmt: skip
"""By the names that are imported."""


def missing_library(error: BaseException) -> str:
    """What to do where an import failed for want of such a library, as a sentence; empty for any other error."""
    name = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if name not in LEFT_OUT:
        return ""
    return (
        f"This needs `{name}`, which is not installed: `fedgen-bench-core` lists, checks, judges and compares only. "
        "Install all of fedgen-bench in its place: `pip uninstall fedgen-bench-core`, then `pip install .` in a clone."
    )
