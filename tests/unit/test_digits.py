"""How many digits people read."""

import pytest

from fedgen_bench.base.digits import decimals_of, show, show_bytes, show_in, show_percent


@pytest.mark.parametrize(
    ("value", "spread", "shown"),
    [
        (115.778, 0.0941, ("115.778", "0.094")),  # the spread's second digit
        (316.8, 19.6, ("316.8", "19.6")),  # the value's fourth digit
        (3.41, 0.1351, ("3.410", "0.135")),
        (0.09996, 0.01, ("0.09996", "0.01000")),
        (9999.96, 100.0, ("10000", "100")),  # rounded up to one more digit
        (8.651871234, 1e-12, ("8.651871", "0.000000")),  # a spread that is tiny
    ],
)
def test_value_and_spread_have_the_same_decimals(value, spread, shown):
    decimals = decimals_of(value, spread)
    assert (show(value, decimals), show(spread, decimals)) == shown


@pytest.mark.parametrize("spread", [None, 0.0, float("nan"), float("inf")])
def test_spread_that_says_nothing_decides_nothing(spread):
    assert decimals_of(8.651, spread) == decimals_of(8.651) == 3


@pytest.mark.parametrize(
    ("value", "shown"),
    [(11.0, "11.00"), (160.0, "160.0"), (1234.5, "1234"), (0.0, "0"), (-0.25, "-0.2500"), (1.5e-7, "1.500e-07")],
)
def test_value_alone_has_four_digits_and_keeps_its_zeros(value, shown):
    assert show(value) == shown


def test_nothing_is_shown_as_asked_and_differences_have_a_sign():
    assert (show(None), show(None, nothing=""), show(0.5, 2, sign="+")) == ("–", "", "+0.50")


@pytest.mark.parametrize(
    ("value", "shown"), [(None, "–"), (999, "999 B"), (2700, "2.70 kB"), (55_000, "55.0 kB"), (3.41e9, "3.41 GB")]
)
def test_bytes_have_three_digits(value, shown):
    assert show_bytes(value) == shown


def test_percent_has_two_decimals():
    assert (show_percent(0.99049), show_percent(None, nothing="")) == ("99.05 %", "")
    assert (show_percent(-1e-6), show_percent(-1e-4)) == ("0.00 %", "-0.01 %")


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (None, "joules", "–"),
        (0.0, "joules", "0 J"),
        (0.0025, "joules", "2.50 mJ"),
        (999.9, "FLOPs", "1000 FLOP"),
        (1.234e12, "FLOPs", "1.23 TFLOP"),
        (61.24, "seconds", "61.2 s"),
        (0.5, "share", "50.00 %"),
        (2048.0, "bytes", "2.05 kB"),
        (3.5, "number", "3.500"),
    ],
)
def test_values_stand_in_their_unit(value, unit, shown):
    assert show_in(value, unit) == shown
