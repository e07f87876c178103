"""ZeroDivisionError"""

from __future__ import annotations

from fedgen_bench import PartitionerSpec, hookimpl


class Mine:
    def __init__(self, params):
        self.params = params

    def split(self, units, n_clients, rng):
        return [units.n_units // 0] * n_clients  # here


@hookimpl
def register_partitioners():
    return [PartitionerSpec(name="mine", summary="", build=Mine)]
