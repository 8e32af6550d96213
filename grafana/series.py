"""Selectors: what a dashboard's variables narrow down.

The exporter's own series are aggregated with `max by` before anything else is done with them, for a
pair of exporters shows each twice. Recorded series are aggregated already and have no target.
"""

COUNTRY = 'country=~"$country"'
POP = 'pop=~"$pop"'
COUNTRY_CODE = 'country_code=~"$country_code"'

_TARGET = ('job=~"$job"', 'instance=~"$instance"')
_ACCOUNT = 'account=~"$account"'


def raw(name: str, *matchers: str, **equal: str) -> str:
    """A series of a collector or of the polls.

    Args:
        name: of the metric.
        matchers: for what is chosen.
        equal: labels with the one value that they must have.
    """
    return _select(name, *_TARGET, _ACCOUNT, *matchers, **equal)


def own(name: str, *matchers: str, **equal: str) -> str:
    """A series about the exporter's process, which knows no account."""
    return _select(name, *_TARGET, *matchers, **equal)


def recorded(name: str, *matchers: str, **equal: str) -> str:
    """A series of the recording rules in `alerts/rules`."""
    return _select(name, _ACCOUNT, *matchers, **equal)


def firing(*matchers: str, **equal: str) -> str:
    """Our alerts that fire; some tell of no account."""
    ours = ('alertname=~"Wlvpn.+"', 'alertstate="firing"', 'account=~"$account|"')
    return _select("ALERTS", *ours, *matchers, **equal)


def _select(name: str, *matchers: str, **equal: str) -> str:
    every = [*matchers, *(f'{label}="{value}"' for label, value in equal.items())]
    return f"{name}{{{', '.join(every)}}}"
