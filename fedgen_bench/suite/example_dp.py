"""`example_dp` of a contender: clients train with differential privacy for single examples (DP-SGD)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from fedgen_bench.suite.strict import PositiveFloat, Strict


class ExampleDP(Strict):
    """Every example's gradient is clipped before a batch's are added up, and noise is added (arXiv 1607.00133).

    Args:
        clip: bound on the Euclidean norm of one example's gradient over everything that is trained.
        noise: standard deviation of the Gaussian noise on the sum over a batch, in multiples of `clip`; without noise
            nothing is guaranteed.
        delta: at which epsilon is told; below 1 over the examples of whoever has most.
    """

    clip: PositiveFloat
    noise: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    delta: Annotated[float, Field(gt=0, lt=1)] = 1e-5
