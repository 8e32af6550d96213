"""The tree of errors."""

import re

import pytest

from exporter import errors
from exporter.errors import ApiError, ConfigError, ExporterError, RateLimitedError, ServerError

# Section 3 of the contract: rules and dashboards rely on these values to the letter.
CONTRACT = (
    "dns connect tls timeout reset truncated too_large redirect content_type decode schema "
    "api_error bad_request unauthorized forbidden not_found gone rate_limited server_error "
    "unexpected"
)
PASSING = {"dns", "connect", "timeout", "reset", "truncated"}
LEAVES = ApiError.__subclasses__()
PLAIN_LEAVES = [leaf for leaf in LEAVES if leaf not in (RateLimitedError, ServerError)]


def test_the_reasons_are_those_of_the_contract() -> None:
    """The `reason` label has a closed set of values."""
    assert tuple(CONTRACT.split()) == errors.REASONS


def test_the_tree_is_drawn_as_it_is() -> None:
    """The picture at the top of the module names each leaf and its reason, in order."""
    drawn = re.findall(r"    [├└]── (\w+) +([a-z_]+) {2}", errors.__doc__ or "")
    assert [(leaf.__name__, leaf.reason) for leaf in LEAVES] == drawn


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.reason)
def test_every_leaf_is_one_of_ours(leaf: type[ApiError]) -> None:
    """One `except` catches them all, and none is above another."""
    assert (True, []) == (issubclass(leaf, ExporterError), leaf.__subclasses__())


@pytest.mark.parametrize("leaf", PLAIN_LEAVES, ids=lambda leaf: leaf.reason)
def test_only_a_fault_that_may_pass_is_worth_asking_again(leaf: type[ApiError]) -> None:
    """Asking three times is for the network's faults, once for all else."""
    assert (3 if leaf.reason in PASSING else 1) == leaf("told").attempts


@pytest.mark.parametrize(
    ("status", "attempts"),
    [(500, 2), (501, 1), (502, 3), (503, 3), (504, 3), (505, 1), (599, 1)],
)
def test_a_server_error_is_worth_what_its_status_says(status: int, attempts: int) -> None:
    """A gateway's trouble passes more often than a 500 does."""
    error = ServerError("told", status)
    assert (attempts, "told") == (error.attempts, str(error))


@pytest.mark.parametrize("seconds", [None, 30.0], ids=["not told", "told"])
def test_a_rate_limit_remembers_what_was_asked_for(seconds: float | None) -> None:
    """Nothing said stays nothing, and a refused request is not made again in the same poll."""
    error = RateLimitedError("HTTP 429", seconds)
    assert (seconds, 1, "HTTP 429") == (error.retry_after_seconds, error.attempts, str(error))


def test_configuration_problems_come_all_at_once() -> None:
    """One line for each problem."""
    error = ConfigError(["api_key: missing", "interval: too short"])
    assert ("api_key: missing", "interval: too short") == error.problems
    assert "api_key: missing\ninterval: too short" == str(error)
