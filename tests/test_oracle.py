"""The oracle finds nothing wrong with a page that is right, and something with any that lies."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import pytest

from exporter.collectors.base import Collector, Options
from exporter.collectors.servers import ServersCollector
from exporter.collectors.usage import UsageCollector, UsageOptions
from exporter.errors import DnsError
from exporter.events import Accepted, Event, PollEnded, PollStarted
from exporter.response import decode
from exporter.snapshot import Reading, Store
from exporter.telemetry import Telemetry
from tests.manual_clock import ManualClock
from tests.oracle import Endpoint, Oracle
from tests.oracle_answer import UnacceptableError, label, read_servers, read_usage
from tests.oracle_page import read_page

Detail = Literal["pop_country", "pop", "total"]
Usage = Mapping[str, Mapping[str, int]]

PARIS: dict[str, Any] = {"country": "FR", "city": "Paris", "ip": "192.0.2.1", "capacity": 5}
LONDON: dict[str, Any] = {"country": "UK", "city": "London", "ip": "192.0.2.2", "capacity": "99.5"}
SERVERS: dict[str, dict[str, Any]] = {"par-a01.wlvpn.com": PARIS, "lon-a01.wlvpn.com": LONDON}
USED = {"par": {"FR": 480, "UK": 7}}
USED_BEFORE = {"par": {"FR": 9000}}

END_OF_MARCH = datetime(2026, 3, 31, 23, 59, 30, tzinfo=UTC)


def servers_body(servers: object) -> bytes:
    return json.dumps({"api_status": 1, "server": servers}).encode()


def usage_body(used: Usage) -> bytes:
    """Three connections and two customers in each cell, whatever its bytes."""
    cells = {
        pop: {c: {"bandwidth": n, "connections": 3, "customers": 2} for c, n in codes.items()}
        for pop, codes in used.items()
    }
    return json.dumps({"data": cells}).encode()


class Scene:
    """An exporter without sockets, and an oracle that hears what it hears."""

    def __init__(
        self,
        at: datetime = datetime(2026, 3, 17, 12, tzinfo=UTC),
        *,
        detail: Detail = "pop_country",
        countries: tuple[str, ...] = (),
    ) -> None:
        self.clock = ManualClock(at)
        self.countries = countries
        self.detail: Detail = detail
        self.oracle = Oracle("default", countries=countries, detail=detail)
        self.start()

    def start(self) -> None:
        """Starts the exporter, again after the first time."""
        self.collectors: dict[str, Collector[Any, Any]] = {
            "servers": ServersCollector(Options(), self.countries),
            "usage": UsageCollector(UsageOptions(detail=self.detail)),
        }
        self.store = Store(
            [("default", collector) for collector in self.collectors.values()],
            clock=self.clock,
            emit=lambda _: None,
        )
        self.emit: Callable[[Event], None]
        self.emit = self.telemetry = Telemetry(self.store, clock=self.clock, runtime=False)

    async def poll(self, name: Literal["servers", "usage"], *bodies: bytes) -> None:
        """Polls; the API sends each answer a second after it was asked."""
        at, monotonic = self.clock.now(), self.clock.monotonic()
        self.emit(PollStarted(account="default", collector=name, at=at))
        waiting = list(bodies)

        async def get(path: str, query: Mapping[str, str]) -> Mapping[str, object]:
            del path
            self.clock.advance(1)
            body = waiting.pop(0)
            self.oracle.hear(name, query, body, self.clock.now())
            return decode(body)

        last = self.store.last("default", name)
        answer = await self.collectors[name].fetch(get, now=at, last=last and last.content)
        assert [] == waiting
        reading = Reading(answer.content, answer.records, at, monotonic)
        changed = await self.store.accept("default", name, reading)
        self._end(name, at, Accepted(answer.records, rejected=answer.rejected, changed=changed))

    def fail(self, name: str) -> None:
        """Polls in vain."""
        self.emit(PollStarted(account="default", collector=name, at=self.clock.now()))
        self._end(name, self.clock.now(), DnsError("no address"))

    def _end(self, name: str, at: datetime, outcome: Accepted | DnsError) -> None:
        self.emit(
            PollEnded(account="default", collector=name, at=at, duration_seconds=1, outcome=outcome)
        )

    async def begin(self) -> "Scene":
        """Polls both collectors for the first time."""
        await self.poll("servers", servers_body(SERVERS))
        await self.poll("usage", usage_body(USED), usage_body(USED_BEFORE))
        return self

    def page(self, *, openmetrics: bool = True) -> str:
        form: Literal["openmetrics", "text"] = "openmetrics" if openmetrics else "text"
        body = self.store.body(form).finish(self.telemetry.tail(form), gzip=False)
        return b"".join(body).decode()

    def problems(self, page: str | None = None, *, openmetrics: bool = True) -> list[str]:
        """What the oracle says about a page, or about the one that is served now."""
        page = self.page(openmetrics=openmetrics) if page is None else page
        return self.oracle.check(page, self.clock.now(), openmetrics=openmetrics)


@pytest.fixture
async def scene() -> Scene:
    return await Scene().begin()


async def test_it_has_nothing_to_say_of_a_whole_life() -> None:
    """Start, polls, faults, staleness, drop, return, a month's end and a restart are all right."""
    scene = Scene(END_OF_MARCH)
    said = [scene.problems()]
    await scene.begin()
    said += [scene.problems(), scene.problems(openmetrics=False)]
    await scene.poll("servers", servers_body({"par-a01.wlvpn.com": PARIS}))
    said.append(scene.problems())
    scene.clock.advance(60)
    said.append(scene.problems())
    await scene.poll("usage", usage_body({}), usage_body({"par": {"FR": 400, "UK": 9}}))
    said.append(scene.problems())
    for wait_seconds in (100, 500, 9000, 14_400, 86_400):
        scene.clock.advance(wait_seconds)
        scene.fail("servers")
        said.append(scene.problems())
    await scene.begin()
    said.append(scene.problems())
    scene.start()
    scene.oracle.reset()
    said.append(scene.problems())
    await scene.poll("servers", servers_body([]))
    said.append(scene.problems())
    assert [[]] * len(said) == said
    assert scene.oracle.is_exact


@pytest.mark.parametrize("detail", ["pop", "total"])
async def test_it_knows_coarser_details_and_configured_countries(detail: Detail) -> None:
    """Sums without customers, and an explicit 0 for a country without servers, are right."""
    scene = Scene(detail=detail, countries=("FR", "UK", "XX"))
    await scene.begin()
    assert [] == scene.problems()
    await scene.poll("usage", usage_body({"par": {"FR": 500}}))
    assert [] == scene.problems()
    assert 'country="XX"} 0\n' in scene.page()


FIRST = 'wlvpn_server_capacity_used_ratio{account="default",fqdn="lon-a01.wlvpn.com",pop="lon"'
PARIS_LINE = (
    'wlvpn_server_capacity_used_ratio{account="default",fqdn="par-a01.wlvpn.com",pop="par",'
    'country="FR",city="Paris"} 0.05\n'
)
POLLS = '{account="default",collector="servers"}'
CELL = '{account="default",pop="par",country_code="FR"}'

LIES: dict[str, tuple[str, str, str]] = {
    "a value off by 0.01": ('city="Paris"} 0.05', 'city="Paris"} 0.06', "is 0.06, not 0.05"),
    "a clamped value": ('city="London"} 0.995', 'city="London"} 1.0', "is 1.0, not 0.995"),
    "a made-up 0": ('city="Paris"} 0.05', 'city="Paris"} 0', "is 0.0, not 0.05"),
    "another label": (FIRST, FIRST.replace('pop="lon', 'pop="par'), "is 0.995, not None"),
    "another city": ('city="Paris"', 'city="paris"', 'city="paris"'),
    "another address": ('ip="192.0.2.1"', 'ip="192.0.2.2"', "wlvpn_server_info"),
    "another account": (PARIS_LINE, PARIS_LINE.replace("default", "other"), "is None, not 0.05"),
    "one label more": ('city="Paris"} 0.05', 'city="Paris",instance="a"} 0.05', "not 0.05"),
    "a server dropped": (PARIS_LINE, "", "is None, not 0.05"),
    "a server added": (PARIS_LINE, PARIS_LINE + PARIS_LINE.replace("a01", "a02"), "not None"),
    "a server twice": (PARIS_LINE, PARIS_LINE * 2, "has 3 lines and 2 samples"),
    "a wrong count": ('wlvpn_servers{account="default",country="FR"} 1', "", "wlvpn_servers{"),
    "not a number": (PARIS_LINE, PARIS_LINE.replace("0.05", "NaN"), "is nan"),
    "infinity": (
        "wlvpn_event_loop_lag_seconds 0.0",
        "wlvpn_event_loop_lag_seconds +Inf",
        "is inf",
    ),
    "a timestamp": (PARIS_LINE, PARIS_LINE.replace("0.05", "0.05 1"), "has a timestamp"),
    "no end": ("# EOF\n", "", "# EOF is not there once"),
    "an early end": ("# HELP wlvpn_up", "# EOF\n# HELP wlvpn_up", "# EOF is not there once"),
    "a line cut": ("# EOF\n", "# EOF", "the last line has no end"),
    "a broken family": ("# HELP wlvpn_up", PARIS_LINE + "# HELP wlvpn_up", "is not one family"),
    "a line that is none": (PARIS_LINE, PARIS_LINE.replace('"}', '"'), "cannot be parsed"),
    "a family twice": (
        "# HELP wlvpn_up",
        "# HELP wlvpn_servers Again.\n# TYPE wlvpn_servers gauge\n# HELP wlvpn_up",
        "wlvpn_servers is in two places",
    ),
    "no HELP": ("# HELP wlvpn_server_cap", "# TELP wlvpn_server_cap", "does not start with"),
    "a creation time": (
        "# HELP wlvpn_up",
        "# HELP wlvpn_y Y.\n# TYPE wlvpn_y counter\nwlvpn_y_created 1\n# HELP wlvpn_up",
        "wlvpn_y_created{} is there",
    ),
    "half up": (f"wlvpn_up{POLLS} 1.0", f"wlvpn_up{POLLS} 0.5", "neither 0 nor 1"),
    "up not told": (f"wlvpn_up{POLLS} 1.0\n", "", "wlvpn_up is absent"),
    "up with failures": (
        f"wlvpn_consecutive_failures{POLLS} 0.0",
        f"wlvpn_consecutive_failures{POLLS} 1.0",
        "with failures since",
    ),
    "stale too soon": (
        f"wlvpn_data_stale{POLLS} 0.0",
        f"wlvpn_data_stale{POLLS} 1.0",
        "data_stale is 1",
    ),
    "another time to live": (f"_ttl_seconds{POLLS} 600.0", f"_ttl_seconds{POLLS} 900.0", "live"),
    "wrong records": (f"wlvpn_records{POLLS} 2.0", f"wlvpn_records{POLLS} 3.0", "3.0 records"),
    "no records": (f"wlvpn_records{POLLS} 2.0\n", "", "a success without records"),
    "an attempt to come": (
        f"wlvpn_last_attempt_timestamp_seconds{POLLS} 1.7737488e+09",
        f"wlvpn_last_attempt_timestamp_seconds{POLLS} 1.7737498e+09",
        "the last attempt is in the future",
    ),
    "an attempt before the success": (
        f"wlvpn_last_attempt_timestamp_seconds{POLLS} 1.7737488e+09",
        f"wlvpn_last_attempt_timestamp_seconds{POLLS} 1.7737478e+09",
        "are not in this order",
    ),
    "wrong records of usage": (
        'wlvpn_records{account="default",collector="usage"} 2.0',
        'wlvpn_records{account="default",collector="usage"} 3.0',
        "3.0 records",
    ),
    "other bytes": (
        f"wlvpn_usage_month_to_date_bytes{CELL} 480",
        f"wlvpn_usage_month_to_date_bytes{CELL} 481",
        "is 481.0, not 480.0",
    ),
    "the month before changed": (
        f"wlvpn_usage_previous_month_bytes{CELL} 9000",
        f"wlvpn_usage_previous_month_bytes{CELL} 480",
        "is 480.0, not 9000.0",
    ),
    "customers dropped": (
        f"wlvpn_usage_month_to_date_customers{CELL} 2\n",
        "",
        "is None, not 2.0",
    ),
    "another month": (
        'wlvpn_usage_month_start_timestamp_seconds{account="default"} 1772323200.0',
        'wlvpn_usage_month_start_timestamp_seconds{account="default"} 1769904000.0',
        "the month is not (2026, 3)",
    ),
    "growth before the start": (
        f"wlvpn_usage_observed_bytes_total{CELL} 0",
        f"wlvpn_usage_observed_bytes_total{CELL} 480",
        "is 480.0, not 0.0",
    ),
    "a made-up correction": (
        'wlvpn_usage_corrections_total{account="default"} 0',
        'wlvpn_usage_corrections_total{account="default"} 1',
        "wlvpn_usage_corrections_total{} is 1.0, not 0.0",
    ),
}


@pytest.mark.parametrize(("honest", "lie", "told"), LIES.values(), ids=LIES)
async def test_it_finds_a_lie(honest: str, lie: str, told: str, scene: Scene) -> None:
    """One change to a page that is right, and the oracle says what is wrong."""
    page = scene.page()
    assert 1 <= page.count(honest)
    problems = scene.problems(page.replace(honest, lie))
    assert [problem for problem in problems if told in problem]


TEXT_LIES: dict[str, tuple[str, str, str]] = {
    "a server twice": (PARIS_LINE, PARIS_LINE * 2, "is there twice"),
    "a timestamp": (PARIS_LINE, PARIS_LINE.replace("0.05", "0.05 1000"), "has a timestamp"),
    "an end": ("# HELP wlvpn_up", "# EOF\n# HELP wlvpn_up", "# EOF in the text format"),
}


@pytest.mark.parametrize(("honest", "lie", "told"), TEXT_LIES.values(), ids=TEXT_LIES)
async def test_it_finds_a_lie_in_text(honest: str, lie: str, told: str, scene: Scene) -> None:
    """So it does in the older format, which the library reads with less care."""
    page = scene.page(openmetrics=False).replace(honest, lie)
    problems = scene.problems(page, openmetrics=False)
    assert [problem for problem in problems if told in problem]


def content(page: str, *names: str) -> str:
    """The part of a page that tells what the API said, without that about us."""
    lines = [line for line in page.splitlines() if line.startswith(names)]
    assert lines
    return "\n".join(lines)


def with_content(page: str, old: str, *names: str) -> str:
    """A page with the content of an older one."""
    return page.replace(content(page, *names), content(old, *names))


CAPACITY = "wlvpn_server_capacity_used_ratio{"
SERVERS_ALONE: tuple[Endpoint, ...] = ("servers",)
COUNTER = """\
# HELP wlvpn_usage_corrections_total Lower.
# TYPE wlvpn_usage_corrections_total counter
wlvpn_usage_corrections_total{account="default"} 0
"""
ONE_SERVER = """\
# HELP wlvpn_server_capacity_used_ratio Used.
# TYPE wlvpn_server_capacity_used_ratio gauge
wlvpn_server_capacity_used_ratio{{account="default",fqdn="a",pop="a",country="FR",city="Paris"}} {}
# HELP wlvpn_server_info Listed.
# TYPE wlvpn_server_info gauge
wlvpn_server_info{{account="default",fqdn="a",pop="a",country="FR",city="Paris",ip="192.0.2.1"}} 1
# HELP wlvpn_servers Counted.
# TYPE wlvpn_servers gauge
wlvpn_servers{{account="default",country="FR"}} 1
"""


async def test_an_old_answer_after_a_newer_one_is_found(scene: Scene) -> None:
    """Once a newer answer was shown, no older one may be, whatever the page tells of the polls."""
    old = scene.page()
    scene.clock.advance(60)
    await scene.poll(
        "servers", servers_body(SERVERS | {"par-a01.wlvpn.com": PARIS | {"capacity": 6}})
    )
    new = scene.page()
    assert [] == scene.problems(new)
    assert "servers: the last success fell back" in scene.problems(old)
    mixed = with_content(new, old, CAPACITY)
    assert [problem for problem in scene.problems(mixed) if "is 0.05, not 0.06" in problem]


async def test_a_newer_answer_than_the_last_success_is_found(scene: Scene) -> None:
    """What was held, or not accepted, may not be shown either."""
    old = scene.page()
    scene.clock.advance(60)
    await scene.poll(
        "servers", servers_body(SERVERS | {"par-a01.wlvpn.com": PARIS | {"capacity": 6}})
    )
    mixed = with_content(old, scene.page(), CAPACITY)
    assert [problem for problem in scene.problems(mixed) if "is 0.06, not 0.05" in problem]


async def test_pages_without_polls_are_checked_by_their_content(scene: Scene) -> None:
    """There too nothing older may follow, and nothing that was never said."""
    oracle, at = Oracle("default", polled=False), scene.clock.now()
    for capacity in (5, 6):
        oracle.hear("servers", {}, servers_body({"a": PARIS | {"capacity": capacity}}), at)
    pages = [COUNTER + ONE_SERVER.format(used) for used in (0.05, 0.06, 0.05, 0.07)]
    found = [bool(oracle.check(page, at, openmetrics=False)) for page in pages]
    assert [False, False, True, True] == found


async def test_a_page_that_was_not_renewed_is_found(scene: Scene) -> None:
    """Where the page does not tell, the caller may know that a newer answer was accepted."""
    old = scene.clock.now()
    scene.clock.advance(60)
    new = scene.clock.now()
    for since, expected in ((None, False), (old, False), (new, True)):
        oracle = Oracle("default", collectors=SERVERS_ALONE, polled=False)
        for capacity, at in ((5, old), (6, new)):
            oracle.hear("servers", {}, servers_body({"a": PARIS | {"capacity": capacity}}), at)
        page = COUNTER + ONE_SERVER.format(0.05)
        assert expected == bool(oracle.check(page, new, openmetrics=False, since=since))
        nothing = oracle.check(COUNTER, new, openmetrics=False, since=since)
        assert (since is not None) == bool(nothing)


async def test_a_mixture_of_two_answers_is_found(scene: Scene) -> None:
    """Each line is what the API once said, but never all of them at the same time."""
    old = scene.page()
    await scene.poll(
        "servers",
        servers_body({name: server | {"capacity": 7} for name, server in SERVERS.items()}),
    )
    assert [] == scene.problems()
    mixed = scene.page().replace(PARIS_LINE.replace("0.05", "0.07"), PARIS_LINE)
    assert PARIS_LINE in old
    assert [problem for problem in scene.problems(mixed) if "is 0.05, not 0.07" in problem]


@pytest.mark.parametrize(
    ("name", "seconds"), [("servers", 600), ("usage", 93_600)], ids=["servers", "usage"]
)
async def test_what_is_too_old_is_found(name: str, seconds: int, scene: Scene) -> None:
    """A page that goes on showing a reading beyond its time to live."""
    page = scene.page()
    scene.clock.advance(seconds - 10)
    assert [] == [p for p in scene.problems(page) if p.startswith(name) and "too old" in p]
    scene.clock.advance(20)
    assert [p for p in scene.problems(page) if p.startswith(name) and "too old" in p]


async def test_a_month_that_is_over_is_found() -> None:
    """A page that goes on showing the month to date after the month's end."""
    scene = await Scene(END_OF_MARCH).begin()
    page = scene.page()
    assert [] == scene.problems(page)
    scene.clock.advance(60)
    problems = scene.problems(page)
    assert ["usage: what is shown was never read, or is too old, or its month is over"] == [
        problem for problem in problems if "usage" in problem and "data_stale" not in problem
    ]
    assert [] == scene.problems()


async def test_a_missing_drop_of_staleness_is_found(scene: Scene) -> None:
    """A page that calls a reading fresh which is not."""
    page = scene.page()
    scene.clock.advance(170)
    assert [] == scene.problems(page)
    scene.clock.advance(20)
    assert ["servers: data_stale is 0"] == scene.problems(page)


@pytest.mark.parametrize("collector", ["servers", "usage"])
async def test_nothing_to_show_needs_a_reason(collector: str, scene: Scene) -> None:
    """Series that end while the last success is fresh."""
    names = {"servers": ("wlvpn_server",), "usage": ("wlvpn_usage_month", "wlvpn_usage_previous")}
    kept = [
        line
        for line in scene.page().splitlines(keepends=True)
        if not line.startswith(names[collector]) or "_total{" in line
    ]
    assert [p for p in scene.problems("".join(kept)) if p.startswith(f"{collector}: wlvpn_")]


FALLS: dict[str, tuple[str, str]] = {
    "polls": (f"wlvpn_polls_total{POLLS} 2.0", f"wlvpn_polls_total{POLLS} 1.0"),
    "polls vanished": (f"wlvpn_polls_total{POLLS} 2.0\n", ""),
    "durations": (
        f"wlvpn_poll_duration_seconds_sum{POLLS} 2.0",
        f"wlvpn_poll_duration_seconds_sum{POLLS} 1.0",
    ),
    "added": (
        'wlvpn_servers_added_total{account="default",country="SE"} 1',
        'wlvpn_servers_added_total{account="default",country="SE"} 0',
    ),
    "growth": (
        f"wlvpn_usage_observed_bytes_total{CELL} 20",
        f"wlvpn_usage_observed_bytes_total{CELL} 19",
    ),
    "corrections": (
        'wlvpn_usage_corrections_total{account="default"} 1',
        'wlvpn_usage_corrections_total{account="default"} 0',
    ),
}


@pytest.mark.parametrize(("high", "low"), FALLS.values(), ids=FALLS)
async def test_a_counter_that_falls_is_found(high: str, low: str, scene: Scene) -> None:
    """Nothing that is counted becomes less within one process; a new process starts again."""
    oslo = {"sto-a01.wlvpn.com": PARIS | {"country": "SE"}}
    await scene.poll("servers", servers_body(SERVERS | oslo))
    await scene.poll("usage", usage_body({"par": {"FR": 500, "UK": 6}}))
    page = scene.page()
    assert [] == scene.problems(page)
    assert 1 == page.count(high)
    fallen = page.replace(high, low)
    assert [problem for problem in scene.problems(fallen) if " fell from " in problem]
    scene.oracle.reset()
    assert [] == [problem for problem in scene.problems(fallen) if " fell from " in problem]


async def test_growth_is_reckoned_over_corrections_and_a_month_s_end() -> None:
    """480, corrected to 475, then 500; the closed month gains 8 more, the new one begins with 6."""
    scene = Scene(datetime(2026, 3, 31, 23, 0, tzinfo=UTC))
    await scene.poll("usage", usage_body({"par": {"FR": 480}}), usage_body({}))
    assert [] == scene.problems()
    await scene.poll("usage", usage_body({"par": {"FR": 475}}))
    assert [] == scene.problems()
    await scene.poll("usage", usage_body({"par": {"FR": 500}}))
    assert [] == scene.problems()
    scene.clock.advance(3600)
    await scene.poll("usage", usage_body({"par": {"FR": 6}}), usage_body({"par": {"FR": 508}}))
    page = scene.page()
    total = f"wlvpn_usage_observed_bytes_total{CELL} "
    assert f"{total}34\n" in page
    assert [] == scene.problems(page)
    assert [] != scene.problems(page.replace(f"{total}34", f"{total}35"))
    assert scene.oracle.is_exact


async def test_a_missed_reading_is_told(scene: Scene) -> None:
    """Two polls between two pages: the counters cannot be reckoned any more, until a restart."""
    assert scene.oracle.is_exact
    for used in (500, 490):
        await scene.poll("usage", usage_body({"par": {"FR": used}}))
    scene.problems()
    assert not scene.oracle.is_exact
    scene.oracle.reset()
    assert scene.oracle.is_exact


async def test_sums_of_customers_are_found() -> None:
    """A distinct count is not to be summed."""
    scene = await Scene(detail="pop").begin()
    name = "wlvpn_usage_month_to_date_customers"
    family = f'# HELP {name} C.\n# TYPE {name} gauge\n{name}{{account="default",pop="par"}} 4\n'
    page = scene.page().replace("# HELP wlvpn_up ", f"{family}# HELP wlvpn_up ")
    assert [problem for problem in scene.problems(page) if "is 4.0, not None" in problem]


async def test_an_answer_to_another_question_does_not_count(scene: Scene) -> None:
    """Another filter, another month or part of one: what it says may not be shown."""
    for query in ({"country": "SE"}, {"country": "FR,UK"}):
        oracle = Oracle("default")
        oracle.hear("servers", query, servers_body(SERVERS), scene.clock.now())
        problems = oracle.check(scene.page(), scene.clock.now(), openmetrics=True)
        assert [problem for problem in problems if problem.startswith("servers: servers: shown")]
    for start, end in (("03-01", "03-16"), ("03-02", "03-17"), ("02-01", "02-28")):
        oracle = Oracle("default")
        query = {"start_date": f"2026-{start}", "end_date": f"2026-{end}"}
        oracle.hear("usage", query, usage_body(USED), scene.clock.now())
        problems = oracle.check(scene.page(), scene.clock.now(), openmetrics=True)
        assert [problem for problem in problems if problem.startswith("usage: usage: shown")]


def listing(*capacities: str) -> bytes:
    """Servers a00, a01, ... with these capacities, as they are written in JSON."""
    servers = [f'"a{i:02}": {{"capacity": {c}}}' for i, c in enumerate(capacities)]
    return f'{{"server": {{{", ".join(servers)}}}}}'.encode()


UNACCEPTABLE: dict[str, bytes] = {
    "nothing": b"",
    "not JSON": b"<html>",
    "cut": b'{"server": {"a": {"capacity": 1',
    "Latin-1": '{"server": {"café": {"capacity": 1}}}'.encode("latin-1"),
    "UTF-16": '{"server": {}}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"server": {}}',
    "NaN": b'{"server": {}, "x": NaN}',
    "Infinity": b'{"server": {}, "x": -Infinity}',
    "an endless integer": b'{"server": {}, "x": ' + b"9" * 5000 + b"}",
    "nested too deep": b'{"server": {}, "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "two values": b'{"server": {}} {}',
    "a list": b"[]",
    "status 0": b'{"api_status": 0, "server": {}}',
    "status null": b'{"api_status": null, "server": {}}',
    "status false": b'{"api_status": false, "server": {}}',
    "status 1 as decimal text": b'{"api_status": "1.0", "server": {}}',
    "no servers": b'{"servers": {}}',
    "servers are null": b'{"server": null}',
    "servers are a list": b'{"server": [1]}',
    "servers twice": b'{"server": {}, "server": {}}',
    "status twice": b'{"api_status": 0, "api_status": 1, "server": {}}',
    "two bad of nine": listing(*["1"] * 7, "101", "-1"),
    "one bad of four": listing(*["1"] * 3, "null"),
    "one server twice of four": b'{"server": {"a": {"capacity": 1}, "a": {"capacity": 1}}}',
    "too many": listing(*["1"] * 101),
}


@pytest.mark.parametrize("body", UNACCEPTABLE.values(), ids=UNACCEPTABLE)
def test_an_answer_is_not_acceptable(body: bytes) -> None:
    """Nothing of such an answer may be shown."""
    with pytest.raises(UnacceptableError):
        read_servers(body, max_records=100)


@pytest.mark.parametrize(
    "status", [b"", b'"api_status": 1,', b'"api_status": "1",', b'"api_status": 1.0,']
)
def test_a_status_of_1_is_acceptable(status: bytes) -> None:
    """Whether as number, as text or not at all."""
    assert 0 == read_servers(b"{" + status + b'"server": []}').records


BAD_SERVERS: dict[str, str] = {
    "101": "101",
    "below 0": "-0.5",
    "beyond every float": "1e999",
    "text of 101": '"101"',
    "text with a blank": '" 5"',
    "text with an exponent": '"1e1"',
    "text of nothing": '""',
    "no Arabic digits": '"\u0665"',
    "true": "true",
    "null": "null",
    "a list": "[5]",
    "an object": "{}",
    "a capacity twice": '1, "capacity": 1',
    "a city twice": '1, "city": "a", "city": "a"',
    "a city of 5": '1, "city": 5',
}


@pytest.mark.parametrize("capacity", BAD_SERVERS.values(), ids=BAD_SERVERS)
def test_a_bad_server_is_left_out(capacity: str) -> None:
    """It is one of five, which the others survive."""
    listed = read_servers(listing("1", "2", "3", "4", capacity))
    assert 4 == listed.records
    assert [0.01, 0.02, 0.03, 0.04] == sorted(listed.series[CAPACITY[:-1]].values())


@pytest.mark.parametrize(
    ("written", "used"),
    [("0", 0), ("-0.0", 0), ("100", 1), ("35.5", 0.355), ('"4"', 0.04), ('"99.5"', 0.995)],
)
def test_a_capacity_is_read(written: str, used: float) -> None:
    """As a number or as plain decimal text; a repeated unknown member does no harm."""
    listed = read_servers(listing(f'{written}, "load": 1, "load": 2'))
    assert [used] == list(listed.series[CAPACITY[:-1]].values())
    assert listed.is_ambiguous


BAD_CELLS: dict[str, str] = {
    "below 0": '"bandwidth": -1, "connections": 1, "customers": 1',
    "half a byte": '"bandwidth": 0.5, "connections": 1, "customers": 1',
    "beyond 63 bits": f'"bandwidth": {2**63}, "connections": 1, "customers": 1',
    "no connections": '"bandwidth": 1, "customers": 1',
    "customers are null": '"bandwidth": 1, "connections": 1, "customers": null',
    "bandwidth twice": '"bandwidth": 1, "bandwidth": 1, "connections": 1, "customers": 1',
}


@pytest.mark.parametrize("cell", BAD_CELLS.values(), ids=BAD_CELLS)
def test_a_bad_cell_is_left_out(cell: str) -> None:
    """It is told as unreadable, and no sum is made without it."""
    good = ", ".join(
        f'"{code}": {{"bandwidth": {2**63 - 1}, "connections": 1.0, "customers": "1"}}'
        for code in ("FR", "UK", "US", "CH")
    )
    body = f'{{"data": {{"par": {{{good}, "SE": {{{cell}}}}}, "lon": []}}}}'.encode()
    used = read_usage(body)
    assert (4, frozenset({("par", "SE")})) == (used.records, used.unreadable)
    with pytest.raises(UnacceptableError):
        read_usage(body, detail="total")


LABELS: dict[str, tuple[str, str]] = {
    "plain": ("São Paulo", "São Paulo"),
    "control and format characters": ("a\n\x00b\u202e\u200bc\u2028", "abc"),
    "a surrogate": ("\ud800a", "a"),
    "blanks around": (" \t a b \u00a0", "a b"),
    "nothing": ("\u200b \n", "unknown"),
    "128": ("é" * 128, "é" * 128),
    "129": ("é" * 129, "é" * 119 + "~a62bf207"),
}


@pytest.mark.parametrize(("text", "shown"), LABELS.values(), ids=LABELS)
def test_a_text_becomes_a_label(text: str, shown: str) -> None:
    """Cleaned, cut with a mark of the whole, and never empty."""
    assert shown == label(text)


def test_of_two_servers_of_one_name_the_first_counts() -> None:
    """Names that differ only in what is not seen."""
    others = {f"b{i}": PARIS for i in range(3)}
    listed = read_servers(servers_body({"a": PARIS, "a\u200b": LONDON} | others))
    assert 4 == listed.records
    assert not [labels for labels in listed.series[CAPACITY[:-1]] if ("country", "UK") in labels]


@pytest.mark.parametrize(
    ("name", "expected"), [("wlvpn_customer_day_bytes", 0), ("wlvpn_poll_duration_seconds", 1)]
)
def test_a_distribution_of_the_day_may_fall(name: str, expected: int) -> None:
    """The text format calls it a histogram, which it is not: it begins anew at midnight."""
    line = f'{name}_bucket{{account="default",le="+Inf"}} 7\n'
    page = read_page(f"# HELP {name} It.\n# TYPE {name} histogram\n{line}", openmetrics=False)
    assert ([], expected) == ([*page.problems], len(page.cumulative("default")))
