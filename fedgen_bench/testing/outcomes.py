"""Contracts without pytest: call one, and say how it went."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fedgen_bench.errors import DataError
from fedgen_bench.failures import is_interrupt, text_of, told

if TYPE_CHECKING:
    from fedgen_bench.testing.contracts import Contract

Status = Literal["passed", "failed", "known exception", "skipped"]


@dataclass(frozen=True)
class Outcome:
    """How one contract went. `message` says why it failed, was skipped or is excepted."""

    contract: Contract
    status: Status
    message: str = ""


def outcome_of(contract: Contract) -> Outcome:
    """Call a contract. A component's exception must not hold after all; data that are not there skip a check."""
    try:
        contract()
    except DataError as error:
        return Outcome(contract, "skipped", str(error))
    except BaseException as error:
        if is_interrupt(error):
            raise
        if contract.expected_failure:
            return Outcome(contract, "known exception", contract.expected_failure)
        return Outcome(contract, "failed", _told(error))
    if contract.expected_failure:
        return Outcome(contract, "failed", "it holds after all: take it out of the component's `exceptions`")
    return Outcome(contract, "passed")


def _told(error: BaseException) -> str:
    """An assertion's own words; of anything else also what it is and where it was raised."""
    text = text_of(error)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(frame.filename).name}:{frame.lineno}"
    if isinstance(error, AssertionError):
        return text or f"`{frame.line}` does not hold ({where})"
    return f"{told(error)} ({where})"
