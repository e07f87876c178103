"""The files of a user's own source: found in order, with the part and the folders that each lies in."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fedgen_bench import Chosen, DataError, Find

Part = Literal["train", "valid", "test"]
PARTS: tuple[Part, ...] = ("train", "valid", "test")
_CALLED: dict[str, Part] = {
    "train": "train", "valid": "valid", "validation": "valid", "val": "valid", "dev": "valid", "test": "test",
}  # fmt: skip
_PART = re.compile(rf"(?:.*\.)?({'|'.join(_CALLED)})(?:-\d.*)?", re.ASCII)  # also `ptb.train`, `train-00000-of-00002`
_SHOWN_NAMES = 5


@dataclass(frozen=True)
class SourceFile:
    """A file of a source.

    Args:
        path: where it is.
        name: below the source, with `/`.
        folders: that it lies in, below the source or its part.
        part: that it is of, where the source has parts of its own.
    """

    path: Path
    name: str
    folders: tuple[str, ...]
    part: Part | None

    @property
    def suffix(self) -> str:
        """The end of its name, as `.txt`."""
        return self.path.suffix.lower()


def placed(find: Find, path: str) -> Path:
    """The folder or file that a source's `path` names. Raises DataError when there is none."""
    place = find(Path(path))
    if not place.exists():
        raise DataError(
            f"There is no folder or file {place}, which `path` in [task.params.source] names. It is looked for below "
            "`--data` where that is given, and beside the suite's file."
        )
    return place


def files_of(place: Path, suffixes: Collection[str], pattern: str = "") -> list[SourceFile]:
    """The files of a source in the order of their paths; hidden ones, and what lies in hidden folders, are left out.

    Args:
        place: a folder, or one file, which is taken whatever its name.
        suffixes: ends of the names that are taken where there is no pattern.
        pattern: of the files that are taken, relative to the folder.

    Raises:
        DataError: there are none, or some names are parts and others are not.
    """
    if place.is_file():
        return [SourceFile(place, place.name, (), None)]
    try:
        shown = _shown(place, pattern or "**/*")
    except (ValueError, NotImplementedError) as error:
        raise DataError(f"`files` of [task.params.source] is no pattern below a folder ({error}).") from None
    taken = shown if pattern else [one for one in shown if one.suffix.lower() in suffixes]
    if not taken:
        raise DataError(f"{place} holds no {_wanted(suffixes, pattern)}{_instead(_shown(place, '**/*'), place)}")
    return _in_parts([one.relative_to(place).parts for one in taken], place)


def chosen(place: Path, files: Collection[SourceFile]) -> Path | Chosen:
    """What `TaskFactory.files` says of a source."""
    return place if place.is_file() else Chosen(place, tuple(one.path for one in files))


def only_format(files: Collection[SourceFile], formats: Mapping[str, str], otherwise: str, place: Path) -> str:
    """The one format that all files have, by the ends of their names. Raises DataError when formats are mixed."""
    examples = {formats.get(one.suffix, otherwise): one.name for one in files}
    if len(examples) > 1:
        raise DataError(
            f"{place} mixes formats ({', '.join(sorted(examples.values()))}). Keep files of one format, or choose them "
            "with `files` in [task.params.source]."
        )
    return next(iter(examples))


def _in_parts(places: list[tuple[str, ...]], root: Path) -> list[SourceFile]:
    """Files with their parts: either every first name below the source says one, or none does."""
    parts = {place[0]: _part_of(place[0], is_file=len(place) == 1) for place in places}
    others = [name for name, part in parts.items() if part is None]
    named = [name for name, part in parts.items() if part is not None]
    given = {part for part in parts.values() if part is not None}
    if given and (others or "train" not in given):
        lacking = f"beside what has no such name ({_listed(others)})" if others else "without one for training"
        raise DataError(
            f"{root} holds {_listed(named)}, named as parts of a data set, {lacking}. Name all of them as `train`, "
            "`valid` and `test`, or none."
        )
    return [
        SourceFile(root.joinpath(*place), "/".join(place), place[1 if given else 0 : -1], parts[place[0]])
        for place in places
    ]


def _part_of(name: str, *, is_file: bool) -> Part | None:
    stem = Path(name).stem if is_file else name
    found = _PART.fullmatch(stem.lower())
    return _CALLED[found[1]] if found else None


def _shown(place: Path, pattern: str) -> list[Path]:
    found = (one for one in sorted(place.glob(pattern)) if not _is_hidden(one.relative_to(place)))
    return [one for one in found if one.is_file()]


def _is_hidden(place: Path) -> bool:
    return any(part.startswith(".") for part in place.parts)


def _wanted(suffixes: Collection[str], pattern: str) -> str:
    return f"file that `files` = {pattern!r} names" if pattern else f"file whose name ends in {', '.join(suffixes)}"


def _instead(shown: list[Path], place: Path) -> str:
    if not shown:
        return ", and no other. Name the folder that holds the data with `path`."
    names = _listed([one.relative_to(place).as_posix() for one in shown])
    return f"; it holds {names}. Choose files with `files` in [task.params.source], for instance `**/*.md`."


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    return ", ".join(names[:_SHOWN_NAMES]) + more
