"""Typed reads from untrusted JSON."""

import hashlib
import math
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.errors import SchemaError
from exporter.fields import TEXT_LIMIT, clean, count, items, mapping, member, number, text

LARGEST = 2**63 - 1

CAPACITIES: dict[str, tuple[object, float]] = {
    "zero": (0, 0),
    "integer": (5, 5),
    "hundred": (100, 100),
    "float": (35.5, 35.5),
    "whole float": (35.0, 35.0),
    "tiny float": (1e-9, 1e-9),
    "exponent in JSON": (1e2, 100.0),
    "text": ("4", 4),
    "text of zero": ("0", 0),
    "text of hundred": ("100", 100),
    "text of a float": ("35.5", 35.5),
    "text with leading zeros": ("007", 7),
    "text with trailing zeros": ("100.000", 100.0),
}

NO_NUMBER = "capacity: expected a number, got "
OUT_OF_RANGE = "capacity: not within 0..100"
BAD_CAPACITIES: dict[str, tuple[object, str]] = {
    "null": (None, f"{NO_NUMBER}null"),
    "true": (True, f"{NO_NUMBER}true or false"),
    "false": (False, f"{NO_NUMBER}true or false"),
    "empty list": ([], f"{NO_NUMBER}a list"),
    "list of one": ([5], f"{NO_NUMBER}a list"),
    "object": ({"percent": 5}, f"{NO_NUMBER}an object"),
    "empty text": ("", f"{NO_NUMBER}text"),
    "word": ("low", f"{NO_NUMBER}text"),
    "underscore": ("5_0", f"{NO_NUMBER}text"),
    "leading space": (" 5", f"{NO_NUMBER}text"),
    "trailing space": ("5 ", f"{NO_NUMBER}text"),
    "trailing newline": ("5\n", f"{NO_NUMBER}text"),
    "exponent in text": ("1e2", f"{NO_NUMBER}text"),
    "hexadecimal": ("0x10", f"{NO_NUMBER}text"),
    "plus sign": ("+5", f"{NO_NUMBER}text"),
    "minus sign in text": ("-1", f"{NO_NUMBER}text"),
    "percent sign": ("5%", f"{NO_NUMBER}text"),
    "decimal comma": ("5,5", f"{NO_NUMBER}text"),
    "bare point": (".5", f"{NO_NUMBER}text"),
    "ending point": ("5.", f"{NO_NUMBER}text"),
    "two points": ("1.2.3", f"{NO_NUMBER}text"),
    "arabic digit": ("\u0665", f"{NO_NUMBER}text"),
    "superscript": ("\u00b2", f"{NO_NUMBER}text"),
    "NaN in text": ("NaN", f"{NO_NUMBER}text"),
    "infinity in text": ("inf", f"{NO_NUMBER}text"),
    "endless text": ("9" * 100_000, f"{NO_NUMBER}text"),
    "endless fraction": ("1." + "0" * 100_000, f"{NO_NUMBER}text"),
    "negative": (-1, OUT_OF_RANGE),
    "just below": (-1e-9, OUT_OF_RANGE),
    "just above": (100.0001, OUT_OF_RANGE),
    "text just above": ("100.0001", OUT_OF_RANGE),
    "text far above": ("9999999999999999999", OUT_OF_RANGE),
    "above": (101, OUT_OF_RANGE),
    "largest float": (1.7976931348623157e308, OUT_OF_RANGE),
    "beyond every float": (10**4000, OUT_OF_RANGE),
    "1e999, which JSON reads as infinity": (math.inf, OUT_OF_RANGE),
    "minus infinity": (-math.inf, OUT_OF_RANGE),
    "not a number": (math.nan, OUT_OF_RANGE),
}


def problem(read: Callable[..., object], *args: object, **limits: float) -> str:
    """What the read says is wrong; nothing when it reads."""
    try:
        read(*args, **limits)
    except SchemaError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(("value", "expected"), CAPACITIES.values(), ids=CAPACITIES)
def test_a_number_is_read_as_number_or_plain_decimal_text(value: object, expected: float) -> None:
    """Numbers are taken as they are, also where the API writes them as text."""
    assert expected == number(value, "capacity", low=0, high=100)


@pytest.mark.parametrize(("value", "expected"), BAD_CAPACITIES.values(), ids=BAD_CAPACITIES)
def test_what_is_no_number_in_range_is_refused_with_its_path(value: object, expected: str) -> None:
    """Nothing is clamped, guessed or turned to zero, and the error quotes no value."""
    assert expected == problem(number, value, "capacity", low=0, high=100)


@given(st.one_of(st.integers(), st.floats(), st.text(), st.booleans(), st.none()))
def test_a_number_that_is_read_lies_in_its_range(value: object) -> None:
    """Whatever comes, either it lies within the limits or it is refused."""
    try:
        read = number(value, "capacity", low=0, high=100)
    except SchemaError:
        return
    assert 0 <= read <= 100


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        (212304205666, 212304205666),
        (2.0, 2),
        ("19996", 19996),
        ("2.0", 2),
        (LARGEST, LARGEST),
        (str(LARGEST), LARGEST),
    ],
    ids=str,
)
def test_a_count_is_exact(value: object, expected: int) -> None:
    """Whole numbers up to 63 bits keep every digit."""
    read = count(value, "bandwidth")
    assert (expected, int) == (read, type(read))


@pytest.mark.parametrize(
    ("value", "expected"),
    {
        "half": (0.5, "bandwidth: expected a whole number"),
        "text of a half": ("0.5", "bandwidth: expected a whole number"),
        "negative": (-1, "bandwidth: not within 0..9.22337e+18"),
        "more than 63 bits": (2**63 + 1, "bandwidth: not within 0..9.22337e+18"),
        "infinite": (math.inf, "bandwidth: not within 0..9.22337e+18"),
        "not a number": (math.nan, "bandwidth: not within 0..9.22337e+18"),
        "null": (None, "bandwidth: expected a number, got null"),
        "true": (True, "bandwidth: expected a number, got true or false"),
    }.values(),
    ids=lambda value: str(value)[:30],
)
def test_what_is_no_count_is_refused(value: object, expected: str) -> None:
    """Fractions, negative and overlong numbers are wrong counts, not rounded ones."""
    assert expected == problem(count, value, "bandwidth")


@pytest.mark.parametrize(
    ("value", "expected"),
    [({}, {}), ({"a": 1}, {"a": 1}), ([], {})],
    ids=["empty", "object", "the empty list of PHP"],
)
def test_an_object_is_read(value: object, expected: object) -> None:
    """An empty map may come as an empty list."""
    assert expected == mapping(value, "server")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "server: expected an object, got null"),
        ([{}], "server: expected an object, got a list"),
        ("{}", "server: expected an object, got text"),
        (0, "server: expected an object, got a number"),
        (1.5, "server: expected an object, got a number"),
        (False, "server: expected an object, got true or false"),
    ],
    ids=["null", "list", "text", "integer", "float", "false"],
)
def test_what_is_no_object_is_refused(value: object, expected: str) -> None:
    """A list with anything in it is no map, and neither is anything else."""
    assert expected == problem(mapping, value, "server")


def test_a_member_may_be_null() -> None:
    """Being there is all that is asked of a required member."""
    assert member({"capacity": None}, "capacity") is None


def test_an_absent_member_is_refused_by_name() -> None:
    """The error tells which member is missing."""
    assert "capacity: absent" == problem(member, {"capacty": 5}, "capacity")


@pytest.mark.parametrize(
    ("value", "expected"),
    {
        "plain": ("Paris", "Paris"),
        "UTF-8": ("S\u00e3o Paulo", "S\u00e3o Paulo"),
        "Chinese": ("\u81fa\u5317", "\u81fa\u5317"),
        "emoji": ("\U0001f3d9", "\U0001f3d9"),
        "quote and backslash": ('"\\', '"\\'),
        "spaces around": ("  Paris\u00a0", "Paris"),
        "spaces within": ("New  York", "New  York"),
        "newline": ("New\nYork", "NewYork"),
        "carriage return and tab": ("New\r\tYork", "NewYork"),
        "null and delete": ("New\x00\x7fYork", "NewYork"),
        "C1 next line": ("New\x85York", "NewYork"),
        "zero width space": ("New\u200bYork", "NewYork"),
        "byte order mark": ("\ufeffParis", "Paris"),
        "right to left override": ("\u202eParis", "Paris"),
        "lone surrogates": ("\ud83cParis\udc00", "Paris"),
        "null": (None, "unknown"),
        "empty": ("", "unknown"),
        "only spaces": ("   ", "unknown"),
        "nothing visible": ("\u200b\n\x00\ud800", "unknown"),
    }.values(),
    ids=ascii,
)
def test_text_is_fit_for_a_label(value: object, expected: str) -> None:
    """Control, format and surrogate characters go; what leaves nothing is unknown."""
    assert expected == text(value, "city")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5, "city: expected text, got a number"),
        (False, "city: expected text, got true or false"),
        ([], "city: expected text, got a list"),
        ({}, "city: expected text, got an object"),
    ],
    ids=["number", "false", "list", "object"],
)
def test_what_is_no_text_is_refused(value: object, expected: str) -> None:
    """Only text and null can become a label."""
    assert expected == problem(text, value, "city")


def test_text_of_the_limit_stays_whole() -> None:
    """128 characters are not cut."""
    longest = "\u00e9" * TEXT_LIMIT
    assert longest == clean(longest)


def test_longer_text_is_cut_and_ends_in_a_hash() -> None:
    """The hash is of the whole cleaned text."""
    long = "x" * 10_000
    expected = "x" * 119 + "~" + hashlib.sha256(long.encode()).hexdigest()[:8]
    assert expected == clean(f"\n {long}\u200b")


def test_long_texts_that_differ_late_stay_apart() -> None:
    """Cutting does not make one label of two."""
    assert clean("x" * 500 + "1") != clean("x" * 500 + "2")


@given(st.text(alphabet=st.characters(), max_size=300))
def test_cleaned_text_can_be_printed_and_encoded(value: str) -> None:
    """No control, format or surrogate character survives, nor more than 128 characters."""
    cleaned = clean(value)
    bad = [c for c in cleaned if unicodedata.category(c) in {"Cc", "Cf", "Cs"}]
    assert ([], True) == (bad, len(cleaned.encode()) <= 4 * TEXT_LIMIT)
    assert cleaned == clean(cleaned)


@pytest.mark.parametrize(
    ("value", "expected"),
    [([], []), ({}, []), ([1, None], [1, None]), ({"0": 1, "7": 2}, [1, 2])],
    ids=["empty", "empty object", "list", "list with gaps"],
)
def test_items_are_read(value: object, expected: list[object]) -> None:
    """An object stands for a list with gaps: its names mean nothing."""
    assert expected == items(value, "plans")


@pytest.mark.parametrize(
    ("value", "kind"), [(None, "null"), ("", "text"), (0, "a number"), (True, "true or false")]
)
def test_what_has_no_items_is_refused(value: object, kind: str) -> None:
    """With its path, and without its value."""
    with pytest.raises(SchemaError, match=f"^plans: expected a list, got {kind}$"):
        items(value, "plans")
