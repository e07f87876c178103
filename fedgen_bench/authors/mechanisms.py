"""For privacy mechanisms: what a round's clients changed, what is let through of it, what is booked and guaranteed."""

from __future__ import annotations

from fedgen_bench.contract.mechanisms import Change, MechanismContext, Released, Sampling
from fedgen_bench.contract.reports import LedgerEntry, Privacy

__all__ = ["Change", "LedgerEntry", "MechanismContext", "Privacy", "Released", "Sampling"]
