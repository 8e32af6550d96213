"""The alert rules' thresholds: a colour on a dashboard changes where an alert would."""

from pathlib import Path

import yaml
from grafana_foundation_sdk.builders.dashboard import ThresholdsConfig
from grafana_foundation_sdk.models.dashboard import Threshold, ThresholdsMode

_FILE = Path(__file__).parents[1] / "alerts" / "rules" / "thresholds.yaml"


def _read() -> dict[tuple[str, str], float]:
    rules = (
        rule for group in yaml.safe_load(_FILE.read_text())["groups"] for rule in group["rules"]
    )
    return {
        (rule["labels"]["alert"], rule["labels"]["limit"]): float(rule["expr"])
        for rule in rules
        if rule["record"] == "wlvpn:threshold"
    }


_LIMITS = _read()

SERVER_FILLING = _LIMITS["WlvpnServerFillingUp", "used"]
SERVER_FULL = _LIMITS["WlvpnServerSaturated", "used"]
POP_FULL = _LIMITS["WlvpnPopSaturated", "used"]
COUNTRY_FILLING = _LIMITS["WlvpnCountryNearlySaturated", "used"]
COUNTRY_FULL = _LIMITS["WlvpnCountrySaturated", "used"]
HEADROOM_GONE = _LIMITS["WlvpnCountryHeadroomLow", "used"]
CERTIFICATE_ENDS = _LIMITS["WlvpnCertificateExpiring", "seconds"]


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
