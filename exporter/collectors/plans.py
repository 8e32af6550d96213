"""The plans that can be allocated to customers (`GET /v2/plans`).

Off by default. The documentation calls what comes a list and a map: both are taken.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Literal, NamedTuple

from exporter.collectors.base import Answer, Collector, Get, MaxAge, OptInOptions, sift
from exporter.errors import SchemaError
from exporter.fields import items, member, text
from exporter.metric import Metric, Table

PATH = "/v2/plans"
FIELDS = frozenset(
    {
        "plan_code",
        "name",
        "short_desc",
        "price",
        "bandwidth_gb",
        "bandwidth_mb",
        "interval_days",
        "expire_after_days",
        "requires_receipt",
        "is_auto_renewing",
        "refilling_interval_days",
    }
)

Kind = Literal["time", "bandwidth"]


class Plan(NamedTuple):
    """One plan; `kind` is what it is limited by."""

    plan_code: str
    name: str
    kind: Kind

    @classmethod
    def from_json(cls, members: Mapping[str, object]) -> "Plan":
        """Reads one of the API's `plans`.

        Raises:
            SchemaError: a member is wrong or the code is absent.
        """
        code = text(member(members, "plan_code"), "plan_code")
        return cls(code, text(members.get("name"), "name"), _kind(members))


@dataclass(frozen=True, slots=True)
class Plans:
    """The content of a reading, sorted by code."""

    plans: tuple[Plan, ...]


class PlansCollector(Collector[Plans, None]):
    """See the module."""

    name = "plans"
    help = "The plans that can be allocated to the account's customers. Off by default."
    options_type = OptInOptions
    stale = MaxAge(intervals=3, floor=timedelta(0))
    drop = MaxAge(intervals=6, floor=timedelta(hours=1))
    content_tables = (
        Table(
            lambda content: content.plans,
            (
                Metric(
                    "wlvpn_plan_info",
                    "gauge",
                    "A plan listed by the polled /v2/plans, limited by time or by bandwidth, "
                    "always 1.",
                    ("account", "plan_code", "name", "kind"),
                    lambda _: 1,
                ),
            ),
        ),
    )

    async def fetch(self, get: Get, *, now: datetime, last: Plans | None) -> Answer[Plans]:
        """Asks for all plans in one request."""
        del now, last
        answer = await get(PATH, {})
        return await asyncio.to_thread(self._read, answer)

    def _read(self, answer: Mapping[str, object]) -> Answer[Plans]:
        listed = items(member(answer, "plans"), "plans")
        sifted = sift(
            ((f"plans[{place}]", plan) for place, plan in enumerate(listed)),
            lambda _, members: Plan.from_json(members),
            key=attrgetter("plan_code"),
            known_fields=FIELDS,
            max_records=self.options.max_records,
        )
        return Answer(
            content=Plans(sifted.records),
            records=len(sifted.records),
            rejected=sifted.rejected,
            unknown_fields=sifted.unknown_fields,
        )

    def first_tally(self) -> None:
        """Nothing is counted."""

    def count(self, tally: None, *, last: Plans | None, content: Plans) -> None:
        """Counts nothing."""


def _kind(members: Mapping[str, object]) -> Kind:
    """Reads what the plan is limited by: the documentation knows one of two numbers, never both.

    Raises:
        SchemaError: both or neither are there.
    """
    is_timed, is_metered = (
        members.get(name) is not None for name in ("interval_days", "bandwidth_mb")
    )
    if is_timed == is_metered:
        told = "both are there" if is_timed else "neither is there"
        raise SchemaError(f"interval_days, bandwidth_mb: {told}")
    return "time" if is_timed else "bandwidth"
