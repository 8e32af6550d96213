"""Whatever comes between, the next run goes on, and the files are those of one long run."""

from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from exporter.simulator import Simulator
from tests.backfill.desk import (
    GO_ON,
    MANIFEST,
    WINTER,
    asked,
    backfill,
    content,
    days,
    expected,
    fail_from,
    names,
    samples,
)
from tests.conftest import Configure
from tests.manual_clock import ManualClock

# What comes between


@pytest.mark.parametrize(
    ("rule", "reason", "mend", "requests"),
    [
        ("usage:status=503", "server_error: default 2026-02-03: HTTP 503", GO_ON, 3),
        ("usage:close", "reset: default 2026-02-03: ", GO_ON, 3),
        ("usage:garbage", "decode: default 2026-02-03: ", GO_ON, 1),
        (
            "usage:status=401",
            "unauthorized: default 2026-02-03: HTTP 401",
            f"mend the key or its permissions, and {GO_ON}",
            1,
        ),
        (
            "usage:status=403",
            "forbidden: default 2026-02-03: HTTP 403",
            f"mend the key or its permissions, and {GO_ON}",
            1,
        ),
        (
            "usage:date_refused",
            "bad_request: default 2026-02-03: ",
            f"if the API does not go back so far, write a later --from; else {GO_ON}",
            1,
        ),
        ("usage:status=429", "rate_limited: default 2026-02-03: HTTP 429", GO_ON, 11),
    ],
    ids=lambda value: value.split(":")[1] if str(value).startswith("usage:") else "",
)
async def test_a_failure_ends_it_and_the_next_run_goes_on(
    rule: str,
    reason: str,
    mend: str,
    requests: int,
    configure: Configure,
    clock: ManualClock,
    simulator: Simulator,
    tmp_path: Path,
) -> None:
    """Exit 1, two clear lines, whole files; the next run asks for the rest and nothing differs."""
    fail_from(simulator, "2026-02-03", rule)
    first = await backfill(configure(), clock, tmp_path / "a")
    assert (1, "", True, mend) == (
        first.code,
        first.out,
        first.lines[-2].startswith(reason),
        first.lines[-1],
    )
    assert names("2026-01-01", "2026-02-02") | MANIFEST == content(tmp_path / "a").keys()
    assert 33 + requests == len(simulator.requests)
    simulator.rules = ()
    simulator.requests.clear()
    clock.advance(3600)
    second = await backfill(configure(), clock, tmp_path / "a")
    assert (0, True) == (second.code, "33 of 59 days are there already" in second.lines)
    assert [str(day) for day in WINTER[33:]] == asked(simulator)
    await backfill(configure(), clock, tmp_path / "b")
    assert content(tmp_path / "b") == content(tmp_path / "a")


async def test_a_429_is_waited_for(
    configure: Configure, clock: ManualClock, simulator: Simulator, tmp_path: Path
) -> None:
    """Asked too often, it stays away for as long as the API says, and goes on."""
    fail_from(simulator, "2026-02-03", "usage:status=429:retry_after=120:count=2")
    ended = await backfill(configure(), clock, tmp_path)
    limited = [r.at for r in simulator.requests if r.query["end_date"] == "2026-02-03"]
    assert (0, 61) == (ended.code, len(simulator.requests))
    assert all(
        timedelta(seconds=120) <= b - a <= timedelta(seconds=121) for a, b in pairwise(limited)
    )
    assert 2 == ended.lines.count("default: asked too often: waiting 2m")


async def test_a_passing_fault_is_not_noticed(
    configure: Configure, clock: ManualClock, simulator: Simulator, tmp_path: Path
) -> None:
    """Retried as in a poll: the run goes on, and counts all its requests."""
    fail_from(simulator, "2026-02-03", "usage:status=503:count=2")
    ended = await backfill(configure(), clock, tmp_path)
    assert (0, ["59 of 59 days are there, 61 requests"]) == (ended.code, ended.lines)


# Days that may change


async def test_unsettled_days_are_told_and_asked_for_again(
    configure: Configure, clock: ManualClock, simulator: Simulator, tmp_path: Path
) -> None:
    """Up to yesterday; what may still be corrected is asked for again, until it has settled."""
    months = ("2026-03", "2027-01")
    first = await backfill(configure(), clock, tmp_path, months=months)
    march = [str(day) for day in days("2026-03-01", "2026-03-31")]
    assert march[:16] == asked(simulator)
    assert "may still correct 2026-03-12 to 2026-03-16." in first.out
    assert "again on 2026-03-22 or later" in first.out
    early = {f"unsettled/{name}" for name in names("2026-03-12", "2026-03-16")}
    assert names("2026-03-01", "2026-03-11") | early | MANIFEST == content(tmp_path).keys()
    simulator.requests.clear()
    clock.advance(86_400 * 3)
    await backfill(configure(), clock, tmp_path, months=months)
    assert march[11:19] == asked(simulator)
    simulator.requests.clear()
    clock.advance(86_400 * 18)
    last = await backfill(configure(), clock, tmp_path, months=("2026-03", "2026-03"))
    assert march[14:] == asked(simulator)
    assert "may still" not in last.out
    simulator.requests.clear()
    await backfill(configure(), clock, tmp_path, months=("2026-03", "2026-03"))
    assert [] == asked(simulator)
    labels = {"account": "default"}
    wanted = expected(simulator.world, days("2026-03-01", "2026-03-31"), clock.now(), labels)
    assert wanted == samples(tmp_path)
    assert names("2026-03-01", "2026-03-31") | MANIFEST == content(tmp_path).keys()
    assert not (tmp_path / "unsettled").exists()


async def test_settle_days_decide(
    configure: Configure, clock: ManualClock, simulator: Simulator, tmp_path: Path
) -> None:
    """Who says that nothing is ever corrected is believed."""
    settings = configure(collectors__usage__settle_days="0")
    ended = await backfill(settings, clock, tmp_path, months=("2026-03", "2026-03"))
    await backfill(settings, clock, tmp_path, months=("2026-03", "2026-03"))
    assert ("may still" in ended.out, 16) == (False, len(simulator.requests))
