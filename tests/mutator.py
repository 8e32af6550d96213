"""Answers of the API, spoiled: seeded, quick, and in every way that came to mind."""

import gzip
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from random import Random
from typing import Any, Literal

from exporter.simulator import World

Endpoint = Literal["servers", "usage"]

PAYLOADS = Path(__file__).parent / "collectors" / "payloads"
ENDPOINTS: tuple[Endpoint, ...] = ("servers", "usage")

NUMBERS = (
    *("0", "-0", "-0.0", "1", "-1", "0.5", "1e-9", "5e-324", "35.5", "99.99999999999999", "1e2"),
    *("100", "100.0", "100.00000000000001", "101", "1E1", "1e+1", "2147483648", "1.0", "1.5"),
    *("9007199254740991", "9007199254740993", "9223372036854775807", "9223372036854775808"),
    *("9223372036854774784.0", "9.223372036854775807e18", "18446744073709551616", "1e308"),
    *("1e309", "-1e999", "1e99999", "9" * 30, "9" * 4300, "0." + "1" * 400),
)

NO_NUMBERS = (
    *("NaN", "Infinity", "-Infinity", "nan", "01", "+1", ".5", "5.", "1_0", "0x10", "1e", "--1"),
    *("1.2.3", "9" * 4301, "-", "", "undefined", "True", "'a'", "[" * 3000 + "]" * 3000),
    '{"a":' * 3000 + "1" + "}" * 3000,
)

TEXTS = (
    *("", " ", "\t \u00a0", "-", ".", "-a", "a-", "..", "unknown", "UNKNOWN", "FR", "UK", "par"),
    *("lax", "US", "acc", "api_status", "server", "data", "capacity", "country", "city", "ip"),
    *("bandwidth", "connections", "customers", "error", "par-a01.wlvpn.com", "par-a01", "a\u200b"),
    *("4", "99.5", "100", "101", "-1", "1e2", " 5", "5\n", "5_0", "\u0665", "9" * 19, "9" * 20),
    *("\n", "\r\n", "\\", "\\n", '"', '\\"', "}", "{", "a\nwlvpn_up 0", 'x"} 1\n# EOF\n', "# EOF"),
    *("# HELP wlvpn_up x", "\x00", "\x1b[31m", "\x7f", "\u0085", "\u2028", "\u2029", "\ufeff"),
    *("\u202eabc", "\u200b", "a\u200d", "\u200f\u05d0", "\ud800", "\udc00", "a\udfffb", "\ud83c"),
    *("\U0001f1eb\U0001f1f7", "\ufffe", "\uffff", "\U0010ffff", "\ue000", "e\u0301", "\u00e9"),
    *("\u01c5", "\u0130", "\u1e9e", "\u00e9" * 128, "\u00e9" * 129, "a" * 128, "a" * 129),
    *("a" * 127 + " b", "x" * 10_000, "\u200b" * 10_000, "\U0001f600" * 2500, "%s{}", "<b>&amp;"),
)

OTHERS = ("true", "false", "null", "[]", "{}", "[[]]", "[1]", '{"a": 1}', '{"": null}')

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[-+.0-9a-zA-Z]+')
_ENCODINGS: tuple[Callable[[bytes], bytes], ...] = (
    lambda body: b"\xef\xbb\xbf" + body,
    lambda body: _text(body).encode("utf-16", "replace"),
    lambda body: _text(body).encode("utf-16-le", "replace"),
    lambda body: _text(body).encode("utf-32", "replace"),
    lambda body: _text(body).encode("latin-1", "replace"),
    lambda body: _text(body).encode("utf-7", "replace"),
    lambda body: gzip.compress(body, 1),
    lambda body: body + body,
    lambda body: body + b"\n\n \t\r\n",
    lambda body: b"\x00" + body,
    lambda body: body + b"\x00",
    lambda body: b")]}',\n" + body,
    lambda body: b"/**/cb(" + body + b")",
    lambda body: b"[" + body + b"]",
    lambda body: b"\x0b" + body,
    lambda body: body.replace(b" ", b"\xc2\xa0"),
    lambda body: body.replace(b'"', b"'"),
    lambda body: body.replace(b"}", b",}"),
    lambda body: body.replace(b'"', b'"\xed\xa0\x80'),
    lambda body: body.replace(b'"', b'"\xc0\xaf', 3),
)


def _text(body: bytes) -> str:
    return body.decode("utf-8", "replace")


def corpus(endpoint: Endpoint) -> tuple[bytes, ...]:
    """Honest answers and hard ones, to begin with."""
    files = sorted(PAYLOADS.glob(f"{endpoint}*.json"))
    # Those of the simulator twice: there is most to spoil in them.
    return (*_simulated(endpoint) * 2, *(file.read_bytes() for file in files))


def _simulated(endpoint: Endpoint) -> list[bytes]:
    """What the simulator says of few servers or cells; with some more, one may be bad."""
    at = datetime(2026, 3, 17, 12, tzinfo=UTC)
    world = World(seed=7, servers=40)
    answers = []
    for size in (3, 11):
        if endpoint == "servers":
            listed = [(name, asdict(server)) for name, server in world.listed(at).items()]
            answers.append({"api_status": 1, "server": dict(listed[:size])})
        else:
            usage = world.usage(date(2026, 3, 1), date(2026, 3, 17), at)
            used = {
                pop: {
                    code: asdict(cell) for code, cell in list(usage[pop].items())[: size // 2 + 1]
                }
                for pop in ("lon", "sjc")
            }
            answers.append({"data": used})
    return [json.dumps(answer).encode() for answer in answers]


class Mutator:
    """Spoils the answers of a corpus: the same random numbers, the same answer."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.corpus = corpus(endpoint)

    def mutate(self, random: Random) -> bytes:
        """An answer with one to four things wrong with it."""
        kind = random.random()
        body = self._restructure(random) if kind < 0.5 else random.choice(self.corpus)
        if kind >= 0.3:
            body = self._retype(random, body, random.choice((1, 1, 2, 3)))
        if kind >= 0.9:
            body = self._damage(random, body)
        if kind >= 0.98:
            body = random.choice(_ENCODINGS)(body)
        return body

    def _restructure(self, random: Random) -> bytes:
        document = json.loads(random.choice(self.corpus))
        for _ in range(random.choice((1, 1, 2, 3))):
            parent = _somewhere(random, document)
            random.choice(_CHANGES)(random, parent, self)
        return json.dumps(document, ensure_ascii=random.random() < 0.5).encode(
            "utf-8", "surrogatepass"
        )

    def part(self, random: Random) -> Any:  # noqa: ANN401 - any JSON
        """A part of some answer."""
        document = json.loads(random.choice(self.corpus))
        parent = _somewhere(random, document)
        return random.choice(list(parent.values())) if parent else parent

    def _retype(self, random: Random, body: bytes, times: int) -> bytes:
        """Puts other tokens in the places of some."""
        for _ in range(times):
            spans = [found.span() for found in _TOKEN.finditer(body)]
            if not spans:
                return body
            start, end = random.choice(spans)
            new = _token(random, body[start:end])
            if random.random() < 0.15:
                # One that is there already: names that stand twice come of it.
                new = body[slice(*random.choice(spans))]
            body = body[:start] + new + body[end:]
        return body

    def _damage(self, random: Random, body: bytes) -> bytes:
        """Damages the bytes themselves."""
        start = random.randrange(len(body) + 1)
        end = min(len(body), start + random.choice((1, 1, 2, 5, 20, 100)))
        match random.randrange(6):
            case 0:
                flipped = bytes(byte ^ 1 << random.randrange(8) for byte in body[start : start + 1])
                return body[:start] + flipped + body[start + 1 :]
            case 1:
                return body[:start]
            case 2:
                return body[:start] + body[end:]
            case 3:
                return body[:end] + body[start:]
            case 4:
                return body[:start] + random.randbytes(end - start) + body[end:]
        other = random.choice(self.corpus)
        return body[:start] + other[random.randrange(len(other)) :]


def _token(random: Random, old: bytes) -> bytes:
    kind = random.random()
    if kind < 0.03:
        return random.choice(NO_NUMBERS).encode()
    if kind < 0.12:
        return random.choice(OTHERS).encode()
    # Mostly of its own kind, or nothing would be left to read.
    if old.startswith(b'"') != (kind < 0.25):
        return json.dumps(random.choice(TEXTS)).encode()
    return random.choice(NUMBERS).encode()


def _somewhere(random: Random, document: dict[str, Any]) -> dict[str, Any]:
    """One of the objects, the deeper ones more often."""
    parent = document
    while random.random() < 0.75:
        children = [child for child in parent.values() if isinstance(child, dict)]
        if not children:
            break
        parent = random.choice(children)
    return parent


def _value(random: Random) -> Any:  # noqa: ANN401 - any JSON
    kind = random.randrange(4)
    if kind == 0:
        return random.choice(TEXTS)
    if kind == 1:
        return random.choice((True, False, None, [], {}, [[]], [1], {"a": 1}, float("nan")))
    return random.choice((0, -1, 0.5, 100, 100.5, 101, 2**53 + 1, 2**63 - 1, 2**63, 1e300, 1e-9))


def _name(random: Random, parent: dict[str, Any]) -> str:
    return random.choice(list(parent)) if parent else ""


def _replace(random: Random, parent: dict[str, Any], mutator: Mutator) -> None:
    del mutator
    parent[_name(random, parent)] = _value(random)


def _delete(random: Random, parent: dict[str, Any], mutator: Mutator) -> None:
    del mutator
    parent.pop(_name(random, parent), None)


def _rename(random: Random, parent: dict[str, Any], mutator: Mutator) -> None:
    del mutator
    parent[random.choice(TEXTS)] = parent.pop(_name(random, parent), None)


def _copy(random: Random, parent: dict[str, Any], mutator: Mutator) -> None:
    """One more of the same, under a name that may look the same."""
    del mutator
    name = _name(random, parent)
    parent[random.choice((name + "\u200b", f" {name}", name.upper(), random.choice(TEXTS)))] = (
        parent.get(name)
    )


def _nest(random: Random, parent: dict[str, Any], mutator: Mutator) -> None:
    """Far from the interpreter's limit on both sides: how near it is depends on who calls."""
    del mutator
    name, depth = _name(random, parent), random.choice((1, 1, 1, 2, 3, 100))
    for _ in range(depth):
        inner = parent.get(name)
        parent[name] = {name: inner} if random.random() < 0.5 else [inner]


def _swap(random: Random, parent: dict[str, Any], mutator: Mutator) -> None:
    del mutator
    one, other = _name(random, parent), _name(random, parent)
    parent[one], parent[other] = parent.get(other), parent.get(one)


def _graft(random: Random, parent: dict[str, Any], mutator: Mutator) -> None:
    """A part of another answer, in the place of something or beside it."""
    name = _name(random, parent) if random.random() < 0.5 else random.choice(TEXTS)
    parent[name] = mutator.part(random)


def _multiply(random: Random, parent: dict[str, Any], mutator: Mutator) -> None:
    """Several more of the same."""
    del mutator
    name = _name(random, parent)
    for number in range(random.choice((4, 5, 10, 30))):
        parent[f"{name}{number}"] = parent.get(name)


_CHANGES: Sequence[Callable[[Random, dict[str, Any], Mutator], None]] = (
    *(_replace, _replace, _replace, _delete, _rename, _rename, _copy, _copy, _nest, _swap),
    *(_graft, _multiply),
)
