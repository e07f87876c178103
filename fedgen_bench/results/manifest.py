"""`SHA256SUMS` of a published folder: what `sha256sum -c` reads."""

from __future__ import annotations

from pathlib import Path

from fedgen_bench.base.errors import StoreError
from fedgen_bench.base.files import plain_text, present, sha256_of, write_atomic

MANIFEST = "SHA256SUMS"
_MOST_BYTES = 64 << 20


def write_manifest(folder: Path) -> None:
    """Hash every file of the folder and its subfolders, hidden ones and the manifest left out."""
    lines = [f"{sha256_of(folder / name)}  {name}\n" for name in _files(folder)]
    write_atomic(folder / MANIFEST, "".join(lines).encode())


def differences(folder: Path) -> list[str]:
    """Files whose content is not what the manifest says, that it lacks, or that are missing; all when there is none.

    Raises:
        StoreError: the manifest cannot be read.
    """
    expected = read_manifest(folder)
    present = set(_files(folder))
    changed = {name for name in present & expected.keys() if sha256_of(folder / name) != expected[name]}
    return sorted(changed | (present ^ expected.keys()))


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


def _files(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and path.name != MANIFEST and not path.name.startswith(".")
    )
