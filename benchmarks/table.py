"""The tables that are printed and stand in docs/performance.md, in Markdown."""

from collections.abc import Iterable, Mapping, Sequence

from benchmarks.demand import Demand, demands
from benchmarks.figure import Spread
from benchmarks.result import Cost, Poll, Result, Scrapes, Start, Starts, TargetName, Wait

Cells = Sequence[str]

_ABSENT = "-"


def tables(result: Result) -> Mapping[str, str]:
    """All tables by name; those of parts that were not measured are left out."""
    found = {"demands": _demands(demands(result))} if demands(result) else {}
    if result.scrapes:
        found |= _scrapes(result.scrapes, result.versions)
    if result.polls:
        found |= _polls(result.polls)
    if result.starts:
        found |= _starts(result.starts, result.versions)
    return found | {"versions": _versions(result)}


def title(target: TargetName, versions: Mapping[str, str]) -> str:
    """What a target is called."""
    version = versions.get(target, "")
    return {
        "exporter": "wlvpn-exporter",
        "nginx": f"nginx {version}, static file",
        "node_exporter": f"node_exporter {version}, textfile",
        "node_exporter_newest": f"node_exporter {version}, textfile",
        "live": f"prometheus-client {version}, rendered live",
    }[target]


def told(figure: float) -> str:
    """Writes a figure with the digits that it is worth."""
    if abs(figure) >= 100:
        return f"{figure:,.0f}"
    if abs(figure) >= 10:
        return f"{figure:.1f}"
    return f"{figure:.2f}" if abs(figure) >= 1 else f"{figure:.3f}"


def ranged(found: Spread) -> str:
    """Writes a median, and the least and the most if they differ."""
    middle, low, high = told(found.median), told(found.low), told(found.high)
    return middle if low == high else f"{middle} ({low} to {high})"


def _table(head: Cells, rows: Iterable[Cells]) -> str:
    lines = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = [
        [cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines
    ]
    padded.insert(1, ["-" * width for width in widths])
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)


def _demands(found: Iterable[Demand]) -> str:
    return _table(("What", "Wanted", "Measured", "Kept"), map(_demand, found))


def _demand(demand: Demand) -> Cells:
    unit = "" if demand.unit == "x" else f" {demand.unit}"
    wanted = f"{'at least' if demand.at_least else 'at most'} {demand.limit:g}{unit}"
    if demand.stretch is not None:
        wanted += f", better {demand.stretch:g}"
    kept = "yes" if demand.is_kept else "no"
    return demand.name, wanted, ranged(demand.found) + unit, "better" * demand.is_stretched or kept


def _scrapes(scrapes: Scrapes, versions: Mapping[str, str]) -> dict[str, str]:
    sizes = sorted({cost.servers for cost in scrapes.costs})
    found = {
        "sizes": _sizes(scrapes, sizes, versions),
        "memory": _memory(scrapes, sizes, versions),
    }
    if scrapes.paces:
        found["pace"] = _table(
            ("At one scrape per 50 ms", "CPU ms", "x ours"),
            (
                (title(pace.target, versions), ranged(pace.cpu_ms), ranged(pace.cpu_ratio))
                for pace in scrapes.paces
            ),
        )
    for servers in sizes:
        costs = [cost for cost in scrapes.costs if cost.servers == servers]
        found[f"scrapes-{servers}"] = _costs(costs, versions)
    return found


def _sizes(scrapes: Scrapes, sizes: Sequence[int], versions: Mapping[str, str]) -> str:
    """The CPU time of a compressed scrape, by target and size."""
    cells = {
        (cost.target, cost.servers): told(cost.cpu_ms.median)
        for cost in scrapes.costs
        if cost.encoding == "gzip"
    }
    return _by_size("CPU ms of a scrape, gzip", cells, sizes, versions)


def _memory(scrapes: Scrapes, sizes: Sequence[int], versions: Mapping[str, str]) -> str:
    cells = {
        (footprint.target, footprint.servers): f"{footprint.rss_mb:,.0f} / {footprint.peak_mb:,.0f}"
        for footprint in scrapes.footprints
    }
    return _by_size("RSS in MB: at first / at its peak", cells, sizes, versions)


def _by_size(
    what: str,
    cells: Mapping[tuple[TargetName, int], str],
    sizes: Sequence[int],
    versions: Mapping[str, str],
) -> str:
    targets = dict.fromkeys(target for target, _ in cells)
    return _table(
        (what, *(f"{servers:,} servers" for servers in sizes)),
        (
            (title(target, versions), *(cells.get((target, servers), _ABSENT) for servers in sizes))
            for target in targets
        ),
    )


def _costs(costs: Iterable[Cost], versions: Mapping[str, str]) -> str:
    head = ("Target", "Encoding", "CPU ms", "x ours", "p50 ms", "p99 ms")
    crowd = ("8 clients: scrapes/s", "p99 ms")
    return _table(
        (*head, *crowd, "Bytes", "Rounds"),
        (
            (
                title(cost.target, versions),
                cost.encoding,
                told(cost.cpu_ms.median),
                ranged(cost.cpu_ratio),
                told(cost.p50_ms),
                told(cost.p99_ms),
                _maybe(cost.crowd_per_second),
                _maybe(cost.crowd_p99_ms),
                f"{cost.wire_bytes:,}",
                str(cost.rounds),
            )
            for cost in costs
        ),
    )


def _maybe(figure: float | None) -> str:
    return _ABSENT if figure is None else told(figure)


def _polls(polls: Sequence[Poll]) -> dict[str, str]:
    steps = list(polls[0].steps_us)
    return {
        "polls": _table(
            ("Servers", "Page after, ms", "jq, ms", "jq, x ours", "RSS before / peak, MB"),
            (
                (
                    f"{poll.servers:,}",
                    ranged(poll.visible_ms),
                    ranged(poll.jq_ms),
                    ranged(poll.jq_ratio),
                    f"{poll.rss_mb:,.0f} / {poll.peak_mb:,.0f}",
                )
                for poll in polls
            ),
        ),
        "steps": _table(
            ("Microseconds for each of", *steps),
            (
                (f"{p.servers:,} servers", *(told(p.steps_us[step]) for step in steps))
                for p in polls
            ),
        ),
        "stalls": _table(
            (
                "p50 / p99 / max, ms",
                "No poll",
                "Polls",
                "p99 more",
                "Polls, 50 scrapes a second",
            ),
            (
                (
                    f"{poll.servers:,} servers",
                    _waited(poll.idle),
                    _waited(poll.busy),
                    ranged(poll.stall_ms),
                    _waited(poll.paced),
                )
                for poll in polls
            ),
        ),
    }


def _waited(wait: Wait) -> str:
    return " / ".join(map(told, (wait.p50_ms, wait.p99_ms, wait.max_ms)))


def _starts(starts: Starts, versions: Mapping[str, str]) -> dict[str, str]:
    return {
        "starts": _table(
            (f"{starts.servers:,} servers", "First page after, ms", "RSS then, MB"),
            (_start(start, versions) for start in starts.starts),
        ),
        "imports": _table(
            ("Package", "Import, ms"),
            [
                *((f"`{each.package}`", told(each.own_ms)) for each in starts.imports),
                ("all", told(starts.imports_ms)),
            ],
        ),
    }


def _start(start: Start, versions: Mapping[str, str]) -> Cells:
    return title(start.target, versions), ranged(start.first_page_ms), told(start.rss_mb)


def _versions(result: Result) -> str:
    named = ", ".join(
        f"{name.replace('_newest', '').replace('live', 'prometheus-client')} {version}"
        for name, version in sorted(result.versions.items())
    )
    return f"{result.cores} cores; {named}."
