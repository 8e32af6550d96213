"""What usage was seen to grow, reckoned again from the accepted readings."""

from collections.abc import Iterator, Mapping

from tests.oracle_answer import Amount, Key, Labels, Series, Used, usage_labels

Month = tuple[int, int]

OBSERVED_BYTES = "wlvpn_usage_observed_bytes_total"
OBSERVED_CONNECTIONS = "wlvpn_usage_observed_connections_total"
CORRECTIONS = "wlvpn_usage_corrections_total"

NOTHING = Amount(0, 0)


class Tally:
    """Begins with the process; takes every accepted reading, in their order."""

    def __init__(self) -> None:
        self._observed: dict[Key, Amount] = {}
        self._corrections = 0
        self._highest: dict[Month, dict[Key, Amount]] = {}
        self._last: dict[Month, Used] = {}

    def add(self, *, month: Month, current: Used, previous: Used) -> None:
        """Takes the next reading."""
        reading = {month_before(month): previous, month: current}
        newest = max(self._highest, default=None)
        for told, used in reading.items():
            # What was used before the first look at a month was not observed, unless the month
            # began since the last reading.
            is_unknown = told not in self._highest and (newest is None or told < newest)
            highest = self._highest.setdefault(told, {})
            last = self._last.get(told)
            for key, amount in used.amounts.items():
                # Nor was what a cell had before it could be read for the first time.
                is_first = key not in highest and last is not None and _is_unreadable(last, key)
                mark = amount if is_unknown or is_first else highest.get(key, NOTHING)
                highest[key] = Amount(*map(max, amount, mark))
                self._gain(key, mark, highest[key])
            self._corrections += _fallen(self._last.get(told), used)
        self._last = reading

    def _gain(self, key: Key, low: Amount, high: Amount) -> None:
        so_far = self._observed.get(key, NOTHING)
        self._observed[key] = Amount(
            so_far.bandwidth_bytes + high.bandwidth_bytes - low.bandwidth_bytes,
            so_far.connections + high.connections - low.connections,
        )

    def series(self) -> Series:
        """What a page has to show of it."""
        observed = self._observed.items()
        corrections: Mapping[Labels, float] = {(): float(self._corrections)}
        return {
            OBSERVED_BYTES: {usage_labels(key): float(a.bandwidth_bytes) for key, a in observed},
            OBSERVED_CONNECTIONS: {usage_labels(key): float(a.connections) for key, a in observed},
            CORRECTIONS: corrections,
        }


def month_before(month: Month) -> Month:
    """The month before."""
    year, number = month
    return (year, number - 1) if number > 1 else (year - 1, 12)


def _fallen(before: Used | None, now: Used) -> int:
    """How many cells are lower than before; an absent one is, one that cannot be read is not."""
    return sum(_is_lower(now, key, amount) for key, amount in _amounts(before))


def _amounts(used: Used | None) -> Iterator[tuple[Key, Amount]]:
    yield from used.amounts.items() if used else ()


def _is_unreadable(used: Used, key: Key) -> bool:
    return key in used.unreadable or (key[0], "") in used.unreadable


def _is_lower(now: Used, key: Key, before: Amount) -> bool:
    if _is_unreadable(now, key):
        return False
    amount = now.amounts.get(key, NOTHING)
    return (
        amount.bandwidth_bytes < before.bandwidth_bytes or amount.connections < before.connections
    )
