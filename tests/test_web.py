"""What is served, on a real port."""

import asyncio
import base64
import gzip
import hashlib
import json
import zlib
from collections.abc import AsyncIterator

import aiohttp
import pytest

from exporter.errors import ConfigError
from exporter.service import Service
from exporter.simulator import Rule, Simulator, World
from exporter.simulator.app import Payload
from exporter.telemetry import revision
from tests.conftest import Configure

PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
TEXT = "text/plain; version=0.0.4; charset=utf-8"


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """In the present, as the exporter is here."""
    async with Simulator(World(servers=120)) as simulator:
        yield simulator


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """Shows bodies as they were sent, and asks for plain ones."""
    plain = {"Accept-Encoding": "identity"}
    async with aiohttp.ClientSession(auto_decompress=False, headers=plain) as session:
        yield session


async def until_ready(session: aiohttp.ClientSession, url: str) -> None:
    async with asyncio.timeout(20):
        while True:
            async with session.get(f"{url}/-/ready") as response:
                if response.status == 200:
                    return
            await asyncio.sleep(0.01)


@pytest.fixture
async def url(configure: Configure, session: aiohttp.ClientSession) -> AsyncIterator[str]:
    """The exporter on its own clock, ready."""
    async with Service(configure()).serving() as [url]:
        await until_ready(session, url)
        yield url


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        ("application/openmetrics-text", OPENMETRICS),
        ("application/openmetrics-text;version=abc", TEXT),
        (PROMETHEUS_3, OPENMETRICS),
    ],
)
async def test_the_format_is_negotiated(
    accept: str, content_type: str, url: str, session: aiohttp.ClientSession
) -> None:
    """OpenMetrics for those who ask for it, text for all others."""
    async with session.get(f"{url}/metrics", headers={"Accept": accept}) as response:
        assert (200, content_type) == (response.status, response.headers["Content-Type"])
        page = await response.read()
    assert (content_type == OPENMETRICS) == page.endswith(b"# EOF\n")
    assert page.count(b"# EOF") <= 1


@pytest.mark.parametrize("accept", ["text/plain", "application/openmetrics-text"])
async def test_gzip_is_one_member(accept: str, url: str, session: aiohttp.ClientSession) -> None:
    """A reader that stops after the first member has read everything."""
    headers = {"Accept": accept, "Accept-Encoding": "gzip, deflate"}
    async with session.get(f"{url}/metrics", headers=headers) as response:
        await response.read()
    async with session.get(f"{url}/metrics?name[]=x", headers=headers) as response:
        sent = await response.read()
        assert "gzip" == response.headers["Content-Encoding"]
        assert "Accept, Accept-Encoding" == response.headers["Vary"]
        assert len(sent) == int(response.headers["Content-Length"])
    member = zlib.decompressobj(31)
    page = member.decompress(sent)
    assert (True, b"") == (member.eof, member.unused_data)
    assert gzip.decompress(sent) == page
    assert 120 == page.count(b"\nwlvpn_server_info{")


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
async def test_a_large_page_is_whole(
    encoding: str, configure: Configure, simulator: Simulator, session: aiohttp.ClientSession
) -> None:
    """Whether it is written at once or in pieces, every byte arrives, in order."""
    simulator.world = World(servers=1500)
    async with Service(configure()).serving() as [url]:
        await until_ready(session, url)
        headers = {"Accept-Encoding": encoding}
        async with session.get(f"{url}/metrics", headers=headers) as response:
            sent = await response.read()
            assert len(sent) == int(response.headers["Content-Length"])
    page = gzip.decompress(sent) if encoding == "gzip" else sent
    assert (encoding == "identity") == (len(sent) > 256 * 1024)
    assert 1500 == page.count(b"\nwlvpn_server_info{")
    assert page.endswith(b"\n")


async def test_identity_is_respected(url: str, session: aiohttp.ClientSession) -> None:
    """Who does not want gzip does not get it."""
    headers = {"Accept-Encoding": "gzip;q=0, identity"}
    async with session.get(f"{url}/metrics", headers=headers) as response:
        assert "Content-Encoding" not in response.headers
        assert 120 == (await response.text()).count("\nwlvpn_server_info{")


@pytest.mark.parametrize("path", ["/metrics", "/", "/-/healthy", "/-/ready", "/sd/servers"])
async def test_only_reading_is_allowed(path: str, url: str, session: aiohttp.ClientSession) -> None:
    """HEAD is GET without a body; everything else is refused by name."""
    async with session.get(url + path) as got, session.head(url + path) as headed:
        assert (200, 200) == (got.status, headed.status)
        assert got.headers["Content-Type"] == headed.headers["Content-Type"]
        assert b"" == await headed.read()
        assert int(headed.headers["Content-Length"]) > 0
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        async with session.request(method, url + path) as response:
            assert (405, "GET, HEAD") == (response.status, response.headers["Allow"])


async def test_reading_causes_no_request(
    url: str, simulator: Simulator, session: aiohttp.ClientSession
) -> None:
    """Between two polls the API hears nothing of us, whatever is read, and however often."""
    asked = len(simulator.requests)
    for path in ["/metrics", "/", "/-/healthy", "/-/ready", "/sd/servers", "/nothing"] * 10:
        async with session.get(url + path) as response:
            assert (404 if path == "/nothing" else 200) == response.status
    assert asked == len(simulator.requests)


async def test_an_unknown_path_is_not_found(url: str, session: aiohttp.ClientSession) -> None:
    """And says where to look."""
    async with session.get(f"{url}/nope") as response:
        assert 404 == response.status
        assert "not found: see / for what there is\n" == await response.text()


async def test_the_path_of_the_metrics_can_be_chosen(
    configure: Configure, session: aiohttp.ClientSession
) -> None:
    """They are served there alone, and the page links to them."""
    settings = configure(web__telemetry_path="/wlvpn/metrics")
    async with Service(settings).serving() as [url]:
        async with session.get(f"{url}/wlvpn/metrics") as found:
            assert 200 == found.status
        async with session.get(f"{url}/metrics") as missing:
            assert 404 == missing.status
        async with session.get(f"{url}/") as page:
            assert 'href="/wlvpn/metrics"' in await page.text()


async def test_ready_waits_for_a_reading_and_healthy_does_not(
    configure: Configure, simulator: Simulator, session: aiohttp.ClientSession
) -> None:
    """While the API fails the exporter lives, serves its own metrics, and is not ready."""
    simulator.rules = (Rule("*", "status", "401"),)
    async with Service(configure()).serving() as [url]:
        async with asyncio.timeout(20):
            text = ""
            while 2 != text.count('reason="unauthorized"} 1.0'):
                async with session.get(f"{url}/metrics") as page:
                    text = await page.text()
        assert 'wlvpn_up{account="default",collector="servers"} 0.0' in text
        async with session.get(f"{url}/-/healthy") as response:
            assert 200 == response.status
        async with session.get(f"{url}/-/ready") as response:
            assert 503 == response.status


async def test_a_stopping_exporter_is_not_ready(
    configure: Configure, session: aiohttp.ClientSession
) -> None:
    """A load balancer learns that this one is going."""
    service = Service(configure())
    async with service.serving() as [url]:
        await until_ready(session, url)
        assert service.status.is_ready
    assert not service.status.is_ready


async def test_several_addresses_are_served(
    configure: Configure, session: aiohttp.ClientSession
) -> None:
    """IPv4 and IPv6 at once."""
    settings = configure(web__listen_address="127.0.0.1:0,[::1]:0")
    async with Service(settings).serving() as urls:
        assert ["http://127.0.0.1", "http://[::1]"] == [url.rpartition(":")[0] for url in urls]
        for url in urls:
            async with session.get(f"{url}/-/healthy") as response:
                assert 200 == response.status


async def test_a_taken_port_is_a_configuration_error(configure: Configure) -> None:
    """One line names the address and the mend."""
    async with Service(configure()).serving() as [url]:
        address = url.removeprefix("http://")
        with pytest.raises(ConfigError, match=f"web.listen_address: {address}: .*choose another"):
            async with Service(configure(web__listen_address=address)).serving():
                raise AssertionError("it cannot have been taken")


async def test_the_status_page_shows_what_is_known(
    url: str, session: aiohttp.ClientSession
) -> None:
    """For people, under a policy that lets the browser load nothing."""
    async with session.get(f"{url}/", headers={"Accept": "text/html,*/*;q=0.8"}) as response:
        page = await response.text()
        policy = response.headers["Content-Security-Policy"]
        assert "text/html; charset=utf-8" == response.headers["Content-Type"]
    style = page.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    assert "120 servers" in page
    assert 2 == page.count('class="state ok">ok')
    assert "<script" not in page
    assert "style=" not in page


async def test_the_status_page_is_also_json(url: str, session: aiohttp.ClientSession) -> None:
    """For scripts, when asked for by name."""
    async with session.get(f"{url}/", headers={"Accept": "application/json"}) as response:
        assert "application/json; charset=utf-8" == response.headers["Content-Type"]
        status = json.loads(await response.read())
    assert [("servers", "ok", 120), ("usage", "ok")] == [
        tuple(row[name] for name in ("collector", "state", "records")[: 3 - index])
        for index, row in enumerate(status["collectors"])
    ]
    [account] = status["accounts"]
    assert ("default", 120) == (account["account"], account["fleet"]["servers"])
    ratios = [row["capacity_used_ratio"] for row in account["fleet"]["fullest"]["rows"]]
    assert sorted(ratios, reverse=True) == ratios


async def test_hostile_text_stays_text(
    configure: Configure, simulator: Simulator, session: aiohttp.ClientSession
) -> None:
    """Markup in the API's answer is shown, not obeyed."""

    def rewrite(endpoint: str, payload: Payload) -> Payload:
        record = {"country": "<i>", "city": "x", "capacity": 1, "ip": "::1"}
        if endpoint == "usage":
            return {"api_status": 0, "error": "<b>no"}
        return {**payload, "server": {"<script>-1": record}}

    simulator.rewrite = rewrite
    async with Service(configure()).serving() as [url]:
        await until_ready(session, url)
        async with session.get(f"{url}/") as response:
            page = await response.text()
    assert "&lt;script&gt;-1" in page
    assert "<script" not in page
    assert "<i>" not in page
    assert "&lt;b&gt;no" in page


def test_a_checkout_has_no_revision() -> None:
    """Only an image knows the commit it was built from."""
    assert "unknown" == revision()
