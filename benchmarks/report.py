"""The figures as a table and as JSON."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping, Sequence

from benchmarks.measure import Measurement
from benchmarks.scenarios import Results, Scenario

NOTES = """
Seconds on the wall of the whole process, medians. "archipec" = stored and durable in a Maildir, "judged" =
every seal judged too, in a worker process, "three" = the same into Maildir, MBOX and zip in one run. "mbsync/archipec" = how many times longer mbsync took. The floor
is a C program that only downloads and flushes; it knows no second run. Memory: the highest of all runs, of a tool's
process and its children together, pages that they share counted once."""

_HEADINGS: tuple[str, ...] = (
    *("scenario", "run", "archipec", "judged", "three", "mbsync", "floor"),
    *("mbsync/archipec", "archipec/floor", "mbsync/floor", "three/judged"),
    *("archipec MB", "judged MB", "three MB", "mbsync MB"),
)


def table(all_results: Sequence[Results]) -> str:
    """One line for each scenario's first download and one for its run that finds nothing new."""
    rows = [_HEADINGS]
    for results in all_results:
        for run, by_tool in (("first", results.first), ("nothing new", results.again)):
            if by_tool:
                rows.append(_row(results.scenario, run, by_tool))
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if n < 2 else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join(lines)


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
        "first": runs(results.first),
        "nothing_new": runs(results.again),
        "problems": results.problems,
    }


def _row(scenario: Scenario, run: str, by_tool: Mapping[str, Sequence[Measurement]]) -> tuple[str, ...]:
    medians = {
        tool: statistics.median(run.seconds for run in measurements) for tool, measurements in by_tool.items()
    }
    peaks = {tool: max(run.peak_mb for run in measurements) for tool, measurements in by_tool.items()}

    def seconds(tool: str) -> str:
        return f"{medians[tool]:.2f}" if tool in medians else "-"

    def ratio(slow: str, fast: str) -> str:
        return f"{medians[slow] / medians[fast]:.2f}" if {slow, fast} <= medians.keys() else "-"

    def peak(tool: str) -> str:
        return f"{peaks[tool]:.0f}" if tool in peaks else "-"

    return (
        scenario.name,
        run,
        *map(seconds, ("archipec", "judged", "three", "mbsync", "floor")),
        *(ratio("mbsync", "archipec"), ratio("archipec", "floor"), ratio("mbsync", "floor")),
        ratio("three", "judged"),
        *map(peak, ("archipec", "judged", "three", "mbsync")),
    )
