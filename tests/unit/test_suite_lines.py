"""Line numbers of a suite's tables and keys, as its messages give them."""

import pytest

from fedgen_bench.suite.lines import lines_of


def test_tables_and_keys_stand_where_they_are_written():
    found = lines_of('[suite]\nname = "x"\n\n[[contender]]\nstrategy = { name = "a" }\n[[contender]]\na.b = 1\n')
    assert found == {
        ("suite",): 1, ("suite", "name"): 2, ("contender", "0"): 4, ("contender", "0", "strategy"): 5,
        ("contender", "1"): 6, ("contender", "1", "a"): 7, ("contender", "1", "a", "b"): 7,
    }  # fmt: skip


@pytest.mark.parametrize("quotes", ['"""', "'''"])
def test_what_stands_within_a_text_of_several_lines_is_no_key(quotes):
    text = (
        f"[suite]\nnotes = {quotes}\nname = 'no'\n[task]\n{quotes}\nname = 'yes'  # it's {quotes}\n[task]\nname = '#'"
    )
    assert lines_of(text) == {
        ("suite",): 1, ("suite", "notes"): 2, ("suite", "name"): 6, ("task",): 7, ("task", "name"): 8,
    }  # fmt: skip


def test_a_text_may_hold_quotes_of_its_own():
    text = 'a = """ \\""" it\'s\nx = 1 """\nb = "# \\" \'\'\'"\nc = \'"""\'\nd = 1'
    assert lines_of(text) == {("a",): 1, ("b",): 3, ("c",): 4, ("d",): 5}
