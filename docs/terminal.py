"""Draws a terminal session as an SVG that plays by itself, once, without a script.

Lines appear by CSS animation. Where that is not wanted (prefers-reduced-motion) or not known, the
whole session stands there from the beginning.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, unescape

COLUMNS = 112
LEFT, TOP, LINE, CHARACTER = 18, 44, 19, 8.1
GAP = 16

_TYPING_SECONDS = 0.03
_ANSWER_SECONDS = 0.25
_LINE_SECONDS = 0.04
_READING_SECONDS = 1.3

_STYLE = """\
rect{fill:#0d1117;stroke:#30363d}
circle{fill:#30363d}
text{font:13.5px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
text{fill:#c9d1d9;white-space:pre}
.typed{fill:#fff}
.typed .prompt{fill:#3fb950}
.log{fill:#8b949e}
@media (prefers-reduced-motion:no-preference){
.said,.log{animation:appear .01s backwards}
.typed{animation:appear .01s backwards,type 1s backwards}
}
@keyframes appear{from{opacity:0}}
@keyframes type{from{clip-path:inset(0 100% 0 0)}to{clip-path:inset(0)}}"""


@dataclass(frozen=True, slots=True)
class Screen:
    """One terminal: what was typed, and what was said to it."""

    talk: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a terminal, and when it appears."""

    kind: str
    text: str
    at_seconds: float
    typing_seconds: float = 0.0


def draw(screens: Sequence[Screen]) -> str:
    """Gives the picture: the screens below each other, the first typed thing of each in turn."""
    first, *rest = screens
    began, clock = _lines(first.talk[:1], 0.5)
    shown = []
    for screen in rest:
        lines, clock = _lines(screen.talk, clock)
        shown.append(lines)
    ended, _ = _lines(first.talk[1:], clock)
    panes = [began + ended, *shown]
    heights = [TOP + len(pane) * LINE + 6 for pane in panes]
    width = 2 * LEFT + round(COLUMNS * CHARACTER)
    height = sum(heights) + GAP * (len(panes) - 1)
    parts, y = [], 0
    for pane, tall in zip(panes, heights, strict=True):
        parts += [_frame(y, width, tall), *(_text(n, each, y) for n, each in enumerate(pane))]
        y += tall + GAP
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
            "<title>A terminal: the demo of wlvpn-exporter, and commands that ask it</title>",
            f"<style>\n{_STYLE}\n</style>",
            *parts,
            "</svg>\n",
        ]
    )


def texts(picture: str) -> list[str]:
    """Gives the lines of a picture that was drawn here, with the prompt before what was typed."""
    found = re.findall(r"<text[^>]*>(.*?)</text>", picture)
    return [unescape(re.sub(r"<[^>]*>", "", each)) for each in found]


def _lines(talk: Sequence[tuple[str, str]], clock: float) -> tuple[list[Line], float]:
    """The lines of a talk from an instant on, and the instant when they have been read."""
    lines: list[Line] = []
    for typed, said in talk:
        seconds = len(typed) * _TYPING_SECONDS
        lines.append(Line("typed", typed, clock, seconds))
        clock += seconds + _ANSWER_SECONDS
        for text in said.splitlines():
            kind = "log" if text.startswith("ts=") else "said"
            for piece in _wrapped(text):
                lines.append(Line(kind, piece, clock))
                clock += _LINE_SECONDS
        clock += _READING_SECONDS if said else 0
    return lines, clock


def _wrapped(text: str) -> Iterator[str]:
    """As a terminal breaks what is too long."""
    for start in range(0, max(1, len(text)), COLUMNS):
        yield text[start : start + COLUMNS]


def _frame(y: int, width: int, height: int) -> str:
    dots = "".join(f'<circle cx="{x}" cy="{y + 18}" r="5"/>' for x in (20, 38, 56))
    return f'<rect x=".5" y="{y}.5" width="{width - 1}" height="{height - 1}" rx="8"/>{dots}'


def _text(number: int, line: Line, y: int) -> str:
    prompt = "" if line.text == "^C" else "$ "
    text = prompt + line.text if line.kind == "typed" else line.text
    place = f'x="{LEFT}" y="{y + TOP + number * LINE + 4}" textLength="{len(text) * CHARACTER:.1f}"'
    delay = f"animation-delay:{line.at_seconds:.2f}s"
    if line.kind == "typed":
        delay += f";animation-duration:.01s,{line.typing_seconds:.2f}s"
        delay += f";animation-timing-function:linear,steps({len(line.text)})"
    shown = escape(text)
    if line.kind == "typed" and prompt:
        shown = f'<tspan class="prompt">$ </tspan>{escape(line.text)}'
    return f'<text class="{line.kind}" {place} style="{delay}">{shown}</text>'
