"""Write the tables of `docs/targets.md` from the roles and from small models: `python docs/make_targets.py`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fedgen_bench_plugins.adapters.roles import ROLES, layers_of
from fedgen_bench_plugins.backbones import grounds
from fedgen_bench_plugins.backbones.unet import quiet_diffusers

if TYPE_CHECKING:
    from torch import nn

TARGET = Path(__file__).with_name("targets.md")
PARTS = {"queries": "q", "keys": "k", "values": "v", "mlp_output": "out"}


def backbones() -> Iterator[tuple[str, nn.Module]]:
    """A small model of every family, language models first."""
    sys.path.insert(0, str(TARGET.parents[1] / "tests"))
    from families import FAMILIES, tiny

    for family in FAMILIES:
        yield family, tiny(family)
    with quiet_diffusers():
        from diffusers import UNet2DModel

        plain = UNet2DModel(
            sample_size=8,
            layers_per_block=1,
            block_out_channels=(8,),
            down_block_types=("AttnDownBlock2D",),
            up_block_types=("AttnUpBlock2D",),
            norm_num_groups=4,
        )
    yield "U-Net (`UNet2DModel`)", plain
    yield "U-Net with a context (`UNet2DConditionModel`)", grounds.UNET.load()


def ending(name: str) -> str:
    """How a layer is called in its part of the model: from the last name that is no number and no bare `proj`."""
    match = re.search(r"[^.]*(\.\d+)*(\.proj)?$", name)
    return match[0] if match else name


def cell(names: list[str], layers: dict[str, list[str]]) -> str:
    """How the layers of a cell are called, each once, and which parts of attention or MLP they are."""
    parts = {ending(name): ", ".join(short for role, short in PARTS.items() if name in layers[role]) for name in names}
    return ", ".join(f"`{name}`" + (f" ({part})" if part else "") for name, part in parts.items())


def families() -> Iterator[str]:
    """The table of families."""
    yield "| family | `attention` | `mlp` | `head` | in `all` alone |"
    yield "|---" * 5 + "|"
    for family, module in backbones():
        layers = {role: layers_of(module, role) for role in ROLES}
        layers["rest"] = [name for name in layers["all"] if name not in {*layers["attention"], *layers["mlp"]}]
        cells = [cell(layers[one], layers) for one in ("attention", "mlp", "head", "rest")]
        yield f"| {' | '.join([family, *cells])} |"


def roles() -> Iterator[str]:
    """The table of roles."""
    yield "| role | means |"
    yield "|---|---|"
    for role, meaning in ROLES.items():
        yield f"| `{role}` | {meaning} |"


def text() -> str:
    """The page with its tables as they are now."""
    page = TARGET.read_text(encoding="utf-8")
    for name, table in (("roles", roles), ("families", families)):
        made = "\n".join(table())
        page = re.sub(
            rf"(<!-- {name}: made [^>]*-->\n).*?(<!-- /{name} -->)",
            lambda match, made=made: f"{match[1]}\n{made}\n\n{match[2]}",
            page,
            flags=re.DOTALL,
        )
    return page


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
