"""What may be wanted, and how it is told what may not."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from exporter.backfill import Order
from exporter.backfill.order import spans
from exporter.cli import main
from exporter.errors import ConfigError
from exporter.month import Month
from tests.backfill.desk import days

NOW = datetime(2026, 3, 17, 12, tzinfo=UTC)

Capture = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch


def test_an_order_is_read() -> None:
    """Labels are in the order of their names, however they were given; folders are absolute."""
    order = Order.parse("2026-01", "2026-02", "out", ["job=a=b", "instance=x:1"])
    expected = Order(
        Month(2026, 1), Month(2026, 2), Path.cwd() / "out", {"instance": "x:1", "job": "a=b"}
    )
    assert (expected, ["instance", "job"]) == (order, list(order.labels))


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ("2026-01", "2026-02", days("2026-01-01", "2026-02-28")),
        ("2025-12", "2026-01", days("2025-12-01", "2026-01-31")),
        ("2026-03", "2026-03", days("2026-03-01", "2026-03-16")),
        ("2026-03", "2030-01", days("2026-03-01", "2026-03-16")),
        ("2024-02", "2024-02", days("2024-02-01", "2024-02-29")),
    ],
    ids=["months", "over a year's end", "this month", "the future", "leap"],
)
def test_only_days_that_are_over_are_asked_for(first: str, last: str, expected: list[date]) -> None:
    """Whole months, and of the present one what is over."""
    assert tuple(expected) == Order.parse(first, last, "out", []).days(NOW)


@pytest.mark.parametrize(
    ("month", "now"),
    [("2026-03", datetime(2026, 3, 1, 23, 59, tzinfo=UTC)), ("2027-01", NOW)],
    ids=["its first day", "the future"],
)
def test_a_month_without_a_day_that_is_over(month: str, now: datetime) -> None:
    """On its first day a month has nothing to tell yet."""
    with pytest.raises(ConfigError) as caught:
        Order.parse(month, "2027-02", "out", []).days(now)
    expected = f"--from: no day of {month} is over yet: write an earlier month"
    assert (expected,) == caught.value.problems


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ["--from", "2026-1"],
            ["--from: 2026-1 is not a month from 2000 on: write one such as 2026-01"],
        ),
        (["--to", "soon"], ["--to: soon is not a month from 2000 on: write one such as 2026-01"]),
        (["--to", ""], ["--to: nothing is not a month from 2000 on: write one such as 2026-01"]),
        (["--from", "2026-05"], ["--from: 2026-05 is after --to 2026-02: turn them round"]),
        (["--output", ""], ["--output: nothing is not a folder: name one"]),
        (["--label", "job"], ["--label: job has no value: write name=value, such as job=wlvpn"]),
        (
            ["--label", "job="],
            ["--label: job has no value, which is no label at all: leave it out"],
        ),
        (
            ["--label", "a-b=c"],
            ["--label: a-b is not a label's name: write letters, digits and _"],
        ),
        (
            ["--label", "__name__=c"],
            ["--label: __name__ is not a label's name: write letters, digits and _"],
        ),
        (
            ["--label", "=c"],
            ["--label: nothing is not a label's name: write letters, digits and _"],
        ),
        (
            ["--label", "é=c"],
            ["--label: é is not a label's name: write letters, digits and _"],
        ),
        *(
            (
                ["--label", f"{ours}=c"],
                [f"--label: {ours} is a label of the series themselves: leave it out"],
            )
            for ours in ("account", "pop", "country_code")
        ),
        (
            ["--label", "a=1", "--label", "b=2", "--label", "a=1"],
            ["--label: a is given more than once: write it once"],
        ),
        (["--label", "a=\udcff"], ["--label: a has a value that is not UTF-8"]),
        (
            ["--from", "x", "--to", "y\n", "--label", "z"],
            [
                "--from: x is not a month from 2000 on: write one such as 2026-01",
                r"--to: 'y\n' is not a month from 2000 on: write one such as 2026-01",
                "--label: z has no value: write name=value, such as job=wlvpn",
            ],
        ),
    ],
    ids=lambda value: " ".join(value) if value and value[0].endswith(("m", "o", "t", "l")) else "",
)
def test_wrong_usage_is_told_at_once(
    words: list[str], expected: list[str], capsys: Capture, monkeypatch: Patch
) -> None:
    """One line each, with the mend; the exit code is 2, and nobody was asked."""
    monkeypatch.setenv("WLVPN_API_KEY", "the-key")
    given = ["--from", "2026-01", "--to", "2026-02", "--output", "out"]
    code = main(["backfill", *given, *words])
    out, err = capsys.readouterr()
    lines = [line.removeprefix("wlvpn-exporter: ") for line in err.splitlines()]
    assert (2, "", expected, False) == (code, out, lines, Path("out").exists())


def test_what_is_missing_is_told(capsys: Capture) -> None:
    """Without the months and the folder there is no order."""
    assert 2 == main(["backfill", "--from", "2026-01"])
    expected = (
        "the following arguments are required: --to, --output: see `wlvpn-exporter backfill --help`"
    )
    assert f"wlvpn-exporter: {expected}\n" == capsys.readouterr().err


def test_spans_join_days_that_follow_each_other() -> None:
    """Single days, runs, and over a month's end."""
    first = date(2026, 1, 30)
    found = spans(first + timedelta(days=n) for n in (7, 0, 1, 2, 5))
    assert "2026-01-30 to 2026-02-01, 2026-02-04, 2026-02-06" == found
