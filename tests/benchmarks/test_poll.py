"""The steps of a poll."""

from benchmarks.poll import steps_ms, visible_ms


def test_a_step_has_the_name_of_its_end() -> None:
    """Nanoseconds between two instants become the milliseconds of the step between them."""
    marks = {"asked": 5_000_000, "answered": 7_500_000, "published": 17_500_000}
    assert {"answered": 2.5, "published": 10.0} == steps_ms(marks)


def test_a_page_is_visible_once_all_that_follows_the_answer_is_done() -> None:
    """Neither the API's time counts, nor the scraper's."""
    steps = {"answered": 4.0, "decoded": 1.5, "checked": 2.5, "published": 1.0, "scraped": 3.0}
    assert 5.0 == visible_ms(steps)
