"""Backbones out of a GGUF file: dequantised to fp32 once, saved as transformers reads it, and kept in the cache."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedgen_bench import DataError, sha256_of
from fedgen_bench_plugins.backbones.quiet import quiet_transformers
from fedgen_bench_plugins.backbones.shipped import made_once

if TYPE_CHECKING:
    from collections.abc import Callable

_FORMAT = 1  # raised when another folder is made of the same file
_MAGIC = b"GGUF"
_DIGITS = 12
_NOT_OF_THE_MODEL = (
    "_model_name_or_path",
    "_name_or_path",
    "is_local",
    "local_files_only",
    "quantization_config",
    "transformers_version",
)


def converted(name: str, architecture: str, file: Path) -> Path:
    """The cached folder of a backbone that a GGUF file holds; it is made in half a minute at first use.

    Args:
        name: the backbone's, for messages and the cache.
        architecture: what the file must say that it is, as transformers names it (`llama`).
        file: the GGUF file.

    Raises:
        DataError: the file is none, cut off, or of another architecture; the library `gguf` is missing.
    """

    def make(folder: Path) -> None:
        _check(name, architecture, file)
        _convert(name, file, folder)

    return made_once(f"{name}-{sha256_of(file)[:_DIGITS]}-{_FORMAT}", make)


def from_gguf(name: str, architecture: str) -> Callable[[Path], Path]:
    """`BackboneSpec.folder` of a backbone that is made from one data set, a GGUF file."""
    return lambda file: converted(name, architecture, file)


def _check(name: str, architecture: str, file: Path) -> None:
    with file.open("rb") as handle:
        if handle.read(len(_MAGIC)) != _MAGIC:
            raise DataError(f"{file} is no GGUF file. Give the one that backbone `{name}` is made from.")
    try:
        from gguf import GGUFReader
    except ImportError:
        raise DataError(f"Backbone `{name}` is made from a GGUF file, which needs `pip install gguf`.") from None
    try:
        said = GGUFReader(file).fields["general.architecture"].contents()
    except Exception as error:  # noqa: BLE001 - a damaged file makes the reader raise anything
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(f"{file} cannot be read as GGUF ({reason}). Copy it again.") from None
    if said != architecture:
        raise DataError(
            f"{file} holds a model of architecture `{said}`, and backbone `{name}` is a `{architecture}`. Give its own "
            "file."
        )


def _convert(name: str, file: Path, folder: Path) -> None:
    """Write the model's folder. Raises DataError when transformers cannot read the file."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        with quiet_transformers():
            module = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
            tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
            del module.config.quantization_config
            plain: Any = type(module)(module.config)
            plain.load_state_dict(module.state_dict())
            plain.tie_weights()
    except Exception as error:  # noqa: BLE001 - what a file holds makes its readers raise anything
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(f"{file} cannot be read as backbone `{name}` ({reason}). Copy it again.") from None
    with quiet_transformers():
        plain.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    for one in folder.glob("*config.json"):
        found = json.loads(one.read_text(encoding="utf-8"))
        kept = {key: value for key, value in found.items() if key not in _NOT_OF_THE_MODEL}
        one.write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n", encoding="utf-8")
