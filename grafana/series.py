"""Queries: what a dashboard's variables narrow down, and which few of many series are shown.

The exporter's own series are aggregated with `max by` before anything else is done with them, for a
pair of exporters shows each twice. Recorded series are aggregated already and have no target.
"""

COUNTRY = 'country=~"$country"'
POP = 'pop=~"$pop"'
COUNTRY_CODE = 'country_code=~"$country_code"'

FULLEST = 8
"""So many lines of a graph can be told apart."""

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


def servers(*matchers: str, offset: str = "") -> str:
    """How full each server is, once, however many exporters show it."""
    used = raw("wlvpn_server_capacity_used_ratio", *matchers)
    return f"max by (account, country, city, pop, fqdn) ({used}{offset})"


def age(collector: str) -> str:
    """Seconds since the stalest account was read; without an exporter it counts for a day."""
    read = raw("wlvpn_last_success_timestamp_seconds", collector=collector)
    return f"max(time() - max by (account) (last_over_time({read}[1d])))"


def above(expr: str, threshold: float) -> str:
    """How many are above a threshold: 0 if none is, nothing if nothing is seen."""
    return f"sum({expr} > bool {threshold:g})"


def fullest(expr: str, *, by: str = "", on: str = "") -> str:
    """Those series that are highest at the end: the same ones at each point, few enough to see.

    What has ended within the time range keeps its line: when the API is down, history stays.

    Args:
        expr: the series.
        by: what they are chosen by, if not by themselves.
        on: the labels that both have.
    """
    last = f"last_over_time(({by or expr})[$__range:$__interval] @ end())"
    joined = f"and on ({on})" if on else "and"
    return f"{expr} {joined} topk({FULLEST}, {last})"


def _select(name: str, *matchers: str, **equal: str) -> str:
    every = [*matchers, *(f'{label}="{value}"' for label, value in equal.items())]
    return f"{name}{{{', '.join(every)}}}"
