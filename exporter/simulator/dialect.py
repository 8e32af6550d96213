"""What the API answers to honest questions, and to wrong ones.

Source: the White Label VPN API documentation, sections "Authentication", "Servers", "Metrics",
"Plans", "Retrieving a list of customers" and "Create bulk usage report".
"""

import base64
import binascii
import hmac
import re
import zlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from datetime import date, datetime, timedelta

from exporter.simulator.world import Customer, Server, World

MOST_RESULTS = 5_000
_PAGE_SIZE = 100
_MOST_PAGE_SIZE = 1_000  # not documented: more is cut without a word, as many APIs do
_MOST_PAGES = 10**9
_MOST_ID = 2**63 - 1
_REPORTED = timedelta(days=549)  # 18 months
_WHOLE = re.compile(r"\d{1,19}", re.ASCII)
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


def plans(world: World, _query: Query, _now: datetime) -> Payload:
    """List the plans."""
    return {"api_status": 1, "plans": [asdict(plan) for plan in world.plans]}


def accounts(world: World, query: Query, now: datetime) -> Payload:
    """List a page of the customers, of all or of who came on a day.

    Raises:
        ValueError: a parameter is wrong.
    """
    page = _whole(query, "page", default=1, low=1, high=_MOST_PAGES)
    asked = _whole(query, "page_size", default=_PAGE_SIZE, low=1, high=_MOST_PAGES)
    size = min(asked, _MOST_PAGE_SIZE)
    opened = _day(query, "open_date") if "open_date" in query else None
    found = world.accounts(now, start=(page - 1) * size, size=size, opened=opened)
    return {
        "api_status": 1,
        "result_count": len(found),
        "page": page,
        "page_size": asked,
        "customers": [_customer(customer) for customer in found],
    }


def usage_report(world: World, query: Query, now: datetime) -> Payload:
    """Tell a chunk of the customers' usage of some days.

    Raises:
        ValueError: a parameter is wrong.
    """
    today = now.date()
    start = _day(query, "start_date")
    end = _day(query, "end_date") if "end_date" in query else today
    if start > end:
        raise ValueError("The start_date must not be after the end_date.")
    if start > today:
        raise ValueError("The start_date must not be in the future.")
    if today - start > _REPORTED:
        raise ValueError("The start_date must not be older than 18 months.")
    size = _whole(query, "max_results", default=MOST_RESULTS, low=1, high=MOST_RESULTS)
    offset = _whole(query, "cust_id_offset", default=0, low=0, high=_MOST_ID)
    found, total = world.report(start, min(end, today), now, after=offset, size=size)
    return {  # without api_status, as in the documentation's example
        "customers": [
            # One by one: for so many, asdict would take three times as long.
            {"cust_id": use.cust_id, "bandwidth": use.bandwidth, "connections": use.connections}
            for use in found
        ],
        "last_cust_id": found[-1].cust_id if found else None,
        "result_count": len(found),
        "total_count": total,
    }


TELL: Mapping[str, Callable[[World, Query, datetime], Payload]] = {
    "servers": servers,
    "usage": usage,
    "plans": plans,
    "accounts": accounts,
    "usage_report": usage_report,
}
"""What tells an endpoint's payload, by its name."""


def _customer(customer: Customer) -> Payload:
    closed = customer.close_date
    return {
        "cust_id": customer.cust_id,
        "cust_user_id": customer.cust_user_id,
        "close_date": f"{closed}" if closed else "0000-00-00",
        "open_date": f"{customer.open_date}",
        "acct_status_id": customer.acct_status_id,
        "acct_group_id": customer.acct_group_id,
        "user_throttled": customer.user_throttled,
        "used_service": customer.used_service,
        "metadata": dict(customer.metadata),
    }


def _whole(query: Query, name: str, *, default: int, low: int, high: int) -> int:
    if name not in query:
        return default
    told = query[name]
    if not _WHOLE.fullmatch(told) or not low <= int(told) <= high:
        raise ValueError(f"The {name} must be a whole number of {low} to {high}.")
    return int(told)


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
