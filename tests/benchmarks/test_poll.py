"""The steps of a poll."""

from benchmarks.poll import steps_ms


def test_a_step_has_the_name_of_its_end() -> None:
    """Nanoseconds between two instants become the milliseconds of the step between them."""
    marks = {"asked": 5_000_000, "answered": 7_500_000, "published": 17_500_000}
    assert {"answered": 2.5, "published": 10.0} == steps_ms(marks)
