"""Options that several commands share, and what they open."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from fedgen_bench.base.devices import check_device
from fedgen_bench.base.errors import UsageError
from fedgen_bench.base.safe_text import one_line
from fedgen_bench.cli import completion
from fedgen_bench.registry import trackers
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.registry.registry import Registry


class UserPath(click.Path):
    """A path in which `~` is the user's home folder, also where the shell leaves it alone (`--data=~/texts`)."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path with the home folder in it."""
        return super().convert(os.path.expanduser(value), param, ctx)  # noqa: PTH111 - it leaves unknown users alone


PATH: Any = UserPath()


def _named_files(ctx: click.Context, param: click.Parameter, values: Sequence[str]) -> dict[str, Path]:
    """Paths by name, of values NAME=PATH."""
    found = {}
    for value in values:
        name, _, path = value.partition("=")
        if not (name and path):
            raise click.BadParameter(f"`{value}` is not NAME=PATH.", ctx, param)
        found[name] = PATH.convert(path, param, ctx)
    return found


def _known_device(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """The name of a device, be it there or not."""
    try:
        check_device(value)
    except UsageError as error:
        raise click.BadParameter(str(error), ctx, param) from None
    return value


def _tracked(ctx: click.Context, _: click.Parameter, names: Sequence[str]) -> None:
    """Remember trackers, which are plugins, for `_with_trackers`."""
    ctx.meta[trackers.GROUP] = tuple(Path(trackers.asked_for(name)) for name in names)


def _with_trackers(ctx: click.Context, _: click.Parameter, files: Sequence[Path]) -> tuple[Path, ...]:
    """Plugin files, and the trackers that were asked for."""
    return (*files, *ctx.meta.get(trackers.GROUP, ()))


suite = click.option(
    "--suite",
    "suite",
    required=True,
    metavar="NAME|FILE",
    help="Suite to work on (see `list suite`), or the .toml file of one of your own.",
    shell_complete=completion.suites,
)
runs = click.option("--runs", type=PATH, default=Path("runs"), show_default=True, help="Folder of the results store.")
leaderboards = click.option(
    "--leaderboards",
    type=PATH,
    default=Path("leaderboards"),
    show_default=True,
    help="Folder that leaderboards are written to.",
)
plugin = click.option(
    "--plugin",
    "plugins",
    multiple=True,
    type=PATH,
    metavar="FILE",
    callback=_with_trackers,
    help="Load a plugin from a Python file (repeatable).",
)
contender = click.option(
    "--contender",
    "contenders",
    multiple=True,
    metavar="NAME",
    help="Only this contender (repeatable).",
    shell_complete=completion.contenders,
)
seed = click.option(
    "--seed",
    "seeds",
    multiple=True,
    type=int,
    metavar="N",
    help="Only this seed (repeatable).",
    shell_complete=completion.seeds,
)
overrides = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="PATH=VALUE",
    help="Override a value of the suite; such results are shown, never ranked.",
)
tracker = click.option(
    "--tracker",
    "trackers",
    multiple=True,
    metavar="NAME",
    is_eager=True,
    expose_value=False,
    callback=_tracked,
    help="Also write rounds and results for a tracker: tensorboard, mlflow, wandb, trackio (repeatable).",
    shell_complete=completion.trackers,
)
data = click.option("--data", type=PATH, default=None, metavar="DIR", help="Folder to look for data sets in first.")
files = click.option(
    "--file",
    "files",
    multiple=True,
    metavar="NAME=PATH",
    callback=_named_files,
    help="A file of your own for the data set NAME, which is one file (see `data`; repeatable).",
    shell_complete=completion.single_files,
)
device = click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="NAME",
    callback=_known_device,
    help="Where models run: auto, cpu, cuda (all visible GPUs), one of these, as cuda:1, or mps (Apple).",
    shell_complete=completion.devices,
)
engine = click.option(
    "--engine",
    default="local",
    show_default=True,
    metavar="NAME",
    help="Where clients train (see `list engine`).",
    shell_complete=completion.engines,
)
jobs = click.option(
    "--jobs",
    type=click.IntRange(1),
    default=None,
    help="Worker processes.  [default: cores / the suite's threads; on CUDA one for each GPU]",
)
address = click.option("--address", default=None, metavar="ADDR", help="Of the cluster, for engines that have one.")


class _Cohort(click.ParamType):  # type: ignore[type-arg]
    """A number of clients from 1 on, or `auto`."""

    name = "K|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        text = str(value).strip().lower()
        if text != "auto" and not (text.isdecimal() and int(text)):
            self.fail(f"`{value}` is no number of clients from 1 on, and not `auto`.", param, ctx)
        return "auto" if text == "auto" else int(text)


cohort = click.option(
    "--cohort",
    type=_Cohort(),
    default=1,
    show_default=True,
    help="Clients trained in one pass where their fits allow it; `auto` for what is fastest here.",
)


def many(*options: Callable[..., Any]) -> Callable[..., Any]:
    """Several options as one decorator, in the order given."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def session(*which: Callable[..., Any]) -> Callable[..., Any]:
    """These options as one argument of the command: its `session`. What failed to load is said on stderr."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(**given: Any) -> Any:
            from fedgen_bench.session.session import Session

            own = {one.name for one in dataclasses.fields(Session)} & given.keys()
            opened = Session(**{name: given.pop(name) for name in own})
            warn_of_failures(opened.registry)
            return function(session=opened, **given)

        decorated: Callable[..., Any] = many(*which)(call)
        return decorated

    return decorate


def warn_of_failures(registry: Registry) -> None:
    """Say on stderr what failed to load."""
    for failure in registry.failures:
        click.echo(f"Warning: plugin {one_line(failure.plugin)} is left out: {one_line(failure.reason)}", err=True)


def open_registry(plugins: Sequence[Path] = ()) -> Registry:
    """The registry; what failed to load is said on stderr."""
    registry = load_registry(plugins)
    warn_of_failures(registry)
    return registry
