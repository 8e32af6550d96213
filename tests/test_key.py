"""The API key."""

import base64
import json
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.key import Key

CANARY = "c4n/ry+K3y=="
ALONE = base64.b64encode(CANARY.encode()).decode()
URL_SAFE = str.maketrans("+/", "-_")
PAIR = base64.b64encode(f"api-key:{CANARY}".encode()).decode()


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "key"
    file.write_text("first", encoding="utf-8")
    return file


def test_the_header_is_basic_authentication() -> None:
    """The user is literally api-key, the password the key."""
    assert "Basic YXBpLWtleTpzZWNyZXQ=" == Key(lambda: "secret").header


@pytest.mark.parametrize("show", [str, repr, ascii, "{}".format, "%s".__mod__, "{!r:>20}".format])
def test_a_key_cannot_be_printed(show: type[str]) -> None:
    """However it comes into a text, it does not show."""
    assert "Key(...)" == show(Key(lambda: CANARY)).strip()


@pytest.mark.parametrize("dump", [json.dumps, pickle.dumps], ids=["json", "pickle"])
def test_a_key_cannot_be_dumped(dump: type) -> None:
    """Nothing writes it out by accident."""
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
        dump(Key(lambda: CANARY))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("secret", True),
        (CANARY, True),
        ("!~", True),
        ("", False),
        ("two words", False),
        ("secret\n", False),
        ("secr\u00e9t", False),
        ("\u202esecret", False),
        ("sec\x00ret", False),
    ],
    ids=ascii,
)
def test_a_key_is_one_visible_ascii_word(
    text: str,
    expected: bool,  # noqa: FBT001 - a table's column
) -> None:
    """Anything else cannot stand in a header."""
    assert expected == Key(lambda: text).is_well_formed


def test_a_rotated_key_is_read_again(key_file: Path) -> None:
    """The next request carries what the file now holds."""
    key = Key(key_file.read_text)
    key_file.write_text("second", encoding="utf-8")
    key.reread()
    assert Key(lambda: "second").header == key.header


def test_a_key_that_was_replaced_is_taken_out_too(key_file: Path) -> None:
    """A request that was on its way with it may still be answered, and quoted."""
    key = Key(key_file.read_text)
    key_file.write_text("second", encoding="utf-8")
    key.reread()
    assert "no [redacted], no [redacted]" == key.redact("no first, no second")


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"two words", b"\xff\xfe", b"half\x00"],
    ids=["empty", "newline", "two words", "not UTF-8", "null"],
)
def test_a_file_without_a_key_changes_nothing(key_file: Path, content: bytes) -> None:
    """A file caught while it is being written does not take the key away."""
    key = Key(lambda: key_file.read_text(encoding="utf-8"))
    key_file.write_bytes(content)
    key.reread()
    assert Key(lambda: "first").header == key.header


def test_a_file_that_is_gone_changes_nothing(key_file: Path) -> None:
    """The key that worked is kept."""
    key = Key(key_file.read_text)
    key_file.unlink()
    key.reread()
    assert Key(lambda: "first").header == key.header


def test_a_file_that_never_was_is_told(tmp_path: Path) -> None:
    """The first reading's error is the caller's to name."""
    with pytest.raises(FileNotFoundError):
        Key((tmp_path / "absent").read_text)


@pytest.mark.parametrize(
    ("told", "expected"),
    {
        "raw": (f"bad key {CANARY}!", "bad key [redacted]!"),
        "twice": (f"{CANARY},{CANARY}", "[redacted],[redacted]"),
        "base64": (f"bad key {ALONE}!", "bad key [redacted]!"),
        "header": (f"got Basic {PAIR}", "got Basic [redacted]"),
        "lower": ("?key=c4n%2fry%2bK3y%3d%3d&a=1", "?key=[redacted]&a=1"),
        "URL-encoded": ("?key=c4n%2Fry%2BK3y%3D%3D&a=1", "?key=[redacted]&a=1"),
        "unpadded": (f"bad key {ALONE.rstrip('=')}!", "bad key [redacted]!"),
        "URL-safe": (f"got {PAIR.translate(URL_SAFE)}", "got [redacted]"),
        "slash": ("?key=c4n/ry%2BK3y%3D%3D&a=1", "?key=[redacted]&a=1"),
        "innocent": ("no such account", "no such account"),
        "empty": ("", ""),
    }.values(),
    ids=[
        *("raw", "twice", "base64", "header", "lower", "URL-encoded", "unpadded", "URL-safe"),
        *("slash", "innocent", "empty"),
    ],
)
def test_the_key_is_taken_out_of_foreign_text(told: str, expected: str) -> None:
    """An error that quotes the key loses it in each of its forms."""
    assert expected == Key(lambda: CANARY).redact(told)


@given(st.text(), st.sampled_from([CANARY, ALONE, PAIR]), st.text())
def test_no_form_of_the_key_survives(before: str, form: str, after: str) -> None:
    """Whatever stands around it."""
    redacted = Key(lambda: CANARY).redact(before + form + after)
    assert [] == [form for form in (CANARY, ALONE, PAIR) if form in redacted]
