"""Tests, corrections, bootstrap and bands on data with known answers."""

import math

import numpy as np
import pytest
from made_records import made
from scipy import stats as scipy_stats

from fedgen_bench.base.stats import (
    Interval,
    bca_interval,
    holm,
    interval,
    n_for_power,
    p_value,
    power,
    prediction_half_width,
)
from fedgen_bench.results.bands import FLOOR, band, bands, bands_csv


def test_p_value_is_the_one_sample_t_test():
    values = [0.3, 0.1, 0.4, -0.2, 0.6]
    assert p_value(values) == pytest.approx(scipy_stats.ttest_1samp(values, 0.0).pvalue)


@pytest.mark.parametrize("n", [2, 3, 5, 10, 100])
def test_interval_and_p_value_have_the_bits_of_scipy_stats(n):
    values = [math.sin(i) + 0.5 for i in range(n)]
    found, scale = interval(values), math.sqrt(n)
    half = float(scipy_stats.t.ppf(0.975, n - 1)) * found.std / scale
    assert (found.low, found.high) == (found.mean - half, found.mean + half)
    assert p_value(values) == float(2 * scipy_stats.t.sf(abs(found.mean) / (found.std / scale), n - 1))


def test_p_value_without_spread_is_certain():
    assert p_value([0.0, 0.0, 0.0]) == 1.0
    assert p_value([0.5, 0.5]) == 0.0
    assert p_value([3.0]) == 1.0


@pytest.mark.parametrize("value", [53.131037096495064, -0.1, 1e308, 5e-324])
@pytest.mark.parametrize("n", [2, 3, 6, 7])
def test_values_that_are_all_the_same_have_that_mean_and_no_spread(value, n):
    assert interval([value] * n) == Interval(value, 0.0, value, value, n)
    assert p_value([value] * n) == 0


def test_p_value_and_interval_agree_on_zero():
    for values in ([1.0, 1.1, 0.7], [0.1, -0.3, 0.4], [-2.0, -2.2]):
        found = interval(values)
        assert (p_value(values) < 0.05) == (found.low > 0 or found.high < 0)


def test_holm_is_the_published_example():
    # 0.01, 0.04, 0.03, 0.005 (Wikipedia, Holm-Bonferroni): 0.005 * 4, 0.01 * 3, 0.03 * 2, then the running maximum.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_never_exceeds_one_and_keeps_the_order():
    adjusted = holm([0.9, 0.2, 0.8])
    assert max(adjusted) <= 1.0
    assert adjusted[1] <= adjusted[2] <= adjusted[0]
    assert holm([]) == []


@pytest.mark.parametrize(
    ("ratio", "n", "level", "wanted"),
    [
        (2.0, 3, 0.05, 0.4707494312784346),  # three seeds decide 47 % of the time, ...
        (3.0, 3, 0.05, 0.7452680070062834),  # ... 75 %, ...
        (5.0, 3, 0.05, 0.9754622687331688),  # ... and 98 %
        (0.5, 33, 0.05, 0.795365841487504),
        (0.5, 34, 0.05, 0.8077775012792737),
        (1.0, 10, 0.05, 0.8030968566327218),
        (1.0, 5, 0.025, 0.25608883409967176),
        (0.2, 50, 0.01, 0.11338136339624535),
        (1.5, 6, 0.05 / 3, 0.5922344373098651),
    ],
)
def test_power_is_that_of_statsmodels(ratio, n, level, wanted):
    # statsmodels 0.14, TTestPower().power(ratio, n, level, alternative="two-sided")
    assert power(ratio, n, level) == power(-ratio, n, level) == pytest.approx(wanted, abs=1e-12)


def test_power_without_an_effect_is_the_level():
    assert power(0.0, 4, 0.05) == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("ratio", "level", "wanted"),  # TTestPower().solve_power(ratio, None, level, 0.8, "two-sided"), rounded up
    [(5, 0.05, 3), (3, 0.05, 4), (2, 0.05, 5), (1, 0.05, 10), (0.5, 0.05, 34), (0.5, 0.025, 41), (1.2, 0.05 / 6, 12)],
)
def test_n_for_power_is_the_fewest_with_it(ratio, level, wanted):
    assert n_for_power(ratio, level, 100) == wanted


def test_n_for_power_ends():
    assert n_for_power(0.3, 0.05, 100) == 90
    assert n_for_power(0.28, 0.05, 100) is None
    assert n_for_power(0.0, 0.05, 100) is None


def test_prediction_half_width_is_the_textbook_one():
    # 1..5: s = sqrt(2.5), t(0.975, 4) = 2.776445: 2.776445 * sqrt(2.5 * 1.2) = 4.808945.
    assert prediction_half_width([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(4.808945, abs=1e-5)
    with pytest.raises(ValueError, match="two values"):
        prediction_half_width([1.0])


def test_bca_interval_covers_the_mean_of_a_skewed_sample_and_is_the_same_again():
    sample = np.random.default_rng(5).exponential(size=80).tolist()
    found = bca_interval(sample)
    plain = interval(sample)
    assert found.low < plain.mean < found.high
    assert found.high - plain.mean > plain.mean - found.low  # skewed to the right, which a t interval cannot be
    assert found == bca_interval(sample)


def test_bca_interval_without_spread_has_no_width():
    assert (bca_interval([2.0, 2.0]).low, bca_interval([2.0, 2.0]).high) == (2.0, 2.0)
    assert math.isnan(bca_interval([2.0]).low)


def test_band_is_one_standard_deviation_but_no_less_than_the_floor():
    # 10, 12, 14: mean 12, s = 2; prediction t(0.975, 2) = 4.302653 * 2 * sqrt(4/3) = 9.936551.
    found = band([10.0, 12.0, 14.0])
    assert (found.mean, found.half_width) == (12.0, 2.0)
    assert found.one_more == pytest.approx(9.936551, abs=1e-5)
    assert band([50.0, 50.0]).half_width == band([50.0]).one_more == 50.0 * FLOOR


def test_bands_leave_out_what_did_not_finish_and_overridden_runs():
    def record(seed, value, status="done", off_suite=()):
        return made(
            {"contender": "a", "seed": seed, "status": status, "off_suite": off_suite, "metrics": {"test/m": value}}
        )

    records = [record(1, 1.0), record(2, 3.0), record(3, 9.0, status="diverged"), record(3, 9.0, off_suite=("x=1",))]
    (found,) = bands(records).values()
    assert (found.n_seeds, found.mean) == (2, 2.0)
    lines = bands_csv(records).splitlines()
    assert lines[1].startswith(f"a,test/m,2,2.0,{math.sqrt(2)!r},")
