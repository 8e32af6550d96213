"""The API client against the simulator, and against servers that misbehave on the wire."""

import asyncio
import errno
import gzip
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import aiohttp
import pytest
import trustme

from exporter.api import Api
from exporter.errors import ApiError, RateLimitedError, RefusedError
from exporter.events import Event, RequestDone, RetryScheduled
from exporter.key import Key
from exporter.response import translate
from exporter.simulator import Rule, Simulator
from tests.manual_clock import ManualClock
from tests.process import free_port

PATH = "/v2/servers"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


class Latest(Random):
    """Draws the upper end: the first retry waits a whole second."""

    def uniform(self, a: float, b: float) -> float:
        del a
        return b


@asynccontextmanager
async def opened(
    url: str,
    clock: ManualClock,
    *,
    key: Key | None = None,
    ca_file: Path | None = None,
    random: Random | None = None,
) -> AsyncIterator[tuple[Api, list[Event]]]:
    events: list[Event] = []
    api = Api(
        account="default",
        base_url=url,
        key=key or Key(lambda: "demo-key"),
        clock=clock,
        random=random or Random(1),
        emit=events.append,
        ca_file=ca_file,
    )
    async with api:
        yield api, events


@asynccontextmanager
async def server(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server that reads a request's head and then does as it likes."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await answer(writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    listener = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    port = listener.sockets[0].getsockname()[1]
    async with listener:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{port}"


def says(text: bytes) -> Answer:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        await writer.drain()

    return answer


def json_answer(body: bytes, head: bytes = HEAD) -> bytes:
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


async def resets(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def ask(api: Api, clock: ManualClock, *, attempts: int = 3) -> object:
    return await api.get(
        PATH, {}, collector="servers", deadline=clock.monotonic() + 25, attempts=attempts
    )


async def reason_of(url: str, clock: ManualClock, ca_file: Path | None = None) -> str:
    """The reason for which one request fails."""
    async with opened(url, clock, ca_file=ca_file) as (api, _):
        with pytest.raises(ApiError) as raised:
            await ask(api, clock, attempts=1)
    return raised.value.reason


async def test_a_good_answer_is_returned(simulator: Simulator, clock: ManualClock) -> None:
    """The decoded object is what the API sent, for one authenticated GET."""
    async with opened(simulator.url, clock) as (api, events):
        answer = await ask(api, clock)
    [sent] = simulator.answers
    assert sent.payload == answer
    [done] = events
    assert isinstance(done, RequestDone)
    assert (200, None) == (done.status, done.tls_not_after)
    assert ["GET"] == [request.method for request in simulator.requests]


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (400, "bad_request"),
        (401, "unauthorized"),
        (403, "forbidden"),
        (404, "not_found"),
        (408, "bad_request"),
        (410, "gone"),
        (429, "rate_limited"),
        (451, "bad_request"),
        (500, "server_error"),
        (502, "server_error"),
        (503, "server_error"),
        (301, "redirect"),
        (204, "unexpected"),
    ],
)
async def test_a_status_has_its_reason(
    status: int, reason: str, simulator: Simulator, clock: ManualClock
) -> None:
    """Each HTTP status but 200 is a failure with a reason of its own."""
    simulator.rules = (Rule("servers", "status", str(status)),)
    assert reason == await reason_of(simulator.url, clock)


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        pytest.param(b"not http\r\n\r\n", "decode", id="not HTTP"),
        pytest.param(b"", "reset", id="closed without an answer"),
        pytest.param(HEAD + b"Content-Length: 99\r\n\r\n{", "truncated", id="short of its length"),
        pytest.param(
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{", "truncated", id="short chunk"
        ),
        pytest.param(json_answer(b"{"), "decode", id="half an object"),
        pytest.param(json_answer(b'{"a":NaN}'), "decode", id="NaN"),
        pytest.param(json_answer(b'{"a":-Infinity}'), "decode", id="Infinity"),
        pytest.param(json_answer(b'{"a":' + b"1" * 5000 + b"}"), "decode", id="5,000 digits"),
        pytest.param(json_answer(b'{"a":"\xff"}'), "decode", id="not UTF-8"),
        pytest.param(json_answer('{"a":1}'.encode("utf-16")), "decode", id="UTF-16"),
        pytest.param(json_answer(b"[" * 100_000), "decode", id="deep nesting"),
        pytest.param(json_answer(b"[1]"), "schema", id="a list"),
        pytest.param(json_answer(b"null"), "schema", id="null"),
        pytest.param(json_answer(b'{"api_status":0,"error":"no"}'), "api_error", id="refused"),
        pytest.param(json_answer(b'{"api_status":null}'), "api_error", id="null api_status"),
        pytest.param(json_answer(b'{"api_status":false}'), "api_error", id="false api_status"),
        pytest.param(
            json_answer(b"<html>", b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"),
            "content_type",
            id="HTML",
        ),
        pytest.param(
            json_answer(b"{}", b"HTTP/1.1 200 OK\r\n"), "content_type", id="no content type"
        ),
        pytest.param(json_answer(b" " * (8 * 1024 * 1024 + 1)), "too_large", id="over 8 MiB"),
        pytest.param(
            json_answer(
                gzip.compress(b" " * (64 * 1024 * 1024)), HEAD + b"Content-Encoding: gzip\r\n"
            ),
            "too_large",
            id="gzip bomb",
        ),
        pytest.param(
            json_answer(b"not gzip", HEAD + b"Content-Encoding: gzip\r\n"),
            "decode",
            id="broken gzip",
        ),
        pytest.param(
            b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
            "redirect",
            id="redirect",
        ),
    ],
)
async def test_a_bad_answer_has_its_reason(sent: bytes, reason: str, clock: ManualClock) -> None:
    """Whatever comes instead of an answer is named, and nothing but an ApiError gets out."""
    async with server(says(sent)) as url:
        assert reason == await reason_of(url, clock)


async def test_transport_faults_have_their_reasons(clock: ManualClock) -> None:
    """A refused, an aborted and an unresolvable connection are told apart."""
    async with server(resets) as url:
        assert "reset" == await reason_of(url, clock)
    assert "connect" == await reason_of(f"http://127.0.0.1:{free_port()}", clock)
    assert "dns" == await reason_of("https://nowhere.invalid", clock)


async def test_an_aborted_body_is_truncated(clock: ManualClock) -> None:
    """A connection that is reset within the body is no reset before an answer."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"Content-Length: 99\r\n\r\n{")
        await writer.drain()
        writer.transport.abort()

    async with server(answer) as url:
        assert "truncated" == await reason_of(url, clock)


@pytest.mark.parametrize(
    ("error", "begun", "reason"),
    [
        (aiohttp.ClientOSError(errno.ECONNRESET, "reset"), False, "reset"),
        (aiohttp.ClientOSError(errno.ECONNRESET, "reset"), True, "truncated"),
        (aiohttp.ServerDisconnectedError(), False, "reset"),
        (aiohttp.ServerDisconnectedError(), True, "truncated"),
        (aiohttp.ServerTimeoutError(), True, "timeout"),
        (TimeoutError(), False, "timeout"),
        (OSError(errno.EPIPE, "pipe"), False, "reset"),
        (aiohttp.InvalidURL("x"), False, "unexpected"),
    ],
)
def test_a_foreign_error_is_named(error: Exception, reason: str, *, begun: bool) -> None:
    """Whether an answer had begun decides what a broken connection is called."""
    assert reason == translate(error, begun=begun).reason


def tls_server(tmp_path: Path, host: str) -> tuple[ssl.SSLContext, Path]:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    return context, file


async def test_tls_is_verified(simulator: Simulator, clock: ManualClock, tmp_path: Path) -> None:
    """An unknown authority and a wrong host name are refused; a trusted one tells its end."""
    context, ca_file = tls_server(tmp_path, "127.0.0.1")
    async with server(says(json_answer(b"{}")), context) as url:
        assert "tls" == await reason_of(url, clock)
        async with opened(url, clock, ca_file=ca_file) as (api, events):
            assert {} == await ask(api, clock)
    [done] = events
    assert isinstance(done, RequestDone)
    assert done.tls_not_after
    assert done.tls_not_after > datetime.now(UTC)

    context, ca_file = tls_server(tmp_path, "elsewhere.example")
    async with server(says(json_answer(b"{}")), context) as url:
        assert "tls" == await reason_of(url, clock, ca_file=ca_file)
    assert "tls" == await reason_of(simulator.url.replace("http:", "https:"), clock)


@pytest.mark.parametrize(
    ("status", "requests"), [(500, 2), (502, 3), (503, 3), (504, 3), (501, 1), (404, 1), (429, 1)]
)
async def test_only_passing_faults_are_retried(
    status: int, requests: int, simulator: Simulator, clock: ManualClock
) -> None:
    """A status is worth as many requests as may help."""
    simulator.rules = (Rule("servers", "status", str(status)),)
    async with opened(simulator.url, clock) as (api, events):
        with pytest.raises(ApiError):
            await ask(api, clock)
    assert requests == len(simulator.requests)
    assert requests - 1 == sum(isinstance(event, RetryScheduled) for event in events)


async def test_a_retry_that_succeeds_is_an_answer(simulator: Simulator, clock: ManualClock) -> None:
    """A fault that passes within the poll costs nothing but a request."""
    simulator.rules = (Rule("servers", "truncate", count=1),)
    async with opened(simulator.url, clock) as (api, events):
        await ask(api, clock)
    retried = [event.error.reason for event in events if isinstance(event, RetryScheduled)]
    assert ["truncated"] == retried


async def test_nobody_else_retries(simulator: Simulator, clock: ManualClock) -> None:
    """A connection that breaks costs one request: aiohttp would make it again, uncounted."""
    simulator.rules = (Rule("servers", "close"),)
    async with opened(simulator.url, clock) as (api, events):
        with pytest.raises(ApiError):
            await ask(api, clock, attempts=1)
    assert 1 == len(simulator.requests)
    assert 1 == sum(isinstance(event, RequestDone) for event in events)


async def test_the_retry_budget_runs_out(simulator: Simulator, clock: ManualClock) -> None:
    """An outage costs ten retries, then one request for each poll."""
    simulator.rules = (Rule("servers", "status", "503"),)
    async with opened(simulator.url, clock) as (api, _):
        for _ in range(50):
            with pytest.raises(ApiError):
                await ask(api, clock)
    assert 50 + 10 == len(simulator.requests)


async def test_no_retry_outlives_the_deadline(simulator: Simulator, clock: ManualClock) -> None:
    """Waiting past the poll's deadline is pointless, and so is a request after it."""
    simulator.rules = (Rule("servers", "status", "503"),)
    async with opened(simulator.url, clock, random=Latest()) as (api, _):
        with pytest.raises(ApiError, match="503"):
            await api.get(PATH, {}, collector="servers", deadline=clock.monotonic() + 0.9)
        assert 1 == len(simulator.requests)
        with pytest.raises(ApiError, match="deadline"):
            await api.get(PATH, {}, collector="servers", deadline=clock.monotonic())
    assert 1 == len(simulator.requests)


async def test_a_hanging_server_meets_the_deadline(
    simulator: Simulator, clock: ManualClock
) -> None:
    """An answer that never comes is a timeout."""
    simulator.rules = (Rule("servers", "hang"),)
    async with opened(simulator.url, clock) as (api, _):
        with pytest.raises(ApiError) as raised:
            await api.get(
                PATH, {}, collector="servers", deadline=clock.monotonic() + 0.2, attempts=1
            )
    assert "timeout" == raised.value.reason


async def test_a_rotated_key_is_tried_once_more(
    simulator: Simulator, clock: ManualClock, tmp_path: Path
) -> None:
    """A refused key is read again, and the request made again only if it changed."""
    file = tmp_path / "key"
    file.write_text("old")
    key = Key(file.read_text)
    async with opened(simulator.url, clock, key=key) as (api, _):
        with pytest.raises(ApiError) as raised:
            await ask(api, clock)
        assert ("unauthorized", 1) == (raised.value.reason, len(simulator.requests))
        file.write_text("demo-key")
        await ask(api, clock)
    assert [401, 401, 200] == [request.status for request in simulator.requests]


async def test_a_key_that_rotates_amid_retries_is_read_again(
    simulator: Simulator, clock: ManualClock, tmp_path: Path
) -> None:
    """The refusal need not be the first answer."""
    file = tmp_path / "key"
    file.write_text("old")
    simulator.rules = (Rule("servers", "status", "503", count=1),)
    async with opened(simulator.url, clock, key=Key(file.read_text)) as (api, _):
        file.write_text("demo-key")
        await ask(api, clock)
    assert [503, 401, 200] == [request.status for request in simulator.requests]


async def test_nobody_asks_while_the_account_is_limited(
    simulator: Simulator, clock: ManualClock
) -> None:
    """A poll that is between two requests hears of the 429 that another one got."""
    simulator.rules = (Rule("servers", "status", "429", count=1, retry_after="7"),)
    async with opened(simulator.url, clock) as (api, _):
        for _ in range(2):
            with pytest.raises(RateLimitedError) as raised:
                await ask(api, clock)
            assert 7.0 == raised.value.retry_after_seconds
        assert 1 == len(simulator.requests)
        clock.advance(7)
        await ask(api, clock)


async def test_no_head_tells_the_key(simulator: Simulator, clock: ManualClock) -> None:
    """A content type that quotes it is told without it."""
    simulator.rules = (Rule("servers", "content_type", "text/demo-key"),)
    async with opened(simulator.url, clock) as (api, _):
        with pytest.raises(ApiError, match=r"^not JSON but text/\[redacted\]$"):
            await ask(api, clock)


async def test_retry_after_is_handed_on(simulator: Simulator, clock: ManualClock) -> None:
    """What the API asks for with a 429 is known to whoever plans the next poll."""
    simulator.rules = (Rule("servers", "status", "429", retry_after="7"),)
    async with opened(simulator.url, clock) as (api, _):
        with pytest.raises(RateLimitedError) as raised:
            await ask(api, clock)
    assert 7.0 == raised.value.retry_after_seconds


async def test_the_api_s_own_words_are_told_without_the_key(clock: ManualClock) -> None:
    """An error that quotes the key is told with the key taken out."""
    body = b'{"api_status":0,"error":"bad key demo-key (ZGVtby1rZXk=)\\n"}'
    async with server(says(json_answer(body))) as url, opened(url, clock) as (api, _):
        with pytest.raises(RefusedError) as raised:
            await ask(api, clock)
    assert str(raised.value).endswith("bad key [redacted] ([redacted])")

    body = '{"api_status":0,"error":"bad key demo\u200b-key (ZGVtby\\n1rZXk=)"}'.encode()
    async with server(says(json_answer(body))) as url, opened(url, clock) as (api, _):
        with pytest.raises(RefusedError) as raised:
            await ask(api, clock)
    assert str(raised.value).endswith("bad key [redacted] ([redacted])")


async def test_surroundings_are_ignored(
    simulator: Simulator, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the environment's proxies nor a netrc decide where the key goes."""
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    async with opened(simulator.url, clock) as (api, _):
        await ask(api, clock)
    assert [True] == [request.authorized for request in simulator.requests]
