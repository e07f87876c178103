"""How many clients a cell trains in one pass: as asked for, or what was measured to be fastest on this machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from fedgen_bench.base.cache import cache_root
from fedgen_bench.base.environment import fingerprint
from fedgen_bench.base.errors import UsageError
from fedgen_bench.base.files import write_atomic
from fedgen_bench.base.locks import alone
from fedgen_bench.contract.seeds import digest
from fedgen_bench.suite.cellconfig import canonical

if TYPE_CHECKING:
    from pathlib import Path

    from fedgen_bench.federation.loader import Loader
    from fedgen_bench.results.store import Store
    from fedgen_bench.suite.cells import CellSpec

Cohort = int | Literal["auto"]


@dataclass(frozen=True)
class Cohorts:
    """Sizes of the cells of one command.

    Args:
        size: of every cell; `auto` for what is fastest.
        of_cell: by digest, in place of `size`.
        side_by_side: workers over which an engine spreads a cell's clients.

    Raises:
        UsageError: a size that is no number from 1 on, nor `auto`.
    """

    size: Cohort = 1
    of_cell: Mapping[str, int] = field(default_factory=dict)
    side_by_side: int = 1

    def __post_init__(self) -> None:
        if self.size != "auto" and (not isinstance(self.size, int) or self.size < 1):
            raise UsageError(f"A cohort of {self.size} clients trains nobody. Ask for 1 or more, or `auto`.")

    def of(self, spec: CellSpec, store: Store, loader: Loader, device: str) -> int:
        """A cell's size: that of its committed rounds if there are any.

        What is measured is kept in the cache. 1 where that cannot be: the cell itself tells best what is wrong with it.
        """
        begun = store.begun_in(spec)
        if begun is not None:
            return int(begun.get("cohort", 1))
        if spec.digest in self.of_cell:
            return self.of_cell[spec.digest]
        if self.size != "auto":
            return self.size
        most = -(-spec.config.federation.clients_per_round // self.side_by_side)
        try:
            return _kept_or_measured(spec, loader, device, most)
        except Exception:  # noqa: BLE001 - a plugin's own error among them, which ends its cell and no other
            return 1


def _kept_or_measured(spec: CellSpec, loader: Loader, device: str, most: int) -> int:
    folder = cache_root() / "cohorts"
    path = folder / f"{_key(loader.resolved(spec), device, most)}.json"
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder / "lock"):  # one measurement at a time on this machine
        return _kept(path) or _measured(spec, loader, device, most, path)


def _key(spec: CellSpec, device: str, most: int) -> str:
    """Of everything that the speed of a fit hangs on, and nothing else."""
    config = spec.config
    where = {name: one for name, one in fingerprint(device, config.training.threads).items() if name != "commit"}
    used = [config.task, config.contender.adapter, config.training, where, most]
    return digest(canonical(used))[:32]


def _kept(path: Path) -> int | None:
    try:
        size = json.loads(path.read_text())["size"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return size if isinstance(size, int) and size > 0 else None


def _measured(spec: CellSpec, loader: Loader, device: str, most: int, path: Path) -> int:
    import torch

    from fedgen_bench.federation.assembly import assemble
    from fedgen_bench.federation.cohort_timing import fastest, seconds_a_client

    seconds = seconds_a_client(assemble(spec, loader, torch.device(device)), most)
    size = fastest(seconds)
    write_atomic(path, json.dumps({"size": size, "seconds a client": seconds}, indent=1).encode())
    return size
