"""The batches of a fit: which examples in which order, from the streams of its client, round and number."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from fedgen_bench.base.errors import PluginError
from fedgen_bench.contract.data import Examples, Tensors
from fedgen_bench.contract.seeds import SeedTree


@dataclass(frozen=True)
class FitStreams:
    """The random streams of one fit, by where and when it happens."""

    seeds: SeedTree
    round_index: int
    client_id: int
    fit_index: int = 0

    @property
    def purpose(self) -> str:
        """Sub-stream of a client's second and later fits in a round."""
        return f"fit{self.fit_index}"

    @property
    def _noise(self) -> str:
        return f"{self.purpose}/noise"

    @property
    def noise_key(self) -> int:
        """Key of what the loss and the model draw while they are trained."""
        return self.seeds.key("batches", round_index=self.round_index, client_id=self.client_id, purpose=self._noise)

    def batch_generator(self) -> np.random.Generator:
        """The stream of this fit's batches."""
        return self.seeds.numpy("batches", round_index=self.round_index, client_id=self.client_id, purpose=self.purpose)

    def privacy_generator(self) -> torch.Generator:
        """The stream of what is added to clipped gradients."""
        purpose = f"{self.purpose}/privacy"
        return self.seeds.torch("batches", round_index=self.round_index, client_id=self.client_id, purpose=purpose)

    def noise_generator(self) -> torch.Generator:
        """The stream that the loss draws from."""
        return self.seeds.torch("batches", round_index=self.round_index, client_id=self.client_id, purpose=self._noise)


def batch_order(n_examples: int, batch_size: int, n_steps: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Index arrays of `n_steps` batches: epochs of fresh permutations, the last batch of an epoch may be short."""
    if n_examples < 1:
        raise PluginError("A client without training examples cannot train.")

    def endless() -> Iterator[np.ndarray]:
        while True:
            order = rng.permutation(n_examples)
            yield from (order[start : start + batch_size] for start in range(0, n_examples, batch_size))

    batches = endless()
    return [next(batches) for _ in range(n_steps)]


def batches_of(data: Examples, order: list[np.ndarray], device: torch.device) -> Iterator[Tensors]:
    """The batches of a fit, on the device, to which the examples and their order go once."""
    tensors = {name: tensor.to(device) for name, tensor in data.tensors.items()}
    index = torch.from_numpy(np.concatenate(order)).to(device)
    for chosen in index.split([len(batch) for batch in order]):
        yield {name: tensor[chosen] for name, tensor in tensors.items()}


def order_digest(batches: list[np.ndarray]) -> str:
    """Hex sha256 of a batch order."""
    total = hashlib.sha256()
    for batch in batches:
        total.update(len(batch).to_bytes(8, "little"))
        total.update(batch.astype("<i8").tobytes())
    return total.hexdigest()
