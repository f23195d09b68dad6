"""Charts as inline SVG: columns, a curve, a gauge, and the bar in a table's row.

They stand alone: each has its colours as attributes, so that a page without a style sheet and a PDF show them, and classes, by
which a style sheet (`STYLE`) changes the colours for dark screens and print. There is no script in them, no `style`
attribute, no link, and all text is escaped. What a chart shows is in its title and description too, for who can't see it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Final, NamedTuple

from archipec.language import written

__all__ = [
    "COLOURS",
    "STYLE",
    "Column",
    "Point",
    "Series",
    "bar",
    "columns",
    "compact",
    "curve",
    "gauge",
    "size",
]

COLOURS: Final[Mapping[str, str]] = {
    "blue": "#0b6aa8",
    "sky": "#6fb3dd",
    "green": "#2b8a57",
    "amber": "#c98200",
    "red": "#c8402a",
    "grey": "#8d98a3",
}
"""Colours by name, which differ also for people who can't see red or green; `Series.colour` is one of these."""

STYLE: Final = files("archipec.report").joinpath("templates", "charts.css").read_text("utf-8")
"""The style sheet of all charts; a page sets ``--chart-blue`` and so on where it wants other colours."""

_WIDTH, _HEIGHT = 720, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 8, 30, 26
_TICKS = 4
_LINE = 20  # of the legend
_LETTER = 6.8  # width of a letter of 12 px, about
_MOST_COLUMNS = 120
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Series(NamedTuple):
    """Something that columns are made of: ``label`` for the legend, ``colour`` one of `COLOURS`."""

    label: str
    colour: str


class Column(NamedTuple):
    """A column: ``values`` one for each series, from below; ``tip`` says it where a pointer rests on it."""

    label: str
    values: Sequence[int]
    tip: str = ""


class Point(NamedTuple):
    """A point of a curve: ``x`` anything that grows, ``y`` the value."""

    x: float
    y: float
    label: str
    tip: str = ""


def compact(number: float) -> str:
    """Return a number in few letters: 950, 12k, 3.4M."""
    for unit, length in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= length:
            amount = number / length
            return f"{written(amount, 0 if amount >= 100 or amount == int(amount) else 1)}{unit}"
    return written(number)


def size(number: float) -> str:
    """Return a number of bytes in few letters: 12 MB, 1.5 GB."""
    for unit, length in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= length:
            amount = number / length
            return f"{written(amount, 0 if amount >= 100 or amount == int(amount) else 1)} {unit}"
    return f"{written(number)} B"


def columns(
    title: str,
    description: str,
    series: Sequence[Series],
    shown: Sequence[Column],
    unit: Callable[[float], str] = compact,
) -> str:
    """Return a chart of columns, stacked where there are several series.

    Args:
        description: says what it shows to who can't see it.
        shown: the last `_MOST_COLUMNS` of them are drawn.
        unit: how the numbers of the axis are written.
    """
    shown = shown[-_MOST_COLUMNS:]
    highest = max((sum(one.values) for one in shown), default=0)
    parts, top = _axis(highest, unit)
    above = 0
    if len(series) > 1:
        legend, above = _legend(series)
        parts += legend
    step = (_WIDTH - _LEFT - _RIGHT) / max(len(shown), 6)
    width = max(step * 0.72, 1)
    for number, one in enumerate(shown):
        left = _LEFT + step * number + (step - width) / 2
        base = float(_HEIGHT - _BOTTOM)
        drawn = []
        for value, kind in zip(one.values, series, strict=True):
            if value <= 0:
                continue
            height = value / top * (_HEIGHT - _TOP - _BOTTOM)
            base -= height
            drawn.append(_rect(left, base, width, height, kind.colour))
        tip = f"<title>{_escaped(one.tip)}</title>" if one.tip else ""
        parts.append(f"<g>{tip}{''.join(drawn)}</g>")
    parts += _labels([one.label for one in shown], lambda number: _LEFT + step * (number + 0.5))
    return _svg(title, description, parts, (0, -above, _WIDTH, _HEIGHT + above))


def curve(
    title: str,
    description: str,
    points: Sequence[Point],
    marks: Mapping[float, str],
    unit: Callable[[float], str] = compact,
) -> str:
    """Return a chart of a value over time.

    Args:
        points: in order.
        marks: values that are marked by a line, each with a colour of `COLOURS`.
    """
    highest = max([one.y for one in points] + list(marks), default=0)
    parts, top = _axis(highest, unit)
    across, down = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def y_of(value: float) -> float:
        return _HEIGHT - _BOTTOM - value / top * down

    first, last = (points[0].x, points[-1].x) if points else (0.0, 0.0)

    def x_of(value: float) -> float:
        return _LEFT + (value - first) / (last - first) * across if last > first else _LEFT + across / 2

    for value, colour in marks.items():
        parts.append(
            f'<rect class="{_known(colour)}" fill="{COLOURS[_known(colour)]}" x="{_LEFT}" y="{y_of(value) - 0.75:.1f}"'
            f' width="{across}" height="1.5"/>'
        )
    places = [(x_of(one.x), y_of(one.y)) for one in points]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    parts.append(
        f'<polyline class="line" fill="none" stroke="{COLOURS["blue"]}" stroke-width="2" points="{line}"/>'
    )
    for one, (x, y) in zip(points, places, strict=True):
        tip = f"<title>{_escaped(one.tip)}</title>" if one.tip else ""
        radius = 3 if len(points) <= _MOST_COLUMNS // 2 else 1.5
        parts.append(
            f'<circle class="blue" fill="{COLOURS["blue"]}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}">{tip}</circle>'
        )
    parts += _labels([one.label for one in points], lambda number: places[number][0])
    return _svg(title, description, parts)


def gauge(title: str, description: str, share: float) -> str:
    """Return a half ring that is filled to a share, from 0 to 1: amber from 70 % on, red from 90 % on."""
    full = min(max(share, 0.0), 1.0)
    colour = "red" if share >= 0.9 else "amber" if share >= 0.7 else "green"
    parts = [_arc(1.0, "track", "#8d98a3")]
    if full > 0:
        parts.append(_arc(full, colour, COLOURS[colour]))
    parts.append(
        '<text class="number" x="100" y="92" text-anchor="middle" font-size="30" font-weight="600"'
        f' font-family="sans-serif">{share * 100:.0f} %</text>'
    )
    return _svg(title, description, parts, (0, 0, 200, 104), "chart gauge")


def bar(share: float, colour: str) -> str:
    """Return the bar in a table's row, as long as its cell at a share of 1. It is decoration: the row has the number."""
    width = 100 * min(max(share, 0.0), 1.0)
    return (
        '<svg class="chart chart-bar" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 8" preserveAspectRatio="none"'
        f' aria-hidden="true" focusable="false">{_rect(0, 0, max(width, 0.5 if share > 0 else 0), 8, colour)}</svg>'
    )


# -- parts ---------------------------------------------------------------------------------------------


def _svg(
    title: str,
    description: str,
    parts: Sequence[str],
    extent: tuple[int, int, int, int] = (0, 0, _WIDTH, _HEIGHT),
    name: str = "chart",
) -> str:
    box = " ".join(map(str, extent))
    return (
        f'<svg class="{name}" xmlns="http://www.w3.org/2000/svg" viewBox="{box}" role="img"'
        f' aria-label="{_escaped(f"{title}. {description}")}"><title>{_escaped(title)}</title>'
        f"<desc>{_escaped(description)}</desc>{''.join(parts)}</svg>"
    )


def _rect(left: float, top: float, width: float, height: float, colour: str) -> str:
    known = _known(colour)
    return (
        f'<rect class="{known}" fill="{COLOURS[known]}" x="{left:.1f}" y="{top:.1f}" width="{width:.1f}"'
        f' height="{height:.1f}"/>'
    )


def _escaped(text: str) -> str:
    """Return a text as it stands in an SVG: what XML does not allow in a text is shown as a replacement character."""
    return escape(_NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text))


def _known(colour: str) -> str:
    return colour if colour in COLOURS else "grey"


def _text(text: str, x: float, y: float, anchor: str, name: str = "axis") -> str:
    return (
        f'<text class="{name}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="12" font-family="sans-serif">'
        f"{_escaped(text)}</text>"
    )


def _axis(highest: float, unit: Callable[[float], str]) -> tuple[list[str], float]:
    """Return the lines and numbers of the axis, and the value at its top."""
    step = _nice(highest / _TICKS)
    ticks = max(1, math.ceil(highest / step))
    parts = []
    for number in range(ticks + 1):
        y = _HEIGHT - _BOTTOM - number / ticks * (_HEIGHT - _TOP - _BOTTOM)
        parts.append(
            f'<line class="grid" stroke="#8d98a3" stroke-width="1" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}"'
            f' y2="{y:.1f}"/>'
        )
        parts.append(_text(unit(step * number), _LEFT - 6, y + 4, "end"))
    return parts, step * ticks


def _nice(value: float) -> float:
    """Return the next number that is 1, 2 or 5 times a power of ten; not below one."""
    if value <= 1:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= value)


def _legend(series: Sequence[Series]) -> tuple[list[str], int]:
    """Return the legend above the chart, and how much higher that gets by more than one line of it."""
    places: list[tuple[float, int]] = []
    x, line = float(_LEFT), 0
    for one in series:
        width = 16 + len(one.label) * _LETTER
        if places and x + width > _WIDTH:
            x, line = float(_LEFT), line + 1
        places.append((x, line))
        x += width + 18
    parts = []
    for one, (x, number) in zip(series, places, strict=True):
        y = _LINE * (number - line)
        parts.append(_rect(x, y + 6, 11, 11, one.colour))
        parts.append(_text(one.label, x + 16, y + 16, "start", "legend"))
    return parts, _LINE * line


def _labels(texts: Sequence[str], place: Callable[[int], float]) -> list[str]:
    """Return the texts below the axis, as many as there is room for."""
    widest = max((len(one) for one in texts), default=1) * _LETTER + 10
    parts = []
    free_from = -math.inf
    for number, text in enumerate(texts):
        middle = place(number)
        anchor = "middle"
        if middle + widest / 2 > _WIDTH:
            middle, anchor = float(_WIDTH - _RIGHT), "end"
        left = middle - (widest if anchor == "end" else widest / 2)
        if text and left >= free_from:
            parts.append(_text(text, middle, _HEIGHT - 8, anchor))
            free_from = left + widest
    return parts


def _arc(share: float, name: str, colour: str) -> str:
    """Return a part of a half ring, from the left."""
    angle = math.pi * (1 - share)
    outer, inner = 90, 66
    (x1, y1), (x2, y2) = (
        (100 + radius * math.cos(angle), 96 - radius * math.sin(angle)) for radius in (outer, inner)
    )
    return (
        f'<path class="{name}" fill="{colour}"{_FAINT if name == "track" else ""} d="M{100 - outer} 96A{outer} {outer} 0 0 1'
        f' {x1:.2f} {y1:.2f}L{x2:.2f} {y2:.2f}A{inner} {inner} 0 0 0 {100 - inner} 96Z"/>'
    )


_FAINT: Final = ' fill-opacity="0.25"'
