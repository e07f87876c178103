"""Where components came from that are not installed here, and how they are had."""

from __future__ import annotations

from collections.abc import Sequence

from fedgen_bench.results.record import Origin

_FILE = "file:"  # how provenance names a plugin file


def came_from(origins: Sequence[Origin]) -> str:
    """A sentence with what the records name, a blank before it; empty when they name nothing."""
    names = sorted({f"{came.distribution} {came.version}".strip() for came in origins})
    return f" The records say it is of {', '.join(names)}." if names else ""


def how_to_get(origins: Sequence[Origin]) -> str:
    """How a component is had that records name: a plugin file is named, a distribution installed."""
    files = sorted({came.distribution.removeprefix(_FILE) for came in origins if _is_file(came)})
    flags = " ".join(f"--plugin {name}" for name in files)
    if not flags:
        return "install it"
    return f"give the file with `{flags}`" if all(map(_is_file, origins)) else f"install it, or give it with `{flags}`"


def _is_file(came: Origin) -> bool:
    return came.distribution.startswith(_FILE)
