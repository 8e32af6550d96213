"""The catalogue of what can go wrong with an answer over HTTP.

A fault is one function, whose docstring is its help, and one line of `FAULTS`: it gets the
honest reply and gives back the one to send. What the body says is made in `payload`; mischief on
the wire (a cut body, a slow one) is the `send` of that reply, from `wire`.
"""

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from exporter.simulator import payload, wire
from exporter.simulator.reply import Reply, Sender, failure

_DEPTH = 100_000
_DIGITS = 5_000
_MANY = 20_001
_PAGE = b"<!DOCTYPE html><html><head><title>Maintenance</title></head><body>Soon!</body></html>\n"


@dataclass(frozen=True, slots=True)
class Value:
    """What a fault's rules have to say beside its name."""

    word: str
    """Stands for it in the help."""
    needs: str
    """Says in an error what it should have been."""
    fits: Callable[[str], bool]
    choices: Sequence[str] = ()
    """All that fit, where they are few."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A way to go wrong, and what its rules must say."""

    act: Callable[[Reply, str], Reply]
    """Gets the honest reply and the rule's value."""
    default: str = ""
    """The value that `any` gives it."""
    value: Value | None = None
    """None: there is none to give."""
    only: str = ""
    """The one endpoint it makes sense for; empty: all."""

    @property
    def help(self) -> str:
        """What it does, in a sentence."""
        return " ".join((self.act.__doc__ or "").split())


def number(text: str | float) -> float:
    """Read a number; what is none compares false with everything, as NaN does."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def latency(reply: Reply, value: str) -> Reply:
    """Answer late, in real seconds."""
    return replace(reply, delay_seconds=float(value))


def status(_reply: Reply, value: str) -> Reply:
    """Fail with a status, and say when to come back if the rule does."""
    return failure(int(float(value)))


def api_status(_reply: Reply, _value: str) -> Reply:
    """Fail in the body alone: HTTP says 200, `api_status` says 0."""
    return replace(failure(500), status=200)


def date_refused(_reply: Reply, _value: str) -> Reply:
    """Refuse the dates, as with a 400."""
    return failure(400, "The start_date must not be in the future.")


def redirect(_reply: Reply, value: str) -> Reply:
    """Send the client elsewhere, by a 302."""
    return failure(302, headers={"Location": value})


def hang(reply: Reply, _value: str) -> Reply:
    """Say nothing until the client or the simulator goes away."""
    return _silent(reply, wire.send_nothing)


def close(reply: Reply, _value: str) -> Reply:
    """Close the connection instead of an answer."""
    return _silent(reply, wire.send_close)


def reset(reply: Reply, _value: str) -> Reply:
    """Reset the connection instead of an answer."""
    return _silent(reply, wire.send_reset)


def informational(reply: Reply, _value: str) -> Reply:
    """Announce an answer (103) again and again, and never give it."""
    return _silent(reply, wire.send_informational)


def upgrade(reply: Reply, _value: str) -> Reply:
    """Switch to another protocol (101) unasked."""
    return replace(_cut(reply, wire.send_upgrade), status=101, headers={"Content-Type": ""})


def truncate(reply: Reply, _value: str) -> Reply:
    """Cut the body in half."""
    return _cut(reply, wire.send_half)


def truncate_chunked(reply: Reply, _value: str) -> Reply:
    """Cut the body in half, within a chunk."""
    return _cut(reply, wire.send_half_chunked)


def early(reply: Reply, _value: str) -> Reply:
    """Reset the connection in the middle of the body."""
    return _cut(reply, wire.send_half_and_reset)


def stall(reply: Reply, _value: str) -> Reply:
    """Send half of the body, then nothing."""
    return _cut(reply, wire.send_half_and_wait)


def header_flood(reply: Reply, _value: str) -> Reply:
    """Send a head beyond every limit."""
    return _cut(reply, wire.send_header_flood)


def bomb(reply: Reply, _value: str) -> Reply:
    """Send some 200 kB of gzip that become more than 200 MB."""
    return replace(_cut(reply, wire.send_bomb), status=200)


def endless(reply: Reply, _value: str) -> Reply:
    """Send a body without an end, until the client goes away."""
    return replace(_cut(reply, wire.send_endlessly), status=200)


def drip_head(reply: Reply, value: str) -> Reply:
    """Send the head byte by byte, so many seconds apart."""
    return replace(reply, send=wire.send_head_slowly(float(value)))


def drip_body(reply: Reply, value: str) -> Reply:
    """Send the body byte by byte, so many seconds apart."""
    return replace(reply, send=wire.send_body_slowly(float(value)))


def chunks(reply: Reply, _value: str) -> Reply:
    """Send the honest body in chunks of one to three bytes: odd, but legal."""
    return replace(reply, send=wire.send_in_small_chunks)


def members(reply: Reply, _value: str) -> Reply:
    """Send the honest body among ten thousand gzip members."""
    return replace(reply, send=wire.send_members)


def encoding(reply: Reply, value: str) -> Reply:
    """Claim a Content-Encoding that the body does not have."""
    # A reader who does not know the coding may take the body as it is.
    plain = value.lower() not in ("gzip", "x-gzip", "deflate", "br", "zstd")
    return replace(reply, headers={**reply.headers, "Content-Encoding": value}, whole=plain)


def content_type(reply: Reply, value: str) -> Reply:
    """Send the right body under the wrong type, or under none when empty."""
    headers = {**reply.headers, "Content-Type": value}
    return replace(reply, headers=headers, send=wire.send_verbatim)


def html(reply: Reply, _value: str) -> Reply:
    """Send a page for people, under a 200."""
    page = payload.with_content(reply, _PAGE)
    return replace(page, status=200, headers={"Content-Type": "text/html; charset=utf-8"})


def garbage(reply: Reply, _value: str) -> Reply:
    """Send a body that is not JSON."""
    return payload.with_content(reply, b"<<< not JSON >>>")


def empty_body(reply: Reply, _value: str) -> Reply:
    """Send no body."""
    return payload.with_content(reply, b"")


def utf8(reply: Reply, _value: str) -> Reply:
    """Put invalid UTF-8 into a city, or into the name of a POP."""
    return payload.put_bytes(reply, b"Par\xff\xc3is")


def utf16(reply: Reply, _value: str) -> Reply:
    """Write the body in UTF-16."""
    return payload.recode(reply, lambda text: text.encode("utf-16"))


def bom(reply: Reply, _value: str) -> Reply:
    """Begin the body with a byte order mark."""
    return payload.recode(reply, lambda text: text.encode("utf-8-sig"))


def surrogate(reply: Reply, _value: str) -> Reply:
    """Put a lone surrogate's escape into a city, or into the name of a POP."""
    return payload.put_bytes(reply, rb"Par\ud800is")


def nesting(reply: Reply, _value: str) -> Reply:
    """Nest lists 100,000 deep in the place of the map."""
    return payload.nest(reply, _DEPTH)


def digits(reply: Reply, _value: str) -> Reply:
    """Put an integer of 5,000 digits into one record."""
    return payload.put_literal(reply, "9" * _DIGITS)


def constant(reply: Reply, value: str) -> Reply:
    """Put NaN, Infinity, -Infinity or 1e400 into one record."""
    return payload.put_literal(reply, value)


def capacity(reply: Reply, value: str) -> Reply:
    """Put a JSON text where one record's capacity stands, or one usage cell's three numbers."""
    return payload.put_literal(reply, value)


def capacities(reply: Reply, value: str) -> Reply:
    """Put a JSON text where every record's numbers stand."""
    return payload.put_literal(reply, value, every=True)


def label(reply: Reply, value: str) -> Reply:
    """Put hostile text into one record's name, city and country, or a cell's POP and country."""
    return payload.put_label(reply, payload.LABELS[value])


def duplicate(reply: Reply, _value: str) -> Reply:
    """Tell one record twice, with different numbers."""
    return payload.duplicate(reply)


def verdict(reply: Reply, value: str) -> Reply:
    """Put a JSON text in the place of `api_status`; an empty one leaves it out."""
    return payload.put_verdict(reply, value)


def map_shape(reply: Reply, value: str) -> Reply:
    """Put something else in the place of the map of all records."""
    return payload.put_map(reply, payload.MAPS[value], missing=value == "missing")


def gone(reply: Reply, _value: str) -> Reply:
    """Tell that there are no records: an empty map, or list."""
    return payload.empty(reply)


def shrink(reply: Reply, _value: str) -> Reply:
    """Tell the first 40 % of the records, by name."""
    return payload.shrink(reply)


def many(reply: Reply, value: str) -> Reply:
    """Tell so many records, 20,001 by default."""
    return payload.multiply(reply, int(float(value or _MANY)))


def correction(reply: Reply, value: str) -> Reply:
    """Multiply the usage's numbers, as when a month was corrected."""
    return payload.correct(reply, float(value))


def _silent(reply: Reply, send: Sender) -> Reply:
    """Leave the client without any final status."""
    return replace(reply, status=0, send=send, whole=False)


def _cut(reply: Reply, send: Sender) -> Reply:
    return replace(reply, send=send, whole=False)


def _is_duration(value: str) -> bool:
    return 0 <= number(value) < math.inf


def _is_code(value: str) -> bool:
    return 200 <= number(value) <= 599 and number(value).is_integer()


def _is_json(value: str) -> bool:
    """Whether it is JSON, or one of the long numbers and constants that are none."""
    try:
        json.loads(value, parse_int=str)
    except (ValueError, RecursionError):
        return False
    return True


def _is_number(value: str) -> bool:
    return math.isfinite(number(value))


def _is_count(value: str) -> bool:
    return not value or (1 <= number(value) < math.inf and number(value).is_integer())


def _one_of(word: str, choices: Iterable[str]) -> Value:
    known = tuple(choices)
    return Value(word, f"one of {', '.join(known)}", known.__contains__, known)


_SECONDS = Value("SECONDS", "seconds >= 0", _is_duration)
_CODE = Value("CODE", "a code of 200 to 599", _is_code)
_JSON = Value("JSON", "JSON", _is_json)
_VERDICT = Value("[JSON]", "JSON, or nothing", lambda value: not value or _is_json(value))
_FACTOR = Value("FACTOR", "a number", _is_number)
_COUNT = Value("[N]", "a whole number >= 1", _is_count)
_TEXT = Value("TEXT", "a text", bool)
_URL = Value("URL", "an address", bool)
_TYPE = Value("[TEXT]", "a text", lambda _: True)
_CONSTANT = _one_of("NUMBER", payload.CONSTANTS)
_LABEL = _one_of("KIND", payload.LABELS)
_SHAPE = _one_of("KIND", payload.MAPS)

FAULTS = MappingProxyType(
    {
        "latency": Fault(latency, "2.5", _SECONDS),
        "status": Fault(status, "503", _CODE),
        "api_status": Fault(api_status),
        "truncate": Fault(truncate),
        "hang": Fault(hang),
        "date_refused": Fault(date_refused),
        "redirect": Fault(redirect, "http://127.0.0.1/elsewhere", _URL),
        "close": Fault(close),
        "reset": Fault(reset),
        "informational": Fault(informational),
        "upgrade": Fault(upgrade),
        "truncate_chunked": Fault(truncate_chunked),
        "early": Fault(early),
        "stall": Fault(stall),
        "drip_head": Fault(drip_head, "0.5", _SECONDS),
        "drip_body": Fault(drip_body, "0.5", _SECONDS),
        "header_flood": Fault(header_flood),
        "chunks": Fault(chunks),
        "bomb": Fault(bomb),
        "endless": Fault(endless),
        "members": Fault(members),
        "encoding": Fault(encoding, "gzip", _TEXT),
        "content_type": Fault(content_type, "text/plain", _TYPE),
        "html": Fault(html),
        "garbage": Fault(garbage),
        "empty_body": Fault(empty_body),
        "utf8": Fault(utf8),
        "utf16": Fault(utf16),
        "bom": Fault(bom),
        "surrogate": Fault(surrogate),
        "nesting": Fault(nesting),
        "digits": Fault(digits),
        "constant": Fault(constant, "NaN", _CONSTANT),
        "capacity": Fault(capacity, "101", _JSON),
        "capacities": Fault(capacities, "null", _JSON),
        "label": Fault(label, "sample", _LABEL),
        "duplicate": Fault(duplicate),
        "verdict": Fault(verdict, "0", _VERDICT),
        "map": Fault(map_shape, "null", _SHAPE),
        "gone": Fault(gone),
        "shrink": Fault(shrink),
        "many": Fault(many, "20001", _COUNT),
        "correction": Fault(correction, "0.9", _FACTOR, only="usage"),
    }
)
