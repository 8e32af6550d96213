"""Records and metrics become the bytes that Prometheus reads."""

import gzip
import zlib
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families

from exporter.exposition import Format, Stamp, body, document, encode
from exporter.metric import Distribution, Metric, Table

Labels = tuple[tuple[str, str], ...]
Samples = dict[tuple[str, Labels], float]

BOTH = pytest.mark.parametrize("form", ["text", "openmetrics"])
EOF = b"# EOF\n"


@dataclass(frozen=True)
class Cup:
    owner: str
    room: str
    sips: float | None


FILL = Metric(
    "wlvpn_cup_fill_ratio", "gauge", "Fill.", ("account", "owner", "room"), lambda cup: cup.sips
)
SIPS = Metric(
    "wlvpn_sips_total", "counter", 'Sips, "\\"\nor so.', ("account",), lambda cup: cup.sips
)
CUPS = Table(lambda cups: cups, (FILL,))
ALL_SIPS = Table(lambda cups: cups[:1], (SIPS,))
MINE = [Cup("ann", "attic", 1), Cup("bob", "", 0.25)]
YOURS = [Cup("eve", "cellar", 7)]


def page(
    form: Format, *blocks: dict[str, bytes], metrics: tuple[Metric, ...] = (FILL, SIPS)
) -> str:
    """The plain page, ended as its format wants it."""
    head, tail = body(metrics, blocks, form).finish(
        EOF if form == "openmetrics" else b"", gzip=False
    )
    return (head + tail).decode()


def parse(form: Format, text: str) -> Samples:
    """The samples that prometheus-client reads, which would refuse what is not the format."""
    if form == "text":
        families = text_string_to_metric_families(text)
    else:
        families = openmetrics_parser.text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
    found = [sample for family in families for sample in family.samples]
    samples = {(s.name, tuple(sorted(s.labels.items()))): float(s.value) for s in found}
    assert len(found) == len(samples)
    return samples


def test_sample_lines_carry_the_account_first() -> None:
    """The encoder stamps the account, since records do not know it."""
    expected = {
        "wlvpn_cup_fill_ratio": b'wlvpn_cup_fill_ratio{account="a",owner="ann",room="attic"} 1\n'
        b'wlvpn_cup_fill_ratio{account="a",owner="bob"} 0.25\n',
        "wlvpn_sips_total": b'wlvpn_sips_total{account="a"} 1\n',
    }
    assert expected == encode([CUPS, ALL_SIPS], MINE, "a")


@pytest.mark.parametrize(
    ("label", "expected"),
    [("plain", "plain"), ('"a" \\ \n', r"\"a\" \\ \n"), ("} 1 2", "} 1 2"), ("é", "é")],
    ids=["plain", "escaped", "like a line", "UTF-8"],
)
def test_a_file_carries_more_labels_and_a_time(label: str, expected: str) -> None:
    """Behind a line's own labels and its value, whichever way it is woven; the file is whole."""
    stamp = Stamp({"job": label, "x": "y"}, 1769903999)
    more = f'job="{expected}",x="y"}}'
    assert f"""\
# HELP wlvpn_cup_fill_ratio Fill.
# TYPE wlvpn_cup_fill_ratio gauge
wlvpn_cup_fill_ratio{{account="a",owner="eve",room="cellar",{more} 7 1769903999
wlvpn_cup_fill_ratio{{account="b",owner="ann",room="attic",{more} 1 1769903999
wlvpn_cup_fill_ratio{{account="b",owner="bob",{more} 0.25 1769903999
# EOF
""" == document(
        [FILL, SIPS], [encode([CUPS], YOURS, "a", stamp), encode([CUPS], MINE, "b", stamp)]
    ).decode()


@pytest.mark.parametrize("records", [[], [Cup("ann", "attic", None)]], ids=["none", "no value"])
def test_a_family_without_samples_is_left_out(records: list[Cup]) -> None:
    """Absent stays absent: no lines, no header, no zero."""
    assert {} == encode([CUPS], records, "a")


def test_a_record_without_a_value_has_no_sample() -> None:
    """The others keep theirs."""
    lines = encode([CUPS], [Cup("ann", "attic", None), Cup("bob", "attic", 0)], "a")
    assert [b'wlvpn_cup_fill_ratio{account="a",owner="bob",room="attic"} 0\n'] == [*lines.values()]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "0"),
        (1, "1"),
        (0.05, "0.05"),
        (0.35, "0.35"),
        (1.0, "1.0"),
        (1e-9, "1e-09"),
        (212304205666, "212304205666"),
        (2**63 - 1, "9223372036854775807"),
        (1767225600.0, "1767225600.0"),
    ],
    ids=str,
)
def test_a_number_keeps_every_digit(value: float, expected: str) -> None:
    """Integers are exact, and floats the shortest text that reads as the same."""
    lines = encode([ALL_SIPS], [Cup("", "", value)], "a")["wlvpn_sips_total"]
    assert expected == lines.decode().split()[1]


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("plain", "plain"),
        ('say "hi"', r"say \"hi\""),
        ("C:\\new", r"C:\\new"),
        ("two\nlines", r"two\nlines"),
        ("\\n", r"\\n"),
        ('\\"', r"\\\""),
        ("S\u00e3o Paulo", "S\u00e3o Paulo"),
        ('} 1\nwlvpn_up{a="', r"} 1\nwlvpn_up{a=\""),
    ],
    ids=ascii,
)
def test_labels_are_escaped(label: str, expected: str) -> None:
    """Nothing in a label can end it, the account's included."""
    lines = encode([CUPS], [Cup(label, "", 1)], label)["wlvpn_cup_fill_ratio"].decode()
    assert f'wlvpn_cup_fill_ratio{{account="{expected}",owner="{expected}"}} 1\n' == lines


@BOTH
@given(
    account=st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    owner=st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    value=st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(min_value=0, max_value=2**70),
)
def test_whatever_a_label_holds_is_read_back(
    form: Format, account: str, owner: str, value: float
) -> None:
    """What Prometheus' own library reads is what was meant."""
    text = page(form, encode([CUPS], [Cup(owner, "", value)], account))
    labels = (("account", account), ("owner", owner))
    assert {("wlvpn_cup_fill_ratio", labels): float(value)} == parse(form, text)


@BOTH
def test_a_page_is_read_back(form: Format) -> None:
    """Both formats hold the same samples."""
    expected = {
        ("wlvpn_cup_fill_ratio", (("account", "a"), ("owner", "ann"), ("room", "attic"))): 1.0,
        ("wlvpn_cup_fill_ratio", (("account", "a"), ("owner", "bob"))): 0.25,
        ("wlvpn_cup_fill_ratio", (("account", "b"), ("owner", "eve"), ("room", "cellar"))): 7.0,
        ("wlvpn_sips_total", (("account", "a"),)): 1.0,
        ("wlvpn_sips_total", (("account", "b"),)): 7.0,
    }
    tables = [CUPS, ALL_SIPS]
    text = page(form, encode(tables, MINE, "a"), encode(tables, YOURS, "b"))
    assert expected == parse(form, text)


def test_families_stay_together_with_several_accounts() -> None:
    """Each family has one header and one stretch of lines, in the order of the metrics."""
    tables = [ALL_SIPS, CUPS]
    lines = page("text", encode(tables, MINE, "a"), encode(tables, YOURS, "b")).splitlines()
    expected = [
        "# HELP wlvpn_cup_fill_ratio Fill.",
        "# TYPE wlvpn_cup_fill_ratio gauge",
        'wlvpn_cup_fill_ratio{account="a",owner="ann",room="attic"} 1',
        'wlvpn_cup_fill_ratio{account="a",owner="bob"} 0.25',
        'wlvpn_cup_fill_ratio{account="b",owner="eve",room="cellar"} 7',
        '# HELP wlvpn_sips_total Sips, "\\\\"\\nor so.',
        "# TYPE wlvpn_sips_total counter",
        'wlvpn_sips_total{account="a"} 1',
        'wlvpn_sips_total{account="b"} 7',
    ]
    assert expected == lines


def test_openmetrics_names_a_counter_without_its_suffix() -> None:
    """Only the headers differ: the samples keep `_total`, and HELP escapes its quotes."""
    expected = [
        '# HELP wlvpn_sips Sips, \\"\\\\\\"\\nor so.',
        "# TYPE wlvpn_sips counter",
        'wlvpn_sips_total{account="a"} 1',
        "# EOF",
    ]
    assert expected == page("openmetrics", encode([ALL_SIPS], MINE, "a")).splitlines()


def test_a_block_of_another_metric_is_left_out() -> None:
    """The page holds the metrics that it is asked for."""
    text = page("text", encode([CUPS, ALL_SIPS], MINE, "a"), metrics=(SIPS,))
    assert {("wlvpn_sips_total", (("account", "a"),)): 1.0} == parse("text", text)


@BOTH
@pytest.mark.parametrize(
    "tail", [b"", b"wlvpn_up 1\n", b"x" * 300_000], ids=["no", "short", "long"]
)
@pytest.mark.parametrize("cups", [0, 1, 20_000])
def test_a_compressed_page_is_one_gzip_member(form: Format, tail: bytes, cups: int) -> None:
    """Readers that stop after the first member exist: it holds the plain page, nothing follows."""
    records = [Cup(f"owner-{number}", "attic", number) for number in range(cups)]
    made = body((FILL,), [encode([CUPS], records, "a")], form)
    member = zlib.decompressobj(31)
    read = member.decompress(b"".join(made.finish(tail, gzip=True)))
    expected = b"".join(made.finish(tail, gzip=False))
    assert (True, b"") == (member.eof, member.unused_data)
    assert expected == read


def test_a_page_can_be_finished_more_than_once() -> None:
    """The compressed head is shared by all scrapes, whatever tail each gets."""
    made = body((FILL,), [encode([CUPS], MINE, "a")], "text")
    finished = [b"".join(made.finish(tail, gzip=True)) for tail in (b"one\n", b"two\n", b"one\n")]
    expected = [made.plain + tail for tail in (b"one\n", b"two\n", b"one\n")]
    assert expected == [gzip.decompress(chunk) for chunk in finished]
    assert finished[0] == finished[2]


DAY = Metric(
    "wlvpn_sips_per_cup", "gaugehistogram", "Sips.", ("account",), lambda distribution: distribution
)
DAYS = Table(lambda found: found, (DAY,))
SIPPED = Distribution((1, 2.5, 2**20), (3, 0, 3, 1), 5_000_000)  # one of them beyond the last bound


def test_a_gauge_histogram_is_one_family_in_openmetrics() -> None:
    """The lines of each account stay together: buckets, which grow, then count and sum."""
    blocks = [encode([DAYS], [SIPPED], account) for account in ("a", "b")]
    lines = page("openmetrics", *blocks, metrics=(DAY,)).splitlines()
    head = ["# HELP wlvpn_sips_per_cup Sips.", "# TYPE wlvpn_sips_per_cup gaugehistogram"]
    expected = [
        line
        for account in ("a", "b")
        for line in (
            f'wlvpn_sips_per_cup_bucket{{account="{account}",le="1.0"}} 3',
            f'wlvpn_sips_per_cup_bucket{{account="{account}",le="2.5"}} 3',
            f'wlvpn_sips_per_cup_bucket{{account="{account}",le="1.048576e+06"}} 6',
            f'wlvpn_sips_per_cup_bucket{{account="{account}",le="+Inf"}} 7',
            f'wlvpn_sips_per_cup_gcount{{account="{account}"}} 7',
            f'wlvpn_sips_per_cup_gsum{{account="{account}"}} 5000000',
        )
    ]
    assert [*head, *expected, "# EOF"] == lines


def test_a_gauge_histogram_is_three_families_in_text() -> None:
    """That format has no such type, and nothing but a histogram may have buckets."""
    blocks = [encode([DAYS], [SIPPED], account) for account in ("a", "b")]
    lines = page("text", *blocks, metrics=(DAY,)).splitlines()
    expected = [
        ("# TYPE wlvpn_sips_per_cup histogram", "wlvpn_sips_per_cup_bucket", 8),
        ("# TYPE wlvpn_sips_per_cup_gcount gauge", "wlvpn_sips_per_cup_gcount", 2),
        ("# TYPE wlvpn_sips_per_cup_gsum gauge", "wlvpn_sips_per_cup_gsum", 2),
    ]
    found = []
    for line in lines:
        if line.startswith("# TYPE"):
            found.append((line, "", 0))
        elif not line.startswith("#"):
            head, _, count = found[-1]
            found[-1] = head, line.partition("{")[0], count + 1
    assert expected == found


def test_a_gauge_histogram_is_the_same_in_both_formats() -> None:
    """Series have the same names and numbers, so that a rule reads either."""
    blocks = [encode([DAYS], [SIPPED], account) for account in ("a", "b")]
    text, openmetrics = (
        parse(form, page(form, *blocks, metrics=(DAY,))) for form in ("text", "openmetrics")
    )
    assert text == openmetrics
    assert 12 == len(text)


@BOTH
def test_a_gauge_histogram_without_a_distribution_is_left_out(form: Format) -> None:
    """Neither lines nor a header."""
    blocks = encode([DAYS], [None], "a")
    assert ({}, "# EOF\n" if form == "openmetrics" else "") == (
        blocks,
        page(form, blocks, metrics=(DAY,)),
    )


@pytest.mark.parametrize(
    ("bound", "expected"),
    [
        (0.005, "0.005"),
        (1, "1.0"),
        (999_999, "999999.0"),
        (1_000_000, "1e+06"),
        (2**20, "1.048576e+06"),
        (2**40, "1.099511627776e+12"),
        (10**21, "1e+21"),
    ],
    ids=str,
)
def test_a_bound_is_written_as_prometheus_3_keeps_it(bound: float, expected: str) -> None:
    """Version 3 rewrites bounds and version 2 does not: this way both have one series."""
    lines = encode([DAYS], [Distribution((bound,), (1, 0), 1)], "a")["wlvpn_sips_per_cup_bucket"]
    assert f'le="{expected}"' in lines.decode()
