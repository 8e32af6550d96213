"""Content negotiation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.negotiation import accepts_gzip, choose_format, prefers_json

PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_PROTOBUF = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
OPENMETRICS = "application/openmetrics-text"

FORMATS = {
    "no header": ("", "text"),
    "curl": ("*/*", "text"),
    "a browser": (FIREFOX, "text"),
    "Prometheus 2": (PROMETHEUS_2, "openmetrics"),
    "Prometheus 3": (PROMETHEUS_3, "openmetrics"),
    "Prometheus for protobuf": (PROMETHEUS_PROTOBUF, "text"),
    "OpenMetrics": (OPENMETRICS, "openmetrics"),
    "OpenMetrics in capitals": ("Application/OpenMetrics-Text; Version=1.0.0", "openmetrics"),
    "OpenMetrics, version quoted": (f'{OPENMETRICS}; version="1.0.0"', "openmetrics"),
    "OpenMetrics of another version": (f"{OPENMETRICS};version=0.0.1", "text"),
    "OpenMetrics refused": (f"{OPENMETRICS};q=0", "text"),
    "OpenMetrics refused, anything else": (f"{OPENMETRICS};q=0.000,*/*", "text"),
    "both alike": (f"text/plain,{OPENMETRICS}", "openmetrics"),
    "text rather": (f"text/plain;q=0.9,{OPENMETRICS};q=0.8", "text"),
    "any text rather": (f"text/*;q=0.9,{OPENMETRICS};q=0.8", "text"),
    "anything rather": (f"*/*;q=0.9,{OPENMETRICS};q=0.8", "text"),
    "text named less than anything": (
        f"*/*;q=0.9,text/plain;q=0.1,{OPENMETRICS};q=0.8",
        "openmetrics",
    ),
    "text of another version": (f"text/plain;version=1.0.0,{OPENMETRICS};q=0.1", "openmetrics"),
    "the best of two weights": (
        f"{OPENMETRICS};q=0.1,{OPENMETRICS},text/plain;q=0.5",
        "openmetrics",
    ),
    "wildcard of applications": ("application/*", "text"),
    "weight too large": (f"{OPENMETRICS};q=2", "text"),
    "weight too fine": (f"{OPENMETRICS};q=0.1234", "text"),
    "weight no number": (f"{OPENMETRICS};q=high", "text"),
    "weight negative": (f"{OPENMETRICS};q=-1", "text"),
    "weight empty": (f"{OPENMETRICS};q=", "text"),
    "weight with a bare point": (f"{OPENMETRICS};q=1.", "openmetrics"),
    "spaces everywhere": (f" {OPENMETRICS} ; version = 1.0.0 ; q = 0.5 ", "openmetrics"),
    "empty members": (f",,;,{OPENMETRICS},", "openmetrics"),
    "nonsense": (";;=,q=1;/", "text"),
}

ENCODINGS = {
    "no header": ("", False),
    "gzip": ("gzip", True),
    "capitals": ("GZIP", True),
    "x-gzip": ("x-gzip", True),
    "a browser": ("gzip, deflate, br, zstd", True),
    "anything": ("*", True),
    "others only": ("br, zstd", False),
    "identity": ("identity", False),
    "refused": ("gzip;q=0", False),
    "refused precisely": ("gzip;q=0.000", False),
    "refused, anything else": ("gzip;q=0, *", False),
    "anything refused": ("*;q=0", False),
    "gzip, anything else refused": ("gzip, *;q=0", True),
    "a little": ("gzip;q=0.001", True),
    "alike": ("identity, gzip", True),
    "plain rather": ("identity, gzip;q=0.5", False),
    "gzip rather": ("identity;q=0.5, gzip", True),
    "weight no number": ("gzip;q=yes", False),
    "gzip inside another name": ("xgzip", False),
}

PAGES = {
    "no header": ("", False),
    "curl": ("*/*", False),
    "a browser": (FIREFOX, False),
    "json": ("application/json", True),
    "json or anything": ("application/json, */*", True),
    "json a little": ("application/json;q=0.5", True),
    "json refused": ("application/json;q=0", False),
    "json less than html": ("application/json;q=0.5, text/html", False),
    "html less than json": ("application/json, text/html;q=0.5", True),
    "a library": ("application/json, text/plain, */*", True),
    "json of an API": ("application/vnd.api+json", False),
}


@pytest.mark.parametrize(("accept", "expected"), FORMATS.values(), ids=FORMATS)
def test_the_format_is_the_most_wanted_that_we_speak(accept: str, expected: str) -> None:
    """OpenMetrics goes to who asks for it by name and wants nothing of ours more."""
    assert expected == choose_format(accept)


@pytest.mark.parametrize(("accept_encoding", "expected"), ENCODINGS.values(), ids=ENCODINGS)
def test_gzip_is_sent_where_it_is_wanted(
    accept_encoding: str,
    expected: bool,  # noqa: FBT001 - a table's column
) -> None:
    """Who does not ask, refuses it or prefers plain bytes gets plain bytes."""
    assert expected == accepts_gzip(accept_encoding)


@pytest.mark.parametrize(("accept", "expected"), PAGES.values(), ids=PAGES)
def test_json_goes_to_who_asks_for_it(
    accept: str,
    expected: bool,  # noqa: FBT001 - a table's column
) -> None:
    """Browsers and curl get the page for people."""
    assert expected == prefers_json(accept)


@given(st.text(max_size=200) | st.text('aq=;,.*/01 "', max_size=60))
def test_no_header_is_too_strange(header: str) -> None:
    """A scrape never fails over what a client wrote in a header."""
    chosen = (choose_format(header), accepts_gzip(header), prefers_json(header))
    assert ("text", bool, bool) == (chosen[0], type(chosen[1]), type(chosen[2]))
