"""Times as people and cron write them."""

from __future__ import annotations

import plistlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archipec.errors import ConfigError
from archipec.schedule.formats import launchd_agent, systemd_timer, windows_task
from archipec.schedule.times import read_times


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("night", ((30,), (2,), None, None, None)),
        ("hour", ((10,), None, None, None, None)),
        ("5/20 * * * *", ((5, 25, 45), None, None, None, None)),
        ("0 8-12/2 1,15 jan-mar *", ((0,), (8, 10, 12), (1, 15), (1, 2, 3), None)),
        ("0 0 * * 5-7", ((0,), (0,), None, None, (0, 5, 6))),
        ("*/1 * * * Sun,MON", (tuple(range(60)), None, None, None, (0, 1))),
    ],
)
def test_what_cron_means(text: str, expected: tuple[object, ...]) -> None:
    times = read_times(text)
    assert (times.minutes, times.hours, times.days, times.months, times.weekdays) == expected


_FIELD = st.text(alphabet="0123456789*/-,abcjns", min_size=1, max_size=8)


@given(st.one_of(st.text(max_size=40), st.lists(_FIELD, min_size=4, max_size=6).map(" ".join)))
def test_any_text_is_times_or_is_refused(text: str) -> None:
    try:
        times = read_times(text)
    except ValueError:
        return
    assert all(
        numbers is None or numbers for numbers in (times.minutes, times.hours, times.days, times.months)
    )
    assert "OnCalendar=" in systemd_timer(times, "made")
    try:
        entries = plistlib.loads(launchd_agent(["archipec"], times, "archipec", "made"))[
            "StartCalendarInterval"
        ]
        task = windows_task(["archipec"], times, "made")
    except ConfigError:
        return  # too many for one of them
    assert entries and b"C\0a\0l\0e\0n\0d\0a\0r" in task
