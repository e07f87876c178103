"""Which suite a command means: a registered one by its name, or one's own by the path of its file.

What reads a suite's tables is imported when a file is read: commands that only tell stay light.
"""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fedgen_bench.base.errors import UsageError
from fedgen_bench.contract.specs import SuiteSource
from fedgen_bench.suite.lines import lines_of

if TYPE_CHECKING:
    from fedgen_bench.registry.registry import Registry

SUFFIX = ".toml"
_GIVE = f"Give the path of a suite's {SUFFIX} file, or the name of a registered suite (see `list suite`)."


def is_suite_file(suite: str | Path) -> bool:
    """Whether a suite is meant by the path of its file."""
    return str(suite).endswith(SUFFIX)


def suite_source(suite: str | Path, registry: Registry) -> SuiteSource:
    """A registered suite by its name, or the one in a file, by a path that ends in `.toml`, under the name in its text.

    Raises:
        UsageError: there is no such suite or file, it cannot be read, or its name is that of a registered suite.
        SuiteError: all that is wrong with what the file says.
    """
    if is_suite_file(suite):
        return _own(Path(suite), registry)
    name = str(suite)
    if name not in registry.components["suite"]:
        if Path(f"{name}{SUFFIX}").is_file():
            raise UsageError(f"Unknown suite `{name}`. Did you mean the file `{name}{SUFFIX}`?")
        if Path(name).is_dir():
            raise UsageError(f"{name} is a folder. {_GIVE}")
    source: SuiteSource = registry.get("suite", name).spec
    return source


def _own(path: Path, registry: Registry) -> SuiteSource:
    from fedgen_bench.suite.load import load_suite, place_in

    file = path.expanduser()
    unnamed = SuiteSource(name=file.stem, text=_text(file), path=str(path), beside=file.absolute().parent)
    source = replace(unnamed, name=load_suite(unnamed, registry).suite.name)
    ours = registry.components["suite"].get(source.name)
    if ours is None:
        return source
    if ours.spec.text != source.text:
        where = place_in(source, lines_of(source.toml), ("suite", "name"))
        raise UsageError(
            f"{where}suite `{source.name}` is registered already, by {ours.provenance.distribution}, with another "
            "text. Give yours another name."
        )
    registered: SuiteSource = ours.spec
    return registered


def _text(file: Path) -> str:
    """Raises UsageError where there is no text to be read."""
    from fedgen_bench.suite.load import MAX_TEXT_BYTES

    try:
        info = file.stat()
        if not stat.S_ISREG(info.st_mode):
            raise UsageError(f"{file} is {'a folder' if stat.S_ISDIR(info.st_mode) else 'no plain file'}. {_GIVE}")
        if info.st_size > MAX_TEXT_BYTES:
            raise UsageError(f"{file}: larger than {MAX_TEXT_BYTES} bytes. A suite is a short text.")
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"There is no file {file}. {_GIVE}") from None
    except OSError as error:
        raise UsageError(f"{file} cannot be read ({error.strerror or error}). {_GIVE}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is no UTF-8 text from byte {error.start:,} on. Save it as UTF-8.") from None
