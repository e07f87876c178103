"""A local model folder before any library reads it: what is missing, cut off, or not what its name says."""

from __future__ import annotations

import json
from pathlib import Path

from fedgen_bench import DataError
from fedgen_bench_plugins.backbones.options import Loading

_POINTER = b"version https://git-lfs"
_LENGTH = 8  # bytes that a safetensors file begins with: the length of its header, little-endian
_LARGEST_HEADER = 100_000_000
_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_TOKENIZER_BEGINNINGS = ("tokenizer", "vocab", "spiece", "sentencepiece", "tekken")


def chosen_within(name: str, where: Path | str, loading: Loading) -> Path | str:
    """Where the model of a located backbone is: the subfolder of its folder, or the hub's name as it is.

    Raises:
        DataError: there is no such subfolder, or a revision is asked of a folder.
    """
    if not isinstance(where, Path):
        return where
    if loading.revision is not None:
        raise DataError(
            f"Backbone `{name}` is a folder here, and folders have no revisions. Leave `loading.revision` out, or give "
            "a hub name."
        )
    if loading.subfolder is None:
        return where
    inner = where / loading.subfolder
    if not inner.is_dir():
        there = ", ".join(f"`{one.name}`" for one in sorted(where.iterdir()) if one.is_dir())
        has = f"It has: {there}. Name one of them" if there else "It has none. Leave `loading.subfolder` out"
        raise DataError(f"Backbone `{name}` has no subfolder `{loading.subfolder}`. {has}.")
    return inner


def check_folder(folder: Path, stem: str = "model") -> None:
    """Whether a folder holds a config and whole safetensors weights, `<stem>.safetensors` or shards with an index.

    Raises:
        DataError: it does not, in one sentence with what to do.
    """
    _read_json(folder / "config.json")
    whole, index = folder / f"{stem}.safetensors", folder / f"{stem}.safetensors.index.json"
    if whole.is_file():
        check_safetensors(whole)
        return
    if index.is_file():
        shards = _read_json(index).get("weight_map")
        if not isinstance(shards, dict):
            raise DataError(f"{index} has no `weight_map`. Copy it again.")
        for shard in sorted(set(map(str, shards.values()))):
            check_safetensors(folder / shard)
        return
    pickled = sorted(one.name for one in folder.iterdir() if one.suffix in _PICKLED)
    if pickled:
        raise DataError(
            f"{folder} holds its weights as `{pickled[0]}`, a pickle, which can run code when read. Save them as "
            "safetensors: load the model where you trust it, then `save_pretrained(folder, safe_serialization=True)`."
        )
    raise DataError(f"{folder} holds no `{whole.name}`. Give the folder that `save_pretrained` wrote.")


def check_tokenizer_files(folder: Path) -> None:
    """Raises DataError when a folder holds no file of a tokenizer, or a Git LFS pointer for one."""
    files = [one for one in folder.iterdir() if one.name.startswith(_TOKENIZER_BEGINNINGS) and one.is_file()]
    if not files:
        raise DataError(
            f"{folder} holds no tokenizer. Put the tokenizer that the model was trained with there "
            "(`tokenizer.save_pretrained(folder)`)."
        )
    for one in files:
        with one.open("rb") as handle:
            refuse_pointer(one, handle.read(len(_POINTER)))


def check_safetensors(path: Path) -> None:
    """Whether a safetensors file is whole: its header can be read and speaks of as many bytes as there are.

    Raises:
        DataError: it is missing, a Git LFS pointer, cut off, or no safetensors.
    """
    if not path.is_file():
        raise DataError(f"There is no file {path}, which its folder's index names. Copy the folder again.")
    size = path.stat().st_size
    with path.open("rb") as handle:
        begin = handle.read(len(_POINTER))
        refuse_pointer(path, begin)
        n_header = int.from_bytes(begin[:_LENGTH], "little")
        if len(begin) > _LENGTH and (begin[_LENGTH:][:1] != b"{" or n_header > _LARGEST_HEADER):
            raise DataError(f"{path} is no safetensors file. Save the weights with `safe_serialization=True`.")
        handle.seek(_LENGTH)
        header = handle.read(n_header)
    if size < _LENGTH or len(header) < n_header:
        raise DataError(f"{path} is cut off at {size} bytes, within its header. Copy it again.")
    try:
        entries = json.loads(header)
        n_data = max((one["data_offsets"][1] for name, one in entries.items() if name != "__metadata__"), default=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        raise DataError(
            f"{path} is no safetensors file: its header cannot be read. Save the weights with "
            "`safe_serialization=True`."
        ) from None
    if (expected := _LENGTH + n_header + n_data) != size:
        raise DataError(f"{path} has {size} bytes where its header speaks of {expected}. Copy it again.")


def refuse_pointer(path: Path, begin: bytes) -> None:
    """Raises DataError for a file that begins, with `begin`, as a Git LFS pointer does."""
    if begin.startswith(_POINTER):
        raise DataError(
            f"{path} is a Git LFS pointer of {path.stat().st_size} bytes, not the file itself. Fetch it with "
            "`git lfs pull`."
        )


def _read_json(path: Path) -> dict[str, object]:
    if not path.is_file():
        raise DataError(f"{path.parent} holds no `{path.name}`. Give the folder that `save_pretrained` wrote.")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise DataError(f"{path} is no JSON object. Copy it again.")
    return found
