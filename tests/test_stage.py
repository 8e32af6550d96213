"""The stage: it finds what it is there to find."""

import logging

import pytest

from tests.stage import CANARY, forms, staged
from tests.virtual_loop import VirtualClock, run


@pytest.mark.parametrize("said", [*forms(CANARY), "Traceback"])
def test_what_no_log_may_tell_is_found(said: str) -> None:
    """One line at debug is enough."""
    problems = []

    async def scenario(clock: VirtualClock) -> None:
        async with staged(clock) as (stage, _):
            logging.getLogger("exporter").debug("poll failed error=%s", said)
        problems.extend(stage.problems)

    run(scenario)
    assert problems
