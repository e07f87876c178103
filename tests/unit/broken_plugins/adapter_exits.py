"""SystemExit"""

from __future__ import annotations

from fedgen_bench import AdapterSpec, hookimpl


class Mine:
    def __init__(self, params):
        self.params = params

    def attach(self, module, seeds):
        raise SystemExit  # here


@hookimpl
def register_adapters():
    return [AdapterSpec(name="mine", summary="", build=Mine)]
