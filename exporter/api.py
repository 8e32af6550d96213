"""The API client: one request method, which only ever sends GET.

It owns what every endpoint has in common: authentication, deadlines, and the retries, nobody else's
business. It knows no resource.

Source: "Authentication" and "Errors" in the White Label VPN API documentation.
"""

import asyncio
import ssl
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Self, cast

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from exporter import PROGRAM, __version__
from exporter.clock import Clock
from exporter.errors import (
    ApiError,
    DeadlineError,
    ForbiddenError,
    RateLimitedError,
    RefusedError,
    UnauthorizedError,
)
from exporter.events import Listener, RequestDone, RetryScheduled
from exporter.fields import clean, visible
from exporter.key import Key
from exporter.response import Response, check_head, decode, read, translate

CONNECT_SECONDS = 3.0
ATTEMPT_SECONDS = 10.0
MAX_ATTEMPTS = 3

_RETRY_BASE_SECONDS = 0.5
_RETRY_TOKENS = 10.0
_RETRY_TOKENS_EARNED = 0.1
_EARLY_SECONDS = 0.5  # the scheduler may be as early


class Api:
    """One account's way to the API, as a context manager.

    Args:
        account: the account's name, for events.
        base_url: scheme, host and port, without a path's end.
        key: its key.
        clock: tells the time and waits between attempts.
        random: spreads retries.
        emit: is told each request and retry.
        proxy_url: proxy to go through; the environment's are ignored.
        ca_file: certificates to trust instead of the system's.
        max_body_bytes: the largest answer to read, decompressed.
        resolver: finds addresses; the system's name servers are asked without it.
    """

    def __init__(
        self,
        *,
        account: str,
        base_url: str,
        key: Key,
        clock: Clock,
        random: Random,
        emit: Listener,
        proxy_url: str | None = None,
        ca_file: Path | None = None,
        max_body_bytes: int = 8 * 1024 * 1024,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._account = account
        self._base_url = base_url.rstrip("/")
        self._key = key
        self._clock = clock
        self._random = random
        self._emit = emit
        self._proxy_url = proxy_url
        self._ca_file = ca_file
        self._max_body_bytes = max_body_bytes
        self._resolver = resolver
        self._retry_tokens = _RETRY_TOKENS
        self._away_until = 0.0  # on the monotonic clock

    async def __aenter__(self) -> Self:
        # Not aiohttp's own: without a context it would trust nobody, see `__main__`.
        urls = self._base_url, self._proxy_url or ""
        secure = any(url.startswith("https:") for url in urls)
        context = ssl.create_default_context(cafile=self._ca_file) if secure else True
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                ssl=context,
                limit=4,
                resolver=self._resolver,
                use_dns_cache=False,  # who asks again after a failure may need another address
            ),
            response_class=Response,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={
                "Accept": "application/json",
                "Accept-Encoding": "gzip",
                "User-Agent": f"{PROGRAM}/{__version__}",
            },
            trust_env=False,
            middlewares=(_ask_once,),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def get(
        self,
        path: str,
        query: Mapping[str, str],
        *,
        collector: str,
        deadline: float,
        attempts: int = MAX_ATTEMPTS,
    ) -> Mapping[str, object]:
        """Asks the API, again where a fault may pass by itself.

        Args:
            path: path of the resource.
            query: its parameters.
            collector: who asks, for events.
            deadline: the clock's monotonic time by which the answer must be here.
            attempts: how many requests it may cost at the most.

        Raises:
            ApiError: there is no answer that can be trusted; which leaf tells why.
        """
        attempt, rotated = 0, False
        while True:
            attempt += 1
            authorization = self._key.header
            delay: float | None
            try:
                body = await self._attempt(
                    path, query, authorization, collector=collector, deadline=deadline
                )
                answer = await asyncio.to_thread(decode, body)
                self._check_status(answer)
            except ApiError as error:
                error.args = (self._key.redact(str(error)),)  # a content type may repeat it, too
                if not rotated and self._has_rotated(error, authorization):
                    rotated, delay = True, 0.0
                else:
                    delay = self._retry_delay(error, attempt, attempts, deadline)
                if delay is None:
                    raise
                self._emit(
                    RetryScheduled(
                        account=self._account,
                        collector=collector,
                        error=error,
                        delay_seconds=delay,
                    )
                )
                await self._clock.sleep(delay)
            else:
                self._retry_tokens = min(_RETRY_TOKENS, self._retry_tokens + _RETRY_TOKENS_EARNED)
                return answer

    def _has_rotated(self, error: ApiError, authorization: str) -> bool:
        """Whether the key that was refused is not the account's key any more."""
        if not isinstance(error, UnauthorizedError | ForbiddenError):
            return False
        self._key.reread()
        return self._key.header != authorization

    def _retry_delay(
        self, error: ApiError, attempt: int, attempts: int, deadline: float
    ) -> float | None:
        """Decides in seconds how long to wait before asking again; None: not at all."""
        if attempt >= min(error.attempts, attempts) or self._retry_tokens < 1:
            return None
        delay = self._random.uniform(0, _RETRY_BASE_SECONDS * 2**attempt)
        if self._clock.monotonic() + delay >= deadline:
            return None
        self._retry_tokens -= 1
        return delay

    async def _attempt(
        self,
        path: str,
        query: Mapping[str, str],
        authorization: str,
        *,
        collector: str,
        deadline: float,
    ) -> bytes:
        started = self._clock.monotonic()
        if started >= deadline:
            raise DeadlineError("the poll's deadline passed")
        if self._away_until - started > _EARLY_SECONDS:
            # Another poll of the account was told so while this one was between two requests.
            raise RateLimitedError("HTTP 429 before", self._away_until - started)
        response: Response | None = None
        try:
            async with self._session.get(
                URL(self._base_url + path).with_query(dict(query)),
                # Set for each request: aiohttp would send a session's on a redirect as well.
                headers={"Authorization": authorization},
                timeout=aiohttp.ClientTimeout(
                    total=min(ATTEMPT_SECONDS, deadline - started), connect=CONNECT_SECONDS
                ),
                allow_redirects=False,
                proxy=self._proxy_url,
            ) as answered:
                response = cast(Response, answered)
                check_head(response, now=self._clock.now())
                return await read(response, max_bytes=self._max_body_bytes)
        except RateLimitedError as error:
            if error.retry_after_seconds:
                away = self._clock.monotonic() + error.retry_after_seconds
                self._away_until = max(self._away_until, away)
            raise
        except (TimeoutError, OSError, aiohttp.ClientError) as error:
            raise translate(error, begun=response is not None) from None
        finally:
            self._emit(
                RequestDone(
                    account=self._account,
                    collector=collector,
                    status=response.status if response else None,
                    duration_seconds=self._clock.monotonic() - started,
                    tls_not_after=response.tls_not_after if response else None,
                    path=path,
                )
            )

    def _check_status(self, answer: Mapping[str, object]) -> None:
        """Checks the body's own verdict; the usage endpoint gives none.

        Raises:
            RefusedError: it is there, and not 1.
        """
        if answer.get("api_status", 1) in (1, "1"):
            return
        told = answer.get("error")
        # Made visible first: a key with something invisible within would not be recognised.
        text = f": {clean(self._key.redact(visible(told)))}" if isinstance(told, str) else ""
        raise RefusedError(f"the API refused (api_status is not 1){text}")


async def _ask_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keeps aiohttp from asking again by itself when a connection breaks, uncounted.

    Raises:
        ApiError: the connection broke: not an error that aiohttp knows to retry.
    """
    try:
        return await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise translate(error, begun=False) from None
