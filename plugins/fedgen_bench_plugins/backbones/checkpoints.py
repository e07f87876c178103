"""Checkpoints of pretraining: weights, optimisers and a position in one safetensors file, replaced as a whole."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from fedgen_bench_plugins.backbones.completeness import check_complete

_MODEL, _EXTRA = "model/", "extra/"


def save_checkpoint(
    path: Path,
    model: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    position: Mapping[str, Any],
    extra: Mapping[str, torch.Tensor] | None = None,
) -> None:
    """Write all of it through a temporary file. `extra` are tensors beside the weights, such as their average."""
    tensors = {_MODEL + name: one for name, one in model.state_dict().items() if name != "lm_head.weight"}
    tensors |= {_EXTRA + name: one for name, one in (extra or {}).items()}
    for i, optimizer in enumerate(optimizers):
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{i}/{index}/{name}": torch.as_tensor(one) for name, one in state.items()}
    temporary = path.with_suffix(".tmp")
    save_file({k: v.contiguous() for k, v in tensors.items()}, temporary, metadata={"position": json.dumps(position)})
    with temporary.open("rb") as handle:
        os.fsync(handle.fileno())
    temporary.replace(path)


def load_checkpoint(
    path: Path, model: nn.Module, optimizers: Sequence[torch.optim.Optimizer]
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Put weights and optimiser states back; returns the position and the extra tensors.

    Raises:
        DataError: the checkpoint's weights are not the model's.
    """
    from safetensors import safe_open

    tensors = load_file(path)
    weights = {k.removeprefix(_MODEL): v for k, v in tensors.items() if k.startswith(_MODEL)}
    missing, unexpected = model.load_state_dict(weights, strict=False)
    check_complete(f"Checkpoint {path}", model, {"missing_keys": missing, "unexpected_keys": unexpected})
    for i, optimizer in enumerate(optimizers):
        states: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith(f"optimizer/{i}/"):
                _, _, index, name = key.split("/")
                states.setdefault(int(index), {})[name] = value
        optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})
    with safe_open(path, framework="pt") as handle:
        position = cast("dict[str, Any]", json.loads(handle.metadata()["position"]))
    return position, {k.removeprefix(_EXTRA): v for k, v in tensors.items() if k.startswith(_EXTRA)}
