"""The collectors, one module each."""

from typing import Any

from exporter.collectors.accounts import AccountsCollector
from exporter.collectors.base import Collector
from exporter.collectors.plans import PlansCollector
from exporter.collectors.servers import ServersCollector
from exporter.collectors.usage import UsageCollector
from exporter.collectors.usage_report import UsageReportCollector

ALL: tuple[type[Collector[Any, Any]], ...] = (
    ServersCollector,
    UsageCollector,
    PlansCollector,
    AccountsCollector,
    UsageReportCollector,
)
"""Every collector, in the order of the page."""
