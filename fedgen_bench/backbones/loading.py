"""Backbones by name: shipped with the wheel, generated at first use, a local folder, or a hub name.

Weights are safetensors only.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedgen_bench.data.catalog import cache_root
from fedgen_bench.errors import DataError
from fedgen_bench.files import sha256_of

if TYPE_CHECKING:
    from torch import nn

SHIPPED = {"mini-lm": Path(__file__).parent / "mini_lm"}
GENERATED = ("tiny-wire-lm",)


@dataclass(frozen=True)
class Backbone:
    """A causal language model in fp32 on the CPU with its tokenizer; `sha256` names its weights."""

    name: str
    module: nn.Module
    tokenizer: Any
    eos_id: int
    sha256: str


def load_backbone(name: str) -> Backbone:
    """Load a causal LM with `AutoModelForCausalLM` from `name`.

    Raises:
        DataError: the model cannot be had, or its weights are not safetensors.
    """
    if name in GENERATED:
        return _load(name, _generated(name), local=True)
    if name in SHIPPED:
        return _load(name, SHIPPED[name], local=True)
    return _load(name, Path(name), local=True) if Path(name).is_dir() else _load(name, name, local=False)


def _load(name: str, where: Path | str, *, local: bool) -> Backbone:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning)
            module = AutoModelForCausalLM.from_pretrained(
                where, dtype=torch.float32, use_safetensors=True, trust_remote_code=False, local_files_only=local
            )
            tokenizer = AutoTokenizer.from_pretrained(where, trust_remote_code=False, local_files_only=local)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"Backbone `{name}` cannot be loaded ({reason}). Give a shipped name "
            f"({', '.join([*SHIPPED, *GENERATED])}), "
            "a local folder with config.json, model.safetensors and tokenizer, or a hub name where the hub can be "
            "reached."
        ) from None
    if tokenizer.eos_token_id is None:
        raise DataError(
            f"Backbone `{name}` has no end-of-sequence token, which stands for line ends. Add `eos_token` to its "
            "tokenizer."
        )
    return Backbone(name, module.eval(), tokenizer, int(tokenizer.eos_token_id), _weights_sha256(module, where))


def _weights_sha256(module: nn.Module, where: Path | str) -> str:
    if isinstance(where, Path) and (where / "model.safetensors").is_file():
        return sha256_of(where / "model.safetensors")
    total = hashlib.sha256()
    for key, tensor in sorted(module.state_dict().items()):
        total.update(key.encode())
        total.update(tensor.contiguous().numpy().tobytes())
    return total.hexdigest()


def _generated(name: str) -> Path:
    """The cached folder of a generated backbone, made at first use; one process makes it, others wait."""
    from fedgen_bench.backbones import tiny_wire_lm

    folder = cache_root() / "backbones" / f"{name}-{tiny_wire_lm.recipe_digest()}"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (folder.parent / f"{folder.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                with tempfile.TemporaryDirectory(dir=folder.parent) as work:
                    made = Path(work) / "made"
                    tiny_wire_lm.make(made)
                    shutil.move(made, folder)
    except OSError as error:
        raise DataError(
            f"The generated backbone cannot be cached in {folder.parent}: {error}. Set FEDGEN_CACHE to a writable "
            "folder."
        ) from error
    return folder
