"""Whole days: what a noisy server and a quiet week come to."""

from datetime import timedelta
from random import Random

from exporter.simulator import World
from tests.alerts.days import HEAVY, TOLD, Tape, fired, measure, record, starts

DAY = 1_440  # minutes
FULLEST = ("IL", "KR", "SG", "TH")  # Israel and Thailand reach 80 % every evening


def capacity(fqdn: str) -> str:
    place = f'country="DE",city="Berlin",pop="ber",fqdn="{fqdn}"'
    return f'wlvpn_server_capacity_used_ratio{{account="demo",{place},instance="1"}}'


def test_a_noisy_server_is_told_once_a_day() -> None:
    """One that crosses the threshold a hundred times, and means it once, is two notifications."""
    tape = Tape(timedelta(minutes=1), DAY + 1)
    labels = '{account="demo",collector="servers",instance="1"}'
    tape.always(f"wlvpn_last_success_timestamp_seconds{labels}", f"1+60x{DAY}")
    tape.always(f"wlvpn_data_ttl_seconds{labels}", f"600x{DAY}")
    tape.always('wlvpn_exporter_build_info{instance="1"}', f"1x{DAY}")
    for number in range(20):
        tape.always(capacity(f"ber-a{number:02}.wlvpn.com"), f"0.5x{DAY}")
    # Around 0.9 all day, and at its limit for an hour in the evening.
    chance = Random(1)
    for minute in range(tape.steps):
        mean = 0.98 if 1_200 <= minute < 1_260 else 0.9
        tape.note(capacity("ber-b01.wlvpn.com"), minute, f"{min(1, chance.gauss(mean, 0.04)):.2f}")

    noisy = 'wlvpn_server_capacity_used_ratio{fqdn="ber-b01.wlvpn.com"}'
    naive = measure(tape, {"notifications": f"sum(changes(({noisy} > bool 0.95)[1d:1m]))"})
    assert naive["notifications"] > 100
    assert {"WlvpnServerSaturated": 1} == dict(fired(tape))


async def test_a_week_without_incidents_is_quiet() -> None:
    """The fleet's fullest countries, their evenings and a month's end bother nobody."""
    tape = await record(World(), days=7, countries=FULLEST)
    asked = {alert: starts(alert, tape) for alert in TOLD if alert not in HEAVY}
    seen = {
        "peak": "max(max_over_time(wlvpn:country_capacity_used:avg[1w]))",
        "least traffic": "min(min_over_time(wlvpn:usage_bytes:rate2h[6d]))",
    }
    found = measure(tape, {**asked, **seen}, without=HEAVY)
    assert 0.75 < found.pop("peak") < 0.9
    assert found.pop("least traffic") > 1e9
    assert {} == {alert: count for alert, count in found.items() if count}
