"""What h2load wrote, and what is made of it."""

import pytest

from benchmarks.errors import BenchError
from benchmarks.load import Load, on_time, read

LOG = "1000000\t200\t1500\n1000100\t200\t2400\n1002500\t200\t1000\n"
TOLD = """\
finished in 3.50ms, 857.14 req/s, 293.95KB/s
requests: 3 total, 3 started, 3 done, 3 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 3 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 1.50KB (1541) total, 545B (545) headers (space savings 0.00%), 765B (765) data
"""


def test_each_scrape_is_read() -> None:
    """Microseconds become milliseconds, from the first question to the last answer."""
    assert Load((1.5, 2.4, 1.0), 0.0035, 513) == read(LOG, TOLD, 3)


def test_figures_of_a_load() -> None:
    """Median, 99th percentile and throughput."""
    load = read(LOG, TOLD, 3)
    assert (1.5, 2.4, 857) == (load.p50_ms, load.p99_ms, round(load.per_second))


@pytest.mark.parametrize(
    ("log", "told"),
    [
        pytest.param(LOG.replace("200", "503", 1), TOLD, id="a bad status"),
        pytest.param(LOG.replace("200", "-1", 1), TOLD, id="no answer"),
        pytest.param(LOG[: LOG.index("\n") + 1], TOLD, id="scrapes missing"),
        pytest.param("", "could not connect\n", id="nothing"),
        pytest.param(LOG, "", id="no summary"),
    ],
)
def test_a_scrape_that_failed_spoils_the_load(log: str, told: str) -> None:
    """Figures of errors are none."""
    with pytest.raises(BenchError, match="good answers of 3"):
        read(log, told, 3)


@pytest.mark.parametrize(
    ("latencies_ms", "expected"),
    [
        pytest.param((1.0, 2.0, 1.0), (1, 2, 1), id="none waits"),
        pytest.param((35.0, 1.0, 1.0, 1.0, 1.0), (35, 26, 17, 8, 1), id="three are held up"),
        pytest.param((20.0, 20.0), (20, 30), id="two in a row"),
    ],
)
def test_scrapes_that_a_late_answer_holds_up_are_late_too(
    latencies_ms: tuple[float, ...], expected: tuple[float, ...]
) -> None:
    """One client at a pace of 10 ms meets a stall once, clients of their own would all meet it."""
    assert expected == on_time(latencies_ms, 10)
