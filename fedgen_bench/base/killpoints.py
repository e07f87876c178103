"""Named points at which a test may kill the process: `FEDGEN_KILL=name:n` sends SIGKILL at the n-th pass."""

from __future__ import annotations

import os
import signal
from collections import Counter

POINTS = (
    "cell.inserted", "cell.loaded", "cell.partitioned", "round.began", "client.sent", "client.received",
    "client.fitted", "client.replied",
    "gate.admitted", "round.aggregated", "round.evaluated", "file.written", "file.synced", "file.renamed",
    "round.saved", "round.begun",
    "round.inserted", "ledger.inserted", "round.committed", "round.cleaned", "final.exported", "final.evaluated",
    "final.personalized",
    "final.inserted", "final.committed", "table.rendered", "folder.written", "folder.parked", "folder.placed",
)  # fmt: skip
_passes: Counter[str] = Counter()


def passing(name: str) -> None:
    """Mark a point; free of cost unless `FEDGEN_KILL` is set."""
    wanted = os.environ.get("FEDGEN_KILL")
    if wanted is None:
        return
    point, _, count = wanted.partition(":")
    _passes[name] += 1
    if point == name and _passes[name] == int(count or 1):
        os.kill(os.getpid(), signal.SIGKILL)
