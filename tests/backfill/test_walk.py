"""A backfill asks for each day once, and its files say what the API says."""

from collections.abc import Callable
from datetime import timedelta
from itertools import cycle, pairwise
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse

from exporter.config import load
from exporter.errors import ConfigError
from exporter.simulator import Simulator
from tests.backfill.desk import (
    GO_ON,
    MANIFEST,
    WINTER,
    Told,
    asked,
    backfill,
    content,
    expected,
    names,
    rewrite,
    samples,
)
from tests.conftest import Configure
from tests.manual_clock import ManualClock


def spoil(count: int) -> Callable[[Told], object]:
    """Makes the bandwidth of the first cells text."""

    def change(cells: Told) -> object:
        flat = [(pop, code) for pop, codes in cells.items() for code in codes]
        for pop, code in flat[:count]:
            cells[pop][code] = {**cells[pop][code], "bandwidth": "much"}
        return {"data": cells}

    return change


# What is in the files


async def test_files_say_what_the_api_says(
    configure: Configure, clock: ManualClock, simulator: Simulator, tmp_path: Path
) -> None:
    """Each cell of each day is a sample of that day's last second, and there is nothing else."""
    folder = tmp_path / "new" / "folder"
    ended = await backfill(configure(), clock, folder, labels=("job=a", 'instance=é"\\\n'))
    labels = {"account": "default", "job": "a", "instance": 'é"\\\n'}
    assert 0 == ended.code
    assert expected(simulator.world, WINTER, clock.now(), labels) == samples(folder)
    assert names("2026-01-01", "2026-02-28") | MANIFEST == content(folder).keys()


async def test_files_can_be_read(
    configure: Configure, clock: ManualClock, simulator: Simulator, tmp_path: Path
) -> None:
    """prometheus-client's own parser of OpenMetrics finds the same in them."""
    await backfill(configure(), clock, tmp_path, labels=("job=a", 'instance=é"\\\n'))
    path = tmp_path / "2026-02-28.om"
    found = {
        (sample.name, frozenset(sample.labels.items()), float(sample.timestamp)): sample.value
        for family in parse(path.read_text())  # type: ignore[no-untyped-call] # the library's omission
        for sample in family.samples
    }
    labels = {"account": "default", "job": "a", "instance": 'é"\\\n'}
    assert expected(simulator.world, WINTER[-1:], clock.now(), labels) == found


async def test_each_day_is_asked_for_once_and_slowly(
    configure: Configure, clock: ManualClock, simulator: Simulator, tmp_path: Path
) -> None:
    """One GET a day, from the first of its month to the day, two a second at the most."""
    began = clock.now()
    await backfill(configure(), clock, tmp_path)
    assert [
        ("GET", {"start_date": f"{day.replace(day=1)}", "end_date": f"{day}"}) for day in WINTER
    ] == [(request.method, request.query) for request in simulator.requests]
    times = [began, *(request.at for request in simulator.requests)]
    assert all(after - before >= timedelta(seconds=0.5) for before, after in pairwise(times))


@pytest.mark.parametrize(
    ("detail", "labels"), [("pop", {"account", "pop"}), ("total", {"account"})]
)
async def test_detail_is_respected(
    detail: str,
    labels: set[str],
    configure: Configure,
    clock: ManualClock,
    simulator: Simulator,
    tmp_path: Path,
) -> None:
    """Coarser series are sums as in the live ones, without customers."""
    settings = configure(collectors__usage__detail=detail)
    await backfill(settings, clock, tmp_path)
    found = samples(tmp_path)
    cells = simulator.world.usage(WINTER[0], WINTER[3], clock.now()).values()
    total = sum(cell.connections for codes in cells for cell in codes.values())
    day = [key for key in found if key[2] % 86_400 == 86_399 and key[2] // 86_400 == 20_457]
    assert {frozenset(labels)} == {frozenset(dict(pairs)) for _, pairs, _ in found}
    assert total == sum(found[key] for key in day if key[0].endswith("_connections"))
    assert {"bytes", "connections"} == {name.rpartition("_")[2] for name, _, _ in found}


async def test_several_accounts_share_a_file(
    clock: ManualClock, simulator: Simulator, tmp_path: Path
) -> None:
    """Each family is there once, with all accounts; who polls no usage is left out."""
    config = tmp_path / "config.yml"
    key = f"{{api_key: demo-key, base_url: '{simulator.url}'"
    config.write_text(
        f"accounts:\n  brand-a: {key}}}\n  brand-b: {key}}}\n"
        f"  brand-c: {key}, collectors: {{usage: {{enabled: false}}}}}}\n"
    )
    folder = tmp_path / "out"
    ended = await backfill(load({"config.file": str(config)}), clock, folder)
    wanted: dict[Any, float] = {}
    for account in ("brand-a", "brand-b"):
        wanted |= expected(simulator.world, WINTER, clock.now(), {"account": account})
    assert wanted == samples(folder)
    assert "brand-c is left out: its usage is not polled" in ended.lines


async def test_nobody_polls_usage(configure: Configure, clock: ManualClock, tmp_path: Path) -> None:
    """Where no account polls usage, there is nothing to ask for."""
    settings = configure(collectors__usage__enabled="false")
    with pytest.raises(ConfigError, match="usage") as caught:
        await backfill(settings, clock, tmp_path)
    [problem] = caught.value.problems
    assert "collectors.usage.enabled: false for every account: write true" == problem


async def test_an_empty_day_is_an_empty_file(
    configure: Configure, clock: ManualClock, simulator: Simulator, tmp_path: Path
) -> None:
    """Before the reseller existed there is no usage: no zero is made up, and one day is doubted."""
    rewrite(simulator, dict.fromkeys(map(str, WINTER[:40]), lambda _: {"data": []}))
    await backfill(configure(), clock, tmp_path)
    await backfill(configure(), clock, tmp_path)
    assert {b"# EOF\n"} == {content(tmp_path)[f"{day}.om"] for day in WINTER[:40]}
    assert expected(simulator.world, WINTER[40:], clock.now(), {"account": "default"}) == samples(
        tmp_path
    )
    assert [str(day) for day in [WINTER[0], *WINTER]] == asked(simulator)


def few(cells: Told) -> object:
    """A tenth of the cells of a POP or two."""
    flat = [(pop, code) for pop, codes in cells.items() for code in codes]
    told: Told = {}
    for pop, code in flat[: len(flat) // 10]:
        told.setdefault(pop, {})[code] = cells[pop][code]
    return {"data": told}


def none(_: Told) -> object:
    """What the API says of a month without usage."""
    return {"data": []}


@pytest.mark.parametrize(
    ("day", "wrong", "times"),
    [
        ("2026-01-01", [none], 2),
        ("2026-02-01", [none], 2),
        ("2026-01-09", [none], 2),
        ("2026-01-09", [few], 2),
        ("2026-01-09", [few, none], 3),
        ("2026-01-09", [few, none, few], 4),
    ],
    ids=["first", "month's first", "empty", "few", "few, empty", "few, empty, few"],
)
async def test_a_doubtful_day_is_asked_for_again(
    day: str,
    wrong: list[Callable[[Told], object]],
    times: int,
    configure: Configure,
    clock: ManualClock,
    simulator: Simulator,
    tmp_path: Path,
) -> None:
    """Nothing, or most records gone since the day before: 15 s later it asks again, as polls do."""
    answers = iter(wrong)
    rewrite(simulator, {day: lambda cells: next(answers, lambda _: {"data": cells})(cells)})
    ended = await backfill(configure(), clock, tmp_path)
    doubted = [r.at for r in simulator.requests if r.query["end_date"] == day]
    assert (0, 58 + times, times) == (ended.code, len(simulator.requests), len(doubted))
    assert all(after - before >= timedelta(seconds=15) for before, after in pairwise(doubted))
    assert expected(simulator.world, WINTER, clock.now(), {"account": "default"}) == samples(
        tmp_path
    )


async def test_a_month_that_shrinks_twice_is_believed(
    configure: Configure, clock: ManualClock, simulator: Simulator, tmp_path: Path
) -> None:
    """The API may have taken records back: asked once more it says the same."""
    rewrite(simulator, {"2026-01-09": few})
    ended = await backfill(configure(), clock, tmp_path)
    whole = expected(simulator.world, WINTER, clock.now(), {"account": "default"})
    missing = whole.keys() - samples(tmp_path).keys()
    assert (0, 60, {9}) == (
        ended.code,
        len(simulator.requests),
        {int(seconds // 86_400) - 20_453 for _, _, seconds in missing},
    )


async def test_a_day_that_contradicts_itself_is_left_out(
    configure: Configure, clock: ManualClock, simulator: Simulator, tmp_path: Path
) -> None:
    """No two answers in a row agree: neither is kept, the end says so, and the next run asks."""
    answers = cycle([few, none])

    def change(cells: Told) -> object:
        return next(answers)(cells)

    rewrite(simulator, {"2026-01-09": change})
    ended = await backfill(configure(), clock, tmp_path)
    told = "default 2026-01-09: answers 15s apart contradict each other: 3, 0, 3, 0 records"
    assert (1, 62) == (ended.code, len(simulator.requests))
    assert f"left out: schema: {told}" == ended.lines[0]
    assert names("2026-01-01", "2026-02-28") - {"2026-01-09.om"} | MANIFEST == (
        content(tmp_path).keys()
    )


# Bad records


async def test_a_bad_cell_is_left_out_and_counted(
    configure: Configure, clock: ManualClock, simulator: Simulator, tmp_path: Path
) -> None:
    """As in a poll: the cell is missing, the day is there, and the end says so."""
    rewrite(simulator, {"2026-01-05": spoil(1), "2026-01-07": spoil(2)})
    ended = await backfill(configure(), clock, tmp_path)
    whole = expected(simulator.world, WINTER, clock.now(), {"account": "default"})
    missing = whole.keys() - samples(tmp_path).keys()
    assert (0, 9) == (ended.code, len(missing))
    told = "3 bad cells were left out, the first: default 2026-01-05: "
    assert [told] == [line[: len(told)] for line in ended.lines if "bad cells" in line]


async def test_an_unreadable_day_does_not_hide_the_others(
    configure: Configure, clock: ManualClock, simulator: Simulator, tmp_path: Path
) -> None:
    """More than a fifth bad: the day is left out, the end says so, and the next run asks again."""
    rewrite(simulator, dict.fromkeys(["2026-01-05", "2026-01-06", "2026-02-28"], spoil(99)))
    first = await backfill(configure(), clock, tmp_path)
    there = names("2026-01-01", "2026-02-28") - names("2026-01-05", "2026-01-06")
    assert 1 == first.code
    assert there - {"2026-02-28.om"} | MANIFEST == content(tmp_path).keys()
    days_told = "2026-01-05 to 2026-01-06, 2026-02-28"
    assert f"left out: {days_told}: run the same command again to ask again" == first.lines[-1]
    assert first.lines[0].startswith("left out: schema: default 2026-01-05: ")
    assert "# 56 days to load: 2026-01-01 to 2026-01-04, 2026-01-07 to 2026-02-27." in first.out
    simulator.rewrite = None
    assert 0 == (await backfill(configure(), clock, tmp_path)).code
    assert expected(simulator.world, WINTER, clock.now(), {"account": "default"}) == samples(
        tmp_path
    )


async def test_unreadable_days_in_a_row_end_it(
    configure: Configure, clock: ManualClock, simulator: Simulator, tmp_path: Path
) -> None:
    """An API that only tells what cannot be read is left alone after three days."""
    rewrite(simulator, dict.fromkeys(map(str, WINTER), lambda _: {"data": "none"}))
    ended = await backfill(configure(), clock, tmp_path)
    assert (1, "", 3) == (ended.code, ended.out, len(simulator.requests))
    assert ["schema: default 2026-01-03: data: expected an object, got text", GO_ON] == ended.lines[
        -2:
    ]
