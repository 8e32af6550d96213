"""A result that nobody measured, with easy figures."""

from benchmarks.figure import Spread
from benchmarks.result import (
    Cost,
    Footprint,
    Growth,
    Import,
    Pace,
    Poll,
    Result,
    Scrapes,
    Start,
    Starts,
    TargetName,
    Wait,
)

SIZES = (1_000, 3_500, 10_000, 100_000)

# CPU milliseconds of a scrape of 1,000 servers, and how they grow with ten times as many.
_COSTS: dict[TargetName, tuple[float, float]] = {
    "exporter": (0.1, 1.25),
    "nginx": (0.04, 1.25),
    "node_exporter": (21, 10),
    "node_exporter_newest": (20, 10),
    "live": (25, 10),
}


def single(figure: float) -> Spread:
    return Spread(figure, figure, figure)


def around(figure: float) -> Spread:
    return Spread(figure, figure * 0.9, figure * 1.1)


def cost(target: TargetName, servers: int) -> Cost:
    base, growth = _COSTS[target]
    times = growth ** {1_000: 0, 3_500: 0.5, 10_000: 1, 100_000: 2}[servers]
    ours = 0.1 * 1.25 ** {1_000: 0, 3_500: 0.5, 10_000: 1, 100_000: 2}[servers]
    return Cost(
        target=target,
        servers=servers,
        encoding="gzip",
        rounds=7,
        cpu_ms=around(base * times),
        cpu_ratio=around(base * times / ours),
        p50_ms=base * times,
        p99_ms=base * times * 2,
        crowd_per_second=None if base * times > 1000 else 1000 / (base * times),
        crowd_p99_ms=None if base * times > 1000 else base * times * 8,
        wire_bytes=servers * 25,
    )


def poll(servers: int) -> Poll:
    return Poll(
        servers=servers,
        rounds=7,
        visible_ms=around(servers / 200),
        steps_us={"answered": 1.0, "decoded": 0.9, "published": 3.5, "scraped": 0.5},
        jq_ms=around(servers / 70),
        jq_ratio=around(2.9),
        idle=Wait(p50_ms=0.1, p99_ms=0.3, max_ms=1.6),
        busy=Wait(p50_ms=0.14, p99_ms=1.2, max_ms=2),
        paced=Wait(p50_ms=0.5, p99_ms=3, max_ms=4),
        stall_ms=around(0.9),
        rss_mb=50,
        peak_mb=50 + servers / 1000,
    )


def example() -> Result:
    return Result(
        cores=2,
        versions={"nginx": "1.22.1", "node_exporter": "1.5.0", "node_exporter_newest": "1.11.1"},
        scrapes=Scrapes(
            costs=tuple(cost(target, servers) for servers in SIZES for target in _COSTS),
            footprints=(
                Footprint(target="exporter", servers=3_500, rss_mb=50, peak_mb=54),
                Footprint(target="nginx", servers=3_500, rss_mb=4, peak_mb=4),
            ),
            paces=(
                Pace(
                    target="node_exporter_newest",
                    servers=3_500,
                    cpu_ms=around(66),
                    cpu_ratio=around(150),
                ),
            ),
            growths=(
                Growth(
                    target="exporter",
                    few_servers=1_000,
                    many_servers=10_000,
                    cpu_ratio=around(1.25),
                ),
            ),
        ),
        starts=Starts(
            servers=3_500,
            rounds=7,
            starts=(Start(target="exporter", first_page_ms=around(300), rss_mb=50),),
            imports_ms=200,
            imports=(Import(package="aiohttp", own_ms=80),),
        ),
        polls=tuple(poll(servers) for servers in SIZES[1:]),
    )
