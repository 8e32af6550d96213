"""Content negotiation from a closed set (RFC 9110, sections 12.4.2, 12.5.1 and 12.5.3).

What cannot be understood in a header counts as if it were not there: a scrape must not fail over
it.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

from exporter.exposition import Format

_QUALITY = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?", re.ASCII)
_TEXT_VERSIONS = {"0.0.4", ""}
_OPENMETRICS_VERSIONS = {"1.0.0", ""}
# A scraper sends the same headers for ever; reading those of Prometheus 3 takes 37 microseconds.
# Few are kept: a client may send any, of up to 8 KiB each.
_remember = lru_cache(maxsize=16)


@_remember
def choose_format(accept: str) -> Format:
    """Chooses the exposition format; text unless OpenMetrics is asked for by name."""
    openmetrics = _quality(accept, ["application/openmetrics-text"], _OPENMETRICS_VERSIONS)
    text = _quality(accept, ["text/plain", "text/*", "*/*"], _TEXT_VERSIONS)
    return "openmetrics" if openmetrics and openmetrics >= (text or 0) else "text"


@_remember
def accepts_gzip(accept_encoding: str) -> bool:
    """Whether gzip may be sent and is no less wanted than the plain bytes."""
    gzip = _quality(accept_encoding, ["gzip", "x-gzip", "*"])
    identity = _quality(accept_encoding, ["identity"])
    return bool(gzip) and (gzip or 0) >= (identity or 0)


def prefers_json(accept: str) -> bool:
    """Whether JSON is asked for by name, and no less wanted than HTML."""
    json = _quality(accept, ["application/json"])
    html = _quality(accept, ["text/html", "text/*", "*/*"])
    return bool(json) and (json or 0) >= (html or 0)


def _quality(header: str, names: list[str], versions: set[str] | None = None) -> float | None:
    """The weight of the first name that the header mentions, the most specific first."""
    found: dict[str, float] = {}
    for name, quality, parameters in _members(header):
        if versions is None or parameters.get("version", "") in versions:
            found[name] = max(quality, found.get(name, 0.0))
    return next((found[name] for name in names if name in found), None)


def _members(header: str) -> Iterator[tuple[str, float, Mapping[str, str]]]:
    for member in header.split(","):
        name, *rest = (part.strip().lower() for part in member.split(";"))
        pairs = (part.partition("=") for part in rest)
        parameters = {key.strip(): value.strip(' "') for key, _, value in pairs}
        quality = parameters.get("q", "1")
        if name and _QUALITY.fullmatch(quality):
            yield name, float(quality), parameters
