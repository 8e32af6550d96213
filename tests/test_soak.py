"""A day and a half of the soak, over a month's end; `make soak` is the whole of it."""

from tests.soak import soak


def test_nothing_is_wrong_and_nothing_is_left_behind() -> None:
    """Every page is true, with a fifth of the answers wrong and the clock set three times.

    Memory is only judged by the long run: a day is too short to have met every fault before.
    """
    soaked = soak(1.5)
    assert () == soaked.problems
    assert (True, True) == (soaked.polls > 2000, soaked.failures > 100)
    before, after = soaked.warm, soaked.end
    assert before.threads == after.threads
    assert before.tasks == after.tasks
    assert abs(before.descriptors - after.descriptors) <= 2  # a connection may be open, or not
