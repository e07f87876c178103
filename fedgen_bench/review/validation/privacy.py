"""What records say that training guarantees, computed again from their configurations."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fedgen_bench.contract.reports import Privacy
from fedgen_bench.review.validation.notices import Notice, label, problem, remark
from fedgen_bench.suite.mechanisms import guarantee

if TYPE_CHECKING:
    from fedgen_bench.registry.registry import Registry
    from fedgen_bench.results.record import Record

GROUP = "values"
_ROUNDING = 1e-3  # between versions of the accountant


def guarantees(records: Sequence[Record], registry: Registry) -> Iterator[Notice]:
    """Every record of clients' privacy, by the mechanism of its configuration."""
    for record in records:
        mechanism = record.config.contender.mechanism
        said = record.privacy if record.status == "done" else None
        if said is not None and said.unit != "client":
            continue
        if mechanism is None or record.status != "done":
            if said is not None:
                yield problem(GROUP, f"{label(record)}: `privacy` is given, and no mechanism. Remove it.")
            continue
        if mechanism.name not in registry.components["mechanism"]:
            continue
        try:
            found = guarantee(mechanism, record.config.federation, registry)
        except ValueError as error:
            yield problem(GROUP, f"{label(record)}: its mechanism cannot have worked: {error}")
            continue
        except ModuleNotFoundError as error:
            yield remark(GROUP, f"{label(record)}: `privacy` was not computed again, for want of `{error.name}`.")
            continue
        if different := _different(said, found):
            yield problem(GROUP, f"{label(record)}: {different} One of them was changed.")


def _different(said: Privacy | None, found: Privacy | None) -> str:
    """How they differ, in a sentence; empty where they do not."""
    if said is None or found is None:
        return "" if said is found else f"`privacy` is {said}, its configuration gives {found}."
    for field in dataclasses.fields(Privacy):
        ours, theirs = getattr(said, field.name), getattr(found, field.name)
        same = math.isclose(ours, theirs, rel_tol=_ROUNDING) if isinstance(theirs, float) else ours == theirs
        if not same:
            return f"`privacy.{field.name}` is {ours}, its configuration gives {theirs}."
    return ""
