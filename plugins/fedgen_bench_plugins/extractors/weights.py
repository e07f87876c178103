"""Weights of extractors from files that others made: tensors only, of the names, kinds and shapes that are expected."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from fedgen_bench import DataError
from fedgen_bench_plugins.backbones.folders import refuse_pointer

_COUNTERS = ".num_batches_tracked"  # of batch normalisation: no part of what is computed
_BEGIN = 64  # bytes of a file that say whether it is a pointer
_SLACK_BYTES = 4 << 20  # names and padding


def read_weights(path: Path, expected: Mapping[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file, or of a state dict that torch saved, in the dtypes of `expected`.

    Args:
        path: a name that ends in `.safetensors`, or anything else for torch's format.
        expected: the architecture's tensors, which may be on the device `meta`.
        name: the extractor's, for messages.

    Raises:
        DataError: the file is not one of tensors, or not of these tensors. Nothing in it is run.
    """
    try:
        with path.open("rb") as handle:
            refuse_pointer(path, handle.read(_BEGIN))
        _check_size(path, expected)
        found = load_file(path) if path.suffix == ".safetensors" else _torch(path)
    except DataError:
        raise
    except Exception as error:  # noqa: BLE001 - a hostile file makes its reader raise anything
        reason = "it is cut off, or a pickle that could run code when read"
        if type(error).__name__ != "UnpicklingError":
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise DataError(
            f"{path} cannot be read as weights of the extractor `{name}` ({reason}). Give a file of tensors: "
            "safetensors, or a state dict saved by torch."
        ) from None
    tensors = {key: one for key, one in found.items() if not str(key).endswith(_COUNTERS)}
    wanted = {key: one for key, one in expected.items() if not key.endswith(_COUNTERS)}
    if problem := _difference(tensors, wanted):
        raise DataError(f"{path} does not hold the weights of the extractor `{name}`: {problem}. Give its own file.")
    return {key: tensors[key].to(one.dtype).contiguous() for key, one in wanted.items()}


def _check_size(path: Path, expected: Mapping[str, torch.Tensor]) -> None:
    """Before anything is allocated: no more bytes than the tensors take in fp64, unpacked."""
    limit = sum(one.numel() * 8 for one in expected.values()) + _SLACK_BYTES
    n_bytes = path.stat().st_size
    if path.suffix != ".safetensors" and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            n_bytes = sum(one.file_size for one in archive.infolist())
    if n_bytes > limit:
        raise ValueError(f"it holds {n_bytes} bytes, and {limit} are the most that such weights take")


def _torch(path: Path) -> dict[Any, Any]:
    found = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(found, dict):
        raise TypeError(f"it holds a {type(found).__name__}, not a dict")
    return found


def _difference(found: Mapping[Any, Any], wanted: Mapping[str, torch.Tensor]) -> str:
    """The first thing that is not as wanted, or nothing."""
    if missing := [key for key in wanted if key not in found]:
        return f"{len(missing)} tensors are missing, such as `{missing[0]}`"
    if extra := [key for key in found if key not in wanted]:
        return f"it has {len(extra)} other tensors, such as `{str(extra[0])[:80]}`"
    for key, like in wanted.items():
        one = found[key]
        if not isinstance(one, torch.Tensor) or one.layout != torch.strided or not one.is_floating_point():
            return f"`{key}` is no tensor of floating-point numbers"
        if one.shape != like.shape:
            return f"`{key}` has shape {tuple(one.shape)}, not {tuple(like.shape)}"
        if not one.isfinite().all():
            return f"`{key}` has values that are not finite"
    return ""
