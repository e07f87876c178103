"""What a client-round costs besides training: store, ledger, gate, drift and all, against a bare loop without them.

`--large` adds a model of 0.5 GB.
"""

from __future__ import annotations

import statistics

import pytest
from still import COHORT, SIZES, bare_rounds, module_of, run_still

N_ROUNDS = {"0.13 MB": 41, "40 MB": 5, "0.5 GB": 2}
SAMPLES = {"0.13 MB": 5, "40 MB": 3, "0.5 GB": 1}


@pytest.mark.parametrize("engine", ["local", "processes"])
@pytest.mark.parametrize("size", SIZES)
def test_client_round_without_training_against_a_bare_loop(against, told, tmp_path, request, size, engine):
    if size == "0.5 GB" and not request.config.getoption("--large", default=False):
        pytest.skip("asked for with --large")
    params, n_rounds = SIZES[size], N_ROUNDS[size]
    jobs = {"jobs": 2} if engine == "processes" else {}
    model, numbers = module_of(params), iter(range(1000))
    between = []

    def ours():
        ran = run_still(params, n_rounds, tmp_path / str(next(numbers)), engine, **jobs)
        between.append(ran)
        return ran

    _, ran = against(
        "bare loop", lambda: bare_rounds(model, n_rounds), ours, SAMPLES[size], n_rounds * COHORT, "client_round"
    )
    assert ran.status == "done"
    n = (n_rounds - 1) * COHORT
    wall, cpu = (
        1e3 * statistics.median(getattr(one, what) for one in between[1:]) / n for what in ("seconds", "cpu_seconds")
    )
    told(
        f"{wall:.2f} ms a client-round from the first commit to the last, {cpu:.2f} ms of CPU in this process",
        milliseconds_per_client_round=wall,
        cpu_milliseconds_per_client_round=cpu,
    )
