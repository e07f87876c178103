"""A benchmark is a ratio: the named baseline and ours are measured in turn, in one run. Started with

pytest -o addopts= --benchmark-only tests/benchmarks
"""

from __future__ import annotations

import statistics
import time

import click
import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def against(benchmark, capsys):
    """`against(name, baseline, ours, rounds)` measures and returns what both gave at last.

    `extra_info` has the ratio, 1 where ours is as fast as the baseline: of the medians, and the median over pairs.
    """

    def measure(name, baseline, ours, rounds, per=1, unit="call"):
        seconds, last = [], []

        def setup():
            began = time.perf_counter()
            result = baseline()
            seconds.append(time.perf_counter() - began)
            last[:] = [result]

        ours()
        setup()
        seconds.clear()
        result = benchmark.pedantic(ours, setup=setup, rounds=rounds)
        stats = benchmark.stats.stats
        base, own = statistics.median(seconds), stats.median
        paired = statistics.median(b / o for b, o in zip(seconds, stats.data, strict=True))
        over = (own - base) / per * 1e6
        benchmark.extra_info |= {
            "baseline": name,
            "baseline_seconds": base,
            "ratio": base / own,
            "paired": paired,
        }
        benchmark.extra_info[f"microseconds_over_baseline_per_{unit}"] = over
        with capsys.disabled():
            click.echo(
                f"\n{benchmark.name}: {own * 1e3:.3f} ms, {name} {base * 1e3:.3f} ms: {base / own:.3f} of its speed "
                f"({paired:.3f} over pairs), {over:.0f} us more a {unit}"
            )
        return last[0], result

    return measure
