"""Metadata of `fedgen-bench-core`: that of `fedgen-bench`, whose code it has, without some of its libraries."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_SHARED = ("version", "requires-python", "keywords", "classifiers", "scripts", "entry-points")


class CoreMetadata(MetadataHookInterface):
    """Read from the folder above, where the code is."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Fill in what core/pyproject.toml calls dynamic.

        Raises:
            FileNotFoundError: this folder stands alone.
        """
        whole = Path(self.root).parent / "pyproject.toml"
        if not whole.is_file():
            raise FileNotFoundError(
                f"There is no {whole}, and with it no code. Build fedgen-bench-core in a clone, or in the unpacked "
                "sdist of fedgen-bench."
            )
        project = tomllib.loads(whole.read_text(encoding="utf-8"))["project"]
        metadata |= {name: project[name] for name in _SHARED}
        left_out = set(self.config["left_out"])
        metadata["dependencies"] = [one for one in project["dependencies"] if _name(one) not in left_out]


def _name(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
