"""Populations of devices, each in a TOML file beside this one that says where its figures are from."""

from __future__ import annotations

from pathlib import Path

from fedgen_bench import DeviceProfile, hookimpl

_SUMMARIES = {
    "phones": "Smartphones on mobile networks: three classes by chip and network.",
    "single_board_computers": "Single-board computers on home broadband: four boards, measured by Linpack.",
    "phones_and_boards": "Half of `phones`, half of `single_board_computers`.",
}


@hookimpl
def register_device_profiles() -> list[DeviceProfile]:
    folder = Path(__file__).parent
    paths = {name: folder / f"{name}.toml" for name in _SUMMARIES}
    return [
        DeviceProfile(name=name, summary=summary, text=paths[name].read_text(encoding="utf-8"), path=str(paths[name]))
        for name, summary in _SUMMARIES.items()
    ]
