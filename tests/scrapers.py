"""A crowd of scrapers, as a program of its own; it shares no loop with whom it measures.

`scrapers.py HOST PORT COUNT ROUNDS PAUSE_SECONDS [anew]`: all connect at once and scrape with gzip,
so often, each on a connection that it keeps, or on a new one each time. Tells in one JSON object
how many answers were wrong and how long they took, connecting included.
"""

import asyncio
import json
import sys
import time
import zlib

REQUEST = b"GET /metrics HTTP/1.1\r\nHost: exporter\r\nAccept-Encoding: gzip\r\n\r\n"

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Scraper:
    """One of them; it connects anew where its idle connection was closed, as Prometheus does."""

    def __init__(self, host: str, port: int) -> None:
        self.page = b""
        self._address = host, port
        self._streams: Streams | None = None

    async def scrape(self) -> float:
        """Gives the seconds until the whole page was there.

        Raises:
            OSError, EOFError: it never was.
        """
        started = time.monotonic()
        head, reader = await self._ask()
        if not head.startswith(b"HTTP/1.1 200 "):
            raise EOFError
        length = int(head.lower().partition(b"content-length:")[2].split()[0])
        self.page = await reader.readexactly(length)
        return time.monotonic() - started

    def close(self) -> None:
        """Hangs up."""
        if self._streams:
            self._streams[1].close()
        self._streams = None

    async def _ask(self) -> tuple[bytes, asyncio.StreamReader]:
        if self._streams:
            try:
                return await self._send(self._streams)
            except (OSError, EOFError):
                self.close()
        self._streams = await asyncio.open_connection(*self._address)
        return await self._send(self._streams)

    async def _send(self, streams: Streams) -> tuple[bytes, asyncio.StreamReader]:
        reader, writer = streams
        writer.write(REQUEST)
        return await reader.readuntil(b"\r\n\r\n"), reader


async def main(
    host: str, port: int, count: int, rounds: int, pause_seconds: float, *, anew: bool
) -> None:
    """Scrapes, and tells."""
    seconds: list[float] = []
    pages: set[bytes] = set()
    errors = 0

    async def scrape() -> None:
        nonlocal errors
        scraper = Scraper(host, port)
        for turn in range(rounds):
            await asyncio.sleep(pause_seconds if turn else 0)
            try:
                seconds.append(await scraper.scrape())
            except (OSError, EOFError):
                errors += 1
            if anew:
                scraper.close()
        if scraper.page and len(pages) < 10:
            pages.add(scraper.page)
        scraper.close()

    await asyncio.gather(*(scrape() for _ in range(count)))
    errors += sum(b"\nwlvpn_server_info{" not in zlib.decompress(page, 31) for page in pages)
    seconds.sort()
    told = {
        "answers": len(seconds),
        "errors": errors,
        "p50": round(seconds[len(seconds) // 2], 4),
        "p99": round(seconds[len(seconds) * 99 // 100], 4),
        "max": round(seconds[-1], 4),
    }
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    where, (port_, count_, rounds_) = sys.argv[1], map(int, sys.argv[2:5])
    anew_ = sys.argv[6:] == ["anew"]
    asyncio.run(main(where, port_, count_, rounds_, float(sys.argv[5]), anew=anew_))
