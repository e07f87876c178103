"""Half precision: two bytes a number."""

from __future__ import annotations

from fedgen_bench import CompressorSpec, NoParams, Tensors, hookimpl


class FP16:
    """Floating-point tensors as IEEE half precision, others as they are; what overflows is refused at the gate."""

    error_feedback = False

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def compress(self, tensors: Tensors) -> Tensors:
        return {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}

    def decompress(self, tensors: Tensors, like: Tensors) -> Tensors:
        return {name: tensors[name].to(wanted.dtype) for name, wanted in like.items()}


@hookimpl
def register_compressors() -> list[CompressorSpec]:
    return [CompressorSpec(name="fp16", summary="Half precision: two bytes a number.", build=FP16)]
