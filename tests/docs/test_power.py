"""The table of how many seeds decide what, on the page of claims, from Student's t with its noncentral form."""

from math import sqrt
from pathlib import Path

import pytest
from scipy import stats

PAGE = Path(__file__).parents[2].joinpath("docs/claims.md").read_text(encoding="utf-8")


def power(effect: float, seeds: int) -> float:
    """How often a paired two-sided t test at 5 % decides, in percent; the effect is over the deviation."""
    bound, shift = stats.t.ppf(0.975, seeds - 1), effect * sqrt(seeds)
    return 100 * (stats.nct.sf(bound, seeds - 1, shift) + stats.nct.cdf(-bound, seeds - 1, shift))


def shown(percent: float) -> str:
    close = f"{percent:.1f}" if percent >= 99.5 else f"{percent:.0f}"
    return "100 %" if close == "100.0" else f"{close} %"


@pytest.mark.parametrize("effect", [1, 1.5, 2, 3])
def test_power_of_seeds_is_that_of_the_table(effect):
    enough = next(seeds for seeds in range(2, 100) if power(effect, seeds) >= 80)
    cells = [shown(power(effect, seeds)) for seeds in (3, 5, 8, 10)]
    assert f"| {effect} | {' | '.join(cells)} | {enough} |" in PAGE


def test_power_of_seeds_is_that_of_the_text():
    three, five = ([shown(power(effect, seeds)) for effect in (2, 3, 5)] for seeds in (3, 5))
    assert [*three, *five] == ["47 %", "75 %", "98 %", "91 %", "99.8 %", "100 %"]
    assert "three seeds decide 47, 75, 98 % of the time, five seeds 91, 99.8 and 100 %" in PAGE
