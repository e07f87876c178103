"""The moving average over a fit's steps that is reported in place of the last values (`training.ema_decay`)."""

from __future__ import annotations

from typing import Any

import torch


class MovingAverage:
    """Exponential moving average over a fit's steps: a_0 = start, a_t = d_t a_(t-1) + (1 - d_t) theta_t.

    d_t = min(decay, t / (t + 9)), so that the start fades from the average of a short fit as well.
    """

    def __init__(self, decay: float, parameters: list[torch.nn.Parameter]) -> None:
        self._decay, self._n_steps = decay, 0
        self.values = [parameter.detach().clone() for parameter in parameters]

    @torch.no_grad()
    def follow(self, parameters: list[torch.nn.Parameter]) -> None:
        """After a step."""
        self._n_steps += 1
        decay = min(self._decay, self._n_steps / (self._n_steps + 9))
        values: Any = parameters
        torch._foreach_lerp_(self.values, values, 1 - decay)

    @torch.no_grad()
    def replace(self, parameters: list[torch.nn.Parameter]) -> None:
        """Give the parameters the average's values."""
        for parameter, value in zip(parameters, self.values, strict=True):
            parameter.copy_(value)
