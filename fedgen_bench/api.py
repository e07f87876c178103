"""The functions of `fedgen_bench`: each one call into a `Session` of its own, with the defaults of the command."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from fedgen_bench.session.frames import Results
from fedgen_bench.session.session import Session

__all__ = [
    "Results",
    "Session",
    "claims",
    "compare",
    "export",
    "leaderboard",
    "load_results",
    "profile",
    "reproduce",
    "run_suite",
    "tune",
    "validate",
]

if TYPE_CHECKING:
    from fedgen_bench.results.contrasts import Contrast
    from fedgen_bench.review.validation import Report
    from fedgen_bench.run.cohorts import Cohort
    from fedgen_bench.run.events import Event
    from fedgen_bench.session.answers import Export, Reproduction, Tuning, Verdicts
    from fedgen_bench.session.profiling import Profile


def run_suite(
    suite: str | Path,
    *,
    contenders: Sequence[str] = (),
    added: Sequence[str] = (),
    seeds: Sequence[int] = (),
    overrides: Sequence[str] = (),
    keep_clients: bool = False,
    plugins: Sequence[str | Path] = (),
    runs: str | Path = "runs",
    leaderboards: str | Path = "leaderboards",
    data: str | Path | None = None,
    files: Mapping[str, str | Path] = MappingProxyType({}),
    device: str = "auto",
    engine: str = "local",
    jobs: int | None = None,
    address: str | None = None,
    cohort: Cohort = 1,
    on_event: Callable[[Event], object] | None = None,
) -> Results:
    """Run what is left of a suite, write its leaderboard, and return all its results: `Session.run`.

    Raises:
        WouldLoseError: the published folder holds results that the store lacks, and stays as it is; what was run is in
            the store, for `load_results`. Not raised where all of them are reproduced here.
    """
    session = Session(
        plugins=plugins,
        runs=runs,
        leaderboards=leaderboards,
        data=data,
        files=files,
        device=device,
        engine=engine,
        jobs=jobs,
        address=address,
        cohort=cohort,
    )
    results = session.run(
        suite,
        contenders=contenders,
        added=added,
        seeds=seeds,
        overrides=overrides,
        keep_clients=keep_clients,
        on_event=on_event,
    )
    if results.kept is not None and not results.reproduced:
        raise results.kept
    return results


def load_results(where: str | Path, suite: str | Path | None = None, *, plugins: Sequence[str | Path] = ()) -> Results:
    """Results from a published folder (`leaderboards/<suite>`), or from a store (`runs`) for one suite: `Session.load`.

    Raises:
        UsageError: there are none, or a store's suite is not named.
    """
    return Session(plugins=plugins).load(where, suite)


def tune(
    suite: str | Path,
    *,
    contenders: Sequence[str] = (),
    plugins: Sequence[str | Path] = (),
    runs: str | Path = "runs",
    leaderboards: str | Path = "leaderboards",
    data: str | Path | None = None,
    files: Mapping[str, str | Path] = MappingProxyType({}),
    device: str = "auto",
    engine: str = "local",
    jobs: int | None = None,
    address: str | None = None,
    cohort: Cohort = 1,
    on_event: Callable[[Event], object] | None = None,
) -> Tuning:
    """Run what is left of a suite's trials and write `tuning.csv`: `Session.tune`."""
    session = Session(
        plugins=plugins,
        runs=runs,
        leaderboards=leaderboards,
        data=data,
        files=files,
        device=device,
        engine=engine,
        jobs=jobs,
        address=address,
        cohort=cohort,
    )
    return session.tune(suite, contenders=contenders, on_event=on_event)


def profile(
    suite: str | Path,
    *,
    contenders: Sequence[str] = (),
    seeds: Sequence[int] = (),
    rounds: int | None = None,
    overrides: Sequence[str] = (),
    operators: bool = False,
    plugins: Sequence[str | Path] = (),
    data: str | Path | None = None,
    files: Mapping[str, str | Path] = MappingProxyType({}),
    device: str = "auto",
    engine: str = "local",
    jobs: int | None = None,
    address: str | None = None,
    cohort: Cohort = 1,
    out: str | Path | None = None,
    on_event: Callable[[Event], object] | None = None,
) -> Profile:
    """Run cells in a store that is thrown away, to see where their time and memory go: `Session.profile`."""
    session = Session(
        plugins=plugins,
        data=data,
        files=files,
        device=device,
        engine=engine,
        jobs=jobs,
        address=address,
        cohort=cohort,
    )
    return session.profile(
        suite,
        contenders=contenders,
        seeds=seeds,
        rounds=rounds,
        overrides=overrides,
        operators=operators,
        out=out,
        on_event=on_event,
    )


def reproduce(
    folder: str | Path,
    *,
    contenders: Sequence[str] = (),
    seeds: Sequence[int] = (),
    sample: int | None = None,
    precision: Literal["fp32"] | None = None,
    plugins: Sequence[str | Path] = (),
    data: str | Path | None = None,
    files: Mapping[str, str | Path] = MappingProxyType({}),
    device: str = "auto",
    jobs: int | None = None,
    out: str | Path | None = None,
    on_event: Callable[[Event], object] | None = None,
) -> Reproduction:
    """Run cells of a published folder again from its record alone, and compare: `Session.reproduce`."""
    session = Session(plugins=plugins, data=data, files=files, device=device, jobs=jobs)
    return session.reproduce(
        folder,
        contenders=contenders,
        seeds=seeds,
        sample=sample,
        precision=precision,
        out=out,
        on_event=on_event,
    )


def export(
    suite: str | Path,
    contender: str,
    *,
    out: str | Path,
    seed: int | None = None,
    client: int | None = None,
    overrides: Sequence[str] = (),
    merge: bool = False,
    benchmark: str | None = None,
    runs: str | Path = "runs",
    plugins: Sequence[str | Path] = (),
    data: str | Path | None = None,
    files: Mapping[str, str | Path] = MappingProxyType({}),
    device: str = "auto",
) -> Export:
    """Write what a finished run has trained, for peft, transformers or diffusers: `Session.export`."""
    session = Session(plugins=plugins, runs=runs, data=data, files=files, device=device)
    return session.export(
        suite, contender, out=out, seed=seed, client=client, overrides=overrides, merge=merge, benchmark=benchmark
    )


def validate(folder: str | Path, *, plugins: Sequence[str | Path] = ()) -> Report:
    """What is wrong with a results folder, and what a reader should know: `Session.validate`."""
    return Session(plugins=plugins).validate(folder)


def claims(
    suite: str | Path, *, leaderboards: str | Path = "leaderboards", plugins: Sequence[str | Path] = ()
) -> Verdicts:
    """Judge the claims about a suite's reference, and write them: `Session.claims`."""
    return Session(plugins=plugins, leaderboards=leaderboards).claims(suite)


def leaderboard(
    suite: str | Path,
    *,
    runs: str | Path = "runs",
    leaderboards: str | Path = "leaderboards",
    plugins: Sequence[str | Path] = (),
    replace: bool = False,
) -> Results:
    """Write a suite's leaderboard from the store: `Session.leaderboard`."""
    return Session(plugins=plugins, runs=runs, leaderboards=leaderboards).leaderboard(suite, replace=replace)


def compare(
    suite: str | Path,
    first: str,
    second: str,
    *,
    runs: str | Path = "runs",
    leaderboards: str | Path | None = None,
    plugins: Sequence[str | Path] = (),
) -> tuple[Contrast, ...]:
    """Two contenders seed by seed: `Session.compare`, of what is published where `leaderboards` is given."""
    return Session(plugins=plugins, runs=runs).compare(suite, first, second, published=leaderboards)
