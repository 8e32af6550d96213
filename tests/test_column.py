"""Columns on a terminal: whatever a name holds, what stands beside it stays in its place."""

import pytest

from exporter.column import Column, fit, head, line, printable, width, wrap

COLUMNS = (Column("NAME", 8), Column("SERVERS", 7, is_number=True))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("par", "par     "),
        ("exactly8", "exactly8"),
        ("nine-long", "nine-..."),
        ("東京", "東京    "),
        ("東京東京東", "東京... "),
        ("e\u0301te\u0301", "e\u0301te\u0301     "),
        ("a\x1b[2Jb", "a[2Jb   "),
        ("a\nb\r\tc", "abc     "),
        ("\u202eevil", "evil    "),
        ("<b>&", "<b>&    "),
        ("\u05d0", "\\u05d0  "),
        ("\ud800", "        "),
        ("", "        "),
    ],
    ids=str,
)
def test_a_text_takes_its_place_and_no_more(text: str, expected: str) -> None:
    """Too long, too wide, invisible or from right to left: it is eight cells."""
    found = fit(text, 8)
    assert (expected, 8) == (found, width(found))


def test_numbers_stand_to_the_right() -> None:
    """A line is aligned below its head, and ends with its last word."""
    expected = ["NAME      SERVERS", "par         1,143", "東京            1", "x"]
    rows = [("par", "1,143"), ("東京", "1"), ("x", "")]
    assert expected == [head(COLUMNS), *(line(COLUMNS, row) for row in rows)]


def test_prose_keeps_within_the_terminal() -> None:
    """Words go to the next line, and one that is longer than a line is broken."""
    told = wrap("of " * 40 + "x" * 200, indent="    ")
    assert {True} == {text.startswith("    ") and len(text) <= 80 for text in told}
    assert "of" * 40 + "x" * 200 == "".join(told).replace(" ", "")


def test_names_are_left_as_they_are() -> None:
    """Letters of the world from left to right are shown, and nothing is taken for markup."""
    assert "São Paulo, Кёльн, <i>" == printable("São Paulo, Кёльн, <i>")
