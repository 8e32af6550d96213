"""The exporter as most people write one serves the same series as ours."""

from pathlib import Path

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.live import registry

PAGE = Path(__file__).parents[1] / "golden" / "page.txt"


def samples(page: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """The value of each series; a label without a value is as good as none."""
    return {
        (sample.name, frozenset(pair for pair in sample.labels.items() if pair[1])): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def test_every_sample_of_a_page_is_rendered() -> None:
    """None is lost or changed on the way through Gauges and Counters."""
    page = PAGE.read_text(encoding="utf-8")
    assert samples(page) == samples(generate_latest(registry(page)).decode())
