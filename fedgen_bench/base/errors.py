"""The one tree of errors. Every message says what is wrong in one sentence and what to do in another."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class FedgenError(Exception):
    """Anything a user can mend; the command line prints it without a traceback."""

    exit_code = 1


class UsageError(FedgenError):
    """A name, parameter, file or option that does not exist or does not fit."""

    exit_code = 2


class SuiteError(UsageError):
    """Everything that is wrong with one suite, all at once."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> tuple[type, tuple[tuple[str, ...]]]:
        return type(self), (self.problems,)


class NotReadyError(FedgenError):
    """Everything that stands in the way of a command's first cell, all at once."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> tuple[type, tuple[tuple[str, ...]]]:
        return type(self), (self.problems,)


class PluginError(FedgenError):
    """A plugin that broke its contract, by name."""


class DataError(FedgenError):
    """Data that is missing, or is not what its hash says."""


class MissingDataError(DataError):
    """Data that is in none of the places where it is looked for."""


class StoreError(FedgenError):
    """The results store cannot be read, written or trusted."""


class WouldLoseError(StoreError):
    """A published folder holds results that the store lacks, and nobody said that they may go."""


class PairingError(FedgenError):
    """Two runs that are not comparable were about to stand side by side."""


class Diverged(FedgenError):  # noqa: N818 - a status, as the table shows it
    """Training produced a loss that is not a finite number."""


class RoundFailed(FedgenError):  # noqa: N818 - reads as what happened
    """Too few valid updates were left in a round to aggregate."""


class BudgetError(PluginError):
    """A strategy asked for more local work than the suite grants."""


class WireError(FedgenError):
    """Bytes that do not decode to what was expected; `code` is the quarantine reason."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.code, str(self))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``" Did you mean `x`?"`` for the closest known name, else what is known."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f" Did you mean `{close[0]}`?"
    return f" Known: {', '.join(f'`{name}`' for name in names)}." if names else " There is none."


def unknown(kind: str, name: str, known: Iterable[str], where: str = "") -> str:
    """The standard sentence for a name that does not exist."""
    return f"{where}Unknown {kind} `{name}`.{did_you_mean(name, known)}"
