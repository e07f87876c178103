"""Claims about a suite's reference, judged from published results and written beside them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fedgen_bench.base.files import inside
from fedgen_bench.results.files import CLAIMS
from fedgen_bench.results.folders import write_together
from fedgen_bench.review.claims.gathering import gather
from fedgen_bench.review.claims.judging import judged, written
from fedgen_bench.session.answers import Verdicts

if TYPE_CHECKING:
    from fedgen_bench.registry.registry import Registry


def judge(leaderboards: Path, suite: str, registry: Registry) -> Verdicts:
    """The verdicts on a suite's claims; `claims.md` with its charts is written into its published folder."""
    evidence = gather(leaderboards, suite, registry)
    folder = inside(leaderboards, suite)
    write_together(folder, written(evidence, registry))
    return Verdicts(judged(evidence, registry), folder / CLAIMS)


def outdated(leaderboards: Path, suite: str, registry: Registry) -> tuple[str, ...]:
    """Files of the claims that are not what the published results give; charts are not compared."""
    files, folder = written(gather(leaderboards, suite, registry), registry), inside(leaderboards, suite)
    return tuple(
        name
        for name, content in sorted(files.items())
        if not name.endswith(".svg") and not ((folder / name).is_file() and (folder / name).read_bytes() == content)
    )
