"""The user's own images: a folder for each class, or parquet files with encoded images and their labels.

Images are in the order of their files' paths, and of their rows. Classes are in the order of their names, or of their
numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from fedgen_bench import Chosen, DataError, Find
from fedgen_bench_plugins.datasets.image_parts import ImageSet, OpenImages, hashed
from fedgen_bench_plugins.datasets.image_tables import class_names, encoded, read_beside
from fedgen_bench_plugins.datasets.images import Images
from fedgen_bench_plugins.datasets.pictures import SUFFIXES, decoded
from fedgen_bench_plugins.datasets.source_files import PARTS, Part, SourceFile, chosen, files_of, only_format, placed
from fedgen_bench_plugins.datasets.sources import ImageSource
from fedgen_bench_plugins.datasets.splits import split_by_draw

_PARQUET, _IMAGES = "parquet", "images"
_KNOWN = (*SUFFIXES, f".{_PARQUET}")
_ALL = "image"  # the one class of images without

Contents = Callable[[], Iterator[bytes | Path | None]]


@dataclass(frozen=True)
class Entry:
    """An image that was not looked at yet, with its class, whose it is, and the part that it is given as."""

    name: str
    label: str
    client: str | None
    part: Part | None


def own_files(find: Find, source: ImageSource) -> dict[str, Path | Chosen]:
    """What is read, for `TaskFactory.files`. Raises DataError when there is nothing."""
    place = placed(find, source.path)
    return {"source.path": chosen(place, files_of(place, _KNOWN, source.files))}


def open_image_folder(find: Find, source: ImageSource) -> OpenImages:
    """The images of a source, split. Where clients are known, they are the column `client`, in the order of names.

    Raises:
        DataError: there are none, one has no class or client, a column is not there, or a part has nothing. `load`
            raises it for an image that is none.
    """
    place = placed(find, source.path)
    files = files_of(place, _KNOWN, source.files)
    entries, contents, names = _indexed(place, files, source)
    if not entries:
        raise DataError(f"{place} holds no image: its {len(files)} files have no rows. Name another with `path`.")
    labels = _in_order({one.label for one in entries})
    classes = tuple(names.get(one, one) for one in labels)
    return OpenImages(classes, partial(_loaded, entries, contents, _split(entries, source), labels, classes))


def _indexed(
    place: Path, files: Sequence[SourceFile], source: ImageSource
) -> tuple[list[Entry], Contents, Mapping[str, str]]:
    """What is there, how to get at the images in this order, and names of classes where these are numbers."""
    paths = [file.path for file in files]
    if only_format(files, {f".{_PARQUET}": _PARQUET}, _IMAGES, place) == _IMAGES:
        _need_no_column(source, place)
        return _of_folders(files, source), partial(iter, paths), {}
    entries = [entry for file in files for entry in _of_table(file, source)]
    return entries, partial(encoded, paths, source.image_column), class_names(paths[0], source.label_column)


def _in_order(labels: set[str]) -> list[str]:
    numbers = all(one.removeprefix("-").isdecimal() for one in labels)
    return sorted(labels, key=lambda one: (int(one), one)) if numbers else sorted(labels)


def _split(entries: Sequence[Entry], source: ImageSource) -> list[Part]:
    by_class = entries[0].client is None
    return split_by_draw(
        [one.label if by_class else one.client for one in entries],
        [one.part for one in entries],
        {"test": source.test_share, "valid": source.valid_share},
        source.split_seed,
        "image",
        "class" if by_class else "client",
    )


def _loaded(
    entries: Sequence[Entry],
    contents: Contents,
    parts: Sequence[Part],
    labels: Sequence[str],
    classes: tuple[str, ...],
    size: int,
) -> ImageSet:
    """All images at `size` pixels a side, in their parts."""
    pixels = np.empty((len(entries), 3, size, size), np.uint8)
    for i, (entry, content) in enumerate(zip(entries, contents(), strict=True)):
        if content is None:
            raise DataError(f"{entry.name} holds no image. Fill it, or leave it out.")
        pixels[i] = decoded(content, size, entry.name)
    codes = {label: code for code, label in enumerate(labels)}
    whole = Images(pixels, np.array([codes[one.label] for one in entries], np.int64))
    split = {part: whole.take(np.flatnonzero(np.array(parts) == part)) for part in PARTS}
    clients = [one.client for one, part in zip(entries, parts, strict=True) if part == "train" and one.client]
    columns = {"client": np.unique(clients, return_inverse=True)[1]} if clients else {}
    provenance = {f"image_folder {part}": hashed(images) for part, images in split.items()}
    return ImageSet(split["train"], split["valid"], split["test"], classes, provenance, columns)


def _need_no_column(source: ImageSource, place: Path) -> None:
    if source.client_column:
        raise DataError(
            f"{place} holds image files, which have no columns; client_column is of parquet files. Leave it out; "
            "client_folders says that folders are clients."
        )


def _of_folders(files: Sequence[SourceFile], source: ImageSource) -> list[Entry]:
    """Images with the folders that say client and class; those that lie in none at all are of one class."""
    flat = not source.client_folders and not any(file.folders for file in files)
    depth = 2 if source.client_folders else 1
    entries = []
    for file in files:
        if not flat and len(file.folders) < depth:
            wanted = "a folder for its class in one for its client" if depth > 1 else "a folder for its class"
            raise DataError(f"{file.name} does not lie in {wanted}. Put it there, or leave it out.")
        client = file.folders[0] if source.client_folders else None
        entries.append(Entry(file.name, _ALL if flat else file.folders[depth - 1], client, file.part))
    return entries


def _of_table(file: SourceFile, source: ImageSource) -> list[Entry]:
    names = [name for name in (source.label_column, source.client_column) if name]
    n_rows, columns = read_beside(file.path, source.image_column, names)
    entries = []
    for i in range(n_rows):
        found = {name: columns[name][i] for name in names}
        where = f"{file.name}, row {i + 1}"
        if empty := [name for name, value in found.items() if not value]:
            raise DataError(f"{where}, has nothing in column `{empty[0]}`. Fill it, or leave the row out.")
        label, client = found.get(source.label_column) or _ALL, found.get(source.client_column)
        entries.append(Entry(where, label, client, file.part))
    return entries
