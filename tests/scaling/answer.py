"""What a server of the Prometheus API answers, and in what two answers differ."""

import math

import aiohttp

Labels = frozenset[tuple[str, str]]
Answer = dict[Labels, float]


async def ask(session: aiohttp.ClientSession, url: str, query: str, at: float) -> Answer:
    """What an instant query gives; a number without labels stands under no labels.

    Raises:
        AssertionError: it is an error.
    """
    # VictoriaMetrics remembers what it answered, also from before the last sample was written.
    params = {"query": query, "time": f"{at:.3f}", "nocache": "1"}
    async with session.get(f"{url}/api/v1/query", params=params) as response:
        told = await response.json()
    assert told["status"] == "success", f"{query}: {told}"
    data = told["data"]
    if data["resultType"] == "scalar":
        return {frozenset(): float(data["result"][1])}
    return {frozenset(one["metric"].items()): float(one["value"][1]) for one in data["result"]}


async def ask_each(
    session: aiohttp.ClientSession, url: str, query: str, start: float, end: float
) -> list[float]:
    """The values that a range query gives for each second, of whatever series."""
    params = {"query": query, "start": f"{start:.3f}", "end": f"{end:.3f}", "step": "1s"}
    async with session.get(
        f"{url}/api/v1/query_range", params={**params, "nocache": "1"}
    ) as response:
        found = (await response.json())["data"]["result"]
    return [float(value) for series in found for _, value in series["values"]]


async def count(session: aiohttp.ClientSession, url: str, metric: str) -> float:
    """The sum of a metric that a program tells of itself."""
    async with session.get(f"{url}/metrics") as response:
        lines = (await response.text()).splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(metric))


async def federated(session: aiohttp.ClientSession, url: str, match: str) -> int:
    """How many series a server would give to another one."""
    async with session.get(f"{url}/federate", params={"match[]": match}) as response:
        lines = (await response.text()).splitlines()
    return sum(not line.startswith("#") for line in lines)


def differences(expected: Answer, actual: Answer, tolerance: float) -> list[str]:
    """Says which series only one of them has, and which values are farther apart than allowed.

    Args:
        expected: an answer.
        actual: another one.
        tolerance: as a share of the value.
    """
    missing = [f"missing {named(labels)}" for labels in expected.keys() - actual.keys()]
    added = [f"too many {named(labels)}" for labels in actual.keys() - expected.keys()]
    other = [
        f"{expected[labels]} is {actual[labels]} of {named(labels)}"
        for labels in expected.keys() & actual.keys()
        if not _close(expected[labels], actual[labels], tolerance)
    ]
    return sorted(missing + added + other)


def _close(expected: float, actual: float, tolerance: float) -> bool:
    both_unknown = math.isnan(expected) and math.isnan(actual)
    return both_unknown or math.isclose(expected, actual, rel_tol=tolerance)


def named(labels: Labels) -> str:
    """The labels of a series as PromQL writes them."""
    return "{" + ", ".join(f'{name}="{value}"' for name, value in sorted(labels)) + "}"
