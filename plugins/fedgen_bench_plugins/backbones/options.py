"""How a backbone is loaded and held, beside its name: a table of parameters of the tasks that have one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Loading:
    """The table `loading` of a task's parameters.

    Args:
        dtype: how the weights of linear layers, convolutions and embeddings are stored where they are frozen; they are
            computed with in fp32, or as `training.precision` says. Whatever is trained is fp32.
        revision: of a hub name: a commit, tag or branch. A commit stays what it is.
        subfolder: where in the folder or the hub's repository the model is.
        gradient_checkpointing: blocks keep their inputs alone while they are trained, and are computed again for the
            gradient.
        quantization: of the frozen linear layers of a language model, by bitsandbytes: `8bit` (LLM.int8, arXiv
            2208.07339) or `4bit` (NF4, arXiv 2305.14314).
    """

    dtype: Literal["fp32", "bf16", "fp16"] = "fp32"
    revision: str | None = None
    subfolder: str | None = None
    gradient_checkpointing: bool = False
    quantization: Literal["none", "8bit", "4bit"] = "none"

    def __post_init__(self) -> None:
        if self.revision is not None and not self.revision.strip():
            raise ValueError("revision must be a commit, tag or branch; it is empty.")
        if self.subfolder is None:
            return
        path = PurePosixPath(self.subfolder)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise ValueError(f"subfolder must be a path within the backbone's folder, got {self.subfolder!r}.")

    @property
    def torch_dtype(self) -> torch.dtype:
        """`dtype` as torch has it."""
        import torch

        return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[self.dtype]


AS_IT_IS = Loading()
