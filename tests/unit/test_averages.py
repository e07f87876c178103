"""`StrategySpec.averages`: one update may stand for all of a round's, and who may say so."""

from __future__ import annotations

import pytest

from fedgen_bench.testing import load_registry
from fedgen_bench.testing.promises import check_averages, check_sends_from_keep
from fedgen_bench.testing.structure import with_defaults

AVERAGING = {
    *("ditto", "fedadam", "fedavg", "fedavgm", "feddpa", "fedgen_edge", "fedgen_edge_interpolated", "fedper"),
    *("fedprox", "fedsa_lora", "fedyogi", "ffa_lora"),
}
STRATEGIES = load_registry().components["strategy"]


SENDING_FROM_KEEP = {"fedper", "fedsa_lora"}


def test_who_averages():
    assert {name for name, one in STRATEGIES.items() if one.spec.averages} == AVERAGING


@pytest.mark.parametrize("name", sorted(STRATEGIES.keys() - AVERAGING - {"frozen", "centralized"}))
def test_who_does_not_average_breaks_the_check(name):
    spec = STRATEGIES[name].spec
    with pytest.raises((AssertionError, ValueError, RuntimeError)):
        check_averages(with_defaults(spec, spec.trial, name))


@pytest.mark.parametrize("name", sorted(AVERAGING))
def test_who_sends_from_private_state_says_so(name):
    spec = with_defaults(STRATEGIES[name].spec, STRATEGIES[name].spec.trial, name)
    assert spec.sends_from_keep is (name in SENDING_FROM_KEEP)
    if name == "fedper":  # the toy world's parts do not meet in its loss, a model's do
        return
    if spec.sends_from_keep:
        with pytest.raises(AssertionError, match="declare `sends_from_keep=True`"):
            check_sends_from_keep(spec)
    else:
        check_sends_from_keep(spec)
