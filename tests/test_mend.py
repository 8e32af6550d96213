"""What to do about each reason."""

import pytest

from exporter.errors import REASONS
from exporter.mend import MENDS, mend
from exporter.settings import options


def test_every_reason_has_its_mend() -> None:
    """The texts are those of the closed enum, in its order."""
    assert list(REASONS) == list(MENDS)


@pytest.mark.parametrize("reason", REASONS)
def test_a_mend_is_a_sentence(reason: str) -> None:
    """Each reads as prose, with nothing left in braces."""
    told = mend(reason, collector="servers", path="/v2/servers")
    assert (True, True) == (told[0].isupper(), told.endswith("."))
    assert "{" not in told


def test_a_mend_names_what_to_ask_for() -> None:
    """Who is refused learns which path, and which option lives without it."""
    expected = (
        "Ask WLVPN to let this key read /v2/servers, or set collectors.servers.enabled=false."
    )
    assert expected == mend("forbidden", collector="servers", path="/v2/servers")


def test_a_mend_does_without_a_path() -> None:
    """Where only the collector is known, it stands for what it asks for."""
    expected = (
        "Ask WLVPN to let this key read what servers asks for, or set "
        "collectors.servers.enabled=false."
    )
    assert expected == mend("forbidden", collector="servers")


@pytest.mark.parametrize("told", MENDS.values())
def test_options_that_a_mend_names_exist(told: str) -> None:
    """What is to be changed can be changed."""
    known = {option.name for option in options()}
    words = [word.strip(".,:") for word in told.format(collector="servers", path="").split()]
    named = [word.partition("=")[0] for word in words if "_" in word or "." in word]
    assert [] == [name for name in named if name not in known]
