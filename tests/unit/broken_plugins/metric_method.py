"""`Mine` has no `compute`."""

from __future__ import annotations

from fedgen_bench import MetricSpec, hookimpl


class Mine:  # here
    def __init__(self, params):
        self.params = params

    def __call__(self, evidence):
        return 0.0


@hookimpl
def register_metrics():
    return [MetricSpec(name="mine", summary="", build=Mine)]
