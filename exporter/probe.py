"""What the API lets an account read, asked once and told to people: `check --probe`."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Any

from exporter.collectors import ALL
from exporter.collectors.base import Answer
from exporter.column import Column, head, line, wrap
from exporter.duration import format_age
from exporter.errors import ApiError, ConfigError, RateLimitedError
from exporter.events import Event, RequestDone
from exporter.mend import mend
from exporter.poll import Poller
from exporter.service import Service

SHOWN_FIELDS = 20
"""So many unknown fields are named; an answer may be full of them."""

# How the API says that it knows what we ask, and does not want to tell.
_REFUSALS = {"unauthorized", "forbidden", "api_error"}

_INDENT = "    "
_COLUMNS = (
    Column("  COLLECTOR", 14),
    Column("ANSWER", 21),
    Column("RECORDS", 9, is_number=True),
    Column("REQUESTS", 8, is_number=True),
    Column("SLOWEST", 8, is_number=True),
    Column("TOTAL", 8, is_number=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What came of asking for what one collector of one account polls.

    Attributes:
        account: whose key asked.
        collector: what was asked for.
        outcome: the answer, or why there is none.
        requests: all that were made.
        seconds: from the question to the checked answer.
    """

    account: str
    collector: str
    outcome: Answer[Any] | ApiError
    requests: tuple[RequestDone, ...]
    seconds: float

    @property
    def is_permitted(self) -> bool:
        """Whether the key may read it, and the answer can be used."""
        return isinstance(self.outcome, Answer)


class Probe:
    """Asks for each enabled collector of each account, one after the other.

    Args:
        service: knows them all; nothing of it is served.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._clock = service.clock
        service.listeners.append(self._note)
        self._requests: list[RequestDone] = []

    async def tell(self, say: Callable[[str], None]) -> bool:
        """Says each line as soon as it is known; gives whether everything was permitted.

        Raises:
            ConfigError: nothing is enabled, so there is nothing to ask for.
        """
        findings: list[Finding] = []
        async with self._service.pollers() as pollers:
            for account, group in groupby(pollers, key=attrgetter("account")):
                asked, mine = list(group), len(findings)
                _say(say, ["", account, head(_COLUMNS)])
                for poller in asked:
                    findings.append(await self.ask(poller))
                    _say(say, _row(findings[-1]))
                _say(say, _tail(findings[mine:], self._clock.now()))
        if not findings:
            raise ConfigError(
                ["--probe: every collector is off: write enabled: true for one of them"]
            )
        permitted = sum(finding.is_permitted for finding in findings)
        _say(say, ["", f"{permitted} of {len(findings)} permitted."])
        return permitted == len(findings)

    async def ask(self, poller: Poller) -> Finding:
        """Asks without a retry, with the deadline of a poll, and keeps nothing."""
        self._requests.clear()
        started = self._clock.monotonic()
        outcome: Answer[Any] | ApiError
        try:
            outcome = await poller.fetch(attempts=1)
        except ApiError as error:
            outcome = error
        return Finding(
            account=poller.account,
            collector=poller.collector.name,
            outcome=outcome,
            requests=tuple(self._requests),
            seconds=self._clock.monotonic() - started,
        )

    def _note(self, event: Event) -> None:
        if isinstance(event, RequestDone):
            self._requests.append(event)


def _say(say: Callable[[str], None], lines: Iterable[str]) -> None:
    for told in lines:
        say(told)


def _row(finding: Finding) -> Iterable[str]:
    seconds = [request.duration_seconds for request in finding.requests]
    outcome = finding.outcome
    yield line(
        _COLUMNS,
        (
            f"  {finding.collector}",
            _verdict(outcome),
            f"{outcome.records:,}" if isinstance(outcome, Answer) else "-",
            f"{len(seconds):,}",
            f"{max(seconds):.3f} s" if seconds else "-",
            f"{finding.seconds:.3f} s",
        ),
    )
    for remark in _remarks(finding):
        yield from wrap(remark, indent=_INDENT)


def _verdict(outcome: Answer[Any] | ApiError) -> str:
    if isinstance(outcome, Answer):
        return "permitted"
    return f"{'refused' if outcome.reason in _REFUSALS else 'failed'}: {outcome.reason}"


def _remarks(finding: Finding) -> Iterable[str]:
    outcome = finding.outcome
    if isinstance(outcome, ApiError):
        wait = outcome.retry_after_seconds if isinstance(outcome, RateLimitedError) else None
        yield f"{outcome}, to be asked again in {format_age(wait)}." if wait else f"{outcome}."
        path = finding.requests[-1].path if finding.requests else ""
        yield mend(outcome.reason, collector=finding.collector, path=path)
        return
    if outcome.rejected:
        yield f"Bad records, left out: {len(outcome.rejected):,}. The first: {outcome.rejected[0]}."
    if outcome.unknown_fields:
        names = sorted(outcome.unknown_fields)
        more = f" and {len(names) - SHOWN_FIELDS:,} more" if len(names) > SHOWN_FIELDS else ""
        yield f"Unknown fields in a record: {', '.join(names[:SHOWN_FIELDS])}{more}."


def _tail(findings: Sequence[Finding], now: datetime) -> Iterable[str]:
    """What there is to say of a whole account."""
    # What is off is not asked for: it costs requests, and some of it is about customers.
    asked = {finding.collector for finding in findings}
    off = [kind.name for kind in ALL if kind.name not in asked]
    if off:
        yield from wrap(f"Off, so not asked for: {', '.join(off)}.", indent="  ")
    ends = [request.tls_not_after for finding in findings for request in finding.requests]
    end = min(filter(None, ends), default=None)
    if end:
        yield f"  The API's certificate ends on {end:%Y-%m-%d}, in {(end - now).days} days."
