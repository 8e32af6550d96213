"""The collectors, one module each."""

from typing import Any

from exporter.collectors.base import Collector
from exporter.collectors.servers import ServersCollector
from exporter.collectors.usage import UsageCollector

ALL: tuple[type[Collector[Any, Any]], ...] = (ServersCollector, UsageCollector)
"""Every collector, in the order of the page."""
