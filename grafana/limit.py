"""The alert rules' numbers: a colour on a dashboard changes where an alert would."""

import re
from pathlib import Path

import yaml
from grafana_foundation_sdk.builders.dashboard import ThresholdsConfig
from grafana_foundation_sdk.models.dashboard import Threshold, ThresholdsMode

from exporter.duration import parse_duration

_FILES = sorted((Path(__file__).parents[1] / "alerts" / "rules").glob("*.yaml"))
_GROUPS = [group for file in _FILES for group in yaml.safe_load(file.read_text())["groups"]]
_RULES = [rule for group in _GROUPS for rule in group["rules"]]
_LIMITS = {
    (rule["labels"]["alert"], rule["labels"]["limit"]): float(rule["expr"])
    for rule in _RULES
    if rule.get("record") == "wlvpn:threshold"
}

SERVER_FILLING = _LIMITS["WlvpnServerFillingUp", "used"]
SERVER_FULL = _LIMITS["WlvpnServerSaturated", "used"]
POP_FULL = _LIMITS["WlvpnPopSaturated", "used"]
COUNTRY_FILLING = _LIMITS["WlvpnCountryNearlySaturated", "used"]
COUNTRY_FULL = _LIMITS["WlvpnCountrySaturated", "used"]
HEADROOM_GONE = _LIMITS["WlvpnCountryHeadroomLow", "used"]
CUSTOMERS_LOST = _LIMITS["WlvpnCustomersLost", "customers"]
CUSTOMERS_LIMITED = _LIMITS["WlvpnCustomersLimited", "limited"]
CERTIFICATE_ENDS = _LIMITS["WlvpnCertificateExpiring", "seconds"]

EVALUATION_SECONDS = max(parse_duration(group["interval"]).total_seconds() for group in _GROUPS)
"""Time from one evaluation of the rules to the next."""


def patience(alert: str) -> float:
    """Seconds that an alert needs at most to fire once its rule could see the reason.

    An average takes its whole window where the threshold is hardly exceeded; then `for` passes.
    """
    [rule] = [rule for rule in _RULES if rule.get("alert") == alert]
    windows = re.findall(r"^avg_over_time\([^\[]+\[(\w+)\]", rule["expr"])
    return sum(parse_duration(each).total_seconds() for each in (*windows, rule["for"]))


def spare_seconds() -> float:
    """So long before they are dropped, servers are too old for the alerts."""
    [rule] = [rule for rule in _RULES if rule.get("record") == "wlvpn:servers_fresh:bool"]
    return float(rule["expr"].rpartition(" - ")[2])


def steps(base: str, *above: tuple[float, str]) -> ThresholdsConfig:
    """Colours by value.

    Args:
        base: the colour below all limits.
        above: limits, rising, each with the colour from there on.
    """
    found = [Threshold(color=base)]
    found += [Threshold(value=value, color=color) for value, color in above]
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(found)


def of_servers() -> ThresholdsConfig:
    """How full a server is: from where it is watched, from where it is saturated."""
    return steps("green", (SERVER_FILLING, "orange"), (SERVER_FULL, "red"))


def of_countries() -> ThresholdsConfig:
    """How full a country's servers are on average; a POP's likewise."""
    return steps("green", (COUNTRY_FILLING, "orange"), (COUNTRY_FULL, "red"))


def of_counts() -> ThresholdsConfig:
    """How many of what nobody wants."""
    return steps("text", (1, "red"))
