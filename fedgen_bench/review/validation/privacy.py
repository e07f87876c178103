"""What records say that training guarantees, computed again from their configurations as far as these tell it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fedgen_bench.contract.reports import Privacy
from fedgen_bench.review.validation.notices import Notice, label, problem, remark
from fedgen_bench.suite.example_privacy import example_privacy
from fedgen_bench.suite.mechanisms import guarantee

if TYPE_CHECKING:
    from fedgen_bench.registry.registry import Registry
    from fedgen_bench.results.record import Done, Record

GROUP = "values"
_ROUNDING = 1e-3  # between versions of the accountant


def guarantees(records: Sequence[Record], registry: Registry) -> Iterator[Notice]:
    """Every record's guarantee: of clients by its mechanism, else of single examples by noise in local training."""
    for record in records:
        if record.status != "done":
            continue
        mechanism = record.config.contender.mechanism
        if mechanism is not None and mechanism.name not in registry.components["mechanism"]:
            continue
        try:
            found = guarantee(mechanism, record.config.federation, registry)
        except ValueError as error:
            yield problem(GROUP, f"{label(record)}: its mechanism cannot have worked: {error}")
            continue
        except ModuleNotFoundError as error:
            yield remark(GROUP, f"{label(record)}: `privacy` was not computed again, for want of `{error.name}`.")
            continue
        if different := _different(record.privacy, found or _of_examples(record)):
            yield problem(GROUP, f"{label(record)}: {different} One of them was changed.")


def _of_examples(record: Done) -> Privacy | None:
    """The guarantee of an example that is used as often as the record says; how often, only the data can say."""
    example_dp, said = record.config.contender.example_dp, record.privacy
    if example_dp is None or said is None:
        return None
    return example_privacy(example_dp, said.n_steps, record.config.training.batch_size, said.population)


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
