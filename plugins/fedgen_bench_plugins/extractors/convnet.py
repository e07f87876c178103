"""The network of `cifarnet`: a small residual convolutional classifier of 32 x 32 colour images in ten classes."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn
from torch.nn.functional import interpolate

SIZE = 32
N_FEATURES = 128
N_CLASSES = 10


def _convolution(n_in: int, n_out: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(n_in, n_out, 3, stride, padding=1, bias=False)


def _block(n_in: int, n_out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(_convolution(n_in, n_out, stride), nn.BatchNorm2d(n_out), nn.ReLU(inplace=True))


class _Residual(nn.Module):
    """Two convolutions beside the identity; the second one's scale begins at 0."""

    def __init__(self, width: int) -> None:
        super().__init__()
        scale = nn.BatchNorm2d(width)
        nn.init.zeros_(scale.weight)
        self.first, self.second = _block(width, width), nn.Sequential(_convolution(width, width), scale)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        residual: torch.Tensor = self.second(self.first(x))
        return x + residual


class CifarNet(nn.Module):
    """2 x 2 pixels folded into channels, three scales of 16, 8 and 4 pixels a side, global average pooling, one layer.

    Images of another size are resized to 32 x 32 first (bilinear, with antialiasing). In evaluation mode an image's
    features do not depend on what else is in its batch.
    """

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            OrderedDict(
                fold=nn.PixelUnshuffle(2),
                stem=_block(12, 32),
                widen=nn.Sequential(_convolution(32, 64), nn.MaxPool2d(2), nn.BatchNorm2d(64), nn.ReLU(inplace=True)),
                middle=_Residual(64),
                narrow=_block(64, N_FEATURES, stride=2),
                last=_Residual(N_FEATURES),
            )
        )
        self.head = nn.Linear(N_FEATURES, N_CLASSES)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features, shape (n, 128), and logits, shape (n, 10), of pixels 0 to 255, shape (n, 3, height, width)."""
        images = pixels.to(self.head.weight.dtype)
        if images.shape[-2:] != (SIZE, SIZE):
            images = interpolate(images, (SIZE, SIZE), mode="bilinear", antialias=True)
        images = ((images - 127.5) / 63.75).contiguous(memory_format=torch.channels_last)
        features = self.body(images).mean((2, 3))
        return features, self.head(features)
