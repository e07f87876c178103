"""What is wrong with a suite's `[devices]` beyond its schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from fedgen_bench.base.errors import PluginError, unknown
from fedgen_bench.suite.devices import Devices, Problem, class_problems, resolved

if TYPE_CHECKING:
    from fedgen_bench.registry.registry import Registry
    from fedgen_bench.suite.schema import Federation, SuiteSpec


def device_problems(suite: SuiteSpec, registry: Registry) -> Iterator[Problem]:
    """What is wrong with a suite's devices: (path, sentence)."""
    devices = suite.devices
    if devices is None:
        return
    for path, text in _of_devices(devices, suite.federation, registry.components["device_profile"]):
        yield ("devices", *path), text
    classes = devices.classes
    if devices.profile in registry.components["device_profile"]:
        try:
            classes = resolved(devices, registry).classes
        except PluginError as error:
            yield ("devices", "profile"), str(error)
    names = [one.name for one in classes]
    for key in ("local_steps", "ranks"):
        for name in getattr(devices, key):
            if name not in names:
                yield ("devices", key, name), unknown("class of devices", name, names)
    if devices.ranks and (lacking := [name for name in names if name not in devices.ranks]):
        yield ("devices", "ranks"), f"Class `{lacking[0]}` has no rank, others have. Give one to every class."
    most = suite.training.local_steps
    for name, steps in devices.local_steps.items():
        if most is not None and steps > most:
            text = f"Class `{name}` takes {steps} local steps, [training] has {most}. Lower them."
            yield ("devices", "local_steps", name), text


def _of_devices(devices: Devices, federation: Federation, profiles: Mapping[str, object]) -> Iterator[Problem]:
    given = [key for key in ("profile", "classes", "trace") if getattr(devices, key)]
    if len(given) != 1:
        said = " and ".join(f"`{key}`" for key in given) or "nothing"
        yield (), f"[devices] has {said} for what clients run on. Give one of `profile`, `classes` and `trace`."
    if devices.profile is not None and devices.profile not in profiles:
        yield ("profile",), unknown("device profile", devices.profile, profiles)
    yield from class_problems(devices.classes)
    if devices.first is None:
        return
    if devices.first > federation.clients_per_round:
        asked = federation.clients_per_round
        text = f"`first` ({devices.first}) exceeds clients_per_round ({asked}), who are asked. Lower it."
        yield ("first",), text
    if devices.first < federation.min_updates:
        text = f"A round ends with {devices.first} replies, min_updates wants {federation.min_updates}. Raise `first`."
        yield ("first",), text
