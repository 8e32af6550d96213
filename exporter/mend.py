"""What to do about each reason for which a poll fails, in one place and in words for people."""

from collections.abc import Mapping

_PASSING = "If it goes on, look at what is in between: a proxy, a firewall, the network."

MENDS: Mapping[str, str] = {
    "dns": "Check the host in base_url, and this machine's name servers.",
    "connect": "Check base_url, proxy_url and the firewall: nobody answers there.",
    "tls": "Check this machine's clock. Where a proxy or a private authority signs, name its "
    "certificate in ca_file.",
    "timeout": _PASSING,
    "reset": _PASSING,
    "truncated": _PASSING,
    "too_large": "If so much is right, raise max_body_bytes or collectors.{collector}.max_records.",
    "redirect": "Redirects are never followed: write the API's own address into base_url.",
    "content_type": "Check base_url and proxy_url: something else than the API answers there.",
    "decode": "Check base_url and proxy_url. If the API itself says this, tell WLVPN.",
    "schema": "The API does not answer as it is documented: look for a newer exporter, or report "
    "it.",
    "api_error": "Ask WLVPN, with what the API says here.",
    "bad_request": "Check countries, and this machine's clock: usage is asked for by dates. If "
    "both are right, report it.",
    "unauthorized": "Check the account's key: api_key or api_key_file.",
    "forbidden": "Ask WLVPN to let this key read {path}, or set "
    "collectors.{collector}.enabled=false.",
    "not_found": "Check base_url: the API has nothing at {path} there.",
    "gone": "The API has given up {path}: look for a newer exporter, or set "
    "collectors.{collector}.enabled=false.",
    "rate_limited": "Wait, and find out what else asks with this key.",
    "server_error": "The API fails. If it goes on for some minutes, tell WLVPN.",
    "unexpected": "Look for a newer exporter, or report what stands here.",
}
"""By reason; what stands in braces is the collector, and the path that it asked for."""


def mend(reason: str, *, collector: str, path: str = "") -> str:
    """What to do about a reason, in a sentence or two.

    Args:
        reason: why a poll failed.
        collector: which one's.
        path: what it asked for, where that is known.
    """
    return MENDS[reason].format(collector=collector, path=path or f"what {collector} asks for")
