"""A Prometheus exporter for the White Label VPN reseller API."""

__version__ = "0.1.0"
