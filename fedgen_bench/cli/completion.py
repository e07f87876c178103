"""What the shell offers for values behind TAB: from the plugins' declarations, never torch; nothing when that fails."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from fedgen_bench.base.devices import DEVICES
from fedgen_bench.base.errors import FedgenError
from fedgen_bench.registry.datasets import known_datasets
from fedgen_bench.registry.kinds import KINDS
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.registry.registry import Registry
from fedgen_bench.registry.trackers import known_trackers

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
Offers = Iterable[tuple[str, str]]


def _completing(offers: Callable[[click.Context], Offers]) -> Complete:
    """`offers` gives (value, help); a shell that asks gets those that begin with what is typed."""

    def complete(ctx: click.Context, _: click.Parameter, typed: str) -> list[CompletionItem]:
        try:
            return [CompletionItem(value, help=text) for value, text in offers(ctx) if value.startswith(typed)]
        except (FedgenError, OSError, tomllib.TOMLDecodeError):
            return []

    return complete


def _registry(ctx: click.Context) -> Registry:
    return load_registry(ctx.params.get("plugins") or ())


def _summary(spec: Any) -> str:
    return getattr(spec, "summary", "")


def components(*kinds: str) -> Complete:
    """Names of components of these kinds."""
    return _completing(
        lambda ctx: [
            (name, _summary(registered.spec))
            for kind in kinds
            for name, registered in sorted(_registry(ctx).components[kind].items())
        ]
    )


def _or_suite_files(named: Complete) -> Complete:
    """What `named` offers, and suites' files in the folder that is typed."""

    def complete(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
        folder = typed[: typed.rfind("/") + 1]
        try:
            files = [f"{folder}{file.name}" for file in sorted(Path(folder).expanduser().glob("*.toml"))]
        except (OSError, RuntimeError):  # the latter where there is no such home
            files = []
        return [*named(ctx, param, typed), *(CompletionItem(file) for file in files if file.startswith(typed))]

    return complete


def _suite(ctx: click.Context) -> dict[str, Any]:
    """The table of the suite that the line names; an empty one when it names none that can be read."""
    from fedgen_bench.suite.source import suite_source

    named = ctx.params.get("suite")
    return {} if named is None else tomllib.loads(suite_source(named, _registry(ctx)).toml)


def _contenders(ctx: click.Context) -> Offers:
    listed = _suite(ctx).get("contender", ())
    return [(str(one["name"]), "") for one in listed if isinstance(one, dict) and "name" in one]


def _seeds(ctx: click.Context) -> Offers:
    return [(str(seed), "") for seed in _suite(ctx).get("seeds", {}).get("leaderboard", ())]


def _single_files(ctx: click.Context) -> Offers:
    return [(f"{name}=", one.summary) for name, one in known_datasets(_registry(ctx)).items() if one.is_file]


suites = _or_suite_files(components("suite"))
engines = components("engine")
anything = _or_suite_files(components(*KINDS))
fetchable = components("dataset", "backbone")
backbones = components("backbone")
contenders, seeds, single_files = map(_completing, (_contenders, _seeds, _single_files))
kinds = _completing(lambda _: [(kind, "") for kind in KINDS])
trackers = _completing(lambda _: [(name, "") for name in known_trackers()])
devices = _completing(lambda _: [(name, "") for name in DEVICES])
