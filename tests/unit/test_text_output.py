"""Text from outside cannot steer a terminal or turn a page around."""

import pytest

from fedgen_bench.base.safe_text import one_line, printable
from fedgen_bench.cli.screen import grid

HOSTILE = "a$b\x1b[31mred\x07 \u202egnp.exe\u200f \x9bK \ud800 \x00"
SHOWN = r"a$b\x1b[31mred\x07 \u202egnp.exe\u200f \x9bK \ud800 \x00"


def test_characters_that_are_not_shown_become_escapes():
    assert printable(HOSTILE) == SHOWN
    assert printable("Grüße, 東京 – ±") == "Grüße, 東京 – ±"


@pytest.mark.parametrize(("keep", "shown"), [("", r"a\nb\tc"), ("\n", "a\nb\\tc")])
def test_line_ends_are_kept_where_they_are_ours(keep, shown):
    assert printable("a\nb\tc", keep=keep) == shown


def test_a_line_end_is_a_blank_in_a_line():
    assert one_line("a\nb\r\nc\u2028d\x85e\x1b") == r"a b c d e\x1b"


def test_grid_shows_no_control_characters_and_no_second_line():
    lines = grid(("head",), [(HOSTILE,), ("two\nlines",)]).splitlines()
    assert [line.rstrip() for line in lines[2:]] == [SHOWN, "two lines"]


def test_published_texts_hold_no_control_characters(registry, toy_suite):
    from fedgen_bench.results.contents import table_files
    from fedgen_bench.results.files import table_names
    from fedgen_bench.results.leaderboard import build_table

    suite = toy_suite()
    hostile = suite.suite.model_copy(update={"title": HOSTILE, "notes": f"one\n{HOSTILE}"})
    table = build_table(suite.model_copy(update={"suite": hostile}), [], registry)
    files = table_files(table, registry, table_names(registry))
    for name, content in files.items():
        text = (content or b"").decode()
        assert [one for one in text if not one.isprintable() and one != "\n"] == [], name
    assert SHOWN in files["table.md"].decode().replace("\\\\", "\\")
