"""LoRA's forward pass with one pass less over its output: s B A x is added while it is computed."""

from __future__ import annotations

import math
from typing import Any

import torch
from peft.tuners.lora.layer import Linear
from torch import nn
from transformers.pytorch_utils import Conv1D

_ADAPTER = "default"
_RANKS = range(2, 65)  # a product over one number, or over more than are added up at a time, is rounded otherwise


class AddedLinear(Linear):  # type: ignore[misc] # peft is untyped
    """peft's LoRA layer; fp32 on a CPU without autocast gets W0 x + s B A x from one `addmm`, to the same bits.

    A matrix product that accumulates rounds the sum as an addition does; with s a power of two nothing else is rounded.
    Everything else goes peft's way, as do ranks of 1 (a product and its sum are rounded once there) and above 64 (parts
    of a long product are added one by one).
    """

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """The layer's output, of the shape that the base layer gives."""
        if args or kwargs or not self._fits(x):
            result: torch.Tensor = super().forward(x, *args, **kwargs)
            return result
        base: torch.Tensor = self.base_layer(x)
        low = self.lora_A[_ADAPTER](self.lora_dropout[_ADAPTER](x))
        rows, low = base.flatten(0, -2), low.flatten(0, -2)
        add = rows.addmm if torch.is_grad_enabled() else rows.addmm_  # autograd copies the whole of a view written to
        added: torch.Tensor = add(low, self.lora_B[_ADAPTER].weight.T, alpha=self.scaling[_ADAPTER])
        return added.view_as(base)

    def _fits(self, x: torch.Tensor) -> bool:
        plain = not (self.disable_adapters or self.merged or self.lora_variant) and self.active_adapters == [_ADAPTER]
        if not plain:
            return False
        b = self.lora_B[_ADAPTER]
        exchanged = "forward" in vars(b)  # by whoever computes several adapters' B at once
        return (
            not exchanged
            and not (b._forward_hooks or b._forward_pre_hooks or b._backward_hooks or b._backward_pre_hooks)  # noqa: SLF001
            and b.bias is None
            and b.weight.shape[1] in _RANKS
            and x.ndim > 1
            and x.device.type == "cpu"
            and x.dtype == self.base_layer.weight.dtype == b.weight.dtype == torch.float32
            and not torch.is_autocast_enabled("cpu")
            and math.frexp(self.scaling[_ADAPTER])[0] == 0.5  # noqa: PLR2004 - a power of two
        )


def add_in_place(module: nn.Module) -> None:
    """Have peft's LoRA layers on linear ones be `AddedLinear`."""
    layers: list[Any] = list(module.modules())
    for layer in layers:
        if type(layer) is Linear and type(layer.get_base_layer()) in (nn.Linear, Conv1D):
            layer.__class__ = AddedLinear
