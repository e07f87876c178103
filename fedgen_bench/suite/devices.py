"""`[devices]`: what clients run on, and when a round of theirs ends by the simulated clock.

Figures of a class are those of every device in it; which client has which is drawn once a seed (`federation.fleet`).
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, ValidationError

from fedgen_bench.base.errors import PluginError
from fedgen_bench.contract.params import problems_of
from fedgen_bench.registry.kinds import NAME
from fedgen_bench.suite.strict import Positive, PositiveFloat, Strict
from fedgen_bench.suite.structure import OfKind

if TYPE_CHECKING:
    from fedgen_bench.contract.device_profiles import DeviceProfile
    from fedgen_bench.registry.registry import Registry

Share = Annotated[float, Field(gt=0, le=1)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Bytes = Annotated[int, Field(ge=1, le=1 << 50)]
TRACE = "devices.trace"  # what its content is called among what a cell reads
_TOLERANCE = 1e-6  # of a sum of shares written in decimals

Problem = tuple[tuple[str, ...], str]


class DeviceClass(Strict):
    """Devices that are alike.

    Args:
        name: of the class, each once.
        share: of the population that has such a device; those of all classes add up to 1.
        flops: floating-point operations a second that local training reaches.
        down: bytes a second to the device.
        up: bytes a second from the device.
        latency: seconds before a message begins to arrive, either way; 0 when left out.
        memory: bytes that training may take; as many as it needs when left out.
        availability: probability that a device that is asked can take part in a round; 1 when left out.
        leaving: probability that one that takes part is gone before it has replied; 0 when left out.
        watts: that it draws while it trains; its energy is not estimated when left out.
        radio_watts: that it draws while it sends or receives; 0 when left out.
    """

    name: Annotated[str, Field(pattern=NAME.pattern)]
    share: Share
    flops: PositiveFloat
    down: PositiveFloat
    up: PositiveFloat
    latency: NotNegative = 0.0
    memory: Bytes | None = None
    availability: Share = 1.0
    leaving: Annotated[float, Field(ge=0, lt=1)] = 0.0
    watts: PositiveFloat | None = None
    radio_watts: NotNegative = 0.0


class Devices(Strict):
    """Clients' devices (give `profile`, `classes` or `trace`), and when a round ends: with the last reply or before.

    Args:
        profile: of a registered population of devices (`fedgen-bench list device_profile`).
        classes: of devices, with what they can do.
        trace: path of a CSV file with the measured devices of clients (see docs/devices.md).
        first: replies that end a round, of the `clients_per_round` that are asked; later ones are late; all of them
            when left out.
        deadline: simulated seconds of a round after which replies are late; none when left out.
        local_steps: by class, the most that its clients take, of methods that take partial work; those of [training]
            for a class that is left out.
        ranks: by class, every one of them, the rank of its clients' LoRA factors where the adapter mixes ranks; the
            adapter's own ranks when left out.
    """

    profile: Annotated[str | None, OfKind("device_profile")] = None
    classes: tuple[DeviceClass, ...] = ()
    trace: str | None = None
    first: Positive | None = None
    deadline: PositiveFloat | None = None
    local_steps: dict[str, Positive] = Field(default_factory=dict)
    ranks: dict[str, Positive] = Field(default_factory=dict)


class ResolvedDevices(Strict):
    """The devices of a cell, with all figures of their classes; of a trace its path (its content is hashed)."""

    profile: str
    classes: tuple[DeviceClass, ...]
    trace: str
    first: Positive | None
    deadline: PositiveFloat | None
    local_steps: dict[str, Positive]
    ranks: dict[str, Positive]

    def with_content(self, sha256: str) -> ResolvedDevices:
        """With the content of the trace in place of its path; as they are where there is none."""
        return self.model_copy(update={"trace": sha256}) if self.trace else self


class _Profile(Strict):
    classes: Annotated[tuple[DeviceClass, ...], Field(min_length=1)]


def resolved(devices: Devices, registry: Registry) -> ResolvedDevices:
    """The suite's devices with the figures of its profile. Raises as `classes_of`, UsageError for no such profile."""
    classes = devices.classes
    if devices.profile is not None:
        classes = classes_of(registry.get("device_profile", devices.profile).spec)
    return ResolvedDevices(
        profile=devices.profile or "",
        classes=classes,
        trace=devices.trace or "",
        first=devices.first,
        deadline=devices.deadline,
        local_steps=dict(devices.local_steps),
        ranks=dict(devices.ranks),
    )


def classes_of(profile: DeviceProfile) -> tuple[DeviceClass, ...]:
    """The classes of a registered profile. Raises PluginError for a text that has none, or wrong ones."""
    try:
        found = _Profile.model_validate_json(json.dumps(tomllib.loads(profile.text), default=str))
    except ValidationError as error:
        path, sentence = problems_of(error)[0]
        raise PluginError(f"Profile `{profile.name}` ({profile.path}), `{'.'.join(path)}`: {sentence}") from None
    except ValueError as error:
        raise PluginError(f"Profile `{profile.name}` ({profile.path}): {error}. Mend the TOML.") from None
    if problem := next(class_problems(found.classes), None):
        raise PluginError(f"Profile `{profile.name}` ({profile.path}): {problem[1]}")
    return found.classes


def class_problems(classes: Sequence[DeviceClass]) -> Iterator[Problem]:
    """What classes of one population say that cannot be, each with its path within `[devices]`."""
    if not classes:
        return
    total = math.fsum(one.share for one in classes)
    if abs(total - 1) > _TOLERANCE:
        yield ("classes",), f"Shares of the classes of devices add up to {total:g}, not to 1. Mend them."
    names = [one.name for one in classes]
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        yield ("classes",), f"Class `{name}` is there twice. Rename one of them."
