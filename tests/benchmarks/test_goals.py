"""What the benchmarks say of the goals follows from what was measured, and what was not is no success."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from benchmarks import goals, report
from benchmarks.figures import Figures, NotMeasured
from benchmarks.goals import Goal, Judged, Outcome
from benchmarks.measure import Measurement
from benchmarks.scenarios import SCENARIOS, Results

BY_NAME = {one.name: one for one in SCENARIOS}


def runs(*seconds: float, cpu: float = 1.0, mb: float = 50.0) -> list[Measurement]:
    return [Measurement(one, cpu, mb, "") for one in seconds]


def results(scenario: str, again: dict[str, list[Measurement]] | None = None, **first: float) -> Results:
    """Each tool's seconds; - in a tool's name is _, and + is _and_."""
    by_tool = {tool.replace("_and_", "+").replace("_", "-"): runs(seconds) for tool, seconds in first.items()}
    return Results(BY_NAME[scenario], 5000, 100_000_000, by_tool, again or {})


def whole() -> list[Results]:
    """Of every scenario that a goal is about, with figures that meet each exactly."""
    small = results(
        "small",
        floor=1.0,
        store=2.2,
        seals=5.0,
        archipec=5.5,
        mbsync=5.5,
        mbsync_and_openssl=82.5,
        three=8.25,
        three_store=3.3,
    )
    small.first["prototype"] = runs(1.5, cpu=1.0)
    small.first["store"] = runs(2.2, cpu=1.22, mb=100.0)
    return [
        small,
        results("small-ssd", mbsync=20.0, store=2.0, seals=5.0, archipec=5.0),
        results("provider", seals=11.0, archipec=11.0),
        results("many", archipec=9.0, again={"archipec": runs(0.25)}),
    ]


RATES = {"SHA-256 and RSA alone": 20_000.0, "verdict": 5_000.0}


def outcomes(figures: Figures) -> dict[str, Outcome]:
    return {one.goal.text: one.outcome for one in goals.judge(figures)}


def test_what_is_just_good_enough_meets_every_goal() -> None:
    assert set(outcomes(Figures(whole(), RATES)).values()) == {Outcome.MET}


def test_what_was_not_measured_is_not_met() -> None:
    assert set(outcomes(Figures([])).values()) == {Outcome.UNKNOWN}
    assert Outcome.UNKNOWN in outcomes(Figures(whole()[1:], RATES)).values()


@pytest.mark.parametrize(
    ("scenario", "tool", "factor", "missed"),
    [
        ("small", "store", 1.01, {"small: store / floor", "small: mbsync / store"}),
        ("small", "seals", 1.11, {"small: mbsync / seals", "small: mbsync+openssl / seals"}),
        (
            *("small", "archipec", 1.01),
            {"small: mbsync / archipec", "small: mbsync+openssl / archipec", "small: archipec / seals"},
        ),
        ("small", "three", 1.01, {"small: three / archipec"}),
        ("small", "three-store", 1.01, {"small: three-store / store"}),
        ("small-ssd", "store", 1.01, {"small-ssd: mbsync / store"}),
        ("small-ssd", "seals", 1.01, {"small-ssd: mbsync / seals"}),
        ("small-ssd", "archipec", 1.01, {"small-ssd: mbsync / archipec"}),
        ("provider", "archipec", 1.01, {"provider: archipec / the time that the line takes for the bytes"}),
    ],
)
def test_what_is_a_little_slower_misses_the_goals_about_it(
    scenario: str, tool: str, factor: float, missed: set[str]
) -> None:
    found = whole()
    (one,) = (one for one in found if one.scenario.name == scenario)
    one.first[tool] = [replace(run, seconds=run.seconds * factor) for run in one.first[tool]]
    said = {text for text, outcome in outcomes(Figures(found, RATES)).items() if outcome is Outcome.MISSED}
    assert said == missed


def test_memory_and_processor_time_have_goals() -> None:
    found = whole()
    found[0].first["store"] = runs(2.2, cpu=1.23, mb=100.1)
    found[0].first["three"] = runs(8.25, mb=150.1)
    said = [text for text, outcome in outcomes(Figures(found, RATES)).items() if outcome is Outcome.MISSED]
    assert said == [
        "small: processor time, store / prototype",
        "memory without an index, in every scenario",
        "memory with an index, in every scenario",
    ]
    assert (
        outcomes(Figures(whole(), {**RATES, "verdict": 4_999.0}))[
            "processor time of a verdict / of its SHA-256 and RSA alone"
        ]
        is Outcome.MISSED
    )


def test_figures_are_medians_and_tell_what_is_not_there() -> None:
    one = results("provider", archipec=1.0)
    one.first["archipec"] = [Measurement(seconds, seconds * 2, 10.0, "") for seconds in (9.0, 1.0, 2.0)]
    figures = Figures([one])
    assert figures.seconds("provider", "archipec") == 2.0
    assert figures.cpu_seconds("provider", "archipec") == 4.0
    assert figures.seconds_of_bytes("provider") == 10.0
    questions: list[Callable[[], float]] = [
        lambda: figures.seconds("provider", "mbsync"),
        lambda: figures.seconds_again("provider", "archipec"),
        lambda: figures.seconds_of_bytes("small"),
        lambda: figures.rate("verdict"),
        lambda: figures.peak_mb("five"),
    ]
    for ask in questions:
        with pytest.raises(NotMeasured):
            ask()


def test_every_goal_is_about_something_that_a_whole_run_measures() -> None:
    everything = [
        Results(one, 1, 1, {tool: runs(1.0) for tool in one.tools}, {tool: runs(1.0) for tool in one.tools})
        for one in SCENARIOS
        if not one.on_request
    ]
    assert Outcome.UNKNOWN not in outcomes(Figures(everything, RATES)).values()


def test_the_tables_show_goal_figure_and_outcome() -> None:
    judged = [
        Judged(Goal("speed", lambda _: 0.0, at_least=2.5), 2.0),
        Judged(Goal("time", lambda _: 0.0, at_most=0.25, unit="s"), 0.25),
        Judged(Goal("memory", lambda _: 0.0, at_most=100, unit="MB"), None),
    ]
    assert [line.split() for line in report.goals_table(judged).splitlines()[2:]] == [
        ["speed", "at", "least", "2.5", "2.00", "missed"],
        ["time", "at", "most", "0.25", "s", "0.25", "s", "met"],
        ["memory", "at", "most", "100", "MB", "-", "not", "measured"],
    ]
    assert [one["outcome"] for one in report.goals_as_json(judged)] == ["missed", "met", "not measured"]


def test_a_scenario_has_a_line_for_each_tool() -> None:
    one = results("provider", archipec=2.0, mbsync=3.0, again={"archipec": runs(0.5)})
    title, headings, _, archipec, mbsync = report.table(one).splitlines()
    assert "40 ms away" in title and "10.00 s" in title
    assert headings.split()[:2] == ["seconds", "processor"]
    assert archipec.split() == ["archipec", "2.00", "1.00", "0.200", "ms", "50", "1.00", "0.50"]
    assert mbsync.split() == ["mbsync", "3.00", "1.00", "0.200", "ms", "50", "1.50", "-"]
