"""The user's cache folder: downloaded data sets, generated backbones."""

from __future__ import annotations

import os
from pathlib import Path


def cache_root() -> Path:
    """`FEDGEN_CACHE`, or the user's cache folder of the platform."""
    if own := os.environ.get("FEDGEN_CACHE"):
        return Path(own).expanduser()
    import pooch

    return Path(pooch.os_cache("fedgen-bench"))
