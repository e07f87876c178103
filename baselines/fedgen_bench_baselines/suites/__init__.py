"""The headline suites, FedGen-Edge against the baselines here, each with its text beside this file."""

from __future__ import annotations

from pathlib import Path

from fedgen_bench import SuiteSource, hookimpl


@hookimpl
def register_suites() -> list[SuiteSource]:
    return SuiteSource.all_in(Path(__file__).parent)
