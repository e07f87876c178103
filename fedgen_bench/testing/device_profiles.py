"""What every population of devices must hold."""

from __future__ import annotations

from collections.abc import Callable

from fedgen_bench.base.errors import PluginError
from fedgen_bench.contract.device_profiles import DeviceProfile
from fedgen_bench.suite.devices import classes_of

Check = Callable[[DeviceProfile], None]


def check_rehearsal(spec: DeviceProfile) -> None:
    """Its classes are as a suite has them, each once, and their shares add up to 1."""
    try:
        classes_of(spec)
    except PluginError as error:
        raise AssertionError(str(error)) from error


def check_sources(spec: DeviceProfile) -> None:
    """Its text says in comments where the figures are from."""
    assert any(line.lstrip().startswith("#") for line in spec.text.splitlines()), (
        "its text has no comment. Say where its figures are from, and which are estimates."
    )


def device_profile_checks() -> tuple[Check, ...]:
    """The checks, in the order in which to read them."""
    return check_rehearsal, check_sources
