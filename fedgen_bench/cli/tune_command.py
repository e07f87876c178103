"""`fedgen-bench tune`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from fedgen_bench.cli import options


@click.command("tune")
@options.many(
    options.suite,
    options.contender,
    options.runs,
    options.leaderboards,
    options.data,
    options.files,
    options.device,
    options.plugin,
    options.engine,
    options.jobs,
    options.address,
)
def command(
    suite_name: str,
    contenders: tuple[str, ...],
    runs: Path,
    leaderboards: Path,
    data: Path | None,
    files: Mapping[str, Path],
    device: str,
    plugin_files: tuple[Path, ...],
    engine: str,
    jobs: int | None,
    address: str | None,
) -> int:
    """Run a suite's tuning grid: the same number of trials for every contender, the tuning seed, validation data only.

    Writes `leaderboards/<suite>/tuning.csv`; the suite's values are chosen from it by hand and a test holds them to it.
    """
    registry = options.open_registry(plugin_files)
    source = options.find_suite(registry, suite_name)
    from fedgen_bench.base.files import inside
    from fedgen_bench.base.processes import default_jobs
    from fedgen_bench.cli.progress import Progress
    from fedgen_bench.registry.datasets import places
    from fedgen_bench.registry.placement import placement
    from fedgen_bench.results.folders import write_together
    from fedgen_bench.results.store import Store
    from fedgen_bench.run.executor import Job
    from fedgen_bench.run.runner import run_cells
    from fedgen_bench.run.tuning import trials, tuning_table
    from fedgen_bench.suite.load import load_suite

    sources = places(registry, data, files)
    suite = load_suite(source, registry)
    place = placement(registry, engine, jobs, address, default_jobs(suite.training.threads, device))
    everything = trials(source, suite, registry)
    chosen = [trial.spec for trial in everything if not contenders or trial.contender in contenders]
    trials(source, suite, registry, contenders)
    with Store(runs) as store:
        with Progress(len(chosen), suite.evaluation.followed) as progress:
            job = Job(runs, sources, device, registry.plugin_files, engine, place.params)
            run_cells(chosen, registry, job, store, workers=place.n_cells, on_event=progress.note)
        stored = store.runs(suite_name, suite.suite.version, "tune")
    lower = registry.get("metric", suite.evaluation.metric).spec.lower_is_better
    text = tuning_table(suite, everything, stored, lower_is_better=lower)
    write_together(inside(leaderboards, suite_name), {"tuning.csv": text.encode()})
    click.echo(text, nl=False)
    return 0
