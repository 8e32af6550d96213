"""What happened to us, as metrics: a reader of events with prometheus-client's own objects.

Every counter exists from the start, at 0, for each account, collector and enum value, so that its
first increase can be seen. Instants are 0 until they are known. Only what cannot be known yet is
absent: the number of records, and the end of a certificate.
"""

import math
import platform
from collections import deque
from collections.abc import Callable, Mapping
from functools import singledispatchmethod
from importlib.resources import files
from typing import get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import generate_latest as generate_text
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from exporter import __version__
from exporter.clock import Clock
from exporter.errors import REASONS, ApiError
from exporter.events import (
    Accepted,
    Event,
    Held,
    HeldReason,
    LoopLagged,
    PollEnded,
    PollPlanned,
    PollStarted,
    RequestDone,
    RetryScheduled,
)
from exporter.exposition import Format
from exporter.metric import Metric
from exporter.snapshot import Slot, Store

CODES = ("200", "400", "401", "403", "404", "410", "429", "500", "502", "503", "504", "none")
"""The statuses to reckon with, and `none` where no answer came; others begin when they come."""

BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0)
LAG_SAMPLES = 60

_VALUES: Mapping[str, tuple[str, ...]] = {
    "wlvpn_api_requests_total": CODES,
    "wlvpn_readings_held_total": get_args(HeldReason),
}
RENDER_SECONDS = 1.0

_RENDERERS: Mapping[Format, Callable[[CollectorRegistry], bytes]] = {
    "text": generate_text,
    "openmetrics": generate_openmetrics,
}
_EOF = b"# EOF\n"
_RUNTIME = "process_*"
_FICKLE = {"wlvpn_data_stale", _RUNTIME}
"""Families that change without an event."""

_BOTH = ("account", "collector")

METRICS = (
    Metric("wlvpn_up", "gauge", "Whether the last poll was accepted, 0 before the first.", _BOTH),
    Metric(
        "wlvpn_last_success_timestamp_seconds",
        "gauge",
        "Unix time of the last accepted poll, 0 before the first.",
        _BOTH,
    ),
    Metric(
        "wlvpn_last_attempt_timestamp_seconds",
        "gauge",
        "Unix time of the last poll, accepted or not, 0 before the first.",
        _BOTH,
    ),
    Metric(
        "wlvpn_source_changed_timestamp_seconds",
        "gauge",
        "Unix time of the last accepted poll whose content differed from the one before, "
        "0 before the first.",
        _BOTH,
    ),
    Metric(
        "wlvpn_poll_interval_seconds",
        "gauge",
        "Time between polls now; longer than configured while polls go on failing.",
        _BOTH,
    ),
    Metric(
        "wlvpn_data_ttl_seconds",
        "gauge",
        "Age at which the last accepted reading is dropped and its series end.",
        _BOTH,
    ),
    Metric(
        "wlvpn_data_stale",
        "gauge",
        "Whether there is no fresh reading: none yet, too old, or dropped.",
        _BOTH,
    ),
    Metric("wlvpn_consecutive_failures", "gauge", "Failed polls since the last good one.", _BOTH),
    Metric("wlvpn_next_poll_timestamp_seconds", "gauge", "Unix time the next poll is due.", _BOTH),
    Metric(
        "wlvpn_backoff_until_timestamp_seconds",
        "gauge",
        "Unix time until which no poll is made on purpose, 0 when there is no such time.",
        _BOTH,
    ),
    Metric("wlvpn_polls_total", "counter", "Polls begun.", _BOTH),
    Metric("wlvpn_poll_failures_total", "counter", "Failed polls.", (*_BOTH, "reason")),
    Metric("wlvpn_poll_duration_seconds", "histogram", "Duration of polls.", _BOTH),
    Metric("wlvpn_records", "gauge", "Records in the last accepted reading.", _BOTH),
    Metric(
        "wlvpn_records_rejected_total",
        "counter",
        "Records left out of accepted readings because they were bad.",
        (*_BOTH, "reason"),
    ),
    Metric(
        "wlvpn_readings_held_total",
        "counter",
        "Answers that lost most of their records and were asked for again.",
        (*_BOTH, "reason"),
    ),
    Metric(
        "wlvpn_api_requests_total",
        "counter",
        "Requests to the API by HTTP status; none where no answer came.",
        (*_BOTH, "code"),
    ),
    Metric(
        "wlvpn_api_request_duration_seconds",
        "histogram",
        "Duration of requests to the API, from the connection to the last byte.",
        _BOTH,
    ),
    Metric(
        "wlvpn_api_retries_total",
        "counter",
        "Requests made again within a poll, by what failed.",
        (*_BOTH, "reason"),
    ),
    Metric(
        "wlvpn_api_tls_not_after_timestamp_seconds",
        "gauge",
        "Unix time at which the API's TLS certificate ends; absent without TLS.",
        ("account",),
    ),
    Metric(
        "wlvpn_exporter_build_info",
        "gauge",
        "The exporter's build, always 1.",
        ("version", "revision", "python_version"),
    ),
    Metric(
        "wlvpn_event_loop_lag_seconds",
        "gauge",
        "Longest delay of the event loop's timers in the last minute.",
        (),
    ),
)
"""The exporter's own metrics, in the order of the page."""


class Telemetry:
    """Listens to events and renders the page's tail.

    Args:
        store: knows the accounts and collectors, and is asked for staleness.
        clock: tells when a rendered tail is old.
        runtime: whether `process_*`, `python_gc_*` and `python_info` are on the page.
    """

    def __init__(self, store: Store, *, clock: Clock, runtime: bool = True) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # the library's omission
        self._clock = clock
        self._registries: dict[str, CollectorRegistry] = {}
        self._gauges: dict[str, Gauge] = {}
        self._counters: dict[str, Counter] = {}
        self._histograms: dict[str, Histogram] = {}
        self._lags: deque[float] = deque(maxlen=LAG_SAMPLES)
        self._parts: dict[Format, dict[str, bytes]] = {form: {} for form in _RENDERERS}
        self._tails: dict[Format, tuple[float, bytes]] = {}
        self._up: set[tuple[str, str]] = set()
        for metric in METRICS:
            self._register(metric)
        self._gauge("wlvpn_exporter_build_info").labels(
            __version__, revision(), platform.python_version()
        ).set(1)
        for slot in store.slots():
            self._begin(slot, store)
        if runtime:
            registry = self._registries[_RUNTIME] = CollectorRegistry(auto_describe=False)
            ProcessCollector(registry=registry)
            PlatformCollector(registry=registry)
            GCCollector(registry=registry)

    def _register(self, metric: Metric) -> None:
        name, told, labels = metric.name, metric.help, metric.labels
        registry = self._registries[name] = CollectorRegistry(auto_describe=False)
        match metric.kind:
            case "gauge":
                self._gauges[name] = Gauge(name, told, labels, registry=registry)
            case "counter":
                self._counters[name] = Counter(name, told, labels, registry=registry)
            case "histogram":
                self._histograms[name] = Histogram(
                    name, told, labels, buckets=BUCKETS, registry=registry
                )

    def _begin(self, slot: Slot, store: Store) -> None:
        """Brings every series of one account and collector to its start."""
        pair = slot.account, slot.collector.name
        families = self._gauges | self._counters | self._histograms
        for metric in METRICS:
            match metric.labels:
                case ("account", "collector") if metric.name != "wlvpn_records":
                    families[metric.name].labels(*pair)
                case ("account", "collector", "reason" | "code"):
                    for value in _VALUES.get(metric.name, REASONS):
                        families[metric.name].labels(*pair, value)
        interval = slot.collector.options.interval.total_seconds()
        self._gauge("wlvpn_poll_interval_seconds").labels(*pair).set(interval)
        self._gauge("wlvpn_data_ttl_seconds").labels(*pair).set(slot.collector.drop_seconds)
        self._gauge("wlvpn_data_stale").labels(*pair).set_function(lambda: store.is_stale(*pair))

    def __call__(self, event: Event) -> None:
        """Takes note of an event."""
        self._note(event)

    def tail(self, form: Format) -> bytes:
        """The page's end, rendered anew once a second has passed, or a collector came up or down.

        To render it costs as much as twenty scrapes, so only families that have changed are.
        """
        now = self._clock.monotonic()
        rendered, tail = self._tails.get(form, (-math.inf, b""))
        if now - rendered >= RENDER_SECONDS:
            parts = self._parts[form]
            for name, registry in self._registries.items():
                if name not in parts or name in _FICKLE:
                    parts[name] = _RENDERERS[form](registry)
            tail = b"".join(parts[name].removesuffix(_EOF) for name in self._registries)
            tail += _EOF if form == "openmetrics" else b""
            self._tails[form] = now, tail
        return tail

    def _gauge(self, name: str) -> Gauge:
        self._forget(name)
        return self._gauges[name]

    def _counter(self, name: str) -> Counter:
        self._forget(name)
        return self._counters[name]

    def _histogram(self, name: str) -> Histogram:
        self._forget(name)
        return self._histograms[name]

    def _forget(self, name: str) -> None:
        """Has a family rendered anew: who asks for it is about to change it."""
        for parts in self._parts.values():
            parts.pop(name, None)

    @singledispatchmethod
    def _note(self, event: Event) -> None:
        """Events that no metric tells of."""

    @_note.register
    def _(self, event: PollStarted) -> None:
        pair = event.account, event.collector
        self._counter("wlvpn_polls_total").labels(*pair).inc()
        self._gauge("wlvpn_last_attempt_timestamp_seconds").labels(*pair).set(event.at.timestamp())

    @_note.register
    def _(self, event: PollEnded) -> None:
        pair = event.account, event.collector
        self._histogram("wlvpn_poll_duration_seconds").labels(*pair).observe(event.duration_seconds)
        is_up = isinstance(event.outcome, Accepted)
        self._gauge("wlvpn_up").labels(*pair).set(is_up)
        if is_up != (pair in self._up):
            self._up ^= {pair}
            self._tails.clear()  # or a first reading would stand beside `wlvpn_up` 0
        failures = self._gauge("wlvpn_consecutive_failures").labels(*pair)
        match event.outcome:
            case Accepted() as accepted:
                failures.set(0)
                self._note_accepted(pair, accepted, event.at.timestamp())
            case Held(reason=reason):
                failures.set(0)
                self._counter("wlvpn_readings_held_total").labels(*pair, reason).inc()
            case ApiError(reason=reason):
                failures.inc()
                self._counter("wlvpn_poll_failures_total").labels(*pair, reason).inc()

    def _note_accepted(self, pair: tuple[str, str], accepted: Accepted, at: float) -> None:
        self._gauge("wlvpn_last_success_timestamp_seconds").labels(*pair).set(at)
        self._gauge("wlvpn_records").labels(*pair).set(accepted.records)
        if accepted.changed:
            self._gauge("wlvpn_source_changed_timestamp_seconds").labels(*pair).set(at)
        # By reason first: there may be 200,000 of them, and this is on the event loop.
        reasons = [error.reason for error in accepted.rejected]
        rejected = self._counter("wlvpn_records_rejected_total")
        for reason in set(reasons):
            rejected.labels(*pair, reason).inc(reasons.count(reason))

    @_note.register
    def _(self, event: PollPlanned) -> None:
        pair = event.account, event.collector
        until = event.backoff_until.timestamp() if event.backoff_until else 0
        self._gauge("wlvpn_next_poll_timestamp_seconds").labels(*pair).set(event.at.timestamp())
        self._gauge("wlvpn_backoff_until_timestamp_seconds").labels(*pair).set(until)
        self._gauge("wlvpn_poll_interval_seconds").labels(*pair).set(event.interval_seconds)

    @_note.register
    def _(self, event: RequestDone) -> None:
        pair = event.account, event.collector
        code = str(event.status or "none")
        self._counter("wlvpn_api_requests_total").labels(*pair, code).inc()
        self._histogram("wlvpn_api_request_duration_seconds").labels(*pair).observe(
            event.duration_seconds
        )
        if event.tls_not_after:
            not_after = self._gauge("wlvpn_api_tls_not_after_timestamp_seconds")
            not_after.labels(event.account).set(event.tls_not_after.timestamp())

    @_note.register
    def _(self, event: RetryScheduled) -> None:
        retries = self._counter("wlvpn_api_retries_total")
        retries.labels(event.account, event.collector, event.error.reason).inc()

    @_note.register
    def _(self, event: LoopLagged) -> None:
        self._lags.append(event.lag_seconds)
        self._gauge("wlvpn_event_loop_lag_seconds").set(max(self._lags))


def revision() -> str:
    """The commit the image was built from, which its build leaves in a file beside this module."""
    file = files("exporter").joinpath("REVISION")
    return file.read_text().strip() if file.is_file() else "unknown"
