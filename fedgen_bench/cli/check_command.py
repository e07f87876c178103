"""`fedgen-bench check`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fedgen_bench.base.errors import UsageError, unknown
from fedgen_bench.base.safe_text import one_line, printable
from fedgen_bench.cli import options
from fedgen_bench.registry.kinds import KINDS
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.registry.sources import source_sha256

if TYPE_CHECKING:
    from fedgen_bench.registry.registry import Failure, Observer, Registered, Registry
    from fedgen_bench.testing.contracts import Contract
    from fedgen_bench.testing.outcomes import Outcome


@click.command("check")
@click.argument("target")
@options.plugin
@click.option("--list", "only_list", is_flag=True, help="List the checks, run none.")
def command(target: str, plugins: tuple[Path, ...], only_list: bool) -> int:  # noqa: FBT001 - click passes flags so
    """Run the contract checks of TARGET: a component (NAME or KIND/NAME), a plugin FILE, or an installed DISTRIBUTION.

    Exit codes: 0 all hold (but for exceptions that a component declares), 1 some do not, 2 wrong usage.
    """
    is_file = target.endswith(".py")
    registry = load_registry([*plugins, target] if is_file else plugins)
    names = _members(registry, target, is_file=is_file)
    left_out = _left_out(registry, target, is_file=is_file)
    from fedgen_bench.testing.contracts import KINDS as CHECKED
    from fedgen_bench.testing.contracts import contracts_of

    if not left_out and not any(name.partition("/")[0] in CHECKED for name in names):
        raise UsageError(f"`{target}` has nothing to check. Contract checks exist for: {', '.join(CHECKED)}.")
    contracts = contracts_of(registry, names=names)
    return _listed(contracts) if only_list else _checked(contracts, left_out)


def _members(registry: Registry, target: str, *, is_file: bool) -> set[str]:
    """KIND/NAME of every component that the target means.

    Raises:
        UsageError: it means nothing, with the closest name.
    """
    everything: list[tuple[str, Registered | Observer]] = [
        *((f"{kind}/{name}", one) for kind in KINDS for name, one in registry.components[kind].items()),
        *((f"observer/{one.name}", one) for one in registry.observers),
    ]
    if target in (observers := {key for key, _ in everything if key.startswith("observer/")}):
        return observers & {target}
    if is_file:
        source = source_sha256(Path(target).expanduser())
        return {key for key, one in everything if one.provenance.source_sha256 == source}
    distributions = {one.provenance.distribution for _, one in everything}
    distributions |= {one.plugin.partition(":")[0] for one in registry.failures}
    if target in distributions:
        return {key for key, one in everything if one.provenance.distribution == target}
    known = {name for kind in KINDS for name in registry.components[kind]}
    if "/" not in target and target not in known:
        raise UsageError(unknown("component, file or distribution", target, known | distributions))
    return {f"{kind}/{one.spec.name}" for kind, one in registry.find(target)}


def _left_out(registry: Registry, target: str, *, is_file: bool) -> list[Failure]:
    """What the target brings and could not be registered."""
    resolved = str(Path(target).expanduser().resolve())
    return [
        one
        for one in registry.failures
        if (one.plugin == resolved if is_file else one.plugin.partition(":")[0] == target)
    ]


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
    for subject, outcomes in groupby(outcomes_of(contracts), lambda one: one.contract.subject):
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
    shown = ", ".join(f"{counts[one]} {one}" for one in STATUSES if counts[one] or one in {"passed", "failed"})
    click.echo(f"{counts.total()} checks: {shown}")
    return 1 if counts["failed"] else 0


def _lines(outcome: Outcome) -> list[str]:
    mark = outcome.status.upper() if outcome.status == "failed" else outcome.status
    first = f"  {mark:15}  {outcome.contract.check}: {outcome.contract.summary}"
    return [first, *(f"  {'':15}  {line}" for line in outcome.message.splitlines())]
