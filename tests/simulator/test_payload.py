"""Faults in the payload: what the body says, to the byte."""

import asyncio
import gzip
import json
import math
from typing import Any

import aiohttp
import pytest

from exporter.simulator import Rule, Sent, Simulator
from exporter.simulator.faults import FAULTS
from exporter.simulator.payload import LABELS
from tests.simulator.raw_client import PATHS, connect, hear

Tree = dict[str, Any]
Records = dict[tuple[str, ...], Any]

MAPS = {"servers": "server", "usage": "data"}
FIELDS = {"servers": ["capacity"], "usage": ["bandwidth", "connections", "customers"]}
each_endpoint = pytest.mark.parametrize("endpoint", PATHS)


async def body(simulator: Simulator, endpoint: str, *faults: str) -> bytes:
    simulator.rules = [Rule.parse(f"{endpoint}:{fault}") for fault in faults]
    heard = await hear(simulator, PATHS[endpoint])
    assert "HTTP/1.1 200 OK" == heard.line
    return heard.body


async def payload(simulator: Simulator, endpoint: str, *faults: str) -> Tree:
    told: Tree = json.loads(await body(simulator, endpoint, *faults))
    return told


def records(endpoint: str, told: Tree) -> Records:
    """The records by the names that lead to them."""
    tree = told[MAPS[endpoint]]
    if endpoint == "servers":
        return {(name,): record for name, record in tree.items()}
    return {(pop, code): cell for pop, cells in tree.items() for code, cell in cells.items()}


async def changed(simulator: Simulator, endpoint: str, fault: str) -> tuple[Records, Records]:
    """The records that the fault took away, and those that it brought."""
    honest = records(endpoint, await payload(simulator, endpoint))
    faulty = records(endpoint, await payload(simulator, endpoint, fault))
    gone = {path: record for path, record in honest.items() if faulty.get(path) != record}
    new = {path: record for path, record in faulty.items() if honest.get(path) != record}
    return gone, new


@each_endpoint
@pytest.mark.parametrize("literal", ["101", "-1", '"5_0"', "true", "null", "[]", '{"a":true}'])
async def test_puts_a_literal_into_one_record(
    simulator: Simulator, endpoint: str, literal: str
) -> None:
    """The numbers of the first record by name become the literal; all else is honest."""
    gone, new = await changed(simulator, endpoint, f"capacity={literal}")
    ((path, honest),) = gone.items()
    assert path == min(records(endpoint, await payload(simulator, endpoint)))
    assert {path: {**honest, **dict.fromkeys(FIELDS[endpoint], json.loads(literal))}} == new


@each_endpoint
async def test_puts_a_literal_into_every_record(simulator: Simulator, endpoint: str) -> None:
    """All numbers of all records become the literal."""
    told = records(endpoint, await payload(simulator, endpoint, "capacities=null"))
    assert {None} == {record[name] for record in told.values() for name in FIELDS[endpoint]}


@each_endpoint
@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        *((f"constant={name}", name) for name in ("NaN", "Infinity", "-Infinity", "1e400")),
        ("digits", "9" * 5_000),
        ("capacity=1E2", "1E2"),
        ("capacity=-0", "-0"),
    ],
    ids=["NaN", "Infinity", "-Infinity", "1e400", "digits", "exponent", "minus zero"],
)
async def test_puts_literals_verbatim(
    simulator: Simulator, endpoint: str, fault: str, expected: str
) -> None:
    """A number comes as it is written, also where it is no JSON."""
    told = await body(simulator, endpoint, fault)
    assert len(FIELDS[endpoint]) == told.count(f'": {expected}'.encode())


@each_endpoint
@pytest.mark.parametrize(
    ("fault", "expected"),
    [("utf8", b'"Par\xff\xc3is"'), ("surrogate", rb'"Par\ud800is"')],
    ids=["utf8", "surrogate"],
)
async def test_puts_bytes_into_a_text(
    simulator: Simulator, endpoint: str, fault: str, expected: bytes
) -> None:
    """One text, a city or the name of a POP, holds what no text may hold."""
    told = await body(simulator, endpoint, fault)
    honest = await body(simulator, endpoint)
    mended = json.loads(told.replace(expected, b'"here"'))
    assert 1 == told.count(expected)
    if endpoint == "servers":
        assert ["here"] == [
            row["city"] for row in mended["server"].values() if row["city"] == "here"
        ]
    else:
        assert "here" in mended["data"]
    assert len(json.loads(honest)[MAPS[endpoint]]) <= len(mended[MAPS[endpoint]])


@each_endpoint
@pytest.mark.parametrize(
    ("fault", "coding"), [("utf16", "utf-16"), ("bom", "utf-8-sig")], ids=["utf16", "bom"]
)
async def test_writes_the_body_otherwise(
    simulator: Simulator, endpoint: str, fault: str, coding: str
) -> None:
    """The honest text comes in another coding."""
    expected = (await body(simulator, endpoint)).decode()
    assert expected.encode(coding) == await body(simulator, endpoint, fault)


@each_endpoint
async def test_nests_deep(simulator: Simulator, endpoint: str) -> None:
    """In the place of the map lists stand within lists, 100,000 deep."""
    told = await body(simulator, endpoint, "nesting")
    assert f'"{MAPS[endpoint]}": '.encode() + b"[" * 100_000 + b"]" * 100_000 + b"}" in told


@pytest.mark.parametrize("kind", [kind for kind, text in LABELS.items() if isinstance(text, str)])
async def test_servers_have_hostile_texts(simulator: Simulator, kind: str) -> None:
    """One server has the text as its name, city and country; the others are honest."""
    gone, new = await changed(simulator, "servers", f"label={kind}")
    ((_, honest),) = gone.items()
    text = str(LABELS[kind])
    assert {(text,): {**honest, "city": text, "country": text}} == new


@pytest.mark.parametrize("kind", [kind for kind, text in LABELS.items() if isinstance(text, str)])
async def test_usage_has_hostile_texts(simulator: Simulator, kind: str) -> None:
    """One cell has the text as the names of its POP and its country; the others are honest."""
    gone, new = await changed(simulator, "usage", f"label={kind}")
    ((_, honest),) = gone.items()
    text = str(LABELS[kind])
    assert {(text, text): honest} == new


@pytest.mark.parametrize("kind", ["null", "number", "list"])
async def test_texts_are_no_texts(simulator: Simulator, kind: str) -> None:
    """City and country may be of another type; a usage cell, whose texts are names, as well."""
    gone, new = await changed(simulator, "servers", f"label={kind}")
    ((path, honest),) = gone.items()
    assert {path: {**honest, "city": LABELS[kind], "country": LABELS[kind]}} == new
    gone, new = await changed(simulator, "usage", f"label={kind}")
    assert dict.fromkeys(gone, LABELS[kind]) == new


def test_hostile_texts_are_hostile() -> None:
    """Each kind is what its name says."""
    texts = {kind: str(text) for kind, text in LABELS.items()}
    assert 10_240 == len(texts["long"])
    assert "\n" in texts["newline"]
    assert '"' in texts["quote"]
    assert "\\" in texts["backslash"]
    assert '\nwlvpn_up{account="default",collector="servers"} 0\n' in texts["sample"]
    assert "<script>" in texts["markup"]
    assert "\u200b" in texts["invisible"]
    assert "\u202e" in texts["rtl"]


@each_endpoint
async def test_tells_a_record_twice(simulator: Simulator, endpoint: str) -> None:
    """One name stands twice in its object, with different numbers."""
    twice = []

    def keep(pairs: list[tuple[str, Any]]) -> Tree:
        names = [name for name, _ in pairs]
        twice.extend([pair for pair in pairs if names.count(pair[0]) > 1])
        return dict(pairs)

    json.loads(await body(simulator, endpoint, "duplicate"), object_pairs_hook=keep)
    (name, first), (again, second) = twice
    assert name == again
    assert [] == [field for field in FIELDS[endpoint] if int(first[field]) == int(second[field])]


@pytest.mark.parametrize("literal", ["0", "1", '"1"', "true", "null", "1.0", "[1]", "NaN"])
@each_endpoint
async def test_gives_any_verdict(simulator: Simulator, endpoint: str, literal: str) -> None:
    """`api_status` is the literal; the records are honest."""
    told = await body(simulator, endpoint, f"verdict={literal}")
    assert told.startswith(f'{{"api_status": {literal}, "{MAPS[endpoint]}": {{'.encode())
    gone, new = await changed(simulator, endpoint, f"verdict={literal}")
    assert ({}, {}) == (gone, new)


@each_endpoint
async def test_leaves_the_verdict_out(simulator: Simulator, endpoint: str) -> None:
    """An empty verdict is none."""
    assert [MAPS[endpoint]] == list(await payload(simulator, endpoint, "verdict="))


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("map=null", None),
        ("map=list", ["par", "lon"]),
        ("map=empty", []),
        ("map=text", "par"),
        ("map=number", 7),
        ("gone", {}),
    ],
)
@each_endpoint
async def test_the_map_is_no_map(
    simulator: Simulator, endpoint: str, fault: str, expected: object
) -> None:
    """Something else stands in its place; the rest is honest."""
    honest = await payload(simulator, endpoint)
    assert {**honest, MAPS[endpoint]: expected} == await payload(simulator, endpoint, fault)


@each_endpoint
async def test_the_map_is_missing(simulator: Simulator, endpoint: str) -> None:
    """What is left is the rest."""
    honest = await payload(simulator, endpoint)
    del honest[MAPS[endpoint]]
    assert honest == await payload(simulator, endpoint, "map=missing")


@each_endpoint
async def test_shrinks(simulator: Simulator, endpoint: str) -> None:
    """The first 40 % of the records by name are left."""
    honest = records(endpoint, await payload(simulator, endpoint))
    told = records(endpoint, await payload(simulator, endpoint, "shrink"))
    kept = sorted(honest)[: math.floor(len(honest) * 0.4)]
    assert {path: honest[path] for path in kept} == told


@pytest.mark.parametrize(("fault", "expected"), [("many", 20_001), ("many=3", 3)])
@each_endpoint
async def test_tells_many_records(
    simulator: Simulator, endpoint: str, fault: str, expected: int
) -> None:
    """There are as many records as told, 20,001 by default, with different names."""
    told = records(endpoint, await payload(simulator, endpoint, fault))
    assert expected == len(told)
    assert all(set(FIELDS[endpoint]) <= set(record) for record in told.values())


async def test_corrects_the_month(simulator: Simulator) -> None:
    """All numbers of the usage are multiplied."""
    honest = records("usage", await payload(simulator, "usage"))
    told = records("usage", await payload(simulator, "usage", "correction=0.9"))
    expected = {
        path: {name: round(value * 0.9) for name, value in cell.items()}
        for path, cell in honest.items()
    }
    assert expected == told


@each_endpoint
@pytest.mark.parametrize(
    ("fault", "expected"),
    [("garbage", b"<<< not JSON >>>"), ("empty_body", b"")],
    ids=["garbage", "empty_body"],
)
async def test_sends_no_json(
    simulator: Simulator, endpoint: str, fault: str, expected: bytes
) -> None:
    """The body is something else, and kept as the bytes that it is."""
    assert expected == await body(simulator, endpoint, fault)
    assert expected == simulator.answers[-1].payload


async def test_sends_a_page(simulator: Simulator) -> None:
    """A page for people comes as such."""
    simulator.rules = [Rule("*", "html")]
    heard = await hear(simulator)
    assert "text/html; charset=utf-8" == heard.headers["Content-Type"]
    assert heard.body.startswith(b"<!DOCTYPE html>")


@pytest.mark.parametrize("fault", [name for name, fault in FAULTS.items() if fault.only])
async def test_leaves_the_other_endpoint_alone(simulator: Simulator, fault: str) -> None:
    """A fault of one endpoint, ruled for all, does not touch the other."""
    honest = await payload(simulator, "servers")
    simulator.rules = [Rule("*", fault, FAULTS[fault].default)]
    assert honest == json.loads((await hear(simulator, PATHS["servers"])).body)


RECORDS = [
    *("utf8", "surrogate", "nesting", "digits", "constant", "capacity", "capacities", "label"),
    *("duplicate", "verdict", "map", "gone", "shrink", "many"),
]


@pytest.mark.parametrize("fault", RECORDS)
async def test_errors_are_left_as_they_are(simulator: Simulator, fault: str) -> None:
    """A fault in the records changes nothing where there are none."""
    simulator.key = "another"
    honest = await hear(simulator)
    value = "7" if fault == "verdict" else FAULTS[fault].default
    simulator.rules = [Rule("*", fault, value)]
    struck = await hear(simulator)
    assert ("HTTP/1.1 401 Unauthorized", honest.body) == (struck.line, struck.body)


# what the witness is told

WHOLE = {
    name: fault.default
    for name, fault in FAULTS.items()
    if name
    in {
        *("latency", "status", "api_status", "date_refused", "redirect", "drip_head", "drip_body"),
        *("chunks", "members", "content_type", "html", "garbage", "empty_body", "utf8", "utf16"),
        *("bom", "surrogate", "nesting", "digits", "constant", "capacity", "capacities", "label"),
        *("duplicate", "verdict", "map", "gone", "shrink", "many", "correction"),
    }
}
BROKEN = [name for name, fault in FAULTS.items() if name not in WHOLE]


@pytest.mark.parametrize("fault", WHOLE)
@each_endpoint
async def test_the_witness_has_the_true_bytes(
    simulator: Simulator, endpoint: str, fault: str
) -> None:
    """Of each whole answer the witness is told what the client gets."""
    if FAULTS[fault].only not in ("", endpoint):
        endpoint = FAULTS[fault].only
    value = "0" if fault in ("latency", "drip_head", "drip_body") else WHOLE[fault]
    seen: list[Sent] = []
    simulator.witness = seen.append
    simulator.rules = [Rule(endpoint, fault, value)]
    heard = await hear(simulator, PATHS[endpoint])
    simulator.rules = [Rule(endpoint, fault, value)]
    packed = await hear(simulator, PATHS[endpoint], coding="gzip")
    for sent, answer in zip(seen, (heard, packed), strict=True):
        assert endpoint == sent.endpoint
        assert sent.status == int(answer.line.split()[1]) == sent.request.status
        assert sent.content_type == answer.headers.get("Content-Type", "")
        assert sent.body == plain(
            answer.headers.get("Content-Encoding"), unchunked(fault, answer.body)
        )


def plain(coding: str | None, content: bytes) -> bytes:
    return gzip.decompress(content) if coding == "gzip" else content


def unchunked(fault: str, content: bytes) -> bytes:
    """What stands in the chunks of the one fault that sends them."""
    if fault != "chunks":
        return content
    told = b""
    while content != b"0\r\n\r\n":
        size, _, content = content.partition(b"\r\n")
        told, content = told + content[: int(size, 16)], content[int(size, 16) + 2 :]
    return told


@pytest.mark.parametrize("fault", BROKEN)
async def test_the_witness_knows_what_is_not_whole(simulator: Simulator, fault: str) -> None:
    """Of an answer that nobody gets whole the witness is told so, and it is no answer."""
    seen: asyncio.Queue[Sent] = asyncio.Queue()
    simulator.witness = seen.put_nowait
    simulator.rules = [Rule("*", fault, FAULTS[fault].default)]
    client = await connect(simulator)
    await client.ask()
    sent = await asyncio.wait_for(seen.get(), 5)
    await client.close()
    assert (None, True) == (sent.body, sent.status in {0, 101, 200})
    assert (sent.status == 200) == (sent.content_type == "application/json")
    assert 0 == len(simulator.answers)


async def test_the_witness_sees_the_honest_and_the_refused(
    simulator: Simulator, api: aiohttp.ClientSession
) -> None:
    """Every reply is told, with its endpoint, in the order they are sent."""
    seen: list[Sent] = []
    simulator.witness = seen.append
    for path in (PATHS["servers"], "/nowhere", "/"):
        async with api.get(path) as response:
            assert seen[-1].body == await response.read()
    assert [("servers", 200), ("", 404), ("", 200)] == [(s.endpoint, s.status) for s in seen]
    assert [sent.request for sent in seen] == list(simulator.requests)


async def test_the_witness_knows_statuses_without_a_body(simulator: Simulator) -> None:
    """A 204 is whole without a byte."""
    seen: list[Sent] = []
    simulator.witness = seen.append
    simulator.rules = [Rule("*", "status", 204)]
    assert b"" == (await hear(simulator)).body
    assert [(204, b"")] == [(sent.status, sent.body) for sent in seen]


async def test_an_unknown_encoding_may_be_read_as_it_is(simulator: Simulator) -> None:
    """Who does not know the claimed coding may take the body as plain, and the witness tells it."""
    seen: list[Sent] = []
    simulator.witness = seen.append
    simulator.rules = [Rule("*", "encoding", "rot13")]
    heard = await hear(simulator)
    assert [heard.body] == [sent.body for sent in seen]
