"""PromQL as tokens, and every small way to break an expression.

Source of the grammar: the Prometheus documentation, "Querying basics" and "Operators". Set
operators bind weakest, so what stands between two of them, at one depth of parentheses, is an
operand; the rules put `or` beside `and` only in parentheses.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<string>"[^"]*")
      | (?P<range>\[[^\]]*\])
      | (?P<duration>\d+[smhdw]\b)
      | (?P<number>\d+(?:\.\d+)?(?:e\d+)?\b)
      | (?P<word>[a-zA-Z_:][a-zA-Z0-9_:]*)
      | (?P<operator>=~|!~|==|!=|>=|<=|[-+*/<>=])
      | (?P<mark>[(){},])""",
    re.VERBOSE,
)
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_SMALL = 50

_SETS = ("and", "or", "unless")
SWAPS = {
    ">": (">=", "<"),
    "<": ("<=", ">"),
    ">=": (">", "<="),
    "==": ("!=",),
    "+": ("-",),
    "-": ("+",),
    "*": ("/",),
    "/": ("*",),
    "and": ("unless", "or"),
    "unless": ("and",),
    "or": ("and",),
    "max": ("min", "sum"),
    "min": ("max", "sum"),
    "avg": ("max", "min"),
    "sum": ("max", "avg"),
    "count": ("sum",),
    "avg_over_time": ("max_over_time", "min_over_time", "last_over_time"),
    "count_over_time": ("sum_over_time",),
    "max_over_time": ("min_over_time", "last_over_time"),
    "rate": ("increase",),
    "increase": ("rate",),
    "clamp_min": ("clamp_max",),
    "changes": ("resets",),
    "resets": ("changes",),
    "by": ("without",),
    "without": ("by",),
}

LEFT_ALONE = {
    "absent": "nothing else asks for what is not there",
    "bool": "removed, not swapped",
    "group": "what it joins or counts is there or not: the value is 1 by any other name",
    "group_left": "without it, the join is an error",
    "histogram_quantile": "its number is changed, and what it is grouped by",
    "last_over_time": "asks for existence here: what it is taken from is 1, or is grouped",
    "offset": "removed, not swapped",
    "on": "its labels are removed, one by one",
    "predict_linear": "its numbers and its range are changed",
    "quantile_over_time": "as above",
    "time": "has no other",
}
"""Words of the language that are not swapped, and why."""


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of an expression, spaces included."""

    kind: str
    text: str
    start: int


@dataclass(frozen=True, slots=True)
class Break:
    """A way to break an expression: what stands there from now on instead."""

    start: int
    end: int
    instead: str

    def told(self, text: str) -> str:
        """Line, old text, new text: what a survivor is known by."""
        line = text.count("\n", 0, self.start) + 1
        old = " ".join(text[self.start : self.end].split())
        return f"line {line}: {old} -> {self.instead or 'nothing'}"

    def apply(self, text: str) -> str:
        return text[: self.start] + self.instead + text[self.end :]


def tokens(text: str) -> list[Token]:
    """Cuts an expression into tokens.

    Raises:
        ValueError: something in it is none that the rules here use.
    """
    found = []
    place = 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise ValueError(f"no token at {text[place : place + 20]!r}")
        found.append(Token(match.lastgroup or "", match.group(), place))
        place = match.end()
    return found


def breaks(text: str) -> Iterator[Break]:
    """Finds every way to break an expression that is known here."""
    solid = [token for token in tokens(text) if token.kind != "space"]
    for place, token in enumerate(solid):
        match token.kind:
            case "number":
                yield from (_instead(token, number) for number in nudged(token.text))
            case "duration":
                yield from (_instead(token, other) for other in scaled(token.text))
                yield Break(solid[place - 1].start, token.start + len(token.text), "")
            case "range":
                yield from _other_ranges(token)
            case "operator" if not _in_braces(solid, place):
                yield from (_instead(token, other) for other in SWAPS.get(token.text, ()))
            case "word":
                yield from _other_words(text, solid, place)


def _other_words(text: str, solid: list[Token], place: int) -> Iterator[Break]:
    token = solid[place]
    if _in_braces(solid, place):
        yield from _matcher(solid, place)
    elif _in_grouping(solid, place):
        yield _without_item(solid, place, place + 1)
    elif token.text == "bool":
        yield _instead(token, "")
    else:
        # Only the words of the language are in the table: no series is called so.
        yield from (_instead(token, other) for other in SWAPS.get(token.text, ()))
    if token.text in _SETS:
        yield from _without_operand(text, solid, place)


def nudged(number: str) -> tuple[str, str]:
    """The numbers just below and just above: one away if it is small and whole, else 2 %."""
    value = float(number)
    if re.fullmatch(r"\d+", number) and value <= _SMALL:
        return f"{value - 1:g}", f"{value + 1:g}"
    return f"{value * 0.98:.12g}", f"{value * 1.02:.12g}"


def scaled(duration: str) -> tuple[str, str]:
    """Half and double of a duration."""
    seconds = in_seconds(duration)
    return f"{seconds // 2}s", f"{seconds * 2}s"


def in_seconds(duration: str) -> int:
    """Reads a duration of one unit."""
    return int(duration[:-1]) * _SECONDS[duration[-1]]


def _instead(token: Token, text: str) -> Break:
    return Break(token.start, token.start + len(token.text), text)


def _other_ranges(token: Token) -> Iterator[Break]:
    window, colon, step = token.text.strip("[]").partition(":")
    for other in scaled(window):
        yield _instead(token, f"[{other}{colon}{step}]")
    if step:
        for other in scaled(step):
            yield _instead(token, f"[{window}:{other}]")


def _depths(solid: list[Token]) -> list[int]:
    """The depth of parentheses and braces at each token; an opening one counts as inside."""
    depth = 0
    found = []
    for token in solid:
        depth += token.text in ("(", "{")
        found.append(depth)
        depth -= token.text in (")", "}")
    return found


def _without_operand(text: str, solid: list[Token], place: int) -> Iterator[Break]:
    """Removes what stands right of a set operator; for `or`, what stands left of it as well."""
    depths = _depths(solid)
    depth = depths[place]
    end = place + 1
    while end < len(solid) and depths[end] >= depth:
        outer = depths[end] == depth
        if outer and (solid[end].text in _SETS or (depth and solid[end].text == ")")):
            break
        end += 1
    stop = solid[end].start if end < len(solid) else len(text)
    yield Break(solid[place].start, stop, "")
    if solid[place].text == "or":
        begin = place
        while begin and depths[begin - 1] >= depth:
            if depths[begin - 1] == depth and solid[begin - 1].text == "(":
                break
            begin -= 1
        yield Break(solid[begin].start, solid[place + 1].start, "")


def _opening(solid: list[Token], place: int) -> int:
    """The place of the bracket around a token, or -1."""
    depth = 0
    for before in range(place - 1, -1, -1):
        depth += solid[before].text in (")", "}")
        if solid[before].text in ("(", "{"):
            if depth == 0:
                return before
            depth -= 1
    return -1


def _in_braces(solid: list[Token], place: int) -> bool:
    opening = _opening(solid, place)
    return opening >= 0 and solid[opening].text == "{"


def _in_grouping(solid: list[Token], place: int) -> bool:
    opening = _opening(solid, place)
    return opening > 0 and solid[opening - 1].text in ("by", "without", "on", "ignoring")


def _without_item(solid: list[Token], start: int, end: int) -> Break:
    """Removes tokens of a list, and one comma with them."""
    if solid[start - 1].text == ",":
        start -= 1
    elif solid[end].text == ",":
        end += 1
    return Break(solid[start].start, solid[end].start, "")


def _matcher(solid: list[Token], place: int) -> Iterator[Break]:
    """Removes a matcher, turns it round, and takes each alternative out of its pattern."""
    if solid[place - 1].text not in ("{", ","):
        return
    yield _without_item(solid, place, place + 3)
    operator, value = solid[place + 1], solid[place + 2]
    yield _instead(operator, {"=": "!=", "!=": "=", "=~": "!~", "!~": "=~"}[operator.text])
    choices = value.text.strip('"').split("|")
    if len(choices) > 1:
        for choice in choices:
            rest = "|".join(other for other in choices if other != choice)
            yield _instead(value, f'"{rest}"')
