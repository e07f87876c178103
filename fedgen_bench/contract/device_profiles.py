"""What a plugin says of a population's devices: classes of them under one name, with the sources of their figures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class DeviceProfile:
    """Devices that clients of a federation may have, as suites name them (`devices.profile`).

    Args:
        name: what suites call it.
        summary: one line for `fedgen-bench list`.
        text: TOML with the tables `[[classes]]` of a suite's `[devices]`; sources of figures stand in its comments.
        path: what error messages show.
    """

    name: str
    summary: str
    text: str
    path: str
