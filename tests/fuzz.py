"""Feeds spoiled answers to the exporter's way from bytes to page, without sockets.

    .venv/bin/python -m tests.fuzz --payloads 1000000

Each answer is either refused with an ApiError, or becomes a page that the oracle, an independent
reading of the same bytes, finds nothing wrong with; what the oracle would accept is not refused.
What was accepted goes through promtool, a batch's contents as the accounts of one page. What is
found is printed with the seed that makes it again; exit code 1.
"""

import argparse
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing import Pool
from pathlib import Path
from random import Random
from traceback import extract_tb
from typing import Any, Literal, NamedTuple

from exporter.collectors.base import Answer, Collector, Get, Options
from exporter.collectors.servers import ServersCollector
from exporter.collectors.usage import UsageCollector, UsageOptions
from exporter.errors import ApiError
from exporter.exposition import Format
from exporter.response import decode
from exporter.snapshot import Reading, Store
from tests import inline_loop
from tests.manual_clock import ManualClock
from tests.mutator import ENDPOINTS, Endpoint, Mutator, corpus
from tests.oracle import Oracle
from tests.oracle_answer import (
    Detail,
    Listed,
    Refusal,
    UnacceptableError,
    Used,
    read_servers,
    read_usage,
)

BINARIES = Path(__file__).parents[1] / ".cache" / "prometheus"
BATCH = 1000
PROMTOOLS: Mapping[str, int] = {"2": BATCH, "3": 50}
"""How many of a batch each version sees: the newer one compares each line of a family with all."""

WORKERS = 2
PROGRESS_SECONDS = 10
MOST_SHOWN = 3
SHRINKING_TRIES = 400

SETTLING = datetime(2026, 3, 3, 12, tzinfo=UTC)
"""Early in a month: the one before is still asked for, hourly."""

Plan = Literal["alone", "after", "before", "current", "previous"]
PLANS: Mapping[Endpoint, tuple[Plan, ...]] = {
    "servers": ("alone", "alone", "after", "before"),
    "usage": ("alone", "current", "previous", "after", "before"),
}
DETAILS: tuple[Detail, ...] = ("pop_country", "pop_country", "pop", "total")
COUNTRIES: tuple[tuple[str, ...], ...] = ((), (), ("FR", "UK", "XX"))


class Case(NamedTuple):
    """One spoiled answer and what becomes of it; everything else follows from the seed."""

    seed: int
    endpoint: Endpoint
    plan: Plan
    detail: Detail
    countries: tuple[str, ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that should not be.

    Attributes:
        kind: what, without its particulars.
        told: what.
        case: how to see it again.
    """

    kind: str
    told: str
    case: Case


@dataclass(slots=True)
class Count:
    """What became of many cases."""

    payloads: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    def add(self, other: "Count") -> None:
        """Adds others to these."""
        self.payloads += other.payloads
        self.outcomes.update(other.outcomes)
        self.findings += other.findings


class Fuzzer:
    """Makes cases out of seeds, and tries them."""

    def __init__(self) -> None:
        self._mutators = {endpoint: Mutator(endpoint) for endpoint in ENDPOINTS}
        self._honest = {endpoint: corpus(endpoint)[0] for endpoint in ENDPOINTS}

    def case(self, seed: int) -> Case:
        """The case of a seed, always the same."""
        random = Random(seed)
        endpoint = random.choice(ENDPOINTS)
        return Case(
            seed,
            endpoint,
            plan=random.choice(PLANS[endpoint]),
            detail=random.choice(DETAILS),
            countries=random.choice(COUNTRIES),
            body=self._mutators[endpoint].mutate(random),
        )

    def run(self, seeds: Iterable[int], promtools: Mapping[str, int]) -> Count:
        """Tries the cases of these seeds, and their pages together."""
        count = Count()
        kept: dict[Any, Collector[Any, Any]] = {}
        for seed in seeds:
            case = self.case(seed)
            trial = Trial(case, self._honest[case.endpoint])
            count.payloads += 1
            count.outcomes[trial.run()] += 1
            count.findings += trial.findings
            # What is the same on the page need not be looked at twice.
            kept.update((content, collector) for collector, content in trial.accepted)
        contents = [(collector, content) for content, collector in kept.items()]
        for version, most in promtools.items():
            count.findings += _check(contents[:most], version)
        return count

    def shrink(self, finding: Finding) -> Finding:
        """Takes out of a payload what the finding does not need."""
        size = len(finding.case.body) // 2
        tries = SHRINKING_TRIES
        while size and tries:
            start = 0
            while start < len(finding.case.body) and tries:
                tries -= 1
                body = finding.case.body
                case = finding.case._replace(body=body[:start] + body[start + size :])
                trial = Trial(case, self._honest[case.endpoint])
                trial.run()
                same = [f for f in trial.findings if f.kind == finding.kind]
                if same:
                    finding = same[0]
                else:
                    start += size
            size //= 2
        return finding


class Trial:
    """One case, from its bytes to its page.

    Attributes:
        accepted: the collector with what it accepted of the spoiled answer.
        findings: what should not be.
    """

    def __init__(self, case: Case, honest: bytes) -> None:
        self.case = case
        self.accepted: list[tuple[Collector[Any, Any], Any]] = []
        self.findings: list[Finding] = []
        self._honest = honest
        self._clock = ManualClock(SETTLING)
        self._collector: Collector[Any, Any] = (
            ServersCollector(Options(), case.countries)
            if case.endpoint == "servers"
            else UsageCollector(UsageOptions(detail=case.detail))
        )
        self._store = Store([("default", self._collector)], clock=self._clock, emit=lambda _: None)
        self._oracle = Oracle(
            "default",
            collectors=(case.endpoint,),
            countries=case.countries,
            detail=case.detail,
            polled=False,
        )

    def run(self) -> str:
        """Polls as planned.

        Returns:
            What became of the spoiled answer: accepted, or the reason why not.
        """
        return inline_loop.run(self._polls())

    async def _polls(self) -> str:
        spoiled, honest = self.case.body, self._honest
        match self.case.plan:
            case "alone":
                return await self._poll(spoiled, spoiled)
            case "current":
                return await self._poll(spoiled, honest)
            case "previous":
                return await self._poll(honest, spoiled)
            case "after":
                await self._poll(honest, honest)
                return await self._poll(spoiled, spoiled)
            case "before":
                outcome = await self._poll(spoiled, spoiled)
                await self._poll(honest, honest)
                return outcome

    async def _poll(self, current: bytes, previous: bytes) -> str:
        """Polls once, and looks at the page, whatever came of it."""
        at = self._clock.now()
        month = f"{at:%Y-%m}"
        asked: list[bytes] = []

        async def get(path: str, query: Mapping[str, str]) -> Mapping[str, object]:
            del path
            is_previous = not query.get("start_date", month).startswith(month)
            body = previous if is_previous else current
            asked.append(body)
            self._oracle.hear(self.case.endpoint, query, body, at)
            return decode(body)

        try:
            outcome = await self._accept(get, asked, at)
        except ApiError as error:
            outcome = error.reason
            self._compare_refused(asked, error)
        except Exception as error:  # noqa: BLE001 - the finding that matters most
            *_, frame = extract_tb(error.__traceback__)
            self._find(f"{type(error).__name__} in {frame.name}", repr(error)[:300])
            return "crashed"
        self._look(at, since=at if outcome == "accepted" else None)
        self._clock.advance(60 if self.case.endpoint == "servers" else 3600)
        return outcome

    async def _accept(self, get: Get, asked: Sequence[bytes], at: datetime) -> str:
        monotonic = self._clock.monotonic()
        last = self._store.last("default", self._collector.name)
        answer: Answer[Any] = await self._collector.fetch(get, now=at, last=last and last.content)
        outcome = self._compare_accepted(asked, answer)
        if outcome == "accepted":
            reading = Reading(answer.content, answer.records, at, monotonic)
            await self._store.accept("default", self._collector.name, reading)
            if self.case.body in asked:
                self.accepted.append((self._collector, answer.content))
        return outcome

    def _look(self, at: datetime, *, since: datetime | None) -> None:
        is_openmetrics = bool(self.case.seed % 2)
        form: Format = "openmetrics" if is_openmetrics else "text"
        tail = b"# EOF\n" if is_openmetrics else b""
        page = b"".join(self._store.body(form).finish(tail, gzip=False)).decode()
        for problem in self._oracle.check(page, at, openmetrics=is_openmetrics, since=since):
            self._find(re.split(r"[{\d]", problem)[0], problem)

    def _compare_refused(self, asked: Sequence[bytes], error: ApiError) -> None:
        """What the oracle accepts is refused only where a name stands twice, an answer too many."""
        try:
            said = [self._read(body) for body in asked]
        except UnacceptableError:
            return
        if not any(answer.is_ambiguous for answer in said):
            self._find(f"refused: {error.reason}", f"refused without need: {error}"[:300])

    def _compare_accepted(self, asked: Sequence[bytes], answer: Answer[Any]) -> str:
        try:
            said = [self._read(body) for body in asked]
        except Refusal:
            return "api_error"  # in the exporter somebody else has looked
        except UnacceptableError as error:
            self._find(f"accepted: {error}", f"accepted in spite of: {error}"[:300])
            return "accepted"
        counted = answer.records, len(answer.rejected)
        if counted != (said[0].records, sum(one.bad for one in said)):
            told = f"{counted}, not {said[0].records} and {[one.bad for one in said]}"
            self._find("records counted", f"good and bad records are {told}")
        return "accepted"

    def _read(self, body: bytes) -> Listed | Used:
        if self.case.endpoint == "servers":
            return read_servers(body, countries=self.case.countries)
        return read_usage(body, detail=self.case.detail)

    def _find(self, kind: str, told: str) -> None:
        self.findings.append(Finding(kind, told, self.case))


def _check(kept: Sequence[tuple[Collector[Any, Any], Any]], version: str) -> Iterator[Finding]:
    """Shows what was accepted to promtool, as the accounts of one page."""
    accounts = [(f"p{number}", collector) for number, (collector, _) in enumerate(kept)]
    store = Store(accounts, clock=ManualClock(SETTLING), emit=lambda _: None)

    async def accept() -> None:
        for (account, collector), (_, content) in zip(accounts, kept, strict=True):
            await store.accept(account, collector.name, Reading(content, 1, SETTLING, 1000.0))

    inline_loop.run(accept())
    checked = subprocess.run(
        [BINARIES / version / "usr" / "bin" / "promtool", "check", "metrics"],
        input=b"".join(store.body("text").finish(b"", gzip=False)),
        capture_output=True,
        check=False,
    )
    if (checked.returncode, checked.stdout, checked.stderr) != (0, b"", b""):
        told = (checked.stdout + checked.stderr).decode(errors="replace")[:300]
        yield Finding(f"promtool {version}", told, Case(-1, "servers", "alone", "total", (), b""))


_fuzzer: Fuzzer | None = None


def _work(task: tuple[range, Mapping[str, int]]) -> Count:
    global _fuzzer  # noqa: PLW0603 - one for each process
    _fuzzer = _fuzzer or Fuzzer()
    return _fuzzer.run(*task)


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzzes; 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="tests.fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("--payloads", type=int, default=100_000, help="how many (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="the first one's (%(default)s)")
    parser.add_argument(
        "--no-promtool", action="store_true", help="without the two versions of promtool"
    )
    asked = parser.parse_args(arguments)
    promtools = {} if asked.no_promtool else PROMTOOLS
    end = asked.seed + asked.payloads
    tasks = [
        (range(start, min(start + BATCH, end)), promtools)
        for start in range(asked.seed, end, BATCH)
    ]
    total, began = Count(), time.monotonic()
    told = began
    with Pool(WORKERS) as pool:
        for count in pool.imap_unordered(_work, tasks):
            total.add(count)
            if time.monotonic() - told >= PROGRESS_SECONDS:
                told = time.monotonic()
                sys.stderr.write(_progress(total, told - began))
    sys.stdout.write(_table(total, time.monotonic() - began))
    sys.stdout.writelines(map(_told, _shown(total.findings)))
    return 1 if total.findings else 0


def _progress(total: Count, seconds: float) -> str:
    return (
        f"{total.payloads} payloads in {seconds:.0f} s, {total.payloads / seconds:.0f}/s, "
        f"{len(total.findings)} findings\n"
    )


def _table(total: Count, seconds: float) -> str:
    rows = [
        ("payloads", total.payloads),
        *((outcome, n) for outcome, n in total.outcomes.most_common()),
        ("findings", len(total.findings)),
        ("seconds", round(seconds)),
        ("payloads/s", round(total.payloads / seconds)),
    ]
    return "".join(f"{name:16} {value:>10}\n" for name, value in rows)


def _shown(findings: Sequence[Finding]) -> Iterator[Finding]:
    """The smallest of each kind, shrunk."""
    fuzzer, kinds = Fuzzer(), dict.fromkeys(finding.kind for finding in findings)
    for kind in kinds:
        same = [finding for finding in findings if finding.kind == kind]
        for finding in sorted(same, key=lambda finding: len(finding.case.body))[:MOST_SHOWN]:
            yield fuzzer.shrink(finding)


def _told(finding: Finding) -> str:
    case = finding.case
    return (
        f"\n{finding.kind}\n  {finding.told}\n  seed {case.seed}: {case.endpoint}, {case.plan}, "
        f"detail {case.detail}, countries {case.countries}\n  {case.body!s:.2000}\n"
    )


if __name__ == "__main__":
    sys.exit(main())
