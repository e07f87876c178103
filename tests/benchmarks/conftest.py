"""A benchmark is a ratio: the named baseline and ours are measured in turn, in one run. Started with

pytest -o addopts= --benchmark-only tests/benchmarks
"""

from __future__ import annotations

import statistics
import time

import click
import pytest
import torch


def pytest_addoption(parser):
    parser.addoption("--large", action="store_true", help="benchmarks of models of 0.5 GB as well")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def told(benchmark, capsys):
    """`told(text, **figures)` prints the text under the benchmark's name; `extra_info` keeps the figures."""

    def tell(text, **figures):
        benchmark.extra_info |= figures
        with capsys.disabled():
            click.echo(f"\n{benchmark.name}: {text}")

    return tell


@pytest.fixture
def against(benchmark, told):
    """`against(name, baseline, ours, rounds)` measures and returns what both gave at last.

    `extra_info` has the ratio, 1 where ours is as fast as the baseline: of the medians, and the median over pairs; and
    the CPU seconds of this process (worker processes are not counted), medians as well.
    """

    def measure(name, baseline, ours, rounds, per=1, unit="call"):
        seconds, base_cpu, own_cpu, last = [], [], [], []

        def setup():
            began, cpu_began = time.perf_counter(), time.process_time()
            result = baseline()
            seconds.append(time.perf_counter() - began)
            base_cpu.append(time.process_time() - cpu_began)
            last[:] = [result]

        def measured():
            cpu_began = time.process_time()
            result = ours()
            own_cpu.append(time.process_time() - cpu_began)
            return result

        measured()
        setup()
        for timings in (seconds, base_cpu, own_cpu):
            timings.clear()
        result = benchmark.pedantic(measured, setup=setup, rounds=rounds)
        stats = benchmark.stats.stats
        base, own = statistics.median(seconds), stats.median
        paired = statistics.median(b / o for b, o in zip(seconds, stats.data, strict=True))
        over, cpu = (own - base) / per * 1e6, statistics.median(own_cpu)
        told(
            f"{own * 1e3:.3f} ms, {name} {base * 1e3:.3f} ms: {base / own:.3f} of its speed "
            f"({paired:.3f} over pairs), {over:.0f} us more a {unit}, {cpu / per * 1e6:.0f} us of CPU each",
            baseline=name,
            baseline_seconds=base,
            baseline_cpu_seconds=statistics.median(base_cpu),
            cpu_seconds=cpu,
            ratio=base / own,
            paired=paired,
            **{f"microseconds_over_baseline_per_{unit}": over},
        )
        return last[0], result

    return measure
