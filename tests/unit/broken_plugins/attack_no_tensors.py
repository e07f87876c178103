"""distort is None. Give tensors by name."""

from __future__ import annotations

from fedgen_bench import AttackSpec, hookimpl


class Mine:
    def __init__(self, params):
        self.params = params

    def distort(self, tensors, received, generator):  # here
        for one in tensors.values():
            one.mul(-1)


@hookimpl
def register_attacks():
    return [AttackSpec(name="mine", summary="", build=Mine)]
