"""The registered claims judged in the order of their page, and the page written."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, get_args

from fedgen_bench.base.errors import FedgenError, PluginError, StoreError
from fedgen_bench.base.failures import origin, told
from fedgen_bench.base.guards import guarded
from fedgen_bench.review.claims import reasons, views
from fedgen_bench.review.claims.clock import EdgeDevice
from fedgen_bench.review.claims.findings import Finding, Verdict
from fedgen_bench.review.claims.page import page_files
from fedgen_bench.review.claims.views import View

if TYPE_CHECKING:
    from fedgen_bench.contract.claims import ClaimSpec
    from fedgen_bench.registry.registry import Registry
    from fedgen_bench.review.claims.evidence import Evidence


def claims_of(registry: Registry) -> list[ClaimSpec]:
    """Every registered claim in the order of the page: by its number's figure, then by the rest of it."""
    return sorted((registered.spec for registered in registry.components["claim"].values()), key=_place)


def _place(claim: ClaimSpec) -> tuple[int, str]:
    figure = re.match(r"\d*", claim.number)
    digits = figure[0] if figure else ""
    return (int(digits) if digits else 0, claim.number[len(digits) :])


def judged(evidence: Evidence, registry: Registry) -> dict[str, Finding]:
    """The finding of every claim that concerns the suite, by its number, in the order of the page.

    Raises:
        StoreError: published numbers that a claim cannot be computed from, as a mean of 0 that others are divided by.
        PluginError: a judge fails, leaves the process changed, or gives no finding.
    """
    findings = {}
    for claim in claims_of(registry):
        if _concerned(claim, evidence):
            findings[claim.number] = _judged(claim, evidence)
    return findings


def _concerned(claim: ClaimSpec, evidence: Evidence) -> bool:
    if claim.concerns is None:
        return True
    try:
        with guarded(f"Claim `{claim.name}`"):
            return bool(claim.concerns(evidence))
    except FedgenError:
        raise
    except Exception as error:
        raise PluginError(f"`concerns` of claim `{claim.name}` failed: {told(error)} ({origin(error)}).") from error


def _judged(claim: ClaimSpec, evidence: Evidence) -> Finding:
    try:
        with guarded(f"The judge of claim `{claim.name}`"):
            finding: object = claim.judge(evidence)
    except FedgenError:
        raise
    except ArithmeticError as error:
        raise StoreError(
            f"Claim {claim.number} cannot be judged from the published numbers of "
            f"`{evidence.main.suite.suite.name}` ({error}). `fedgen-bench validate` says which of them no run can give."
        ) from error
    except Exception as error:
        raise PluginError(f"The judge of claim `{claim.name}` failed: {told(error)} ({origin(error)}).") from error
    if not isinstance(finding, Finding):
        raise PluginError(f"The judge of claim `{claim.name}` returned a {type(finding).__name__}, expected a Finding.")
    if finding.verdict not in get_args(Verdict):
        raise PluginError(
            f"The judge of claim `{claim.name}` gave the verdict {finding.verdict!r}. Give one of "
            f"{', '.join(get_args(Verdict))}."
        )
    return finding


def viewed(evidence: Evidence) -> list[View]:
    """What stands behind the claims on their page."""
    main = evidence.main
    shown = [reasons.gap(evidence), views.quality_under_budget(main), views.cost_to_target(main, EdgeDevice())]
    return [one for one in shown if one is not None]


def written(evidence: Evidence, registry: Registry, *, drawn: bool = True) -> dict[str, bytes]:
    """`claims.md` with its charts' data, by name below the suite's published folder, and the charts if `drawn`.

    Raises:
        StoreError, PluginError: as `judged`.
    """
    return page_files(evidence, judged(evidence, registry), viewed(evidence), drawn=drawn)
