"""The gate itself: it breaks what it says it breaks, and sees what survives."""

from dataclasses import replace

import pytest

from tests.alerts import mutants, promql
from tests.alerts.catalogue import BY_ALERT, RULES, labels_of, selectors

SHARE = 20
"""One mutant of so many is tried here; `make mutants` tries all."""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("x > 0.5", ["x > 0.49", "x > 0.51", "x >= 0.5", "x < 0.5"], id="threshold"),
        pytest.param("x == 1", ["x == 0", "x == 2", "x != 1"], id="small whole number"),
        pytest.param(
            "max_over_time(x[10m])",
            [
                "last_over_time(x[10m])",
                "max_over_time(x[1200s])",
                "max_over_time(x[300s])",
                "min_over_time(x[10m])",
            ],
            id="window",
        ),
        pytest.param(
            "x[8d:1h]",
            ["x[1382400s:1h]", "x[345600s:1h]", "x[8d:1800s]", "x[8d:7200s]"],
            id="subquery",
        ),
        pytest.param("x offset 1w", ["x offset 1209600s", "x offset 302400s", "x "], id="offset"),
        pytest.param(
            "a and on (b) c == bool d",
            [
                "a ",
                "a and on () c == bool d",
                "a and on (b) c != bool d",
                "a and on (b) c ==  d",
                "a or on (b) c == bool d",
                "a unless on (b) c == bool d",
            ],
            id="guard",
        ),
        pytest.param(
            "(a or b) * c", ["(a ) * c", "(a and b) * c", "(a or b) / c", "(b) * c"], id="or"
        ),
        pytest.param(
            'x{a="b", c=~"d|e"}',
            [
                'x{a!="b", c=~"d|e"}',
                'x{a="b", c!~"d|e"}',
                'x{a="b", c=~"d"}',
                'x{a="b", c=~"e"}',
                'x{a="b"}',
                'x{c=~"d|e"}',
            ],
            id="matchers",
        ),
        pytest.param(
            "avg by (a, b) (x)",
            [
                "avg by (a) (x)",
                "avg by (b) (x)",
                "avg without (a, b) (x)",
                "max by (a, b) (x)",
                "min by (a, b) (x)",
            ],
            id="grouping",
        ),
    ],
)
def test_each_part_is_broken(text: str, expected: list[str]) -> None:
    """All ways to break an expression are found, and nothing else."""
    found = sorted(" ".join(one.apply(text).split()) for one in promql.breaks(text))
    assert sorted(" ".join(one.split()) for one in expected) == found


def test_what_is_no_promql_of_ours_is_refused() -> None:
    """A rule that the gate could not read would pass it unbroken."""
    with pytest.raises(ValueError, match="no token at '@"):
        promql.tokens("x @ 5")


def test_every_rule_is_broken() -> None:
    """No alert and no record is left out, and each mutant is PromQL."""
    found = list(mutants.mutants())
    names = {mutants.rule_name(rule) for rule in RULES}
    assert names == {mutant.name for mutant in found}
    assert mutants.parses(found)
    assert all(mutant.tests for mutant in found)


def test_no_word_is_passed_over() -> None:
    """Each word of the rules is a series, a label, or broken, or left alone for a reason."""
    words = {
        token.text
        for rule in RULES
        for token in promql.tokens(rule["expr"])
        if token.kind == "word"
    }
    series = {name for rule in RULES for name, _ in selectors(rule["expr"])}
    labels = {label for name in series for label in labels_of(name)}
    assert set() == words - series - labels - set(promql.SWAPS) - set(promql.LEFT_ALONE)


def test_mutants_are_killed() -> None:
    """The rules' tests notice what was broken; excuses name mutants that exist."""
    found = list(mutants.mutants())
    known = {(mutant.name, mutant.told) for mutant in found}
    _, problems = mutants.judge(found[::SHARE])
    assert [] == problems
    assert set() == set(mutants.EQUIVALENT) - known


def test_a_survivor_is_told() -> None:
    """A change that no test can see, a threshold that stays the same, does not go unnoticed."""
    mutant = next(one for one in mutants.mutants() if one.name == "WlvpnExporterAbsent")
    unchanged = BY_ALERT["WlvpnExporterAbsent"]
    lines, problems = mutants.judge([replace(mutant, told="nothing", rule=unchanged)])
    assert ["   0 of    1  WlvpnExporterAbsent"] == lines
    assert ["WlvpnExporterAbsent: survived: nothing"] == problems
