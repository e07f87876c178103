"""came back as"""

from __future__ import annotations

from fedgen_bench import CompressorSpec, hookimpl


class Mine:  # here
    def __init__(self, params):
        self.params = params

    error_feedback = False

    def compress(self, tensors):
        return {name: one.half() if one.is_floating_point() else one for name, one in tensors.items()}

    def decompress(self, tensors, like):
        return dict(tensors)


@hookimpl
def register_compressors():
    return [CompressorSpec(name="mine", summary="", build=Mine)]
