"""How published results and those of here agree, cell by cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedgen_bench.results.bands import bands
from fedgen_bench.results.pairing import comparable
from fedgen_bench.results.published import open_folder
from fedgen_bench.results.tiers import Tier, tier
from fedgen_bench.review.comparison import ComparedCell, SeedTest, compare_records, judge_over_seeds
from fedgen_bench.review.reproduction import Rerun, reruns_of

if TYPE_CHECKING:
    from fedgen_bench.registry.registry import Registry
    from fedgen_bench.results.record import Record


def published_and_here(folder: Path, here: Sequence[Record], registry: Registry) -> tuple[ComparedCell, ...]:
    """The suite's own results in a published folder against those here of the same settings.

    Nothing where one of them is not here, or where the folder has other ones (under overrides) that are not the same.

    Raises:
        StoreError: the published results cannot be read, or a configuration was edited.
    """
    records, ours = open_folder(folder).records, {one.digest: one for one in here}
    own = comparable(records)
    others = [one for one in records if one not in own]
    alike = all(one.digest in ours and one.metrics == ours[one.digest].metrics for one in others)
    if not own or not alike or any(one.digest not in ours for one in own):
        return ()
    reruns = reruns_of(own, registry)
    cells, _ = judged(reruns, [ours[one.record.digest] for one in reruns], records)
    return cells


def judged(
    reruns: Sequence[Rerun], here: Sequence[Record], published: Sequence[Record]
) -> tuple[tuple[ComparedCell, ...], tuple[SeedTest, ...]]:
    """Each rerun against its published record, and tests over seeds, within the bands of all that was published."""
    limits = bands(published)
    found = [
        compare_records(one.record, record, tier_of(one, record.environment), limits)
        for one, record in zip(reruns, here, strict=True)
    ]
    return judge_over_seeds(found, limits)


def tier_of(rerun: Rerun, environment: Mapping[str, Any]) -> Tier:
    """How closely a rerun made in this environment has to agree."""
    return tier(rerun.record.environment, environment, rerun.changes)
