"""What can go wrong on the way to the API, each tried on both collectors: cold, warm and stale.

`python -m tests.faults` prints the table, and with `--write` keeps it in docs/failures.md.
"""

import argparse
import asyncio
import re
import socket
import ssl
import sys
import warnings
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import trustme
from aiohttp.abc import AbstractResolver, ResolveResult

from exporter.simulator import Rule
from tests import hostile
from tests.stage import CANARY, COLLECTORS, Stage, staged
from tests.virtual_loop import VirtualClock, run

PAGE = Path(__file__).parent.parent / "docs" / "failures.md"
ELSEWHERE = "{elsewhere}"
HOST = "api.wlvpn.test"

_ACCEPTED = ("accepted", "rejected", "held")
_NOW = re.compile(r"^ts=\S+ ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Case:
    """A fault, and what each collector has to make of it.

    Attributes:
        name: for people, one of a kind.
        rules: the simulator's, while it lasts; `{elsewhere}` is the port of another server.
        servers: a reason; `accepted`, `rejected` (a record is left out), or `held`, and then
            accepted.
        usage: the same; as for servers if empty.
        kind: what the way to the API is made of: `plain`, `tls` or `dns`.
        ahead_seconds: how far the API's clock is ahead meanwhile.
        api_key: the key that the API knows meanwhile.
        nameserver: what the name server does meanwhile.
    """

    name: str
    rules: tuple[str, ...]
    servers: str
    usage: str = ""
    kind: str = "plain"
    ahead_seconds: float = 0
    api_key: str = ""
    nameserver: str = "honest"

    def expected(self, collector: str) -> str:
        """The outcome for one collector."""
        return (self.usage or self.servers) if collector == "usage" else self.servers


def _each(name: str, values: Iterable[str], rule: str, servers: str, usage: str = "") -> list[Case]:
    return [Case(f"{name}: {v or 'none'}", (rule.format(v),), servers, usage) for v in values]


# Nobody asks for a name while a connection is open: this drops it, and strikes no other.
_ANEW = ("line:close",)
_LABELS = ("newline", "quote", "backslash", "sample", "markup", "invisible", "rtl", "long")

CASES: tuple[Case, ...] = (
    # The way there
    Case("name server says there is no such name", _ANEW, "dns", kind="dns", nameserver="absent"),
    Case("name server never answers", _ANEW, "timeout", kind="dns", nameserver="silent"),
    Case("connection refused", ("line:refused",), "connect"),
    Case("connection reset at once", ("line:reset",), "reset"),
    Case("connection closed at once", ("line:close",), "reset"),
    Case("packets vanish (black hole)", ("line:blackhole",), "timeout"),
    Case("connection is silent", ("line:silent",), "timeout"),
    Case("connection speaks another protocol", ("line:garbage",), "decode"),
    Case("certificate expired", ("line:tls=expired",), "tls", kind="tls"),
    Case("certificate of another host", ("line:tls=other",), "tls", kind="tls"),
    Case("certificate of an unknown authority", ("line:tls=unknown",), "tls", kind="tls"),
    Case("TLS 1.1 at the most", ("line:tls=old",), "tls", kind="tls"),
    Case("TLS handshake stalls", ("line:silent",), "timeout", kind="tls"),
    Case("not TLS where TLS is expected", ("line:garbage",), "tls", kind="tls"),
    Case("TLS connection reset", ("line:reset",), "connect", kind="tls"),
    # The answer's head
    Case("no answer", ("*:hang",), "timeout"),
    Case("connection closed instead of an answer", ("*:close",), "reset"),
    Case("connection reset instead of an answer", ("*:reset",), "reset"),
    Case("head drips in", ("*:drip_head=5",), "timeout"),
    Case("head beyond every limit", ("*:header_flood",), "decode"),
    Case("endless interim answers", ("*:informational",), "timeout"),
    Case("another protocol (101)", ("*:upgrade",), "unexpected"),
    *_each("status", ("204", "206"), "*:status={}", "unexpected"),
    *_each("status", ("301", "302", "307", "308"), "*:status={}", "redirect"),
    *_each("status", ("400", "402", "408", "413", "451"), "*:status={}", "bad_request"),
    Case("status: 401", ("*:status=401",), "unauthorized"),
    Case("status: 403", ("*:status=403",), "forbidden"),
    Case("status: 404", ("*:status=404",), "not_found"),
    Case("status: 410", ("*:status=410",), "gone"),
    *_each("status", ("500", "502", "503", "504", "520"), "*:status={}", "server_error"),
    Case("status: 429 without Retry-After", ("*:status=429",), "rate_limited"),
    *_each(
        "status: 429 with Retry-After",
        (
            "0",
            "7",
            "120",
            "99999999999",
            "-5",
            "1.5",
            "soon",
            "Tue, 17 Mar 2026 12:02:00 GMT",
            "Tuesday, 17-Mar-26 12:02:00 GMT",
            "Thu, 01 Jan 1970 00:00:00 GMT",
            "Fri, 31 Dec 9999 23:59:59 GMT",
        ),
        "*:status=429:retry_after={}",
        "rate_limited",
    ),
    Case("redirect to another host", (f"*:redirect=http://localhost:{ELSEWHERE}/",), "redirect"),
    Case("redirect to another port", (f"*:redirect=http://127.0.0.1:{ELSEWHERE}/",), "redirect"),
    Case("redirect to another scheme", (f"*:redirect=https://127.0.0.1:{ELSEWHERE}/",), "redirect"),
    Case("key unknown to the API", (), "unauthorized", api_key="another-key"),
    # The answer's bytes
    Case("HTML under a 200", ("*:html",), "content_type"),
    *_each(
        "content type",
        ("text/plain", "", "application/octet-stream"),
        "*:content_type={}",
        "content_type",
    ),
    Case("cut short of its length", ("*:truncate",), "truncated"),
    Case("cut within a chunk", ("*:truncate_chunked",), "truncated"),
    Case("reset within the body", ("*:early",), "truncated"),
    Case("body stalls", ("*:stall",), "timeout"),
    Case("body drips in", ("*:drip_body=1",), "timeout"),
    Case("body in the smallest chunks", ("*:chunks",), "accepted"),
    Case("body without an end", ("*:endless",), "too_large"),
    Case("gzip bomb", ("*:bomb",), "too_large"),
    Case("ten thousand gzip members", ("*:members",), "decode"),
    Case("gzip claimed, not sent", ("*:encoding=gzip",), "decode"),
    Case("brotli claimed, not sent", ("*:encoding=br",), "decode"),
    Case("empty body", ("*:empty_body",), "decode"),
    Case("body is not JSON", ("*:garbage",), "decode"),
    Case("invalid UTF-8", ("*:utf8",), "decode"),
    Case("UTF-16", ("*:utf16",), "decode"),
    Case("byte order mark", ("*:bom",), "decode"),
    Case("nested 100,000 deep", ("*:nesting",), "decode"),
    Case("integer of 5,000 digits", ("*:digits",), "decode"),
    *_each("number", ("NaN", "Infinity", "-Infinity"), "*:constant={}", "decode"),
    Case("number: 1e400", ("*:constant=1e400",), "rejected"),
    # What it says
    *_each(
        "api_status",
        ("0", '"0"', "null", "false", "2", '"ok"', "[]", "{}"),
        "*:verdict={}",
        "api_error",
    ),
    *_each("api_status", ("1", '"1"', ""), "*:verdict={}", "accepted"),
    Case("api_status 0 with an error under a 200", ("*:api_status",), "api_error"),
    *_each("map", ("missing", "null", "text", "number", "list"), "*:map={}", "schema"),
    Case("map: empty list", ("*:map=empty",), "held"),
    Case("all records gone", ("*:gone",), "held"),
    Case("most records gone", ("*:shrink",), "held"),
    Case("more records than the limit", ("*:many=20001",), "too_large"),
    *_each(
        "one record's capacity or counts",
        (
            "-1",
            "-1e-9",
            "100.0001",
            "1e999",
            "99999999999999999999",
            "null",
            "true",
            "false",
            "[]",
            "[5]",
            "{}",
            '""',
            '"12 %"',
            '"1e1"',
            '" 5"',
            '"5 "',
            r'"5\n"',
            '"+5"',
            '"-1"',
            '"5,5"',
            '".5"',
            '"5."',
            '"1.2.3"',
            '"5_0"',
            '"0x1F"',
            r'"\u0665"',
            '"100.0001"',
            '"NaN"',
            '"inf"',
        ),
        "*:capacity={}",
        "rejected",
    ),
    *_each(
        "one record's capacity or counts",
        ("0", "-0.0", "1", "2.0", "1e2", '"7"', '"7.0"', "100"),
        "*:capacity={}",
        "accepted",
    ),
    Case("one record's capacity or counts: 101", ("*:capacity=101",), "rejected", "accepted"),
    Case("one record's capacity or counts: 50.5", ("*:capacity=50.5",), "accepted", "rejected"),
    *_each("every capacity or count", ("null", "101.5", '"full"'), "*:capacities={}", "schema"),
    *_each("hostile label", _LABELS, "*:label={}", "accepted"),
    Case("hostile label: empty", ("*:label=empty",), "accepted"),
    *_each("label is no text", ("number", "list"), "*:label={}", "rejected"),
    Case("lone surrogate", ("*:surrogate",), "accepted"),
    Case("a name stands twice", ("*:duplicate",), "rejected"),
    Case("dates refused", ("*:date_refused",), "bad_request"),
    Case("a corrected month", ("usage:correction=0.9",), "accepted"),
    Case("the API's clock is a day ahead", (), "accepted", ahead_seconds=86_400),
    Case("the API's clock is a day behind", (), "accepted", ahead_seconds=-86_400),
)


@dataclass
class Row:
    """What came of a case."""

    case: Case
    outcomes: dict[str, str] = field(default_factory=dict)
    line: str = ""
    shown: str = ""
    problems: list[str] = field(default_factory=list)
    scrapes: int = 0

    def cells(self) -> tuple[str, ...]:
        """As a line of the table."""
        metric = ", ".join(
            f"`{_metric(outcome)}`" for outcome in dict.fromkeys(self.outcomes.values())
        )
        outcomes = " / ".join(dict.fromkeys(self.outcomes.values()))
        line = f"`{self.line}`" if self.line else "none"
        return self.case.name, outcomes, metric, line, self.shown


def _metric(outcome: str) -> str:
    if outcome == "rejected":
        return 'wlvpn_records_rejected_total{reason="schema"}'
    if outcome == "held":
        return "wlvpn_readings_held_total"
    if outcome == "accepted":
        return "wlvpn_up"
    return f'wlvpn_poll_failures_total{{reason="{outcome}"}}'


class Trial:
    """One case on a stage: the fault comes and goes twice."""

    def __init__(self, case: Case, stage: Stage, nameserver: "Nameserver | None") -> None:
        self._case = case
        self._stage = stage
        self._nameserver = nameserver
        self.row = Row(case)

    async def play(self, elsewhere: int) -> Row:
        """Cold, recovery, warm until stale, recovery."""
        stage, row = self._stage, self.row
        await stage.clock.sleep(45)
        await stage.scrape()
        await stage.look()
        self._judge("cold", {})
        row.line = self._first_line()
        self._strike(None)
        await self._recover("cold")
        before = self._counts()
        listed = stage.series("wlvpn_server_capacity_used_ratio")
        self._strike(elsewhere)
        await stage.until(130, step=65)
        self._check_warm(listed)
        await stage.until(930, step=310)
        await stage.look()
        self._judge("warm", before)
        row.line = row.line or self._first_line()
        await stage.until(10_800, step=3_600)
        self._check_stale()
        self._strike(None)
        await self._recover("stale")
        row.scrapes = stage.scrapes
        return row

    def begin(self, elsewhere: int) -> None:
        """The fault is there before the exporter."""
        self._strike(elsewhere)

    def _strike(self, elsewhere: int | None) -> None:
        """Brings the fault; None ends it."""
        case, simulator = self._case, self._stage.simulator
        on = elsewhere is not None
        rules = [rule.replace(ELSEWHERE, str(elsewhere)) for rule in case.rules] if on else []
        simulator.rules = [Rule.parse(rule) for rule in rules]
        if case.api_key:
            simulator.key = case.api_key if on else CANARY
        self._stage.api_clock.ahead_seconds = case.ahead_seconds if on else 0
        if self._nameserver:
            self._nameserver.does = case.nameserver if on else "honest"

    def _counts(self) -> dict[tuple[str, str], float]:
        """What the last scrape counted, by collector and outcome."""
        found: dict[tuple[str, str], float] = {}
        for key, value in self._stage.samples():
            match key:
                case ("wlvpn_poll_failures_total", collector, reason):
                    found[collector, reason] = value
                case ("wlvpn_records_rejected_total", collector, "schema"):
                    found[collector, "rejected"] = value
                case ("wlvpn_readings_held_total", collector, _):
                    found[collector, "held"] = found.get((collector, "held"), 0) + value
        return found

    def _judge(self, state: str, before: Mapping[tuple[str, str], float]) -> None:
        """Compares what was counted since with what was to be expected."""
        found = {k: n - before.get(k, 0) for k, n in self._counts().items()}
        for collector in COLLECTORS:
            expected = self._case.expected(collector)
            if expected == "held" and state == "cold":
                expected = "accepted"  # there is nothing to compare it with
            told = [o for (c, o), n in found.items() if c == collector and n] or ["accepted"]
            if [expected] != told:
                self._complain(state, collector, f"expected {expected}, got {', '.join(told)}")
            if state == "warm":
                self.row.outcomes[collector] = " ".join(told)

    def _check_warm(self, listed: int) -> None:
        """Two polls into the fault: the last good reading, whole, or the new one."""
        if self._case.expected("servers") in _ACCEPTED:
            self.row.shown = "the new reading"
            if "rejected" in self._case.expected("servers"):
                self.row.shown += " without the bad record"
            if self._case.expected("servers") == "held":
                self.row.shown = "the last reading until a second answer agrees"
            return
        self.row.shown = "the last reading until its TTL"
        if self._stage.series("wlvpn_server_capacity_used_ratio") != listed:
            self._complain("warm", "servers", "the last good reading was lost")
        if self._stage.sample("wlvpn_up", "servers") != 0:
            self._complain("warm", "servers", "up in spite of the failures")

    def _check_stale(self) -> None:
        for collector in COLLECTORS:
            is_stale = self._stage.sample("wlvpn_data_stale", collector) == 1
            if is_stale != (self._case.expected(collector) not in _ACCEPTED):
                self._complain("stale", collector, f"stale is {is_stale}")
        series = self._stage.series("wlvpn_server_capacity_used_ratio")
        if self._case.expected("servers") not in _ACCEPTED and series:
            self._complain("stale", "servers", "a reading is served after its TTL")

    async def _recover(self, state: str) -> None:
        """The next planned poll of each collector has to be a good one."""
        stage = self._stage
        await stage.scrape()
        planned = {c: stage.sample("wlvpn_next_poll_timestamp_seconds", c) for c in COLLECTORS}
        polls = {c: stage.sample("wlvpn_polls_total", c) for c in COLLECTORS}
        for collector, at in sorted(planned.items(), key=lambda pair: pair[1]):
            wait = at - stage.clock.now().timestamp()
            await stage.clock.sleep(max(0, wait) + 1)
            await stage.scrape()
            # A big change back to normal may be doubted once, as any other.
            if stage.sample("wlvpn_up", collector) != 1:
                self._complain(state, collector, "not well after one poll")
            if stage.sample("wlvpn_polls_total", collector) <= polls[collector]:
                self._complain(state, collector, "no poll was made when it was due")
            if stage.sample("wlvpn_data_stale", collector) != 0:
                self._complain(state, collector, "stale after one poll")

    def _first_line(self) -> str:
        """The first line that the fault is worth on stderr, at info."""
        for line in _NOW.sub("", self._stage.log.getvalue()).splitlines():
            if line.startswith("level=warning"):
                shown = re.sub(r" (account|failed_polls|collector)=\S+", "", line)
                return re.sub(r":[0-9]{4,5}:", ":PORT:", shown)
        return ""

    def _complain(self, state: str, collector: str, problem: str) -> None:
        self.row.problems.append(f"{state} {collector}: {problem}")


class Nameserver(AbstractResolver):
    """Answers for the API's name as a name server would."""

    def __init__(self) -> None:
        self.does = "honest"

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        if self.does == "silent":
            await asyncio.Event().wait()
        if self.does == "absent":
            raise OSError(None, "no such name")
        return [
            ResolveResult(
                hostname=host, host="127.0.0.1", port=port, family=family, proto=0, flags=0
            )
        ]

    async def close(self) -> None:
        pass


def certificates(folder: Path) -> tuple[Path, dict[str, ssl.SSLContext]]:
    """The authority's file, and the simulator's contexts: a good one and the bad ones."""
    authority, unknown = trustme.CA(), trustme.CA()
    file = folder / "ca.pem"
    authority.cert_pem.write_to_path(file)
    past = datetime.now(UTC) - timedelta(days=1)
    issued = {
        "": authority.issue_cert(HOST),
        "expired": authority.issue_cert(HOST, not_after=past),
        "other": authority.issue_cert("other.example"),
        "unknown": unknown.issue_cert(HOST),
        "old": authority.issue_cert(HOST),
    }
    contexts = {}
    for name, certificate in issued.items():
        context = contexts[name] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
    contexts["old"].set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():
        # Python warns of versions that nobody should speak: that is what this one is for.
        warnings.simplefilter("ignore", DeprecationWarning)
        contexts["old"].minimum_version = ssl.TLSVersion.TLSv1
        contexts["old"].maximum_version = ssl.TLSVersion.TLSv1_1
    return file, contexts


def play(case: Case) -> Row:
    """Plays one case in virtual time."""
    rows: list[Row] = []

    async def scenario(clock: VirtualClock) -> None:
        async with AsyncExitStack() as exits:
            options: dict[str, str] = {}
            contexts = None
            nameserver = None if case.kind == "plain" else Nameserver()
            if case.kind != "plain":
                folder = Path(exits.enter_context(TemporaryDirectory()))
                file, contexts = certificates(folder)
                options["ca_file"] = str(file)
            visits: list[object] = []
            other = await asyncio.start_server(lambda *ends: visits.append(ends), "127.0.0.1", 0)
            await exits.enter_async_context(other)
            elsewhere = other.sockets[0].getsockname()[1]
            stage, service = await exits.enter_async_context(
                staged(
                    clock,
                    tls=contexts,
                    resolver=nameserver,
                    host=HOST if nameserver else "",
                    options=options,
                )
            )
            trial = Trial(case, stage, nameserver)
            trial.begin(elsewhere)
            async with service.serving() as [stage.url]:
                rows.append(await trial.play(elsewhere))
        rows[0].problems += [*stage.problems, *["somebody went elsewhere"] * len(visits)]

    run(scenario)
    return rows[0]


def document(rows: Iterable[Row]) -> str:
    """The page docs/failures.md."""
    head = ("Fault", "Outcome", "Told by", "First log line", "The page shows")
    upstream = _table(head, (row.cells() for row in rows))
    clients = _table(("A client", "It sees"), ((f.name, f.expected) for f in hostile.FAULTS))
    return f"{_UPSTREAM}\n{upstream}\n\n{_CLIENTS}\n{clients}\n"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines
    )


_UPSTREAM = """\
# Failures

## Of the API

Written by `make faults`, which tries each of them on the servers and on the usage, and in three \
states: before the first reading (cold), after one (warm), and after the reading has grown too old \
(stale). The outcome is a reason of a failed poll; `accepted`; `rejected`, where the answer is \
accepted and its bad record left out and counted; or `held`, where it is asked for again and then \
accepted. Two outcomes are those of servers / usage.

In every one of them an independent reader of the API's answers found each sample on the page to \
be what an answer within its TTL had said, the key was in no line and on no page, and the first \
poll after the fault was a good one.
"""

_CLIENTS = """\
## Of clients

What somebody does who can reach the port, and what it sees: statuses, `closed` where there was no \
answer, `gone` where it did not wait for one. Meanwhile, where it takes time, and afterwards a \
scrape is answered within a tenth of a second, and the log has at most one line of it a minute.
"""


def main() -> int:
    """Plays all cases, or those named; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="keep the table in docs/failures.md")
    parser.add_argument("names", nargs="*", help="parts of the names of the cases to play")
    found = parser.parse_args()
    cases = [c for c in CASES if not found.names or any(n in c.name for n in found.names)]
    rows = []
    for case in cases:
        row = play(case)
        rows.append(row)
        told = " / ".join(dict.fromkeys(row.outcomes.values()))
        verdict = "WRONG" if row.problems else "ok"
        print(f"{verdict:6}{case.name:60}{told}", flush=True)  # noqa: T201 - its work
        for problem in row.problems[:5]:
            print(f"      {problem}")  # noqa: T201
    wrong = sum(bool(row.problems) for row in rows)
    scrapes = sum(row.scrapes for row in rows)
    print(f"{len(rows)} faults x 2 collectors x 3 states, {scrapes} scrapes judged, {wrong} wrong")  # noqa: T201
    if found.write and not wrong and not found.names:
        PAGE.write_text(document(rows), encoding="utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
