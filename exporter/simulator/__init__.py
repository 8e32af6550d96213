"""A stand-in for the White Label VPN API, for the demo, the tests and the benchmarks.

A second opinion on the API: it imports nothing else of the exporter's.
"""

from exporter.simulator.app import Request, Sent, Simulator
from exporter.simulator.clock import Clock
from exporter.simulator.faults import Rule
from exporter.simulator.world import World

__all__ = ["Clock", "Request", "Rule", "Sent", "Simulator", "World"]
