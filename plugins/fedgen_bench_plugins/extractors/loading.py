"""Extractors by name, and what they make of images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fedgen_bench import MissingDataError, UsageError, seeded_globals, sha256_of, unknown

if TYPE_CHECKING:
    import torch
    from torch import nn

NAMES = ("cifarnet", "inception-v3-compat")
_BATCH = 64  # torch-fidelity's own, so that the numbers are its to the last bit


@dataclass(frozen=True)
class Features:
    """What an extractor makes of n images, fp32 on the CPU: `features` of shape (n, d), `logits` of shape (n, k)."""

    features: torch.Tensor
    logits: torch.Tensor


@dataclass(frozen=True)
class Extractor:
    """A feature extractor in evaluation mode.

    Args:
        name: of it.
        sha256: of its weights' file.
        classes: names of what its logits tell apart, where data sets here have them.
    """

    name: str
    sha256: str
    _module: nn.Module = field(repr=False)
    classes: tuple[str, ...] = ()

    def features(self, pixels: torch.Tensor, device: torch.device) -> Features:
        """Features of uint8 pixels of shape (n, 3, height, width), computed in batches on the device in fp32."""
        import torch

        module = self._module.to(device)
        with torch.inference_mode(), torch.autocast(device.type, enabled=False):
            parts = [module(part.to(device)) for part in pixels.split(_BATCH)]
            features, logits = (torch.cat(of).cpu() for of in zip(*parts, strict=True))
        return Features(features, logits)


def extractor_file(name: str, find: Callable[[str], Path]) -> Path:
    """The file of an extractor's weights. Raises as `load_extractor`."""
    if name not in NAMES:
        raise UsageError(unknown("feature extractor", name, NAMES))
    from fedgen_bench_plugins.extractors import fidelity

    return fidelity.SHIPPED if name == "cifarnet" else find(name)


def extractors_at_hand(needed: Sequence[str], optional: Sequence[str], find: Callable[[str], Path]) -> list[str]:
    """Those that must be there, and of the others those that are."""
    return [*needed, *(name for name in optional if _is_at_hand(name, find))]


def _is_at_hand(name: str, find: Callable[[str], Path]) -> bool:
    try:
        find(name)
    except MissingDataError:
        return False
    return True


def load_extractor(name: str, find: Callable[[str], Path]) -> Extractor:
    """Load an extractor: `cifarnet` comes with the package, the weights of the other are the file `find(name)`.

    Raises:
        UsageError: no such extractor.
        DataError: the weights cannot be had, or are not this extractor's.
    """
    from fedgen_bench_plugins.datasets.cifar10 import CLASSES
    from fedgen_bench_plugins.extractors import fidelity

    path = extractor_file(name, find)
    build = fidelity.cifarnet if name == "cifarnet" else fidelity.inception
    with seeded_globals(0):  # layers draw initial values, all of which the file replaces
        module = build(path)
    return Extractor(name, sha256_of(path), module, CLASSES if name == "cifarnet" else ())
