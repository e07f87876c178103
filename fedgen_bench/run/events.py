"""What a runner tells while it works, to the progress display or to whoever else listens."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Event:
    """What a runner tells about a cell: it was `skipped`, it `started`, a `round` is committed, it `ended`."""

    kind: Literal["skipped", "started", "round", "ended"]
    run: str
    n_rounds: int = 0
    round_index: int = -1
    mean_loss: float = 0.0
    metrics: tuple[tuple[str, float], ...] = ()
    status: str = ""
    reason: str = ""
    seconds: float = 0.0


OnEvent = Callable[[Event], object]


def log_rounds() -> None:
    """Show what the logging observer says, on stderr."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
