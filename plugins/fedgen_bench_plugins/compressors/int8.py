"""Eight-bit integers with one scale a row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedgen_bench import CompressorSpec, NoParams, Tensors, hookimpl

if TYPE_CHECKING:
    import torch

_LARGEST = 127
_SCALE = "#scale"


class Int8:
    """x is sent as round(x / scale) in -127 to 127, with scale = max |x| / 127 in fp32 for each row (first index).

    A tensor of at most one dimension has one scale. Rounding is to the nearest, halves to even. Integers stay.
    """

    error_feedback = False

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def compress(self, tensors: Tensors) -> Tensors:
        import torch

        packed = {}
        for name, tensor in tensors.items():
            if not tensor.is_floating_point() or not tensor.numel():
                packed[name] = tensor
                continue
            rows = _rows(tensor).float()
            scale = rows.abs().amax(dim=1, keepdim=True) / _LARGEST
            steps = torch.where(scale > 0, rows / scale, 0.0).round().clamp(-_LARGEST, _LARGEST)
            packed[name] = steps.to(torch.int8).reshape(tensor.shape)
            packed[name + _SCALE] = scale.flatten()
        return packed

    def decompress(self, tensors: Tensors, like: Tensors) -> Tensors:
        return {
            name: (_rows(tensors[name]) * tensors[name + _SCALE][:, None]).reshape(wanted.shape).to(wanted.dtype)
            if name + _SCALE in tensors
            else tensors[name]
            for name, wanted in like.items()
        }


def _rows(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.reshape(len(tensor), -1) if tensor.dim() > 1 else tensor.reshape(1, -1)


@hookimpl
def register_compressors() -> list[CompressorSpec]:
    return [CompressorSpec(name="int8", summary="Eight-bit integers with one fp32 scale a row.", build=Int8)]
