"""The simulated plans: what a reseller offers.

Source: the White Label VPN API documentation, "The Plan object".
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan, limited by time or by bandwidth: one of the two numbers is there."""

    plan_code: str
    name: str
    short_desc: str
    price: str
    bandwidth_gb: int | None
    bandwidth_mb: int | None
    interval_days: int | None
    expire_after_days: int | None
    requires_receipt: bool
    is_auto_renewing: bool
    refilling_interval_days: int


def _timed(code: str, name: str, price: str, days: int) -> Plan:
    return Plan(
        plan_code=code,
        name=name,
        short_desc="Unlimited usage",
        price=price,
        bandwidth_gb=None,
        bandwidth_mb=None,
        interval_days=days,
        expire_after_days=None,
        requires_receipt=True,
        is_auto_renewing=True,
        refilling_interval_days=0,
    )


def _metered(code: str, name: str, price: str, gigabytes: int, *, refilled: int = 0) -> Plan:
    return Plan(
        plan_code=code,
        name=name,
        short_desc=name,
        price=price,
        bandwidth_gb=gigabytes,
        bandwidth_mb=gigabytes * 1_024,
        interval_days=None,
        expire_after_days=90,
        requires_receipt=False,
        is_auto_renewing=False,
        refilling_interval_days=refilled,
    )


PLANS = (
    _timed("premium_1mo", "Premium 1 month", "9.99", 30),
    _timed("premium_1y", "Premium 1 year", "59.88", 365),
    _timed("premium_2y", "Premium 2 years", "95.76", 730),
    _metered("freemium", "Free 10 GB a month", "0", 10, refilled=30),
    _metered("30_gb_1mo", "30 GB for 1 month", "2.99", 30),
    _metered("500_gb", "500 GB", "19.99", 500),
)
