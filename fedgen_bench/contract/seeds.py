"""SeedTree: every random stream is derived from a name and named axes; no generator's state is carried anywhere.

Which axes a stream sees decides what is paired between contenders:

| stream | task | adapter | partitioner | seed | round | client | strategy | mechanism |
|---|---|---|---|---|---|---|---|---|
| split | x | | x | x | | | | |
| cohort | x | | x | x | x | | | |
| adapter | x | x | | x | | | | |
| batches | x | | x | x | x | x | | |
| devices | x | | x | x | x | x | | |
| evaluation | x | | | x | | | | |
| strategy | x | x | x | x | x | x | x | |
| secrets | x | | x | x | | | | |
| mechanism | x | x | x | x | x | x | x | x |
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch

STREAMS: dict[str, tuple[str, ...]] = {
    "split": ("task", "partitioner", "seed"),
    "cohort": ("task", "partitioner", "seed", "round"),
    "adapter": ("task", "adapter", "seed"),
    "batches": ("task", "partitioner", "seed", "round", "client"),
    "devices": ("task", "partitioner", "seed", "round", "client"),
    "evaluation": ("task", "seed"),
    "strategy": ("task", "adapter", "partitioner", "seed", "round", "client", "strategy"),
    "secrets": ("task", "partitioner", "seed"),
    "mechanism": ("task", "adapter", "partitioner", "seed", "round", "client", "strategy", "mechanism"),
}


@dataclass(frozen=True)
class SeedTree:
    """The named axes of one cell. `seed` is the suite's seed; the others are the components' identities.

    `mechanism` is empty where there is none.
    """

    task: str
    adapter: str
    partitioner: str
    strategy: str
    seed: int
    mechanism: str = ""

    def key(self, stream: str, *, round_index: int = -1, client_id: int = -1, purpose: str = "") -> int:
        """128-bit key of a stream; axes that the stream does not see do not enter. `purpose` names sub-streams.

        Raises KeyError for an unknown stream.
        """
        axes = {
            "task": self.task,
            "adapter": self.adapter,
            "partitioner": self.partitioner,
            "strategy": self.strategy,
            "mechanism": self.mechanism,
            "seed": self.seed,
            "round": round_index,
            "client": client_id,
        }
        named = [stream, purpose, *((axis, axes[axis]) for axis in STREAMS[stream])]
        return int.from_bytes(hashlib.sha256(json.dumps(named).encode()).digest()[:16], "little")

    def numpy(
        self, stream: str, *, round_index: int = -1, client_id: int = -1, purpose: str = ""
    ) -> np.random.Generator:
        """A Philox generator keyed by the stream's name and axes."""
        import numpy as np

        return np.random.Generator(
            np.random.Philox(key=self.key(stream, round_index=round_index, client_id=client_id, purpose=purpose))
        )

    def torch(self, stream: str, *, round_index: int = -1, client_id: int = -1, purpose: str = "") -> torch.Generator:
        """A CPU torch generator keyed by the stream's name and axes."""
        import torch

        key = self.key(stream, round_index=round_index, client_id=client_id, purpose=purpose)
        return torch.Generator().manual_seed(key & 0x7FFF_FFFF_FFFF_FFFF)


@contextlib.contextmanager
def seeded_globals(key: int) -> Iterator[None]:
    """Seed torch's global generators inside the block (for libraries that know no other) and put them back after.

    Those of the processor, of MPS and, once CUDA is in use, of its devices. `torch.manual_seed` also remembers for
    every device that is not in use where it was called from, which takes milliseconds, and forgets none of it.
    """
    import torch

    generators = [torch.default_generator, *(torch.cuda.default_generators if torch.cuda.is_initialized() else ())]
    if torch.backends.mps.is_available():
        generators.append(torch.mps._get_default_mps_generator())  # noqa: SLF001 - the others have a public name
    before = [generator.get_state() for generator in generators]
    try:
        for generator in generators:
            generator.manual_seed(key & 0x7FFF_FFFF_FFFF_FFFF)
        yield
    finally:
        for generator, state in zip(generators, before, strict=True):
            generator.set_state(state)


def digest(*parts: bytes | str) -> str:
    """Hex sha256 over length-prefixed parts."""
    total = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        total.update(len(raw).to_bytes(8, "little"))
        total.update(raw)
    return total.hexdigest()
