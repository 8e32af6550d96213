"""The API with prepared answers."""

import gzip
import json
from datetime import UTC, datetime

import pytest

from benchmarks.upstream import answers, worlds
from exporter.simulator import World

NOON = datetime(2026, 3, 17, 12, tzinfo=UTC)


def test_answers_differ_and_list_all_servers() -> None:
    """Each poll finds something new, so nothing is spared."""
    first, second = answers([World(servers=60)], NOON)
    listed = [json.loads(body.plain)["server"] for body in (first, second)]
    assert [60, 60] == [len(servers) for servers in listed]
    assert listed[0] != listed[1]


def test_compressed_it_is_the_same() -> None:
    """Both forms of an answer say the same."""
    for body in answers([World(servers=60)], NOON):
        assert body.plain == gzip.decompress(body.packed)


def test_a_fleet_of_several_worlds_has_a_name_for_each_server() -> None:
    """None hides another, and the first group of the name is the POP still."""
    one, several = ([World(servers=60)] * times for times in (1, 3))
    body, _ = answers(several, NOON)
    listed = json.loads(body.plain)["server"]
    alone = json.loads(next(iter(answers(one, NOON))).plain)["server"]
    assert 180 == len(listed)
    assert {name.partition("-")[0] for name in alone} == {n.partition("-")[0] for n in listed}


@pytest.mark.parametrize(
    ("servers", "expected"), [(60, [60]), (50_000, [50_000]), (50_060, [50_000, 60])]
)
def test_a_world_has_as_many_servers_as_names(servers: int, expected: list[int]) -> None:
    """What is over goes into another world."""
    assert expected == [world.servers for world in worlds(servers)]
