"""What the status page and its JSON say, in every state."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from exporter.config import load
from exporter.desk import MOST_WAITING
from exporter.fleet import Filter
from exporter.simulator import Rule, Simulator
from exporter.simulator.app import Payload
from exporter.status import MOST_POLLS
from tests.conftest import Configure
from tests.manual_clock import ManualClock
from tests.status.stage import Stage, staged

DOCUMENT = Path(__file__).parents[2] / "docs" / "status.md"
REFUSED = (Rule("servers", "status", "401"),)
JSON = {"Accept": "application/json"}


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def stage(configure: Configure, clock: ManualClock) -> AsyncIterator[Stage]:
    async with staged(configure(), clock) as stage:
        yield stage


async def told(stage: Stage, text: str = "") -> dict[str, Any]:
    """The JSON."""
    read: dict[str, Any] = json.loads(await stage.service.status.show("json", Filter(text)))
    return read


async def shown(stage: Stage, text: str = "", *, refreshing: bool = False) -> str:
    """The page's text, without markup and in single blanks."""
    page = await stage.service.status.show("html", Filter(text), refreshing=refreshing)
    return " ".join(re.sub(r"<[^>]*>", " ", page.partition("<body>")[2]).split())


async def servers(stage: Stage) -> dict[str, Any]:
    """How the collector of servers is."""
    [row] = [row for row in (await told(stage))["collectors"] if row["collector"] == "servers"]
    return dict(row)


async def test_before_the_first_poll_it_is_starting(stage: Stage) -> None:
    """Nothing is called broken that has not begun, and the page comes again by itself."""
    assert "starting" == (await servers(stage))["state"]
    page = await shown(stage)
    assert "Starting: 0 of 2 collectors were polled." in page
    assert "not ready" in page
    assert "The first poll has not ended yet." in page
    assert "Filter" not in page
    html = await stage.service.status.show("html", Filter(""))
    assert '<meta http-equiv="refresh" content="3">' in html


async def test_all_is_fine(stage: Stage, clock: ManualClock) -> None:
    """Ages, records and the next poll, and no word of trouble."""
    await stage.poll()
    clock.advance(7)
    row = await servers(stage)
    assert ("ok", 120, 0, 7.0, 53.0, 60.0, None, 0, None, None, None) == tuple(
        row[name]
        for name in (
            "state",
            "records",
            "rejected",
            "age_seconds",
            "next_poll_seconds",
            "interval_seconds",
            "backoff_seconds",
            "consecutive_failures",
            "failing_since",
            "reason",
            "mend",
        )
    )
    page = await shown(stage)
    assert "All collectors are fine. ready · as of 12:00:07 UTC" in page
    assert "servers default ok 120 7s in 53s every 60s" in page
    assert "as of 7s ago" in page
    html = await stage.service.status.show("html", Filter(""))
    assert "http-equiv" not in html


async def test_a_failing_collector_says_since_when_and_what_to_do(
    stage: Stage, simulator: Simulator, clock: ManualClock
) -> None:
    """The last good reading is served, and on-call learns for how long."""
    await stage.poll()
    simulator.rules = REFUSED
    for _ in range(2):
        clock.advance(40)
        await stage.poll("servers")
    poller = stage.pollers["default", "servers"]
    stage.plan(poller, backoff_until=clock.now() + timedelta(seconds=240))
    row = await servers(stage)
    assert ("failing", 120, 2, "2026-03-17T12:00:40Z", "unauthorized", 240.0) == tuple(
        row[name]
        for name in (
            "state",
            "records",
            "consecutive_failures",
            "failing_since",
            "reason",
            "backoff_seconds",
        )
    )
    page = await shown(stage)
    assert "1 of 2 collectors needs a look." in page
    assert "api_key or api_key_file" in page
    assert (
        "Failing since 12:00:40 UTC, 2 polls in a row. The API is left alone for 4m. The last good "
        "reading is still served; at an age of 3m it is stale, at 10m it is dropped." in page
    )
    assert page.index("servers default failing") < page.index("usage default ok")


async def test_old_data_is_called_stale_and_then_gone(
    stage: Stage, simulator: Simulator, clock: ManualClock
) -> None:
    """What is shown says that it is too old; what is dropped is not shown."""
    await stage.poll()
    simulator.rules = REFUSED
    await stage.poll("servers")
    clock.advance(180)
    assert "stale" == (await servers(stage))["state"]
    page = await shown(stage)
    assert "What is served is too old to rely on; at an age of 10m it is dropped." in page
    assert "as of 3m ago: stale" in page
    clock.advance(420)
    row = await servers(stage)
    assert ("no data", None, 600.0) == (row["state"], row["records"], row["age_seconds"])
    page = await shown(stage)
    assert "The last good reading was dropped: its series have ended." in page
    assert "Countries" not in page
    assert "Bandwidth" in page


async def test_a_wrong_key_is_told_from_the_start(stage: Stage, simulator: Simulator) -> None:
    """Nothing was ever accepted, so nothing is said to have ended."""
    simulator.rules = (Rule("*", "status", "401"),)
    await stage.poll()
    page = await shown(stage)
    assert "2 of 2 collectors need a look. not ready" in page
    assert 2 == page.count("No answer has been accepted yet, so nothing is served.")
    assert "Failing since 12:00:00 UTC. No answer" in page


async def test_a_doubted_answer_is_held(stage: Stage, simulator: Simulator) -> None:
    """It is neither fine nor failing."""
    await stage.poll()
    simulator.rules = (Rule("servers", "shrink"),)
    await stage.poll("servers")
    row = await servers(stage)
    assert ("held", "shrunk", 120, 0) == (
        row["state"],
        row["reason"],
        row["records"],
        row["consecutive_failures"],
    )
    page = await shown(stage)
    assert "shrunk 48 records after 120" in page
    assert "The last answer is doubted" in page


async def test_a_stopping_exporter_says_so(stage: Stage) -> None:
    """Whatever else there is to say."""
    await stage.poll()
    stage.service.status.stopping = True
    assert "Stopping: there are no polls any more. not ready" in await shown(stage)
    assert (await told(stage))["stopping"]


async def test_rejected_records_are_counted(stage: Stage, simulator: Simulator) -> None:
    """Of the answer that is served."""

    def rewrite(endpoint: str, payload: Payload) -> Payload:
        listed = payload.get("server")
        if endpoint == "usage" or not isinstance(listed, dict):
            return payload
        bad = {"country": "FR", "city": "x", "capacity": "much", "ip": "::1"}
        return {**payload, "server": {**listed, "bad-a01": bad}}

    simulator.rewrite = rewrite
    await stage.poll()
    assert 1 == (await servers(stage))["rejected"]
    page = await shown(stage)
    assert "120 1 left out" in page
    assert "1 bad records left out" in page


async def test_polls_are_told_newest_first(
    stage: Stage, simulator: Simulator, clock: ManualClock
) -> None:
    """When, what, how it ended and how long it took; yesterday's with their day."""
    simulator.rules = REFUSED
    await stage.poll("servers")
    simulator.rules = ()
    clock.advance(86_400)
    await stage.poll()
    polls = (await told(stage))["polls"]
    assert [
        ("2026-03-18T12:00:00Z", "servers", "accepted", 120, None),
        ("2026-03-18T12:00:00Z", "usage", "accepted", 416, None),
        ("2026-03-17T12:00:00Z", "servers", "failed", None, "unauthorized"),
    ] == [
        tuple(poll[name] for name in ("at", "collector", "outcome", "records", "reason"))
        for poll in polls
    ]
    page = await shown(stage)
    assert "12:00:00 servers default accepted 120 records 0.00 s" in page
    assert "Mar 17 12:00:00 servers default failed unauthorized 0.00 s HTTP 401" in page


async def test_the_page_stays_small_however_many_polls(
    stage: Stage, simulator: Simulator, clock: ManualClock
) -> None:
    """Failures and successes have their bounds."""
    simulator.rules = REFUSED
    for _ in range(40):
        clock.advance(60)
        await stage.poll()
    polls = (await told(stage))["polls"]
    outcomes = [poll["outcome"] for poll in polls]
    assert (30, 10) == (outcomes.count("failed"), outcomes.count("accepted"))
    assert len(polls) <= 2 * MOST_POLLS


@pytest.fixture
async def several(simulator: Simulator, clock: ManualClock) -> AsyncIterator[Stage]:
    """Two accounts, one of them without usage."""
    file = Path("accounts.yml")
    usage = "{usage: {enabled: false}}"
    lines = (
        "accounts:",
        "  brand-a: {api_key: demo-key}",
        f"  brand-b: {{api_key: demo-key, collectors: {usage}}}",
    )
    await asyncio.to_thread(file.write_text, "\n".join(lines))
    settings = load(
        {
            "base_url": simulator.url,
            "config.file": str(file),
            "web.listen_address": "127.0.0.1:0",
        }
    )
    async with staged(settings, clock) as stage:
        await stage.poll()
        yield stage


async def test_what_is_off_is_told(several: Stage) -> None:
    """Whoever looks for a collector sees why it is not there."""
    off = (await told(several))["off"]
    assert {"account": "brand-b", "collector": "usage"} in off
    assert {"account": "brand-a", "collector": "usage"} not in off
    assert re.search(r"Off: .*\busage \(brand-b\)", await shown(several))


async def test_several_accounts_are_short_until_one_is_asked_for(several: Stage) -> None:
    """Ten rows of each, and a link to all of one."""
    accounts = (await told(several))["accounts"]
    assert [10, 10] == [len(account["fleet"]["pops"]["rows"]) for account in accounts]
    assert accounts[0]["fleet"]["pops"]["total"] > 10
    page = await several.service.status.show("html", Filter(""))
    assert 'href="?filter=brand-b"' in page
    first, second = (await told(several, "brand-b"))["accounts"]
    assert 0 == len(first["fleet"]["pops"]["rows"])
    assert second["fleet"]["pops"]["total"] == len(second["fleet"]["pops"]["rows"])
    assert "Nothing matches in brand-a." in await shown(several, "brand-b")


async def test_a_filter_that_finds_nothing_says_so(stage: Stage) -> None:
    """And leaves the way back."""
    await stage.poll()
    page = await shown(stage, "nowhere")
    assert "Nothing matches." in page
    assert "Show all" in page
    assert "Countries" not in page


async def test_the_filter_comes_by_the_query(stage: Stage, session: aiohttp.ClientSession) -> None:
    """In both forms; parameters that nobody knows change nothing."""
    await stage.poll()
    query = {"filter": "par", "other": "1"}
    async with session.get(stage.url, params=query, headers=JSON) as response:
        read = json.loads(await response.read())
    assert ("par", ["par"]) == (
        read["filter"],
        [row["name"] for row in read["accounts"][0]["fleet"]["pops"]["rows"]],
    )
    async with session.get(stage.url, params=query) as response:
        assert 'value="par"' in await response.text()


@pytest.mark.parametrize("headers", [JSON, {}], ids=["json", "html"])
async def test_a_long_filter_is_refused(
    headers: dict[str, str], stage: Stage, session: aiohttp.ClientSession
) -> None:
    """In a plain line, in either form."""
    await stage.poll()
    async with session.get(stage.url, params={"filter": "x" * 65}, headers=headers) as response:
        assert (400, "filter: longer than 64 characters\n") == (
            response.status,
            await response.text(),
        )


@pytest.mark.parametrize(
    "query",
    ["filter=%ff%fe", "filter=%00", "filter=%ED%A0%80", "filter", "filter=a&filter=b", "&&=", "%"],
)
async def test_any_query_is_answered(
    query: str, stage: Stage, session: aiohttp.ClientSession
) -> None:
    """Bytes that are no text are no reason to fail."""
    await stage.poll()
    for headers in (JSON, {}):
        url = f"{stage.url}/?{query}"
        async with session.get(URL(url, encoded=True), headers=headers) as response:
            assert 200 == response.status
            await response.text()


async def test_a_hostile_filter_is_text(stage: Stage, session: aiohttp.ClientSession) -> None:
    """It stands in the page as what it is, in the box and in the links."""
    await stage.poll()
    text = "\"><script>alert('1')</script>&"
    async with session.get(stage.url, params={"filter": text, "refresh": "on"}) as response:
        page = await response.text()
    assert "<script" not in page
    assert 'value="&#34;&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;"' in page
    assert 'href="?filter=%22%3E%3Cscript%3Ealert%28%271%27%29%3C/script%3E%26"' in page


async def test_looks_are_taken_one_after_the_other(stage: Stage) -> None:
    """However many look at once, a poll finds a thread."""
    await stage.poll()
    looks = [asyncio.create_task(told(stage)) for _ in range(1 + MOST_WAITING)]
    await asyncio.sleep(0)
    await asyncio.wait_for(stage.poll("servers"), 10)
    assert not looks[-1].done()
    assert 1 + MOST_WAITING == len(await asyncio.gather(*looks))


def names(value: object) -> Iterator[str]:
    match value:
        case dict():
            for name, member in value.items():
                yield str(name)
                yield from names(member)
        case list():
            for member in value:
                yield from names(member)


async def test_the_json_is_what_the_document_says(several: Stage) -> None:
    """No member without a line, no line without a member."""
    rows = re.findall(r"^\| (`.*?`) \|", DOCUMENT.read_text(), re.MULTILINE)
    documented = set(re.findall(r"`(\w+)`", " ".join(rows))) | {"fleet", "usage"}
    assert set(names(await told(several))) == documented
