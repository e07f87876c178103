"""Every registered component keeps its contract; a new plugin is covered without an edit here."""

from __future__ import annotations

from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.testing import parametrize_with_contracts, toy

REGISTRY = load_registry([toy.__file__], environ={})


def test_registry_has_no_failures():
    assert REGISTRY.failures == ()


@parametrize_with_contracts(REGISTRY)
def test_component_keeps_contract(contract, request):
    if contract.check != "check_outcomes":  # an engine's, whose worker processes start anew as in a run
        request.getfixturevalue("forked")
    contract()
