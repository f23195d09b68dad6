"""The figures as tables and as JSON."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterable, Mapping, Sequence

from benchmarks.goals import Judged
from benchmarks.measure import Measurement
from benchmarks.scenarios import Results

NOTES = """
Medians, of the whole process and all that it starts. "seconds": on the wall; "processor": of all processors; "a message":
processor time; "MB": the most memory at one moment, of all runs, shared pages counted once; "/ archipec": seconds of a
tool divided by those of archipec; "again": seconds of a second run, which finds nothing new.

archipec: as it is by default, into a Maildir, seals judged and the index for `search` filled; seals: with --no-index;
store: and with --no-seals, so the same work as mbsync's; three: into Maildir, MBOX and zip at once; five: and an .eml tree
and a second Maildir; before: another checkout, given with --before. mbsync: isync, with FSync yes. mbsync+openssl: then a process of `openssl cms -verify` for each message, as many at once as there are
processors. floor: a C program that downloads and flushes, no more. prototype: a straight program in Python with
archipec's files, ledger and flushes (benchmarks/prototype.py)."""

_HEADINGS = ("", "seconds", "processor", "a message", "MB", "/ archipec", "again")


def table(results: Results) -> str:
    """A scenario: a line for each tool."""
    scenario = results.scenario
    title = (
        f"{scenario.name}: {results.messages:,} messages, {results.bytes / 1e6:,.0f} MB, {scenario.source}"
    )
    if scenario.round_trip_ms:
        title += f", {scenario.round_trip_ms:g} ms away"
    if scenario.slow_flush_ms:
        title += f", each flush {scenario.slow_flush_ms:g} ms slower"
    if results.bytes_seconds is not None:
        title += f", {scenario.bytes_a_second or 0:,.0f} bytes a second: {results.bytes_seconds:.2f} s"
    base = results.first.get("archipec")
    rows = [_row(tool, runs, base, results) for tool, runs in results.first.items()]
    return "\n".join([title, *_aligned([_HEADINGS, *rows])])


def rates_table(rates: Mapping[str, float]) -> str:
    """What a piece of work takes of a processor: a line for each."""
    rows = [(work, f"{rate:,.0f}", f"{1e6 / rate:,.1f}") for work, rate in rates.items()]
    return "\n".join(_aligned([("work", "a second", "µs each"), *rows]))


def goals_table(judged: Iterable[Judged]) -> str:
    """A line for each goal: what was wanted, what was measured, whether that meets it."""
    rows = [
        (
            one.goal.text,
            one.goal.limit,
            "-" if one.measured is None else f"{one.measured:.2f} {one.goal.unit}".rstrip(),
            one.outcome.value,
        )
        for one in judged
    ]
    return "\n".join(_aligned([("goal", "wanted", "measured", ""), *rows]))


def as_json(results: Results) -> dict[str, object]:
    """Every single run, for later comparison."""

    def runs(by_tool: Mapping[str, Sequence[Measurement]]) -> dict[str, object]:
        return {
            tool: [
                {
                    "seconds": round(run.seconds, 4),
                    "cpu_seconds": round(run.cpu_seconds, 3),
                    "peak_mb": round(run.peak_mb, 1),
                }
                for run in measurements
            ]
            for tool, measurements in by_tool.items()
        }

    return {
        "scenario": dataclasses.asdict(results.scenario),
        "messages": results.messages,
        "bytes": results.bytes,
        "bytes_seconds": results.bytes_seconds,
        "first": runs(results.first),
        "nothing_new": runs(results.again),
        "problems": results.problems,
    }


def goals_as_json(judged: Iterable[Judged]) -> list[dict[str, object]]:
    """What `goals_table` shows."""
    return [
        {
            "goal": one.goal.text,
            "at_least": one.goal.at_least,
            "at_most": one.goal.at_most,
            "measured": one.measured,
            "outcome": one.outcome.value,
        }
        for one in judged
    ]


def _row(
    tool: str, runs: Sequence[Measurement], base: Sequence[Measurement] | None, results: Results
) -> tuple[str, ...]:
    seconds = statistics.median(run.seconds for run in runs)
    processor = statistics.median(run.cpu_seconds for run in runs)
    again = results.again.get(tool)
    return (
        tool,
        f"{seconds:.2f}",
        f"{processor:.2f}",
        f"{processor * 1000 / results.messages:.3f} ms",
        f"{max(run.peak_mb for run in runs):.0f}",
        f"{seconds / statistics.median(run.seconds for run in base):.2f}" if base else "-",
        f"{statistics.median(run.seconds for run in again):.2f}" if again else "-",
    )


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if n == 0 else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    lines.insert(1, "-" * max(map(len, lines)))
    return lines
