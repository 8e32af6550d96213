"""What the API answers to honest questions, and to wrong ones.

Source: the White Label VPN API documentation, sections "Authentication", "Servers" and
"Metrics".
"""

import base64
import binascii
import hmac
import re
import zlib
from collections.abc import Collection, Mapping
from dataclasses import asdict
from datetime import date, datetime

from exporter.simulator.world import Server, World

_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)

Payload = dict[str, object]
Query = Mapping[str, str]


def knows(authorization: str, keys: Collection[str]) -> bool:
    """Tell whether an Authorization header presents one of these keys."""
    presented = _credentials(authorization)
    # Every key is compared before one counts: time must not tell which came close.
    verdicts = [hmac.compare_digest(presented, f"api-key:{key}".encode()) for key in keys]
    return any(verdicts)


def servers(world: World, query: Query, now: datetime) -> Payload:
    """List the servers of the countries asked for, or all."""
    wanted = {code.strip().upper() for code in query.get("country", "").split(",")} - {""}
    listed = {
        fqdn: _server(fqdn, server)
        for fqdn, server in world.listed(now).items()
        if not wanted or server.country in wanted
    }
    return {"api_status": 1, "server": listed or []}


def usage(world: World, query: Query, now: datetime) -> Payload:
    """Tell the usage of the days asked for.

    Raises:
        ValueError: the days are wrong, in the API's words.
    """
    start, end = _days(query, now.date())
    cells = {
        pop: {country: asdict(cell) for country, cell in cells.items()}
        for pop, cells in world.usage(start, end, now).items()
    }
    return {"data": cells or []}  # without api_status, as in the documentation's example


def _credentials(authorization: str) -> bytes:
    """Take `user:password` out of HTTP Basic; what is none of that becomes empty."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(token.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _server(fqdn: str, server: Server) -> Payload:
    # The documentation shows capacity as a number and as a string: a server keeps its kind.
    textual = zlib.crc32(fqdn.encode()) % 5 == 0
    capacity = str(server.capacity) if textual else server.capacity
    return {
        "country": server.country,
        "city": server.city,
        "capacity": capacity,
        "ip": server.ip,
    }


def _days(query: Query, today: date) -> tuple[date, date]:
    start, end = _day(query, "start_date"), _day(query, "end_date")
    if start > end:
        raise ValueError("The start_date must not be after the end_date.")
    if (start.year, start.month) != (end.year, end.month):
        raise ValueError("The start_date and end_date must be within the same month.")
    if start > today:
        raise ValueError("The start_date must not be in the future.")
    return start, end


def _day(query: Query, name: str) -> date:
    if name not in query:
        raise ValueError(f"The {name} is required.")
    if not _DATE.fullmatch(query[name]):  # fromisoformat also reads 20231001 and 2023-W40
        raise ValueError(f"The {name} must be a date like 2023-10-01.")
    try:
        return date.fromisoformat(query[name])
    except ValueError:
        raise ValueError(f"The {name} is not in the calendar.") from None
