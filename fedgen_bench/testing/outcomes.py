"""Contracts without pytest: call them, and say how it went, each cause once."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from unittest import SkipTest

from fedgen_bench.base.errors import DataError, SuiteError
from fedgen_bench.base.failures import is_interrupt, origin, text_of, told
from fedgen_bench.testing.locations import location_of, raised_at

if TYPE_CHECKING:
    from fedgen_bench.testing.contracts import Contract

Status = Literal["passed", "failed", "same cause", "not run", "known exception", "skipped"]
STATUSES: tuple[Status, ...] = ("passed", "failed", "same cause", "not run", "known exception", "skipped")


@dataclass(frozen=True)
class Outcome:
    """How one contract went.

    Args:
        message: why it failed, was skipped or is excepted, `file:line` first where it failed; lines of their own for
            several problems. For what failed from the same cause as another or was not run: that other's check.
        cause: equal for failures of one cause; empty for all else.
    """

    contract: Contract
    status: Status
    message: str = ""
    cause: tuple[str, ...] = ()


def outcome_of(contract: Contract) -> Outcome:
    """Call it. A component's exception must not hold after all; what is not installed or not there skips it."""
    try:
        contract()
    except (DataError, SkipTest) as error:
        return Outcome(contract, "skipped", str(error))
    except BaseException as error:
        if is_interrupt(error):
            raise
        if contract.expected_failure:
            return Outcome(contract, "known exception", contract.expected_failure)
        return _failed(contract, error)
    if contract.expected_failure:
        text = "it holds after all: take it out of the component's `exceptions`"
        return Outcome(contract, "failed", text, (contract.subject, contract.check))
    return Outcome(contract, "passed")


def outcomes_of(contracts: Iterable[Contract]) -> Iterator[Outcome]:
    """Call one after the other; a check whose need failed is not run, and a cause that was told is not told again."""
    lost: dict[tuple[str, str], str] = {}  # (subject, check) -> the check that failed or was skipped in the first place
    causes: dict[tuple[str, ...], str] = {}
    for contract in contracts:
        needs = [lost[contract.subject, one] for one in contract.needs if (contract.subject, one) in lost]
        if needs:
            lost[contract.subject, contract.check] = needs[0]
            yield Outcome(contract, "not run", needs[0])
            continue
        outcome = outcome_of(contract)
        if outcome.status in {"failed", "skipped"}:
            lost[contract.subject, contract.check] = contract.check
        if outcome.cause in causes:
            yield Outcome(contract, "same cause", causes[outcome.cause], outcome.cause)
            continue
        if outcome.cause:
            causes[outcome.cause] = f"{contract.subject} {contract.check}"
        yield outcome


def _failed(contract: Contract, error: BaseException) -> Outcome:
    """An assertion in its own words; of anything else also what it is. One place that raises is one cause."""
    where, raised = location_of(error, contract.owner), raised_at(error, contract.owner)
    text = _told(error)
    cause = (raised, type(error).__name__) if raised else (where, text)
    if not where and not isinstance(error, AssertionError | SuiteError):
        text = f"{text} ({origin(error)})"
    return Outcome(contract, "failed", f"{where}: {text}" if where else text, cause)


def _told(error: BaseException) -> str:
    if isinstance(error, SuiteError):
        return "\n".join(error.problems)
    text = text_of(error)
    if isinstance(error, AssertionError) and text:
        return text
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"`{frame.line}` does not hold" if isinstance(error, AssertionError) else told(error)
