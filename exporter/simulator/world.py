"""A seeded world of VPN servers and their customers, as pure functions of time.

Nothing in it remembers: any instant may be asked for in any order, and the same seed gives the
same answers in every process.
"""

from datetime import UTC, date, datetime, time, timedelta

from exporter.simulator.fleet import MOST_SERVERS, Fleet, Server
from exporter.simulator.traffic import Cell, Traffic, Usage

__all__ = ["Cell", "Server", "Usage", "World"]


class World:
    """What the API would tell, if it were asked at a given instant."""

    def __init__(
        self,
        seed: int = 1,
        servers: int = 3_500,
        *,
        corrections: bool = True,
        network: str = "198.18.0.0/15",
    ) -> None:
        """Make a world.

        Args:
            seed: chooses among worlds.
            servers: how many are listed at any instant; the traffic scales with it.
            corrections: let the platform over-report a cell now and then and take it back.
            network: where the servers' IPv4 addresses come from. The default is reserved for
                benchmarks, so that whoever probes a simulated server bothers nobody.

        Raises:
            ValueError: more servers than names, fewer than none, or a network too small.
        """
        if not 0 <= servers <= MOST_SERVERS:
            raise ValueError(f"servers must be 0 to {MOST_SERVERS}, got {servers}")
        self.seed = seed
        self.servers = servers
        self._fleet = Fleet(seed, servers, network)
        self._traffic = Traffic(seed, servers, corrections=corrections)

    def listed(self, at: datetime) -> dict[str, Server]:
        """List the servers in service, by FQDN; the platform measures every five minutes.

        Raises:
            ValueError: the instant has no time zone.
        """
        return self._fleet.listed(int(_posix(at)))

    def usage(self, start: date, end: date, at: datetime) -> Usage:
        """Tell the usage of whole UTC days, the last one included, as known at an instant.

        Data is 20 minutes late, and a day's last percents arrive during the three days after;
        then it equals `true_usage`. A cell without usage so far is absent.

        Raises:
            ValueError: the instant has no time zone.
        """
        return self._traffic.known(_midnight(start), _midnight(end + timedelta(days=1)), _posix(at))

    def true_usage(self, start: datetime, end: datetime) -> Usage:
        """Tell what really happened from an instant until another, uncorrected and not late.

        Bandwidth and connections of adjoining windows add up exactly; customers never do.

        Raises:
            ValueError: an instant has no time zone.
        """
        return self._traffic.truth(_posix(start), _posix(end))


def _posix(at: datetime) -> float:
    if at.tzinfo is None:
        raise ValueError(f"the world needs an instant with a time zone, got {at.isoformat()}")
    return at.timestamp()


def _midnight(day: date) -> float:
    return datetime.combine(day, time(), UTC).timestamp()
