"""Which documents or images of a user's own source are for training, validation and test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from fedgen_bench import DataError
from fedgen_bench_plugins.datasets.source_files import PARTS, Part

_REMEDY = "Give `train`, `valid` and `test` of your own as files or folders of these names"


def split_by_draw(
    owners: Sequence[str | None],
    given: Sequence[Part | None],
    shares: dict[Part, float],
    seed: int,
    what: str,
    owner: str = "client",
) -> list[Part]:
    """A part for each thing: the one that it is given as, else one that is drawn.

    A part that none is given as gets its share of those that are given for training or as none, rounded, but one at
    least. They are drawn in one random order; the last thing that an owner has for training stays.

    Args:
        owners: whose each thing is; None where that is not known.
        given: the part that each is given as.
        shares: of `valid` and of `test`.
        seed: of the order.
        what: the things are called, as `document`.
        owner: owners are called.

    Raises:
        DataError: nothing is left for a part.
    """
    parts: list[Part] = [part or "train" for part in given]
    pool = [i for i, part in enumerate(parts) if part == "train"]
    held = Counter(owners[i] for i in pool)
    order = np.random.Generator(np.random.Philox(key=seed)).permutation(pool).tolist()
    for part, share in shares.items():
        if part in given:
            continue
        if not share:
            raise DataError(f"{part}_share is 0 and there is no part `{part}`. Raise {part}_share. {_REMEDY}.")
        wanted = max(1, round(share * len(pool)))
        for i in order:
            if wanted and parts[i] == "train" and held[owners[i]] > 1:
                parts[i], wanted = part, wanted - 1
                held[owners[i]] -= 1
        if wanted:
            raise DataError(_too_few(len(pool), len(held), what, owner, part))
    return parts


def _too_few(n: int, n_owners: int, what: str, owner: str, part: str) -> str:
    of = f" of {n_owners} {'classes' if owner == 'class' else 'clients'}" if n_owners > 1 else ""
    keep = f", of which each {owner} keeps one for training" if n_owners > 1 else ""
    other = ', or set split_by = "line", which cuts the last lines off each' if what == "document" else ""
    return (
        f"{n} {what}{'' if n == 1 else 's'}{of} {'is' if n == 1 else 'are'} too few to draw `{part}` from{keep}. "
        f"{_REMEDY}{other}."
    )


def cut(n_lines: int, shares: dict[Part, float]) -> dict[Part, range]:
    """Lines of a document by part: the first ones are for training, then comes validation, the last ones are test."""
    sizes = {part: round(share * n_lines) for part, share in shares.items()}
    n_train = n_lines - sum(sizes.values())
    if n_train < 1:
        return {"train": range(n_lines)}
    found, start = {}, 0
    for part, size in {"train": n_train, **{part: sizes[part] for part in PARTS if part in sizes}}.items():
        found[part] = range(start, start + size)
        start += size
    return found
