"""`fedgen-bench leaderboard`."""

from __future__ import annotations

from pathlib import Path

import click

from fedgen_bench.cli import options


@click.command("leaderboard")
@options.many(options.suite, options.runs, options.leaderboards, options.plugin)
@click.option("--check", is_flag=True, help="Only check that the published files are what the published results give.")
@click.option(
    "--from-results",
    is_flag=True,
    help="Write a published folder's tables again from its own results, without a store.",
)
@click.option("--replace", is_flag=True, help="Replace a folder that holds results which the store lacks.")
def command(
    suite_name: str,
    runs: Path,
    leaderboards: Path,
    plugin_files: tuple[Path, ...],
    check: bool,  # noqa: FBT001 - click passes flags so
    from_results: bool,  # noqa: FBT001
    replace: bool,  # noqa: FBT001
) -> int:
    """Write a leaderboard from stored results, or check a published one (exit code 1 when a file differs)."""
    registry = options.open_registry(plugin_files)
    source = options.find_suite(registry, suite_name)
    from fedgen_bench.results.publish import check_folder, publish, remake
    from fedgen_bench.suite.load import load_suite

    if check:
        different = check_folder(leaderboards / suite_name, registry)
        for name in different:
            click.echo(f"{leaderboards / suite_name / name} is not what the published results give.", err=True)
        if not different:
            click.echo(f"{leaderboards / suite_name}: every file is what the published results give.")
        return 1 if different else 0
    if from_results:
        remake(leaderboards / suite_name, registry)
        click.echo(f"Written again: {leaderboards / suite_name}", err=True)
        return 0
    from fedgen_bench.cli.screen import print_table
    from fedgen_bench.results.store import Store

    suite = load_suite(source, registry)
    with Store(runs, create=False) as store:
        table, folder = publish(source, suite, registry, store, leaderboards, replace=replace)
    print_table(table)
    click.echo(f"Written to {folder}", err=True)
    return 0
