"""Every registered component keeps its contract; a new plugin is covered without an edit here."""

from __future__ import annotations

import pytest
from fedgen_bench_plugins.backbones import grounds

from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.testing import parametrize_with_contracts, toy
from fedgen_bench.testing.adapters import adapter_checks

REGISTRY = load_registry([toy.__file__], environ={})
ON_LLAMA = ("lora", "mixed_lora", "dora", "ia3", "prefix", "prompt", "layernorm", "last_layer")


def test_registry_has_no_failures():
    assert REGISTRY.failures == ()


@parametrize_with_contracts(REGISTRY)
def test_component_keeps_contract(contract, request):
    if contract.check != "check_outcomes":  # an engine's, whose worker processes start anew as in a run
        request.getfixturevalue("forked")
    contract()


@pytest.mark.parametrize("check", list(adapter_checks()), ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", ON_LLAMA)
def test_adapter_keeps_contract_on_another_architecture(name, check):
    spec = REGISTRY.get("adapter", name).spec
    if check.__name__ in spec.exceptions:
        pytest.skip(spec.exceptions[check.__name__])
    check(spec, grounds.LLAMA)
