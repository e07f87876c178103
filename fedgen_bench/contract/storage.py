"""Frozen weights kept in fewer bits than they are computed with: of linear layers, image convolutions, embeddings.

They are cast where they are used, to fp32 or to what autocast asks for, and cast again for the gradient: what is kept
is the stored weight alone. Everything else (norms, biases) is fp32, and so is whatever is trained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.nn.grad import conv2d_input

_FP32_BYTES = 4
_Gradient = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def store_weights(module: nn.Module, dtype: torch.dtype) -> None:
    """Keep the weights of all linear layers, convolutions and embeddings in `dtype`, everything else in fp32.

    Layers that compute in a way of their own keep fp32; tensors that are no floating-point numbers (quantised weights)
    stay as they are.
    """
    stored = {layer: forward for layer in module.modules() if (forward := _forward_of(layer)) is not None}
    weights = {id(layer.weight) for layer in stored}
    for one in (*module.parameters(), *module.buffers()):
        if one.is_floating_point():
            one.data = one.data.to(dtype if id(one) in weights else torch.float32)
    for layer, forward in stored.items():
        layer.forward = forward
    for part in module.modules():
        _tell_fp32(part)


def is_stored_low(tensor: torch.Tensor) -> bool:
    """Whether a tensor has floating-point numbers of fewer bits than fp32."""
    return tensor.is_floating_point() and tensor.dtype.itemsize < _FP32_BYTES


def has_stored(module: nn.Module) -> bool:
    """Whether `store_weights` was there."""
    return next(_stored(module), None) is not None


def largest_cast_bytes(module: nn.Module, dtype: torch.dtype) -> int:
    """Of the largest stored weight, when it is cast to `dtype`; embeddings are looked up as they are stored."""
    weights = (layer.weight for layer in _stored(module) if not isinstance(layer, nn.Embedding))
    return max((one.numel() * dtype.itemsize for one in weights if one.dtype not in {torch.float32, dtype}), default=0)


def train_in_fp32(module: nn.Module, parameters: Iterable[nn.Parameter]) -> None:
    """Give these parameters fp32 values where the module's weights are stored in fewer bits."""
    if has_stored(module):
        for parameter in parameters:
            if is_stored_low(parameter):
                parameter.data = parameter.data.float()


def _stored(module: nn.Module) -> Iterator[Any]:
    for layer in module.modules():
        if getattr(vars(layer).get("forward"), "func", None) in _FORWARDS:
            yield layer


def _forward_of(layer: Any) -> Callable[..., Any] | None:
    """How a layer computes with a weight that is stored in fewer bits; None for what is kept in fp32."""
    forward = type(layer).forward
    if forward is nn.Linear.forward or type(layer).__name__ == "Conv1D":
        return partial(_linear, layer)
    if isinstance(layer, nn.Embedding) and layer.max_norm is None:
        return partial(_embedding, layer)
    if forward is nn.Conv2d.forward and layer.padding_mode == "zeros" and not isinstance(layer.padding, str):
        return partial(_convolution, layer)
    return None


def _linear(layer: Any, x: torch.Tensor) -> torch.Tensor:
    """W x + b, of `nn.Linear` or of GPT-2's `Conv1D` with its transposed weight."""
    weight = layer.weight
    if not is_stored_low(weight):
        plain: torch.Tensor = type(layer).forward(layer, x)
        return plain
    transposed = not isinstance(layer, nn.Linear)

    def product(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        return functional.linear(x, weight.T if transposed else weight, bias)

    def gradient(outer: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return outer @ (weight.T if transposed else weight)

    return _applied(product, gradient, x, layer, feature=-1)


def _convolution(layer: Any, x: torch.Tensor) -> torch.Tensor:
    if not is_stored_low(layer.weight):
        plain: torch.Tensor = type(layer).forward(layer, x)
        return plain
    shape, how = x.shape, (layer.stride, layer.padding, layer.dilation, layer.groups)

    def gradient(outer: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        inner: torch.Tensor = conv2d_input(shape, weight, outer, *how)
        return inner

    return _applied(layer._conv_forward, gradient, x, layer, feature=1)  # noqa: SLF001


def _embedding(layer: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
    rows: torch.Tensor = type(layer).forward(layer, *args, **kwargs)
    return rows.float()


def _applied(
    compute: Callable[..., torch.Tensor], gradient: _Gradient, x: Any, layer: Any, feature: int
) -> torch.Tensor:
    kind = x.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else torch.float32
    bias = None if layer.bias is None else layer.bias.to(dtype)
    result: torch.Tensor = _CastAtUse.apply(x.to(dtype), layer.weight, bias, compute, gradient, feature)
    return result


class _CastAtUse(torch.autograd.Function):
    """A layer's output of x with its frozen weight cast to x's dtype, forward and backward."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        compute: Callable[..., torch.Tensor],
        gradient: _Gradient,
        feature: int,
    ) -> torch.Tensor:
        ctx.save_for_backward(weight)
        ctx.gradient, ctx.feature = gradient, feature
        return compute(x, weight.to(x.dtype), bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (weight,) = ctx.saved_tensors
        of_x = ctx.gradient(outer, weight.to(outer.dtype)) if ctx.needs_input_grad[0] else None
        others = [i for i in range(outer.ndim) if i != ctx.feature % outer.ndim]
        of_bias = outer.sum(others) if ctx.needs_input_grad[2] else None
        return of_x, None, of_bias, None, None, None


def _tell_fp32(part: Any) -> None:
    """Have a model that tells its dtype by its first parameter tell fp32, in which it computes."""
    kind = type(part)
    if isinstance(getattr(kind, "dtype", None), property):
        names = {name: getattr(kind, name) for name in ("__module__", "__qualname__", "__doc__")}
        part.__class__ = type(kind.__name__, (kind,), {**names, "dtype": torch.float32})


_FORWARDS = (_linear, _convolution, _embedding)
