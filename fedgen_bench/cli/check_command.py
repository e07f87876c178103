"""`fedgen-bench check`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fedgen_bench.base.errors import UsageError
from fedgen_bench.base.safe_text import one_line, printable
from fedgen_bench.cli import completion, options
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.registry.targets import find_target, is_file
from fedgen_bench.suite.source import is_suite_file, suite_source

if TYPE_CHECKING:
    from fedgen_bench.registry.registry import Failure
    from fedgen_bench.testing.contracts import Contract
    from fedgen_bench.testing.outcomes import Outcome


@click.command("check")
@click.argument("target", shell_complete=completion.anything)
@options.plugin
@click.option("--list", "only_list", is_flag=True, help="List the checks, run none.")
def command(target: str, plugins: tuple[Path, ...], only_list: bool) -> int:  # noqa: FBT001 - click passes flags so
    """Run the contract checks of TARGET.

    TARGET is a component (NAME or KIND/NAME), a plugin's or a suite's FILE (.py, .toml), or an installed DISTRIBUTION.

    Exit codes: 0 all hold (but for exceptions that a component declares), 1 some do not, 2 wrong usage.
    """
    registry = load_registry([*plugins, target] if is_file(target) else plugins)
    if is_suite_file(target):
        from fedgen_bench.testing.contracts import suite_contracts

        contracts = suite_contracts(suite_source(target, registry), registry)
        return _listed(contracts) if only_list else _checked(contracts, ())
    asked = find_target(registry, target)
    from fedgen_bench.testing.contracts import KINDS as CHECKED
    from fedgen_bench.testing.contracts import contracts_of

    if not asked.left_out and not any(name.partition("/")[0] in CHECKED for name in asked.names):
        raise UsageError(f"`{target}` has nothing to check. Contract checks exist for: {', '.join(CHECKED)}.")
    contracts = contracts_of(registry, names=asked.names)
    return _listed(contracts) if only_list else _checked(contracts, asked.left_out)


def _listed(contracts: Iterable[Contract]) -> int:
    from fedgen_bench.cli.screen import grid

    rows = [(one.subject, one.check, one.summary) for one in contracts]
    click.echo(grid(("component", "check", "what must hold"), rows))
    return 0


def _checked(contracts: Iterable[Contract], left_out: Iterable[Failure]) -> int:
    """Run and print each as it ends: one line a check, and below what does not hold why, each cause once."""
    from fedgen_bench.testing.outcomes import STATUSES, outcomes_of

    counts: Counter[str] = Counter()
    for failure in left_out:
        counts["failed"] += 1
        click.echo(f"FAILED  {one_line(failure.plugin)} is left out: {one_line(failure.reason)}")
    for subject, outcomes in groupby(outcomes_of(contracts), lambda outcome: outcome.contract.subject):
        click.echo(subject)
        again: dict[tuple[str, str], list[str]] = {}
        for outcome in outcomes:
            counts[outcome.status] += 1
            if outcome.status in {"not run", "same cause"}:
                again.setdefault((outcome.status, outcome.message), []).append(outcome.contract.check)
                continue
            for line in _lines(outcome):
                click.echo(printable(line))
        for (status, other), checks in again.items():
            why = "as" if status == "same cause" else "for want of"
            click.echo(f"  {status:15}  {why} {other}: {', '.join(checks)}")
    shown = ", ".join(
        f"{counts[status]} {status}" for status in STATUSES if counts[status] or status in {"passed", "failed"}
    )
    click.echo(f"{counts.total()} checks: {shown}")
    return 1 if counts["failed"] else 0


def _lines(outcome: Outcome) -> list[str]:
    mark = outcome.status.upper() if outcome.status == "failed" else outcome.status
    first = f"  {mark:15}  {outcome.contract.check}: {outcome.contract.summary}"
    return [first, *(f"  {'':15}  {line}" for line in outcome.message.splitlines())]
