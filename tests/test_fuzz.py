"""Whatever the API answers, there is an ApiError or a page that is right: its share of the suite.

The same answers every time. For more of them, and others: `.venv/bin/python -m tests.fuzz`.
"""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import PLANS, PROMTOOLS, Case, Fuzzer, Plan, Trial
from tests.mutator import ENDPOINTS, NUMBERS, TEXTS, Endpoint, corpus
from tests.oracle_answer import Detail

MUTATED = 12_000
HONEST = {endpoint: corpus(endpoint)[0] for endpoint in ENDPOINTS}

same_every_time = settings(
    max_examples=600,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

texts = st.one_of(
    st.sampled_from(TEXTS), st.text(max_size=20), st.text("\ud800a\u200b", max_size=3)
)
numbers = st.one_of(
    st.integers(-1, 101),
    st.integers(0, 2**64),
    st.floats(allow_nan=False),
    st.floats(0, 100),
    st.sampled_from([float(number) for number in NUMBERS if number != "9" * 4300]),
)
anything = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=8,
)


def mostly(likely: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Nearly always what is likely, else anything: what is likely has to come many levels deep."""
    # `one_of` would take several that are the same for one.
    return st.integers(0, 19).flatmap(lambda number: likely if number else anything)


counts = mostly(st.one_of(st.integers(0, 2**63), st.integers(0, 2**63).map(str)))
servers = mostly(
    st.fixed_dictionaries(
        {"capacity": mostly(st.one_of(st.floats(0, 100), st.integers(0, 100).map(str)))},
        optional={
            "country": mostly(texts),
            "city": mostly(texts),
            "ip": mostly(texts),
            "x": anything,
        },
    )
)
cells = mostly(
    st.fixed_dictionaries(
        {"bandwidth": counts, "connections": counts, "customers": counts}, optional={"x": anything}
    )
)
maps = {
    "servers": st.dictionaries(texts, servers, max_size=8),
    "usage": st.dictionaries(texts, mostly(st.dictionaries(texts, cells, max_size=4)), max_size=4),
}
statuses = st.sampled_from([1, 1, 1, "1", True, 1.0, 0, None, "0"])


def answers(endpoint: Endpoint, member: str) -> st.SearchStrategy[Any]:
    """Answers that have the documented form but for something anywhere."""
    return mostly(
        st.fixed_dictionaries(
            {member: mostly(maps[endpoint])}, optional={"api_status": statuses, "error": anything}
        )
    )


def written(answer: object) -> bytes:
    """JSON, and what is nearly JSON: Infinity is written where a number has no other form."""
    return json.dumps(answer).encode()


def told(case: Case) -> list[str]:
    """What is found."""
    trial = Trial(case, HONEST[case.endpoint])
    trial.run()
    return [finding.told for finding in trial.findings]


@same_every_time
@given(
    answer=answers("servers", "server"),
    plan=st.sampled_from(PLANS["servers"]),
    countries=st.sampled_from([(), ("FR", "XX")]),
    seed=st.integers(0, 1),
)
def test_any_answer_about_servers_is_refused_or_shown_as_it_is(
    answer: object, plan: Plan, countries: tuple[str, ...], seed: int
) -> None:
    """JSON of any kind in any place: an ApiError, or a page that the oracle agrees with."""
    case = Case(seed, "servers", plan, "pop_country", countries, written(answer))
    assert [] == told(case)


@same_every_time
@given(
    answer=answers("usage", "data"),
    plan=st.sampled_from(PLANS["usage"]),
    detail=st.sampled_from(["pop_country", "pop", "total"]),
    seed=st.integers(0, 1),
)
def test_any_answer_about_usage_is_refused_or_shown_as_it_is(
    answer: object, plan: Plan, detail: Detail, seed: int
) -> None:
    """JSON of any kind in any place: an ApiError, or a page that the oracle agrees with."""
    assert [] == told(Case(seed, "usage", plan, detail, (), written(answer)))


@same_every_time
@given(body=st.binary(max_size=200), endpoint=st.sampled_from(ENDPOINTS))
def test_any_bytes_are_refused_or_shown_as_they_are(body: bytes, endpoint: Endpoint) -> None:
    """Not even JSON."""
    assert [] == told(Case(0, endpoint, "alone", "pop_country", (), body))


@pytest.mark.parametrize("part", range(4))
def test_spoiled_answers_are_refused_or_shown_as_they_are(part: int) -> None:
    """Thousands of answers with something wrong in each: nothing is found."""
    seeds = range(part * MUTATED // 4, (part + 1) * MUTATED // 4)
    count = Fuzzer().run(seeds, dict.fromkeys(PROMTOOLS, 40))
    assert [] == [(finding.told, finding.case) for finding in count.findings]
    assert len(seeds) == count.payloads == sum(count.outcomes.values())
    # Both ways are taken often enough to mean something.
    assert {"accepted", "schema", "decode"} <= {o for o, n in count.outcomes.items() if n > 200}
