"""Every registered component keeps its contract; a new plugin is covered without an edit here."""

from __future__ import annotations

from fedgen_bench.plugins import load_registry
from fedgen_bench.testing import parametrize_with_contracts, toy

REGISTRY = load_registry([toy.__file__], environ={})
TASK_PARAMS = {"language_modeling": {"dataset": "tiny-wire", "backbone": "tiny-wire-lm", "valid_subset_lines": 16}}
STRATEGY_PARAMS = {
    "fedper": {"personal": ("right",)},
    "krum": {"n_byzantine": 0},
}
EXPECTED_FAILURES = {
    "prefix": {"check_initial_function_unchanged": "a prefix changes what the backbone computes from the start"},
    "krum": {"check_one_client": "distances to neighbours need three updates; it refuses fewer"},
    "trimmed_mean": {"check_one_client": "leaving out both ends needs three updates; it refuses fewer"},
    "prompt": {"check_initial_function_unchanged": "a soft prompt changes what the backbone computes from the start"},
    "natural": {
        "check_more_clients_than_labels": "clients are the values of a column; it refuses to invent others",
        "check_more_clients_than_units": "clients are the values of a column; it refuses to invent others",
    },
}


def test_registry_has_no_failures():
    assert REGISTRY.failures == ()


@parametrize_with_contracts(
    REGISTRY, task_params=TASK_PARAMS, strategy_params=STRATEGY_PARAMS, expected_failures=EXPECTED_FAILURES
)
def test_component_keeps_contract(contract):
    contract()
