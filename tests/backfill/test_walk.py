"""A backfill asks for each day once, and its files say what the API says."""

import io
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse

from exporter import logs
from exporter.config import load
from exporter.errors import ConfigError
from exporter.simulator import Rule, Simulator
from exporter.simulator.app import Payload, Sent
from tests.backfill.desk import Terminal, backfill, content, days, expected, names, samples
from tests.conftest import Configure
from tests.manual_clock import ManualClock
from tests.stage import CANARY, forms

WINTER = days("2026-01-01", "2026-02-28")
GO_ON = "run the same command again to go on"
HINT = (
    "without --label job=... and --label instance=..., as Prometheus adds them to the live series, "
    "these are series of their own"
)
MANIFEST = {"backfill.json"}

Told = dict[str, dict[str, dict[str, object]]]


def asked(simulator: Simulator) -> list[str]:
    """The days asked for, in order."""
    return [request.query["end_date"] for request in simulator.requests]


def fail_from(simulator: Simulator, day: str, rule: str) -> None:
    """Lets the API fail as it is asked for a day."""

    def hear(sent: Sent) -> None:
        before = WINTER[WINTER.index(days(day, day)[0]) - 1]
        if sent.request.query.get("end_date") == f"{before}":
            simulator.witness = None
            simulator.rules = [Rule.parse(rule)]

    simulator.witness = hear


def rewrite(simulator: Simulator, changes: Mapping[str, Callable[[Told], object]]) -> None:
    """Changes what the API tells of some days, by their dates."""

    def change(_: str, payload: Payload) -> object:
        make = changes.get(simulator.requests[-1].query["end_date"])
        return make(payload["data"]) if make else payload  # type: ignore[arg-type] # that it is

    simulator.rewrite = change


def spoil(count: int) -> Callable[[Told], object]:
    """Makes the bandwidth of the first cells text."""

    def change(cells: Told) -> object:
        flat = [(pop, code) for pop, codes in cells.items() for code in codes]
        for pop, code in flat[:count]:
            cells[pop][code] = {**cells[pop][code], "bandwidth": "much"}
        return {"data": cells}

    return change


# What is in the files


async def test_files_say_what_the_api_says(
    configure: Configure, clock: ManualClock, simulator: Simulator, tmp_path: Path
) -> None:
    """Each cell of each day is a sample of that day's last second, and there is nothing else."""
    folder = tmp_path / "new" / "folder"
    ended = await backfill(configure(), clock, folder, labels=("job=a", 'instance=é"\\\n'))
    labels = {"account": "default", "job": "a", "instance": 'é"\\\n'}
    assert 0 == ended.code
    assert expected(simulator.world, WINTER, clock.now(), labels) == samples(folder)
    assert names("2026-01-01", "2026-02-28") | MANIFEST == content(folder).keys()


async def test_files_can_be_read(
    configure: Configure, clock: ManualClock, simulator: Simulator, tmp_path: Path
) -> None:
    """prometheus-client's own parser of OpenMetrics finds the same in them."""
    await backfill(configure(), clock, tmp_path, labels=("job=a", 'instance=é"\\\n'))
    path = tmp_path / "2026-02-28.om"
    found = {
        (sample.name, frozenset(sample.labels.items()), float(sample.timestamp)): sample.value
        for family in parse(path.read_text())  # type: ignore[no-untyped-call] # the library's omission
        for sample in family.samples
    }
    labels = {"account": "default", "job": "a", "instance": 'é"\\\n'}
    assert expected(simulator.world, WINTER[-1:], clock.now(), labels) == found


async def test_each_day_is_asked_for_once_and_slowly(
    configure: Configure, clock: ManualClock, simulator: Simulator, tmp_path: Path
) -> None:
    """One GET a day, from the first of its month to the day, two a second at the most."""
    began = clock.now()
    await backfill(configure(), clock, tmp_path)
    assert [
        ("GET", {"start_date": f"{day.replace(day=1)}", "end_date": f"{day}"}) for day in WINTER
    ] == [(request.method, request.query) for request in simulator.requests]
    times = [began, *(request.at for request in simulator.requests)]
    assert all(after - before >= timedelta(seconds=0.5) for before, after in pairwise(times))


@pytest.mark.parametrize(
    ("detail", "labels"), [("pop", {"account", "pop"}), ("total", {"account"})]
)
async def test_detail_is_respected(
    detail: str,
    labels: set[str],
    configure: Configure,
    clock: ManualClock,
    simulator: Simulator,
    tmp_path: Path,
) -> None:
    """Coarser series are sums as in the live ones, without customers."""
    settings = configure(collectors__usage__detail=detail)
    await backfill(settings, clock, tmp_path)
    found = samples(tmp_path)
    cells = simulator.world.usage(WINTER[0], WINTER[3], clock.now()).values()
    total = sum(cell.connections for codes in cells for cell in codes.values())
    day = [key for key in found if key[2] % 86_400 == 86_399 and key[2] // 86_400 == 20_457]
    assert {frozenset(labels)} == {frozenset(dict(pairs)) for _, pairs, _ in found}
    assert total == sum(found[key] for key in day if key[0].endswith("_connections"))
    assert {"bytes", "connections"} == {name.rpartition("_")[2] for name, _, _ in found}


async def test_several_accounts_share_a_file(
    clock: ManualClock, simulator: Simulator, tmp_path: Path
) -> None:
    """Each family is there once, with all accounts; who polls no usage is left out."""
    config = tmp_path / "config.yml"
    key = f"{{api_key: demo-key, base_url: '{simulator.url}'"
    config.write_text(
        f"accounts:\n  brand-a: {key}}}\n  brand-b: {key}}}\n"
        f"  brand-c: {key}, collectors: {{usage: {{enabled: false}}}}}}\n"
    )
    folder = tmp_path / "out"
    ended = await backfill(load({"config.file": str(config)}), clock, folder)
    wanted: dict[Any, float] = {}
    for account in ("brand-a", "brand-b"):
        wanted |= expected(simulator.world, WINTER, clock.now(), {"account": account})
    assert wanted == samples(folder)
    assert "brand-c is left out: its usage is not polled" in ended.lines


async def test_nobody_polls_usage(configure: Configure, clock: ManualClock, tmp_path: Path) -> None:
    """Where no account polls usage, there is nothing to ask for."""
    settings = configure(collectors__usage__enabled="false")
    with pytest.raises(ConfigError, match="usage") as caught:
        await backfill(settings, clock, tmp_path)
    [problem] = caught.value.problems
    assert "collectors.usage.enabled: false for every account: write true" == problem


async def test_an_empty_day_is_an_empty_file(
    configure: Configure, clock: ManualClock, simulator: Simulator, tmp_path: Path
) -> None:
    """Before the reseller existed there is no usage: no zero is made up, and no day asked twice."""
    rewrite(simulator, dict.fromkeys(map(str, WINTER[:40]), lambda _: {"data": []}))
    await backfill(configure(), clock, tmp_path)
    await backfill(configure(), clock, tmp_path)
    assert {b"# EOF\n"} == {content(tmp_path)[f"{day}.om"] for day in WINTER[:40]}
    assert expected(simulator.world, WINTER[40:], clock.now(), {"account": "default"}) == samples(
        tmp_path
    )
    assert [str(day) for day in WINTER] == asked(simulator)


async def test_a_month_that_shrinks_is_asked_for_again(
    configure: Configure, clock: ManualClock, simulator: Simulator, tmp_path: Path
) -> None:
    """Most records gone since the day before: 15 s later it asks once more, as in a poll."""
    answers: Iterator[object] = iter([{"data": []}])
    rewrite(simulator, {"2026-01-09": lambda cells: next(answers, {"data": cells})})
    await backfill(configure(), clock, tmp_path)
    doubted = [r.at for r in simulator.requests if r.query["end_date"] == "2026-01-09"]
    assert 60 == len(simulator.requests)
    assert doubted[1] - doubted[0] >= timedelta(seconds=15)
    assert expected(simulator.world, WINTER, clock.now(), {"account": "default"}) == samples(
        tmp_path
    )


# Bad records


async def test_a_bad_cell_is_left_out_and_counted(
    configure: Configure, clock: ManualClock, simulator: Simulator, tmp_path: Path
) -> None:
    """As in a poll: the cell is missing, the day is there, and the end says so."""
    rewrite(simulator, {"2026-01-05": spoil(1), "2026-01-07": spoil(2)})
    ended = await backfill(configure(), clock, tmp_path)
    whole = expected(simulator.world, WINTER, clock.now(), {"account": "default"})
    missing = whole.keys() - samples(tmp_path).keys()
    assert (0, 9) == (ended.code, len(missing))
    told = "3 bad cells were left out, the first: default 2026-01-05: "
    assert [told] == [line[: len(told)] for line in ended.lines if "bad cells" in line]


async def test_an_unreadable_day_does_not_hide_the_others(
    configure: Configure, clock: ManualClock, simulator: Simulator, tmp_path: Path
) -> None:
    """More than a fifth bad: the day is left out, the end says so, and the next run asks again."""
    rewrite(simulator, dict.fromkeys(["2026-01-05", "2026-01-06", "2026-02-28"], spoil(99)))
    first = await backfill(configure(), clock, tmp_path)
    there = names("2026-01-01", "2026-02-28") - names("2026-01-05", "2026-01-06")
    assert 1 == first.code
    assert there - {"2026-02-28.om"} | MANIFEST == content(tmp_path).keys()
    days_told = "2026-01-05 to 2026-01-06, 2026-02-28"
    assert f"left out: {days_told}: run the same command again to ask again" == first.lines[-1]
    assert first.lines[0].startswith("left out: schema: default 2026-01-05: ")
    assert "# 56 days: 2026-01-01 to 2026-01-04, 2026-01-07 to 2026-02-27." in first.out
    simulator.rewrite = None
    assert 0 == (await backfill(configure(), clock, tmp_path)).code
    assert expected(simulator.world, WINTER, clock.now(), {"account": "default"}) == samples(
        tmp_path
    )


async def test_unreadable_days_in_a_row_end_it(
    configure: Configure, clock: ManualClock, simulator: Simulator, tmp_path: Path
) -> None:
    """An API that only tells what cannot be read is left alone after three days."""
    rewrite(simulator, dict.fromkeys(map(str, WINTER), lambda _: {"data": "none"}))
    ended = await backfill(configure(), clock, tmp_path)
    assert (1, "", 3) == (ended.code, ended.out, len(simulator.requests))
    assert ["schema: default 2026-01-03: data: expected an object, got text", GO_ON] == ended.lines[
        -2:
    ]


# What comes between


@pytest.mark.parametrize(
    ("rule", "reason", "mend", "requests"),
    [
        ("usage:status=503", "server_error: default 2026-02-03: HTTP 503", GO_ON, 3),
        ("usage:close", "reset: default 2026-02-03: ", GO_ON, 3),
        ("usage:garbage", "decode: default 2026-02-03: ", GO_ON, 1),
        (
            "usage:status=401",
            "unauthorized: default 2026-02-03: HTTP 401",
            f"mend the key or its permissions, and {GO_ON}",
            1,
        ),
        (
            "usage:status=403",
            "forbidden: default 2026-02-03: HTTP 403",
            f"mend the key or its permissions, and {GO_ON}",
            1,
        ),
        (
            "usage:date_refused",
            "bad_request: default 2026-02-03: ",
            f"if the API does not go back so far, write a later --from; else {GO_ON}",
            1,
        ),
        ("usage:status=429", "rate_limited: default 2026-02-03: HTTP 429", GO_ON, 11),
    ],
    ids=lambda value: value.split(":")[1] if str(value).startswith("usage:") else "",
)
async def test_a_failure_ends_it_and_the_next_run_goes_on(
    rule: str,
    reason: str,
    mend: str,
    requests: int,
    configure: Configure,
    clock: ManualClock,
    simulator: Simulator,
    tmp_path: Path,
) -> None:
    """Exit 1, two clear lines, whole files; the next run asks for the rest and nothing differs."""
    fail_from(simulator, "2026-02-03", rule)
    first = await backfill(configure(), clock, tmp_path / "a")
    assert (1, "", True, mend) == (
        first.code,
        first.out,
        first.lines[-2].startswith(reason),
        first.lines[-1],
    )
    assert names("2026-01-01", "2026-02-02") | MANIFEST == content(tmp_path / "a").keys()
    assert 33 + requests == len(simulator.requests)
    simulator.rules = ()
    simulator.requests.clear()
    clock.advance(3600)
    second = await backfill(configure(), clock, tmp_path / "a")
    assert (0, True) == (second.code, "33 of 59 days are there already" in second.lines)
    assert [str(day) for day in WINTER[33:]] == asked(simulator)
    await backfill(configure(), clock, tmp_path / "b")
    assert content(tmp_path / "b") == content(tmp_path / "a")


async def test_a_429_is_waited_for(
    configure: Configure, clock: ManualClock, simulator: Simulator, tmp_path: Path
) -> None:
    """Asked too often, it stays away for as long as the API says, and goes on."""
    fail_from(simulator, "2026-02-03", "usage:status=429:retry_after=120:count=2")
    ended = await backfill(configure(), clock, tmp_path)
    limited = [r.at for r in simulator.requests if r.query["end_date"] == "2026-02-03"]
    assert (0, 61) == (ended.code, len(simulator.requests))
    assert all(
        timedelta(seconds=120) <= b - a <= timedelta(seconds=121) for a, b in pairwise(limited)
    )
    assert 2 == ended.lines.count("default: asked too often: waiting 2m")


async def test_a_passing_fault_is_not_noticed(
    configure: Configure, clock: ManualClock, simulator: Simulator, tmp_path: Path
) -> None:
    """Retried as in a poll: the run goes on, and counts all its requests."""
    fail_from(simulator, "2026-02-03", "usage:status=503:count=2")
    ended = await backfill(configure(), clock, tmp_path)
    assert (0, ["59 of 59 days are there, 61 requests"]) == (ended.code, ended.lines)


# Days that may change


async def test_unsettled_days_are_told_and_asked_for_again(
    configure: Configure, clock: ManualClock, simulator: Simulator, tmp_path: Path
) -> None:
    """Up to yesterday; what may still be corrected is asked for again, until it has settled."""
    months = ("2026-03", "2027-01")
    first = await backfill(configure(), clock, tmp_path, months=months)
    march = [str(day) for day in days("2026-03-01", "2026-03-31")]
    assert march[:16] == asked(simulator)
    assert "may still correct 2026-03-12 to 2026-03-16." in first.out
    assert "again on 2026-03-22 or later" in first.out
    simulator.requests.clear()
    clock.advance(86_400 * 3)
    await backfill(configure(), clock, tmp_path, months=months)
    assert march[11:19] == asked(simulator)
    simulator.requests.clear()
    clock.advance(86_400 * 18)
    last = await backfill(configure(), clock, tmp_path, months=("2026-03", "2026-03"))
    assert march[14:] == asked(simulator)
    assert "may still" not in last.out
    simulator.requests.clear()
    await backfill(configure(), clock, tmp_path, months=("2026-03", "2026-03"))
    assert [] == asked(simulator)
    labels = {"account": "default"}
    wanted = expected(simulator.world, days("2026-03-01", "2026-03-31"), clock.now(), labels)
    assert wanted == samples(tmp_path)


async def test_settle_days_decide(
    configure: Configure, clock: ManualClock, simulator: Simulator, tmp_path: Path
) -> None:
    """Who says that nothing is ever corrected is believed."""
    settings = configure(collectors__usage__settle_days="0")
    ended = await backfill(settings, clock, tmp_path, months=("2026-03", "2026-03"))
    await backfill(settings, clock, tmp_path, months=("2026-03", "2026-03"))
    assert ("may still" in ended.out, 16) == (False, len(simulator.requests))


# What is said


async def test_the_commands_are_told(
    configure: Configure, clock: ManualClock, tmp_path: Path
) -> None:
    """All that is on stdout can be pasted: a loop, and why it is not enough."""
    folder = tmp_path / "it's $HOME"
    ended = await backfill(configure(), clock, folder)
    quoted = f"{tmp_path}/it'\"'\"'s $HOME"
    assert (
        f"""\
# 59 days: 2026-01-01 to 2026-02-28.
# Prometheus deletes what is older than its retention, 15 days unless it is told otherwise. The
# first of these days began 75 days ago: before loading, start Prometheus with at least
#   --storage.tsdb.retention.time=76d
# and with more to keep that day for longer.
# Load the files where Prometheus runs, as its user. data is its --storage.tsdb.path.
data=/var/lib/prometheus
for file in '{quoted}'/*.om; do
  promtool tsdb create-blocks-from openmetrics --quiet "$file" "$data" || break
done
"""
        == ended.out
    )


async def test_progress_elsewhere_is_a_line_a_month(
    configure: Configure, clock: ManualClock, tmp_path: Path
) -> None:
    """In a log there are no bars."""
    ended = await backfill(configure(), clock, tmp_path)
    assert [
        f"wlvpn-exporter: {HINT}",
        "wlvpn-exporter: 2026-01-31: 31 of 59 days, 31 requests, 14s left",
        "wlvpn-exporter: 2026-02-28: 59 of 59 days, 59 requests, 0s left",
        "wlvpn-exporter: 59 of 59 days are there, 59 requests",
    ] == ended.err.splitlines()


async def test_progress_on_a_terminal_is_a_bar(
    configure: Configure, clock: ManualClock, tmp_path: Path
) -> None:
    """One line that is written over; what has to stay is a line of its own."""
    labels = ("job=a", "instance=b")
    ended = await backfill(configure(), clock, tmp_path, labels=labels, err=Terminal())
    bars = ended.err.removeprefix("\r\x1b[K").split("\r\x1b[K")
    assert 60 == len(bars)
    assert "2026-01-31 [##########..........] 31 of 59 days, 31 requests, 14s left" == bars[30]
    assert "wlvpn-exporter: 59 of 59 days are there, 59 requests\n" == bars[-1]
    assert 1 == ended.err.count("\n")


@pytest.mark.parametrize("rule", ["status=401", "status=503", "api_status", "redirect=/", ""])
async def test_no_output_tells_the_key(
    rule: str, configure: Configure, clock: ManualClock, simulator: Simulator, tmp_path: Path
) -> None:
    """However it ends, at debug as well, the key is in no line and in no file."""
    log = io.StringIO()
    logs.start("debug", "logfmt", log)
    simulator.key = CANARY
    error = f"wrong: {CANARY}"
    if rule == "api_status":
        simulator.rewrite = lambda _, payload: {**payload, "api_status": 0, "error": error}
    elif rule:
        fail_from(simulator, "2026-01-04", f"usage:{rule}")
    ended = await backfill(configure(api_key=CANARY), clock, tmp_path)
    files = b"".join(content(tmp_path).values()).decode()
    texts = (ended.out, ended.err, log.getvalue(), files)
    assert (not rule, True) == (ended.code == 0, "level=debug" in log.getvalue())
    assert [] == [form for form in forms(CANARY) for text in texts if form in text]
