"""What is measured, and the measuring of one scenario."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.corpus import Corpus, corpus
from benchmarks.disk import NoImage, fresh_file_system, plain_directory
from benchmarks.measure import Measurement, RunFailed, measured
from benchmarks.native import far_away
from benchmarks.tools import Account, Tool, environment, problem
from testbed.dovecot import Dovecot

# Each message takes at least a block and an inode, and three tools write it in every run.
_BLOCK = 4096
_SETTLE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """`count` messages of about `size` bytes, `round_trip_ms` away, on a disk whose flushes are slowed down."""

    name: str
    count: int
    size: int
    round_trip_ms: float = 0
    slow_flush_ms: float = 0
    runs: int | None = None
    """How often, whatever the command line says: None where it decides."""

    def quick(self) -> Scenario:
        """The same in small, to see whether everything works."""
        return replace(self, count=max(1, self.count // 25), size=min(self.size, 2_000_000), runs=1)


# What a flush takes more on the SSD that the goals were set on: 0.6 ms, against next to nothing on a server's disk.
SSD_FLUSH_MS = 0.5

SCENARIOS = (
    Scenario("small", 5_000, 20_000),
    Scenario("small-40ms", 5_000, 20_000, round_trip_ms=40),
    Scenario("many", 50_000, 5_000),
    Scenario("many-40ms", 50_000, 5_000, round_trip_ms=40),
    Scenario("small-ssd", 5_000, 20_000, slow_flush_ms=SSD_FLUSH_MS),
    Scenario("small-40ms-ssd", 5_000, 20_000, round_trip_ms=40, slow_flush_ms=SSD_FLUSH_MS),
    Scenario("many-ssd", 50_000, 5_000, slow_flush_ms=SSD_FLUSH_MS, runs=1),
    Scenario("small-slow-flush", 5_000, 20_000, slow_flush_ms=5, runs=1),
    Scenario("large", 1, 100_000_000, runs=1),
)


@dataclass(frozen=True, slots=True)
class Equipment:
    """What the measuring itself needs."""

    temporary: Path
    cache: Path
    disk: Path | None
    """Where tools write, when told; None for a file system of their own."""
    slow_fsync: Path | None
    delay_proxy: Path | None


@dataclass(slots=True)
class Results:
    """Of one scenario: by tool, the runs of the first download and of the run that finds nothing new."""

    scenario: Scenario
    messages: int
    bytes: int
    first: dict[str, list[Measurement]] = field(default_factory=dict)
    again: dict[str, list[Measurement]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def failed(self, error: Exception) -> None:
        """Note what went wrong, and say it at once."""
        self.problems.append(str(error))
        print(f"  {error}", file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True)
class _Begun:
    """A tool that has downloaded everything into `directory`."""

    tool: Tool
    command: Sequence[str]
    surroundings: Mapping[str, str]
    directory: Path


class NotPossible(Exception):
    """A scenario can't be measured on this machine."""


def measure(scenario: Scenario, tools: Sequence[Tool], runs: int, equipment: Equipment) -> Results:
    """Let every tool download the same mailbox in turn, `runs` times, each time into a fresh folder."""
    sample = corpus(scenario.count, scenario.size, equipment.cache)
    expected = sample.digests()
    results = Results(scenario, len(expected), sample.path.stat().st_size)
    runs = scenario.runs or runs
    extra = _preloaded(scenario, equipment)
    size, files = _room(scenario, len(tools) * runs, sample, equipment)
    with (
        disk_for_tools(equipment, size, files) as disk,
        # Many messages in few files: what the tools measure is not to be the server's own disk.
        Dovecot(storage="mdbox") as server,
    ):
        server.fill("INBOX", sample.messages())
        # Sizes end up in the server's cache here, for all tools alike.
        server.snapshot()
        with ExitStack() as stack:
            port = server.port
            if scenario.round_trip_ms:
                if equipment.delay_proxy is None:
                    raise NotPossible("no C compiler for the delaying proxy")
                port = stack.enter_context(far_away(equipment.delay_proxy, port, scenario.round_trip_ms))
            account = Account(server.host, port, server.user, server.password, server.ca_file)
            for run in range(runs):
                # Each tool goes first in its turn, so that none always finds the machine as another left it.
                in_turn = (*tools[run % len(tools) :], *tools[: run % len(tools)])
                begun = [
                    one
                    for tool in in_turn
                    if (one := _first(tool, account, disk / f"{run}-{tool.name}", extra, expected, results))
                ]
                # mbsync waits for the clock when a folder has changed in the very second: not at its cost.
                time.sleep(_SETTLE_SECONDS)
                for one in begun:
                    _again(one, results)
    return results


def _first(
    tool: Tool,
    account: Account,
    directory: Path,
    extra: Mapping[str, str],
    expected: set[bytes],
    results: Results,
) -> _Begun | None:
    """The first download, checked; what is needed for the next run where there can be one."""
    directory.mkdir()
    begun = _Begun(tool, tool.command(account, directory), environment(account, directory, extra), directory)
    try:
        run = measured(begun.command, begun.surroundings, directory)
        if trouble := problem(tool, directory, run.output, expected):
            raise RunFailed(trouble)
    except RunFailed as error:
        # A tool that fails shows as such in the table; the others are still worth measuring.
        results.failed(error)
        return None
    results.first.setdefault(tool.name, []).append(run)
    return begun if tool.repeats else None


def _again(begun: _Begun, results: Results) -> None:
    """The same command once more: nothing is new."""
    tool = begun.tool
    try:
        run = measured(begun.command, begun.surroundings, begun.directory)
        if tool.fetched(run.output):
            raise RunFailed(f"{tool.name} fetched again what it had: {run.output.strip()}")
    except RunFailed as error:
        results.failed(error)
    else:
        results.again.setdefault(tool.name, []).append(run)


def _preloaded(scenario: Scenario, equipment: Equipment) -> dict[str, str]:
    if not scenario.slow_flush_ms:
        return {}
    if equipment.slow_fsync is None:
        raise NotPossible("no C compiler for the slow disk")
    return {"LD_PRELOAD": str(equipment.slow_fsync), "SLOW_FSYNC_MS": str(scenario.slow_flush_ms)}


def _room(scenario: Scenario, downloads: int, sample: Corpus, equipment: Equipment) -> tuple[int, int]:
    """Bytes and files that the downloads take together, twice over: ledgers and a journal come on top."""
    size = 2 * downloads * (sample.path.stat().st_size + scenario.count * _BLOCK) + (1 << 30)
    free = shutil.disk_usage(equipment.disk or equipment.temporary).free
    if free < size:
        raise NotPossible(f"{size // 1_000_000_000} GB of disk needed, {free // 1_000_000_000} GB free")
    return size, 2 * downloads * scenario.count + 10_000


@contextmanager
def disk_for_tools(equipment: Equipment, size: int, files: int) -> Iterator[Path]:
    """An empty folder where tools write, gone afterwards: on a file system of its own unless told otherwise."""
    with ExitStack() as stack:
        if equipment.disk is None:
            try:
                directory = stack.enter_context(fresh_file_system(equipment.temporary, size, files))
            except NoImage as error:
                print(f"  measuring on the machine's own file system: {error}", file=sys.stderr)
                directory = stack.enter_context(plain_directory(equipment.temporary))
        else:
            directory = stack.enter_context(plain_directory(equipment.disk))
        yield directory
