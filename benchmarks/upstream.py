"""The API with answers made beforehand: it takes nothing from the machine that is measured.

`python -m benchmarks.upstream --servers 3500 --port 8000` serves a simulated fleet. Each answer
differs from the one before as after five minutes. The simulator has names for 50,000 servers; a
larger fleet is several of these.
"""

import argparse
import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import cycle

from aiohttp import web

from exporter.simulator import World, dialect
from exporter.simulator.fleet import MOST_SERVERS

_ANSWERS = 2
_APART = timedelta(minutes=5)  # the simulated platform measures as often


@dataclass(frozen=True, slots=True)
class Body:
    """One answer, as it is and compressed."""

    plain: bytes
    packed: bytes

    def respond(self, request: web.Request) -> web.Response:
        """Sends it as the client wants it."""
        if "gzip" not in request.headers.get("Accept-Encoding", ""):
            return web.Response(body=self.plain, content_type="application/json")
        return web.Response(
            body=self.packed,
            content_type="application/json",
            headers={"Content-Encoding": "gzip"},
        )


def worlds(servers: int) -> list[World]:
    """As many worlds as it takes to have names for all servers."""
    full, rest = divmod(servers, MOST_SERVERS)
    sizes = [MOST_SERVERS] * full + ([rest] if rest else [])
    return [World(servers=size) for size in sizes]


def answers(found: list[World], at: datetime) -> Iterator[Body]:
    """The server lists of some instants up to one."""
    for age in reversed(range(_ANSWERS)):
        yield _body({"api_status": 1, "server": _listed(found, at - age * _APART)})


def _listed(found: list[World], at: datetime) -> dict[str, object]:
    listed: dict[str, object] = {}
    for number, world in enumerate(found):
        servers = dialect.servers(world, {}, at)["server"]
        if isinstance(servers, dict):
            # par-a01 stands in the first world, par-1a01 in the second.
            start = f"-{number or ''}"
            listed |= {fqdn.replace("-", start, 1): told for fqdn, told in servers.items()}
    return listed


def _body(payload: object) -> Body:
    plain = json.dumps(payload).encode()
    return Body(plain, gzip.compress(plain, compresslevel=1, mtime=0))


def app(servers: int) -> web.Application:
    """The two endpoints."""
    found = worlds(servers)
    turn = cycle(list(answers(found, datetime.now(UTC))))

    async def list_servers(request: web.Request) -> web.Response:
        return next(turn).respond(request)

    async def tell_usage(request: web.Request) -> web.Response:
        usage = dialect.usage(found[0], request.query, datetime.now(UTC))
        return _body(usage).respond(request)

    served = web.Application()
    served.router.add_get("/v2/servers", list_servers)
    served.router.add_get("/v2/metrics/usage/pop_and_country/", tell_usage)
    return served


def main() -> None:
    """Serves until it is stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--servers", type=int, required=True)
    parser.add_argument("--port", type=int, required=True)
    found = parser.parse_args()
    web.run_app(app(found.servers), host="127.0.0.1", port=found.port, access_log=None, print=None)


if __name__ == "__main__":
    main()
