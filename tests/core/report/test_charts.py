"""Charts as SVG: well-formed, of the values given, and safe whatever the labels say."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree  # type: ignore[import-untyped]

from archipec.report.charts import (
    COLOURS,
    STYLE,
    Column,
    Point,
    Series,
    bar,
    columns,
    compact,
    curve,
    gauge,
    size,
)

SVG = "{http://www.w3.org/2000/svg}"
TEXT = st.text(max_size=30)
HOSTILE = "</title><script>alert(1)</script>\"' onload=x"


def parsed(svg: str) -> etree._Element:
    return etree.fromstring(svg.encode())


def heights(svg: str) -> list[float]:
    return [float(one.get("height")) for one in parsed(svg).iter(f"{SVG}rect")]


def test_columns_are_as_high_as_their_values() -> None:
    one = columns("Messages", "by month", [Series("in", "blue")], [Column("a", [10]), Column("b", [40])])
    low, high = heights(one)
    assert high == pytest.approx(4 * low, rel=0.01)


def test_parts_of_a_column_stand_on_each_other() -> None:
    svg = columns("t", "d", [Series("in", "blue"), Series("out", "red")], [Column("a", [30, 10])])
    lower, upper = list(parsed(svg).iter(f"{SVG}rect"))[-2:]
    assert float(upper.get("y")) + float(upper.get("height")) == pytest.approx(
        float(lower.get("y")), abs=0.11
    )
    assert [lower.get("fill"), upper.get("fill")] == [COLOURS["blue"], COLOURS["red"]]
    assert "in" in svg and "out" in svg


def test_a_chart_has_a_title_and_a_description_for_who_can_not_see_it() -> None:
    for svg in (
        columns("Title", "What it shows", [Series("in", "blue")], [Column("a", [1])]),
        curve("Title", "What it shows", [Point(1, 2, "a")], {}),
        gauge("Title", "What it shows", 0.5),
    ):
        root = parsed(svg)
        assert root.get("role") == "img"
        assert [one.text for one in root[:2]] == ["Title", "What it shows"]
        assert root.get("aria-label") == "Title. What it shows"
    assert parsed(bar(0.5, "blue")).get("aria-hidden") == "true"


@given(TEXT, st.lists(st.tuples(TEXT, st.integers(0, 10**15)), max_size=200))
def test_whatever_the_labels_and_values_are_it_is_an_svg(title: str, values: list[tuple[str, int]]) -> None:
    series = [Series(title, "blue"), Series("other", "unknown colour")]
    shown = [Column(label, [value, value // 2], label) for label, value in values]
    points = [Point(number, value, label, label) for number, (label, value) in enumerate(values)]
    for svg in (columns(title, title, series, shown), curve(title, title, points, {70: "red"}, size)):
        root = parsed(svg)
        width, height = (float(one) for one in root.get("viewBox").split()[2:])
        for box in root.iter(f"{SVG}rect"):
            assert 0 <= float(box.get("y")) <= height
            assert float(box.get("height")) >= 0
            assert float(box.get("x")) + float(box.get("width")) <= width + 1


@pytest.mark.parametrize("name", ["columns", "curve", "gauge"])
def test_nothing_in_a_chart_runs_or_loads(name: str) -> None:
    made = {
        "columns": columns(
            HOSTILE, HOSTILE, [Series(HOSTILE, HOSTILE)] * 2, [Column(HOSTILE, [1, 2], HOSTILE)]
        ),
        "curve": curve(HOSTILE, HOSTILE, [Point(1, 1, HOSTILE, HOSTILE)], {1: HOSTILE}),
        "gauge": gauge(HOSTILE, HOSTILE, 0.3),
    }[name]
    root = parsed(made)
    assert {etree.QName(one).localname for one in root.iter()} <= {
        *("svg", "title", "desc", "rect", "text", "line", "g", "polyline", "circle", "path"),
    }
    attributes = {attribute for one in root.iter() for attribute in one.attrib}
    assert not [one for one in attributes if one.startswith("on") or one in {"style", "href"}]


@pytest.mark.parametrize(
    ("share", "colour"), [(0.0, None), (0.69, "green"), (0.7, "amber"), (0.9, "red"), (1.3, "red")]
)
def test_a_gauge_warns_from_70_and_from_90_percent_on(share: float, colour: str | None) -> None:
    filled = [one.get("class") for one in parsed(gauge("t", "d", share)).iter(f"{SVG}path")]
    assert filled == ["track", *([colour] if colour else [])]
    assert f"{share * 100:.0f} %" in gauge("t", "d", share)


def test_labels_do_not_overlap() -> None:
    svg = columns(
        "t", "d", [Series("in", "blue")], [Column(f"2020-{number:02}", [1]) for number in range(90)]
    )
    places = [
        float(one.get("x")) for one in parsed(svg).iter(f"{SVG}text") if (one.text or "").startswith("2020")
    ]
    assert len(places) > 5
    assert all(right - left > 45 for left, right in pairwise(places))


def test_numbers_are_short() -> None:
    assert [compact(number) for number in (0, 950, 12_000, 3_400_000)] == ["0", "950", "12k", "3.4M"]
    assert [size(number) for number in (5, 12_000_000, 2.5e9, 1e12)] == ["5 B", "12 MB", "2.5 GB", "1 TB"]


def test_every_colour_can_be_set_by_a_page() -> None:
    assert set(re.findall(r"--chart-(\w+)", STYLE)) == set(COLOURS)
