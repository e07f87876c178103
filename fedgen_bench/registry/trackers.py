"""Trackers: observers in installed packages that are loaded when they are asked for, and not before."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path

from fedgen_bench.base.errors import PluginError, UsageError, unknown
from fedgen_bench.contract.hookspecs import PROJECT

GROUP = f"{PROJECT}.trackers"
_ASKED = "tracker/"


def asked_for(name: str) -> str:
    """How a tracker is named among plugin files."""
    return f"{_ASKED}{name}"


def known_trackers() -> dict[str, str]:
    """The module of every tracker that an installed package declares, by name."""
    points = importlib.metadata.entry_points(group=GROUP)
    return {one.name: one.value for one in sorted(points, key=lambda one: one.name)}


def plugin_path(plugin: str) -> Path:
    """Where a plugin is that was asked for: a file by its path, or a tracker's module by `tracker/NAME`.

    Nothing of it is imported.

    Raises:
        UsageError: there is no such tracker, with the closest name.
        PluginError: its package is broken.
    """
    if not plugin.startswith(_ASKED) or plugin.endswith(".py"):
        return Path(plugin)
    name, trackers = plugin.removeprefix(_ASKED), known_trackers()
    if name not in trackers:
        raise UsageError(unknown("tracker", name, trackers))
    found = importlib.util.find_spec(trackers[name])
    if found is None or found.origin is None:
        raise PluginError(f"Tracker `{name}` is declared as {trackers[name]}, which is not there. Install it again.")
    return Path(found.origin)
