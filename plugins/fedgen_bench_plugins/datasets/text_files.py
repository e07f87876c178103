"""Lines of a user's own text files: UTF-8 with or without a byte-order mark, any line ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fedgen_bench import DataError


def text_lines(path: Path) -> Iterator[str]:
    """Lines of a file without their ends (LF, CRLF or CR), one at a time.

    Raises:
        DataError: it cannot be read, or a line of it is no UTF-8.
    """
    try:
        with path.open(encoding="utf-8-sig") as text:
            for number, line in enumerate(text, start=1):
                if "\0" in line:
                    raise DataError(f"{path}, line {number}, holds a NUL: this is no text. {_CONVERT}")
                yield line.removesuffix("\n")
    except UnicodeDecodeError:
        raise DataError(f"{path}, line {_first_undecodable(path)}, is no UTF-8. {_CONVERT}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}). Mend that, or leave it out.") from None


_CONVERT = "Save it as UTF-8 (`iconv -f LATIN1 -t UTF-8` converts, where it is Latin 1), or leave it out."


def _first_undecodable(path: Path) -> int:
    """The first line that is no UTF-8; lines end in LF."""
    number = 0
    with path.open("rb") as content:
        for number, line in enumerate(content, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return number
    return number
