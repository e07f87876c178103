"""What every judge of a claim must hold, whatever was published."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from fedgen_bench.contract.claims import ClaimSpec
from fedgen_bench.review.claims.evidence import Evidence, Published, Scale
from fedgen_bench.review.claims.findings import Finding
from fedgen_bench.testing.locations import at
from fedgen_bench.testing.structure import described

Check = Callable[[ClaimSpec], None]


@cache
def nothing_published() -> Evidence:
    """The toy suite without a single finished run, and without ablations."""
    from fedgen_bench.registry.plugins import load_registry
    from fedgen_bench.suite.load import load_suite
    from fedgen_bench.testing import toy

    registry = load_registry([toy.__file__], environ={})
    suite = load_suite(registry.get("suite", "toy").spec, registry)
    metric = Scale(suite.evaluation.metric, "", lower_is_better=True)
    return Evidence(Published(suite, suite.suite.reference, (), metric, metric, metric, {}), {})


def check_rehearsal(spec: ClaimSpec) -> None:
    """Where nothing was published, the judge says that there is no evidence."""
    with at(spec.judge):
        found: object = spec.judge(nothing_published())
        assert isinstance(found, Finding), f"judge returned {described(found)}. Return a `Finding`."
        assert found.verdict == "no evidence", f"the verdict on nothing is `{found.verdict}`. Return `missing(...)`."


def claim_checks() -> tuple[Check, ...]:
    """The checks, in the order in which to read them."""
    return (check_rehearsal,)
