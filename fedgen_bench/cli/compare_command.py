"""`fedgen-bench compare`."""

from __future__ import annotations

import math
from pathlib import Path

import click

from fedgen_bench.base.errors import UsageError, unknown
from fedgen_bench.cli import completion, options


@click.command("compare")
@options.many(options.suite, options.runs, options.plugin)
@click.option(
    "--leaderboards",
    type=options.PATH,
    default=None,
    metavar="DIR",
    help="Compare what is published in DIR/<suite> instead of what is stored.",
)
@click.argument("first", shell_complete=completion.contenders)
@click.argument("second", shell_complete=completion.contenders)
def command(
    suite_name: str, runs: Path, plugin_files: tuple[Path, ...], leaderboards: Path | None, first: str, second: str
) -> int:
    """Compare contenders FIRST and SECOND seed by seed, on every metric that both have: SECOND minus FIRST."""
    registry = options.open_registry(plugin_files)
    source = options.find_suite(registry, suite_name)
    from fedgen_bench.base.stats import paired_difference
    from fedgen_bench.cli.screen import grid
    from fedgen_bench.results.leaderboard import check_pairing, record_of
    from fedgen_bench.results.published import open_folder
    from fedgen_bench.results.store import Store
    from fedgen_bench.suite.load import load_suite

    if leaderboards is not None:
        stored = open_folder(leaderboards / suite_name).records
    else:
        suite = load_suite(source, registry)
        with Store(runs, lock=False, create=False) as store:
            stored = [record_of(run) for run in store.runs(suite_name, suite.suite.version)]
    records = [record for record in stored if record["status"] == "done" and not record["off_suite"]]
    names = {record["contender"] for record in records}
    for name in (first, second):
        if name not in names:
            raise UsageError(unknown("finished contender", name, names))
    chosen = [record for record in records if record["contender"] in (first, second)]
    check_pairing(chosen)
    by_name = {name: {r["seed"]: r["metrics"] for r in chosen if r["contender"] == name} for name in (first, second)}
    rows = []
    for metric in sorted({key for metrics in by_name[first].values() for key in metrics}):
        ours, theirs = (
            {seed: m[metric] for seed, m in by_name[name].items() if metric in m} for name in (first, second)
        )
        found = paired_difference(ours, theirs)
        if found is not None:
            between = "" if math.isnan(found.low) else f"{found.low:+.4g} to {found.high:+.4g}"
            means = [sum(values.values()) / len(values) for values in (ours, theirs)]
            rows.append((metric, f"{means[0]:.5g}", f"{means[1]:.5g}", f"{found.mean:+.4g}", between, str(found.n)))
    click.echo(grid(("metric", first, second, "difference", "95 % interval (paired t)", "seeds"), rows))
    return 0
