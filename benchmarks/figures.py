"""Medians out of many runs, by scenario and tool."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from benchmarks.measure import Measurement
from benchmarks.scenarios import Results


class NotMeasured(Exception):
    """Nobody measured that: the scenario was left out, or the tool is not here, or it failed."""


class Figures:
    """What a whole benchmark found.

    Args:
        rates: messages a second of processor time, by piece of work; see `benchmarks.pec`.
    """

    def __init__(self, results: Sequence[Results], rates: Mapping[str, float] | None = None) -> None:
        self._results = {one.scenario.name: one for one in results}
        self._rates = rates or {}

    def seconds(self, scenario: str, tool: str) -> float:
        """On the wall, of a first download."""
        return statistics.median(run.seconds for run in self._runs(scenario, tool))

    def cpu_seconds(self, scenario: str, tool: str) -> float:
        """Of a processor, of a first download."""
        return statistics.median(run.cpu_seconds for run in self._runs(scenario, tool))

    def cpu_ms_a_message(self, scenario: str, tool: str) -> float:
        """Milliseconds of a processor, of a first download."""
        return self.cpu_seconds(scenario, tool) * 1000 / self._results[scenario].messages

    def seconds_again(self, scenario: str, tool: str) -> float:
        """On the wall, of a run that finds nothing new."""
        return statistics.median(run.seconds for run in self._runs(scenario, tool, again=True))

    def seconds_of_bytes(self, scenario: str) -> float:
        """How long the line takes for the messages' bytes alone."""
        if scenario not in self._results or (seconds := self._results[scenario].bytes_seconds) is None:
            raise NotMeasured(scenario)
        return seconds

    def peak_mb(self, *tools: str) -> float:
        """The most memory that one of these tools ever took."""
        runs: list[Measurement] = []
        for results in self._results.values():
            for tool in tools:
                runs += [*results.first.get(tool, ()), *results.again.get(tool, ())]
        if not runs:
            raise NotMeasured(", ".join(tools))
        return max(run.peak_mb for run in runs)

    def rate(self, work: str) -> float:
        """Messages a second of processor time."""
        if work not in self._rates:
            raise NotMeasured(work)
        return self._rates[work]

    def _runs(self, scenario: str, tool: str, *, again: bool = False) -> Sequence[Measurement]:
        if scenario not in self._results:
            raise NotMeasured(scenario)
        results = self._results[scenario]
        by_tool: Mapping[str, Sequence[Measurement]] = results.again if again else results.first
        if not by_tool.get(tool):
            raise NotMeasured(f"{tool} in {scenario}")
        return by_tool[tool]
