"""`fedgen-bench claims`."""

from __future__ import annotations

from pathlib import Path

import click

from fedgen_bench.cli import options


@click.command("claims")
@options.many(options.suite, options.leaderboards, options.plugin)
@click.option("--check", is_flag=True, help="Only check that the published page is what the published results give.")
def command(suite_name: str, leaderboards: Path, plugin_files: tuple[Path, ...], check: bool) -> int:  # noqa: FBT001 - click passes flags so
    """Judge the claims about a suite's reference from published results; write claims.md with charts and their data.

    Reads the suite's published folder and those of its ablations (suites with a [sweep] of it). With --check the exit
    code is 1 when the page or a chart's data differ.
    """
    registry = options.open_registry(plugin_files)
    options.find_suite(registry, suite_name)
    from fedgen_bench.base.files import inside
    from fedgen_bench.cli.screen import grid
    from fedgen_bench.results.folders import write_together
    from fedgen_bench.review.claims import gather, judged, written

    evidence = gather(leaderboards, suite_name, registry)
    folder = inside(leaderboards, suite_name)
    files = written(evidence)
    if check:
        return _checked(folder, files)
    write_together(folder, files)
    click.echo(grid(("", "claim", "verdict"), [(n, one.title, one.verdict) for n, one in judged(evidence).items()]))
    click.echo(f"Written to {folder / 'claims.md'}", err=True)
    return 0


def _checked(folder: Path, files: dict[str, bytes]) -> int:
    exact = {name: content for name, content in files.items() if not name.endswith(".svg")}
    different = sorted(
        n for n, content in exact.items() if not (folder / n).is_file() or (folder / n).read_bytes() != content
    )
    for name in different:
        click.echo(f"{folder / name} is not what the published results give.", err=True)
    if not different:
        click.echo(f"{folder}: the claims are what the published results give.")
    return 1 if different else 0
