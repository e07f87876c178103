"""`SHA256SUMS` of a published folder: what `sha256sum -c` reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fedgen_bench.base.errors import StoreError
from fedgen_bench.base.files import plain_text, present, sha256_of, write_atomic
from fedgen_bench.results.files import MANIFEST

_MOST_BYTES = 64 << 20


@dataclass(frozen=True)
class Differences:
    """A folder's files against its manifest, names ascending.

    Args:
        missing: listed, and not there.
        unlisted: there, and not listed.
        changed: (name, sha256 of what is there) of those whose content is another one.
    """

    missing: tuple[str, ...]
    unlisted: tuple[str, ...]
    changed: tuple[tuple[str, str], ...]

    @property
    def names(self) -> list[str]:
        """All of them."""
        return sorted((*self.missing, *self.unlisted, *(name for name, _ in self.changed)))


def write_manifest(folder: Path) -> None:
    """Hash every file of the folder and its subfolders, hidden ones and the manifest left out."""
    lines = [f"{sha256_of(folder / name)}  {name}\n" for name in _files(folder)]
    write_atomic(folder / MANIFEST, "".join(lines).encode())


def differences(folder: Path) -> list[str]:
    """Files whose content is not what the manifest says, that it lacks, or that are missing; all when there is none.

    Raises:
        StoreError: the manifest cannot be read.
    """
    return compared(folder, read_manifest(folder), _files(folder)).names


def compared(folder: Path, listed: Mapping[str, str], there: Iterable[str]) -> Differences:
    """Files of a folder that are `there` (names relative to it) against what its manifest has listed."""
    names = set(there)
    hashes = {name: sha256_of(folder / name) for name in sorted(names & listed.keys())}
    return Differences(
        missing=tuple(sorted(listed.keys() - names)),
        unlisted=tuple(sorted(names - listed.keys())),
        changed=tuple((name, sha256) for name, sha256 in hashes.items() if sha256 != listed[name]),
    )


def read_manifest(folder: Path) -> dict[str, str]:
    """Hex sha256 by file name; empty when the folder has no manifest. Raises as `differences`."""
    path = folder / MANIFEST
    if not present(path):
        return {}
    try:
        rows = [line.split("  ", 1) for line in plain_text(path, _MOST_BYTES).splitlines()]
        return {name: sha256 for sha256, name in rows}
    except ValueError as error:
        raise StoreError(f"{path} is no list of hashes and names. Restore it from its commit.") from error


def is_listed(name: str) -> bool:
    """Whether a manifest lists files of this name, which is relative to its folder."""
    own = Path(name).name
    return own != MANIFEST and not own.startswith(".")


def _files(folder: Path) -> list[str]:
    paths = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sorted(name for path in paths if is_listed(name := path.relative_to(folder).as_posix()))
