"""`fedgen-bench`: the group of commands, loaded when called; user errors become one message and an exit code."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import traceback

import click

import fedgen_bench
from fedgen_bench.base.errors import FedgenError, did_you_mean
from fedgen_bench.base.failures import interrupt, origin, told
from fedgen_bench.base.missing import missing_library
from fedgen_bench.base.safe_text import printable

_LINE_END = "\n"
COMMANDS = {
    "run": "Run a suite (or what is left of it) and write its leaderboard.",
    "leaderboard": "Write a leaderboard from stored results, or check a published one.",
    "claims": "Judge the claims about a suite's reference from published results.",
    "site": "Write a static site of all published folders.",
    "validate": "Check a results folder without executing anything from it.",
    "runs": "List what the results store holds, or remove some of it.",
    "show-table": "Show the table of a published folder.",
    "plot": "Draw the plots of a published folder again.",
    "merge": "Add rows of another machine's folder to a published one.",
    "list": "List components, where they come from, and what failed to load.",
    "show": "Show one component or suite.",
    "new-plugin": "Write an installable package with a component of your own.",
    "new-suite": "Write a suite of your own, every key with a comment.",
    "schema": "Print the JSON Schema of a suite, for editors.",
    "check": "Run the contract checks of a component, a plugin or suite file, or a distribution.",
    "reproduce": "Run cells of a published folder again from its record alone, and compare.",
    "export": "Write what a finished run has trained, for peft, transformers or diffusers.",
    "compare": "Compare two contenders of a suite over their seeds.",
    "tune": "Run a suite's tuning grid on validation data.",
    "profile": "Show where the time, bytes and memory of a suite's rounds go, by phase.",
    "pretrain": "Train a backbone from its recipe.",
    "data": "List data sets and where they are; `data fetch NAME` downloads one.",
    "env": "Show the environment that results would record.",
}


_TRACEBACK = "FEDGEN_TRACEBACK"


class LazyGroup(click.Group):
    """Commands live in `fedgen_bench.cli.<name>_command` (`_` for `-`) and are imported when one is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = f"fedgen_bench.cli.{cmd_name.replace('-', '_')}_command"
        return importlib.import_module(module).command  # type: ignore[no-any-return]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS:
            ctx.fail(f"Unknown command `{args[0]}`.{did_you_mean(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(fedgen_bench.__version__, prog_name="fedgen-bench")
def cli() -> None:
    """Federated fine-tuning of generative models, compared with numbers that can be believed."""


def main() -> None:
    """Entry point: 0 done, 1 something failed, 2 wrong usage, 130 interrupted."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    try:
        code = cli.main(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except Exception as error:  # noqa: BLE001 - the last place that can say what went wrong
        if os.environ.get(_TRACEBACK):
            traceback.print_exc()
        sys.exit(_told(error))
    except KeyboardInterrupt:
        sys.exit(_told(click.exceptions.Abort()))


def _told(error: Exception) -> int:
    """Say on stderr what went wrong; the exit code."""
    if isinstance(error, BrokenPipeError):
        _leave_stdout()
        return 1
    with contextlib.suppress(OSError):
        if isinstance(error, click.ClickException):
            error.show()
        elif isinstance(error, click.exceptions.Abort):  # what click makes of an interrupt
            click.echo("Interrupted. Committed rounds are kept: the same command resumes.", err=True)
        else:
            click.echo(f"Error: {_sentence(error)}", err=True)
    if isinstance(error, OSError):
        _leave_stdout()
    if isinstance(error, click.exceptions.Abort):
        return 130
    return 2 if isinstance(error, click.ClickException) else getattr(error, "exit_code", 1)


def _sentence(error: Exception) -> str:
    if isinstance(error, FedgenError):
        return printable(str(error), keep=_LINE_END)
    if isinstance(error, OSError) and error.strerror:
        paths = " and ".join(str(one) for one in (error.filename, error.filename2) if one is not None)
        where = printable(paths) or "The output"
        return f"{where}: {error.strerror}. Check the path, its permissions and the space on its disk."
    return missing_library(error) or (
        f"{printable(told(error))} ({origin(error)}). This was not foreseen: it is a mistake in a plugin or in "
        f"fedgen-bench. Set {_TRACEBACK}=1 to see where it comes from."
    )


def _leave_stdout() -> None:
    """Nothing more is written to a stdout that cannot take it, nor at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
