"""Extractors as torch-fidelity's. Importing this registers `cifarnet` there, so that its functions take the name."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch_fidelity import FeatureExtractorBase, FeatureExtractorInceptionV3, register_feature_extractor

from fedgen_bench_plugins.extractors.convnet import N_FEATURES, CifarNet
from fedgen_bench_plugins.extractors.weights import read_weights

SHIPPED = Path(__file__).parent / "cifarnet" / "model.safetensors"
_CIFARNET_LAYERS = (str(N_FEATURES), "logits")
_INCEPTION_LAYERS = ("2048", "logits_unbiased")


class CifarNetExtractor(FeatureExtractorBase):  # type: ignore[misc] # torch-fidelity takes subclasses only
    """`cifarnet` for `torch_fidelity.calculate_metrics(feature_extractor="cifarnet", ...)`.

    Args:
        feature_extractor_weights_path: other weights of the same network; the shipped ones when left out.

    Raises:
        DataError: the weights are not this network's.
    """

    def __init__(
        self, name: str, features_list: list[str], feature_extractor_weights_path: str | None = None, **_: Any
    ) -> None:
        super().__init__(name, features_list)
        self.network = CifarNet()
        path = SHIPPED if feature_extractor_weights_path is None else Path(feature_extractor_weights_path)
        self.network.load_state_dict(read_weights(path, self.network.state_dict(), "cifarnet"))
        self.network.to(memory_format=torch.channels_last)
        self.requires_grad_(requires_grad=False)
        self.eval()

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Those of the layers that were asked for, of uint8 pixels of shape (n, 3, height, width)."""
        found = dict(zip(_CIFARNET_LAYERS, self.network(pixels), strict=True))
        return tuple(found[name] for name in self.features_list)

    @staticmethod
    def get_provided_features_list() -> tuple[str, ...]:
        """Average-pooled features, and the logits of the ten classes."""
        return _CIFARNET_LAYERS

    @staticmethod
    def get_default_feature_layer_for_metric(metric: str) -> str:
        """Logits for the Inception Score, features for the rest."""
        return "logits" if metric == "isc" else _CIFARNET_LAYERS[0]

    @staticmethod
    def can_be_compiled() -> bool:
        """Whether `torch.compile` may be used."""
        return True

    @staticmethod
    def get_dummy_input_for_compile() -> torch.Tensor:
        """One image."""
        return torch.zeros(1, 3, 32, 32, dtype=torch.uint8)


register_feature_extractor("cifarnet", CifarNetExtractor)


def cifarnet(path: Path) -> nn.Module:
    """The network of `cifarnet`, pixels to features and logits. Raises DataError."""
    module: nn.Module = CifarNetExtractor("cifarnet", list(_CIFARNET_LAYERS), str(path))
    return module


class _InceptionShapes(FeatureExtractorInceptionV3):  # type: ignore[misc]
    """The architecture as it is before weights are loaded, which its constructor does."""

    def load_state_dict(self, *_: Any, **__: Any) -> None:
        """Nothing."""


def inception(path: Path) -> nn.Module:
    """torch-fidelity's Inception-v3, pixels to features and unbiased logits.

    Its constructor unpickles the file it is given. So the file is read here, as tensors only, and the constructor gets
    them as bytes that were written here.

    Raises:
        DataError: the weights are not this network's.
    """
    name, layers = "inception-v3-compat", list(_INCEPTION_LAYERS)
    with torch.device("meta"):
        expected = _InceptionShapes(name, layers, _saved({})).state_dict()
    module: nn.Module = FeatureExtractorInceptionV3(name, layers, _saved(read_weights(path, expected, name)))
    return module


def _saved(tensors: dict[str, torch.Tensor]) -> io.BytesIO:
    content = io.BytesIO()
    torch.save(tensors, content)
    content.seek(0)
    return content
