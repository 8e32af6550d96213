"""A seeded world of VPN servers and their customers, as pure functions of time.

Nothing in it remembers: any instant may be asked for in any order, and the same seed gives the
same answers in every process.
"""

from datetime import UTC, date, datetime, time, timedelta

from exporter.simulator.clientele import MOST_CUSTOMERS, Clientele, Customer, Use
from exporter.simulator.fleet import DAY, MOST_SERVERS, Fleet, Server
from exporter.simulator.tariff import PLANS, Plan
from exporter.simulator.traffic import Cell, Traffic, Usage

__all__ = ["Cell", "Customer", "Plan", "Server", "Usage", "Use", "World"]


class World:
    """What the API would tell, if it were asked at a given instant."""

    def __init__(
        self,
        seed: int = 1,
        servers: int = 3_500,
        *,
        customers: int = 2_000,
        first_id: int = 12_000_000,
        corrections: bool = True,
        network: str = "198.18.0.0/15",
    ) -> None:
        """Make a world.

        Args:
            seed: chooses among worlds.
            servers: how many are listed at any instant; the traffic scales with it.
            customers: how many accounts of customers there are; their usage is a world apart from
                the servers' traffic.
            first_id: the least id that a customer may have.
            corrections: let the platform over-report a cell now and then and take it back.
            network: where the servers' IPv4 addresses come from. The default is reserved for
                benchmarks, so that whoever probes a simulated server bothers nobody.

        Raises:
            ValueError: more servers or customers than there may be, fewer than none, or a
                network too small.
        """
        if not 0 <= servers <= MOST_SERVERS:
            raise ValueError(f"servers must be 0 to {MOST_SERVERS}, got {servers}")
        if not 0 <= customers <= MOST_CUSTOMERS:
            raise ValueError(f"customers must be 0 to {MOST_CUSTOMERS}, got {customers}")
        self.seed = seed
        self.servers = servers
        self.customers = customers
        self.plans: tuple[Plan, ...] = PLANS
        self._clientele = Clientele(seed, customers, first_id)
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

    def accounts(
        self, at: datetime, *, start: int, size: int, opened: date | None = None
    ) -> list[Customer]:
        """List customers from a place on, by rising id, as they stand on a day.

        Args:
            at: an instant of the day.
            start: how many to leave out.
            size: how many at the most.
            opened: only those who came on this day; None: all.
        """
        return self._clientele.page(at.date(), start=start, size=size, opened=opened)

    def report(
        self, start: date, end: date, at: datetime, *, after: int, size: int
    ) -> tuple[list[Use], int]:
        """Tell what customers used on whole UTC days, the last one included.

        Data is 20 minutes late; who has not connected so far is absent.

        Args:
            start: the first day.
            end: the last day.
            at: when it is asked.
            after: an id; the customers follow it.
            size: how many at the most.

        Returns:
            The first of them by rising id, and how many there are in all, whatever their ids.
        """
        days = range(int(_midnight(start)) // DAY, int(_midnight(end)) // DAY + 1)
        return self._clientele.report(days, _posix(at), after=after, size=size)


def _posix(at: datetime) -> float:
    if at.tzinfo is None:
        raise ValueError(f"the world needs an instant with a time zone, got {at.isoformat()}")
    return at.timestamp()


def _midnight(day: date) -> float:
    return datetime.combine(day, time(), UTC).timestamp()
