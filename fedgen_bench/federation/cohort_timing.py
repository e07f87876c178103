"""What a client costs when several are trained in one pass, measured on a cell's own clients."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from fedgen_bench.contract.messages import Fit
from fedgen_bench.federation.asked import Asked
from fedgen_bench.federation.batches import FitStreams
from fedgen_bench.federation.seeding import seed_tree

if TYPE_CHECKING:
    from fedgen_bench.federation.experiment import Experiment

_STEPS = 2
_REPEATS = 3
_MARGIN = 0.97  # of the seconds alone, above which a difference may be noise
_MOST = 16  # clients whose activations memory has to hold at once


def seconds_a_client(experiment: Experiment, most: int) -> dict[int, float]:
    """By number of clients: 1, 2, 4, ... and `most`, as long as more are faster.

    One alone where their fits cannot be answered together, or there is only one.
    """
    most = min(most, _MOST)
    if experiment.cohort_kind != "sampled" or most == 1:
        return {1: 0.0}
    streams = [FitStreams(seed_tree(experiment.spec), 0, client) for client in experiment.cohort(0)[:most]]
    asked = [Asked(Fit(experiment.start), experiment.examples(one.client_id), one, _STEPS) for one in streams]
    answers = experiment.work().answers
    if not answers.go_together(asked[:2]):
        return {1: 0.0}

    def seconds(some: Sequence[Asked]) -> float:
        best = float("inf")
        for _ in range(_REPEATS):
            began = time.perf_counter()
            failed = next((one for one in answers(some) if isinstance(one, Exception)), None)
            best = min(best, time.perf_counter() - began)
            if failed is not None:
                raise failed
        return best / len(some)

    seconds(asked[:1])
    found = {1: seconds(asked[:1])}
    size = 2
    while True:
        size = min(size, len(asked))
        try:
            found[size] = seconds(asked[:size])
        except (MemoryError, RuntimeError):  # no memory for so many
            return found
        if size == len(asked) or found[size] > min(found.values()):
            return found
        size *= 2


def fastest(seconds: Mapping[int, float]) -> int:
    """The size with the fewest seconds a client; 1 unless another one is clearly faster."""
    size = min(seconds, key=lambda one: (seconds[one], one))
    return size if seconds[size] < _MARGIN * seconds[1] else 1
