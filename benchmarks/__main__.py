"""The command: `python -m benchmarks`, which `make bench` runs once everything is fetched."""

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

from benchmarks import page, poll, program, result, scrape, start
from benchmarks.errors import BenchError
from benchmarks.table import tables

PARTS = ("scrape", "poll", "start")

_SIZES = "1000,3500,10000,100000"
_ABOUT = """\
Measures what the exporter costs beside nginx, node_exporter and prometheus-client, and prints
tables. It takes about twelve minutes on two cores, and 12 GB of memory for 100,000 servers (3 GB
without them). Everything is on the loopback address, and ends with it.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark; gives the exit code."""
    found = _parser().parse_args(argv)
    try:
        _run(found)
    except BenchError as error:
        sys.stderr.write(f"benchmarks: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=_ABOUT, allow_abbrev=False
    )
    parser.add_argument(
        "--servers",
        type=_sizes,
        default=_SIZES,
        help=f"Sizes of the fleet, separated by commas. Default: {_SIZES}.",
    )
    parser.add_argument(
        "--rounds",
        type=_whole,
        default=7,
        help="How often each figure is measured; less where a scrape takes seconds. Default: 7.",
    )
    parser.add_argument("--only", choices=PARTS, help="One part alone.")
    parser.add_argument(
        "--write",
        action="store_true",
        help="Keep the result in benchmarks/result.json, and write docs/performance.md's tables "
        "and its picture.",
    )
    parser.add_argument(
        "--render",
        action="store_true",
        help="Measure nothing: write the tables and the picture from what is kept.",
    )
    return parser


def _sizes(text: str) -> list[int]:
    return sorted({_whole(part) for part in text.split(",")})


def _whole(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def _run(found: argparse.Namespace) -> None:
    kept = result.load() if result.FILE.exists() else None
    if not kept and (found.render or (found.write and found.only)):
        raise BenchError("nothing is kept yet: run once with --write and without --only")
    if found.render and kept:
        page.write(kept)
        return
    measured = _measure(found)
    sys.stdout.write("\n\n".join(tables(measured).values()) + "\n")
    if found.write:
        _keep(measured, kept)


def _measure(found: argparse.Namespace) -> result.Result:
    programs = program.find()
    parts = [found.only] if found.only else PARTS
    began = time.monotonic()

    def say(text: str) -> None:
        sys.stderr.write(f"{time.monotonic() - began:5.0f} s  {text}\n")

    measured = result.Result(cores=os.cpu_count() or 0, versions=programs.versions())
    if "scrape" in parts:
        scrapes = scrape.measure(programs, found.servers, found.rounds, say)
        measured = replace(measured, scrapes=scrapes)
    if "poll" in parts:
        polls = poll.measure(programs, found.servers, found.rounds, say)
        measured = replace(measured, polls=polls)
    if "start" in parts:
        measured = replace(measured, starts=start.measure(programs, found.rounds, say))
    say("done")
    return result.rounded(measured)


def _keep(measured: result.Result, kept: result.Result | None) -> None:
    """Keeps what was measured, beside what is kept of parts that were not."""
    if kept:
        measured = replace(
            measured,
            scrapes=measured.scrapes or kept.scrapes,
            polls=measured.polls or kept.polls,
            starts=measured.starts or kept.starts,
        )
    result.save(measured)
    page.write(result.load())


if __name__ == "__main__":
    # Whoever ends it ends what it has started as well, as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
