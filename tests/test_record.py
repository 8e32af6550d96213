"""The recording in the README: what the commands say now, in a picture that is safe to show."""

import re
from xml.etree import ElementTree as ET

import pytest

from docs.record import COMMANDS, PICTURE, recorded
from docs.terminal import COLUMNS, Screen, draw, texts

MAX_BYTES = 60_000


def stable(picture: str) -> list[str]:
    """The lines without numbers, their units and their room; two collectors' lines may swap.

    What the end of a number is broken off to is no line: it may have fewer digits, as at midnight.
    """
    masked = (re.sub(r"\d[\d.]*( ?m?s\b)?", "#", line) for line in texts(picture))
    return sorted(" ".join(line.split()) for line in masked if line != "#")


def test_the_recording_is_current() -> None:
    """It shows what the commands say, numbers aside; `make recording` mends it."""
    assert stable(draw(recorded())) == stable(PICTURE.read_text())


def test_all_commands_are_in_it() -> None:
    """What is typed is what is listed."""
    shown = texts(PICTURE.read_text())
    assert ["make demo", *COMMANDS] == [line[2:] for line in shown if line.startswith("$ ")]


def test_the_picture_brings_all_it_needs() -> None:
    """It is small, and neither runs nor loads anything."""
    text = PICTURE.read_text()
    assert len(text) < MAX_BYTES
    names = {element.tag.rpartition("}")[2] for element in ET.fromstring(text).iter()}  # noqa: S314 - ours
    assert {"svg", "title", "style", "rect", "circle", "text", "tspan"} == names
    assert ["http://www.w3.org/2000/svg"] == re.findall(r'="(http[^"]*)"', text)
    assert not re.search(r"url\(|@import|href", text)


def test_nothing_moves_for_who_wants_no_motion() -> None:
    """Every animation stands where motion is welcome; without it, all lines are there at once."""
    style = re.findall(r"<style>(.*?)</style>", PICTURE.read_text(), re.DOTALL)[0]
    welcome = re.findall(
        r"@media \(prefers-reduced-motion:no-preference\)\{\n(.*?)\n\}\n", style, re.DOTALL
    )
    assert style.count("animation:") == welcome[0].count("animation:")
    assert "opacity" not in re.sub(r"@keyframes [^\n]*", "", style)


@pytest.mark.parametrize(
    "said",
    ['<b> & "quotes"', "x" * (COLUMNS + 3), "", "  indented"],
    ids=["marks", "too long", "nothing", "indented"],
)
def test_lines_are_drawn_as_they_are(said: str) -> None:
    """Nothing is lost, and nothing becomes markup."""
    picture = draw([Screen([("make demo", "")]), Screen([("echo", said)])])
    ET.fromstring(picture)  # noqa: S314 - ours
    assert said == "".join(texts(picture)[2:])
