"""A Prometheus exporter for the White Label VPN reseller API."""

PROGRAM = "wlvpn-exporter"
__version__ = "0.1.0"
