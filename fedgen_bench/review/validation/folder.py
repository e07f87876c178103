"""What lies in a folder, by names and sizes alone, and whether its manifest is right."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fedgen_bench.base.errors import StoreError
from fedgen_bench.contract.protocols import PNG_SIGNATURE
from fedgen_bench.results.files import MANIFEST, RESULTS, RESULTS_BYTES, is_known
from fedgen_bench.results.manifest import compared, is_listed, read_manifest
from fedgen_bench.review.validation.notices import Notice, problem, remark

if TYPE_CHECKING:
    from fedgen_bench.registry.registry import Registry

FOLDER, SUMS = "folder", "manifest"
OTHER_BYTES = 64 << 20
_MOST_ENTRIES, _MOST_DEPTH = 2000, 3
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_CODE = frozenset(
    ".bat .bin .ckpt .cmd .dll .dylib .exe .joblib .js .npy .npz .onnx .pickle .pkl .ps1 .pt .pth .pyc .pyd .py .pyz "
    ".sh .so .whl".split()
)
_BEGINNINGS = {
    b"\x7fELF": "a program",
    b"MZ": "a program",
    b"#!": "a script",
    b"PK\x03\x04": "an archive",
    b"\x80\x02": "a pickle",
    b"\x80\x03": "a pickle",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
}
_ACTIVE = re.compile(rb"<\s*(?:script|foreignobject|iframe|!entity)|<[^<>]*\son[a-z]+\s*=|javascript:", re.IGNORECASE)


@dataclass(frozen=True)
class Contents:
    """The plain files of a folder that may be read: size by relative name."""

    folder: Path
    sizes: Mapping[str, int]
    complete: bool

    def has(self, name: str) -> bool:
        """Whether a file is there and small enough to be read."""
        return name in self.sizes

    def text(self, name: str) -> str:
        """A file's text; bytes that are no UTF-8 are replaced."""
        return (self.folder / name).read_bytes().decode("utf-8", errors="replace")


def scan(folder: Path) -> tuple[Contents, list[Notice]]:
    """List a folder without opening anything or following a link."""
    notices: list[Notice] = []
    sizes: dict[str, int] = {}
    complete = True
    pending = [(folder, "", 0)]
    n_entries = 0
    while pending:
        where, prefix, depth = pending.pop()
        for entry in sorted(os.scandir(where), key=lambda one: one.name):
            name = f"{prefix}{entry.name}"
            n_entries += 1
            if n_entries > _MOST_ENTRIES:
                text = (
                    f"More than {_MOST_ENTRIES:,} files and folders; the rest was not looked at. Submit results alone."
                )
                return Contents(folder, sizes, complete=False), [*notices, problem(FOLDER, text)]
            info = entry.stat(follow_symlinks=False)
            reason = _refused(entry.name, info, depth, RESULTS_BYTES if name == RESULTS else OTHER_BYTES)
            if reason is not None:
                complete = False
                notices.append(problem(FOLDER, f"{name} {reason}"))
            elif stat.S_ISDIR(info.st_mode):
                pending.append((Path(entry.path), f"{name}/", depth + 1))
            else:
                sizes[name] = info.st_size
    return Contents(folder, sizes, complete), notices


def _refused(name: str, info: os.stat_result, depth: int, most_bytes: int) -> str | None:
    if stat.S_ISLNK(info.st_mode):
        return "is a symbolic link. Put the file itself there."
    if stat.S_ISDIR(info.st_mode):
        return f"is more than {_MOST_DEPTH} folders deep. Remove it." if depth >= _MOST_DEPTH else None
    if not stat.S_ISREG(info.st_mode):
        return "is no plain file. Remove it."
    if info.st_size > most_bytes:
        return f"has {info.st_size:,} bytes, at most {most_bytes:,} are read. Remove it or make it smaller."
    if Path(name).suffix.lower() in _CODE:
        return "may hold code. It was not opened; remove it."
    if not name.startswith(".") and not _NAME.fullmatch(name):
        return "has a name of other characters than letters, digits, `.`, `_`, `-`. Rename it."
    return None


def contents(files: Contents, registry: Registry) -> Iterator[Notice]:
    """Files that no published folder has, and files that begin like code; results are not judged here."""
    for name in sorted(files.sizes):
        with (files.folder / name).open("rb") as handle:
            start = handle.read(8)
        kind = next((said for magic, said in _BEGINNINGS.items() if start.startswith(magic)), None)
        if kind is not None:
            yield problem(FOLDER, f"{name} begins like {kind}. It was not loaded; remove it.")
        elif name.endswith(".png") and start != PNG_SIGNATURE:
            yield problem(FOLDER, f"{name} is no PNG. Publish the folder again.")
        elif name.endswith(".svg") and (active := _ACTIVE.search((files.folder / name).read_bytes())):
            yield problem(
                FOLDER,
                f"{name} holds `{active[0][-40:].decode(errors='replace')}`, which a browser would run. Draw it again.",
            )
        elif not is_known(name, registry):
            yield remark(FOLDER, f"{name} is no file that publishing writes.")


def manifest(files: Contents) -> Iterator[Notice]:
    """Every file against `SHA256SUMS`; files that are refused for their name, kind or size are not hashed."""
    if not files.has(MANIFEST):
        yield remark(SUMS, f"There is no {MANIFEST}: damage on the way here would not show.")
        return
    try:
        listed = read_manifest(files.folder)
    except StoreError as error:
        yield problem(SUMS, str(error))
        return
    differences = compared(files.folder, listed, filter(is_listed, files.sizes))
    for name in differences.missing:
        yield problem(SUMS, f"{MANIFEST} lists {name}, which is missing or refused. Put it back, or publish again.")
    for name in differences.unlisted:
        yield problem(SUMS, f"{name} is not in {MANIFEST}. Remove it, or publish again.")
    for name, sha256 in differences.changed:
        said = f"{sha256[:12]}..., {MANIFEST} says {listed[name][:12]}..."
        yield problem(SUMS, f"{name} was changed: its sha256 is {said} Put the published file back.")
