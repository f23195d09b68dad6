"""What each system takes: units of systemd, a property list of launchd, a task of Windows, a line of cron."""

from __future__ import annotations

import plistlib
import re
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Final
from xml.sax.saxutils import escape

from archipec.errors import ConfigError
from archipec.language import _
from archipec.schedule.times import Times

__all__ = ["cron_line", "launchd_agent", "systemd_service", "systemd_timer", "windows_task"]

_DAYS: Final = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
_WEEKDAYS: Final = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_PLAIN: Final = re.compile(r"[\w@/:.,+=-]+", re.ASCII)
_MOST_ENTRIES: Final = 500  # of launchd: each is one time
_MOST_TRIGGERS: Final = 48  # that the Task Scheduler takes
_NAMESPACE: Final = "http://schemas.microsoft.com/windows/2004/02/mit/task"


# -- systemd ---------------------------------------------------------------------------------------------


def systemd_service(command: Sequence[str], mark: str) -> str:
    """Return the unit that runs a command (systemd.service(5))."""
    return (
        f"# {mark}\n[Unit]\nDescription=Archive certified mail\n"
        "[Service]\nType=oneshot\nNice=10\n"
        # In the path of the program a dollar is one.
        f"ExecStart={_quoted(command[0]).replace('$$', '$')} {' '.join(map(_quoted, command[1:]))}\n"
    )


def systemd_timer(times: Times, mark: str) -> str:
    """Return the unit that starts it (systemd.timer(5)); one that was missed is made up for."""
    lines = "".join(f"OnCalendar={one}\n" for one in _calendar(times))
    return (
        f"# {mark}\n# {times.cron}\n[Unit]\nDescription=Archive certified mail\n"
        f"[Timer]\n{lines}RandomizedDelaySec=5min\nPersistent=true\n"
        "[Install]\nWantedBy=timers.target\n"
    )


def _quoted(word: str) -> str:
    """Return a word of a command line as systemd reads it."""
    plain = word.replace("%", "%%")
    if _PLAIN.fullmatch(word):
        return plain
    for one, other in (("\\", "\\\\"), ('"', '\\"'), ("$", "$$"), ("\n", "\\n")):
        plain = plain.replace(one, other)
    return f'"{plain}"'


def _calendar(times: Times) -> Iterator[str]:
    """Yield calendar events (systemd.time(7)); where cron takes a day or a weekday, they are two."""
    clock = f"{_list(times.hours)}:{_list(times.minutes)}:00"
    week = ",".join(_DAYS[one] for one in times.weekdays or ())
    if times.days is not None or not week:
        yield f"*-{_list(times.months)}-{_list(times.days)} {clock}"
    if week:
        yield f"{week} *-{_list(times.months)}-* {clock}"


def _list(numbers: tuple[int, ...] | None) -> str:
    return "*" if numbers is None else ",".join(f"{one:02}" for one in numbers)


# -- launchd ---------------------------------------------------------------------------------------------


def launchd_agent(command: Sequence[str], times: Times, label: str, mark: str) -> bytes:
    """Return the property list of an agent (launchd.plist(5)); the mark is under a key that launchd passes over.

    Raises:
        ConfigError: there are too many times to list.
    """
    entries = [entry for days, weekdays in _either(times) for entry in _intervals(times, days, weekdays)]
    if len(entries) > _MOST_ENTRIES:
        raise _too_many(times, "launchd")
    return plistlib.dumps(
        {
            "Label": label,
            "ArchipecSchedule": mark,
            "ProgramArguments": list(command),
            "StartCalendarInterval": entries,
            "ProcessType": "Background",
            "LowPriorityIO": True,
        }
    )


def _intervals(
    times: Times, days: tuple[int, ...] | None, weekdays: tuple[int, ...] | None
) -> Iterator[dict[str, int]]:
    fields = {
        "Minute": times.minutes,
        "Hour": times.hours,
        "Day": days,
        "Month": times.months,
        "Weekday": weekdays,
    }
    given = {name: numbers for name, numbers in fields.items() if numbers is not None}
    for numbers in product(*given.values()):
        yield dict(zip(given, numbers, strict=True))


def _either(times: Times) -> Iterator[tuple[tuple[int, ...] | None, tuple[int, ...] | None]]:
    """Yield (days, weekdays): where both are given one is enough."""
    if times.days is not None and times.weekdays is not None:
        yield times.days, None
        yield None, times.weekdays
    else:
        yield times.days, times.weekdays


# -- Windows ---------------------------------------------------------------------------------------------


def windows_task(command: Sequence[str], times: Times, mark: str) -> bytes:
    """Return a task in the Task Scheduler's format, in UTF-16 as it wants it. It runs while the user is logged on.

    Raises:
        ConfigError: there are more times than a task can have.
    """
    triggers = [one for days, weekdays in _either(times) for one in _triggers(times, days, weekdays)]
    if len(triggers) > _MOST_TRIGGERS:
        raise _too_many(times, "Windows")
    program, *arguments = command
    text = (
        f'<?xml version="1.0" encoding="UTF-16"?>\n<Task version="1.2" xmlns="{_NAMESPACE}">'
        f"<RegistrationInfo><Description>{escape(mark)} ({escape(times.cron)})</Description></RegistrationInfo>"
        f"<Triggers>{''.join(triggers)}</Triggers>"
        '<Principals><Principal id="Author"><LogonType>InteractiveToken</LogonType>'
        "<RunLevel>LeastPrivilege</RunLevel></Principal></Principals>"
        "<Settings><MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>"
        "<DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>"
        "<StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>"
        "<StartWhenAvailable>true</StartWhenAvailable><Enabled>true</Enabled>"
        "<ExecutionTimeLimit>PT0S</ExecutionTimeLimit></Settings>"
        f'<Actions Context="Author"><Exec><Command>{escape(program)}</Command>'
        f"<Arguments>{escape(subprocess.list2cmdline(arguments))}</Arguments></Exec></Actions></Task>"
    )
    return text.encode("utf-16")


def _triggers(times: Times, days: tuple[int, ...] | None, weekdays: tuple[int, ...] | None) -> Iterator[str]:
    """Yield a trigger for each time of the day; what is each hour, or each minute, repeats."""
    each_minute = times.minutes is None
    minutes = (0,) if times.minutes is None else times.minutes
    for hour, minute in product(times.hours or (0,), minutes):
        repeated = ""
        if times.hours is None or each_minute:
            interval = "PT1M" if each_minute else "PT1H"
            span = "P1D" if times.hours is None else "PT1H"
            repeated = (
                f"<Repetition><Interval>{interval}</Interval><Duration>{span}</Duration>"
                "<StopAtDurationEnd>false</StopAtDurationEnd></Repetition>"
            )
        yield (
            "<CalendarTrigger><Enabled>true</Enabled>"
            f"<StartBoundary>2026-01-01T{hour:02}:{minute:02}:00</StartBoundary>{repeated}"
            f"{_schedule(times.months, days, weekdays)}</CalendarTrigger>"
        )


def _schedule(
    months: tuple[int, ...] | None, days: tuple[int, ...] | None, weekdays: tuple[int, ...] | None
) -> str:
    chosen = "".join(f"<{_MONTHS[one - 1]}/>" for one in months or range(1, 13))
    week = "".join(f"<{_WEEKDAYS[one]}/>" for one in weekdays or range(7))
    if weekdays is not None and months is None:
        return f"<ScheduleByWeek><WeeksInterval>1</WeeksInterval><DaysOfWeek>{week}</DaysOfWeek></ScheduleByWeek>"
    if weekdays is not None:
        weeks = "".join(f"<Week>{one}</Week>" for one in (1, 2, 3, 4, "Last"))
        return (
            f"<ScheduleByMonthDayOfWeek><Weeks>{weeks}</Weeks><DaysOfWeek>{week}</DaysOfWeek>"
            f"<Months>{chosen}</Months></ScheduleByMonthDayOfWeek>"
        )
    if days is None and months is None:
        return "<ScheduleByDay><DaysInterval>1</DaysInterval></ScheduleByDay>"
    dates = "".join(f"<Day>{one}</Day>" for one in days or range(1, 32))
    return f"<ScheduleByMonth><DaysOfMonth>{dates}</DaysOfMonth><Months>{chosen}</Months></ScheduleByMonth>"


# -- cron ------------------------------------------------------------------------------------------------


def cron_line(command: Sequence[str], times: Times) -> str:
    """Return a line of a crontab(5)."""
    # A percent sign ends the command, unless it is escaped.
    return f"{times.cron} {shlex.join(command)}".replace("%", "\\%")


def _too_many(times: Times, system: str) -> ConfigError:
    return ConfigError(
        _('"{cron}" is too many times for {system}').format(cron=times.cron, system=system),
        hint=_("choose fewer, such as: --every hour"),
    )
