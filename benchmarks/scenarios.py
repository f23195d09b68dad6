"""What is measured, and the measuring of one scenario."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.corpus import Corpus, corpus
from benchmarks.disk import NoImage, fresh_file_system, plain_directory
from benchmarks.exports import write_export
from benchmarks.measure import Measurement, RunFailed, measured
from benchmarks.native import far_away
from benchmarks.tools import Account, Export, Origin, Tool, environment, problem
from testbed.dovecot import Dovecot

# Each message takes at least a block and an inode.
_BLOCK = 4096
_SETTLE_SECONDS = 2.0
SERVERS = ("imap", "pop3")


@dataclass(frozen=True, slots=True)
class Scenario:
    """`count` messages of about `size` bytes, and who puts them into an archive.

    Attributes:
        tools: their names; those that are not here are left out.
        source: imap, pop3, or a form of `benchmarks.exports`.
        round_trip_ms: how far away the server is; bytes_a_second: what the line to it takes, None for no limit.
        slow_flush_ms: how much longer each flush takes than on this disk.
        runs: how often, whatever the command line says; None where it decides.
        on_request: measured only when it is asked for by name.
    """

    name: str
    count: int
    size: int
    tools: tuple[str, ...]
    source: str = "imap"
    round_trip_ms: float = 0
    bytes_a_second: float | None = None
    slow_flush_ms: float = 0
    runs: int | None = None
    on_request: bool = False

    def quick(self) -> Scenario:
        """The same in small, to see whether everything works."""
        return replace(self, count=max(1, self.count // 25), size=min(self.size, 2_000_000), runs=1)


# What a flush takes more on the SSD that the goals were set on: 0.6 ms, against next to nothing on a server's disk.
_SSD_MS = 0.5
_ARCHIPEC = ("store", "seals", "archipec")
_IMAP = ("floor", "mbsync", *_ARCHIPEC)
_POP3 = ("mpop", *_ARCHIPEC)

SCENARIOS = (
    Scenario(
        *("small", 5_000, 20_000),
        (*_IMAP, "prototype", "mbsync+openssl", "three-store", "three"),
    ),
    Scenario("small-ssd", 5_000, 20_000, _IMAP, slow_flush_ms=_SSD_MS),
    Scenario("small-40ms", 5_000, 20_000, _IMAP, round_trip_ms=40),
    Scenario(
        *("provider", 5_000, 20_000, ("mbsync", "seals", "archipec")),
        round_trip_ms=40,
        bytes_a_second=10_000_000,
    ),
    Scenario("pop3", 5_000, 20_000, _POP3, "pop3"),
    Scenario("pop3-ssd", 5_000, 20_000, _POP3, "pop3", slow_flush_ms=_SSD_MS),
    Scenario("pop3-40ms", 5_000, 20_000, _POP3, "pop3", round_trip_ms=40),
    Scenario("mbox", 5_000, 20_000, _ARCHIPEC, "mbox"),
    Scenario("maildir", 5_000, 20_000, _ARCHIPEC, "maildir"),
    Scenario("eml", 5_000, 20_000, _ARCHIPEC, "eml"),
    Scenario("zip", 5_000, 20_000, _ARCHIPEC, "zip"),
    Scenario("many", 50_000, 5_000, _IMAP, runs=2),
    Scenario("five", 5_000, 20_000, ("seals", "archipec", "five-seals", "five"), runs=1),
    Scenario("large", 1, 100_000_000, ("floor", "mbsync", "seals", "archipec", "five-seals", "five"), runs=1),
    Scenario(
        "small-40ms-ssd", 5_000, 20_000, _IMAP, round_trip_ms=40, slow_flush_ms=_SSD_MS, on_request=True
    ),
    Scenario("small-slow-flush", 5_000, 20_000, _IMAP, slow_flush_ms=5, runs=1, on_request=True),
    Scenario("many-40ms", 50_000, 5_000, _IMAP, round_trip_ms=40, runs=1, on_request=True),
    Scenario("many-ssd", 50_000, 5_000, _IMAP, slow_flush_ms=_SSD_MS, runs=1, on_request=True),
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

    @property
    def bytes_seconds(self) -> float | None:
        """How long the line takes for the messages' bytes alone; None where it has no limit."""
        rate = self.scenario.bytes_a_second
        return self.bytes / rate if rate else None

    def failed(self, error: Exception | str) -> None:
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


class Mailbox:
    """A Dovecot that holds the mail asked for last: filling one takes longer than many a measurement."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._held: Corpus | None = None
        self._server: Dovecot | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def holding(self, sample: Corpus) -> Dovecot:
        """The server, with nothing but a corpus in its INBOX."""
        if self._server is None or self._held != sample:
            self._stack.close()
            print("  filling the server", file=sys.stderr, flush=True)
            # Many messages in few files: what the tools measure is not to be the server's own disk.
            self._server = self._stack.enter_context(Dovecot(storage="mdbox"))
            self._server.fill("INBOX", sample.messages())
            # Sizes end up in the server's cache here, for all tools alike.
            self._server.snapshot()
            self._held = sample
        return self._server


def measure(
    scenario: Scenario, tools: Sequence[Tool], runs: int, equipment: Equipment, mailbox: Mailbox
) -> Results:
    """Let every tool take over the same mail in turn, `runs` times, each time into a fresh folder."""
    sample = corpus(scenario.count, scenario.size, equipment.cache)
    expected = sample.digests()
    results = Results(scenario, len(expected), sample.size_of_messages())
    runs = scenario.runs or runs
    extra = _preloaded(scenario, equipment)
    with _origin(scenario, sample, equipment, mailbox) as origin:
        for run in range(runs):
            print(f"  run {run + 1} of {runs}:", end="", file=sys.stderr, flush=True)
            # Each tool goes first in its turn, so that none always finds the machine as another left it.
            in_turn = (*tools[run % len(tools) :], *tools[: run % len(tools)])
            with disk_for_tools(equipment, *_room(tools, sample, equipment)) as disk:
                begun = [
                    one
                    for tool in in_turn
                    if (one := _first(tool, origin, disk / tool.name, extra, expected, results))
                ]
                if begun and isinstance(origin, Account):
                    # mbsync waits for the clock when a folder has changed in the very second: not at its cost.
                    time.sleep(_SETTLE_SECONDS)
                for one in begun:
                    _again(one, results)
            print(file=sys.stderr, flush=True)
    _compare_seals(tools, results)
    return results


@contextmanager
def _origin(scenario: Scenario, sample: Corpus, equipment: Equipment, mailbox: Mailbox) -> Iterator[Origin]:
    if scenario.source not in SERVERS:
        path = equipment.temporary / f"export-{scenario.name}"
        write_export(sample, scenario.source, path)
        yield Export(scenario.source, path)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
        return
    with ExitStack() as stack:
        server = mailbox.holding(sample)
        port = server.port if scenario.source == "imap" else server.pop3_port
        if scenario.round_trip_ms:
            if equipment.delay_proxy is None:
                raise NotPossible("no C compiler for the delaying proxy")
            far = far_away(equipment.delay_proxy, port, scenario.round_trip_ms, scenario.bytes_a_second)
            port = stack.enter_context(far)
        yield Account(scenario.source, server.host, port, server.user, server.password, server.ca_file)


def _first(
    tool: Tool,
    origin: Origin,
    directory: Path,
    extra: Mapping[str, str],
    expected: set[bytes],
    results: Results,
) -> _Begun | None:
    """The first download, checked; what is needed for the next run where there can be one."""
    directory.mkdir()
    begun = _Begun(tool, tool.command(origin, directory), environment(origin, directory, extra), directory)
    try:
        run = measured(begun.command, begun.surroundings, directory)
        if trouble := problem(tool, directory, run.output, expected):
            raise RunFailed(trouble)
    except RunFailed as error:
        # A tool that fails shows as such in the table; the others are still worth measuring.
        results.failed(error)
        return None
    print(f" {tool.name} {run.seconds:.2f}", end="", file=sys.stderr, flush=True)
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


def _compare_seals(tools: Sequence[Tool], results: Results) -> None:
    """Note it when tools that judge seals don't find the same number valid: then they didn't do the same work."""
    found = {
        tool.name: number
        for tool in tools
        for run in results.first.get(tool.name, ())
        if (number := tool.valid_seals(run.output)) is not None
    }
    if len(set(found.values())) > 1 or 0 in found.values():
        results.failed(f"valid seals: {', '.join(f'{name} {number}' for name, number in found.items())}")


def _preloaded(scenario: Scenario, equipment: Equipment) -> dict[str, str]:
    if not scenario.slow_flush_ms:
        return {}
    if equipment.slow_fsync is None:
        raise NotPossible("no C compiler for the slow disk")
    return {"LD_PRELOAD": str(equipment.slow_fsync), "SLOW_FSYNC_MS": str(scenario.slow_flush_ms)}


def _room(tools: Sequence[Tool], sample: Corpus, equipment: Equipment) -> tuple[int, int]:
    """Bytes and files that one run of each tool takes, twice over: ledgers and a journal come on top."""
    copies = sum(tool.copies for tool in tools)
    size = 2 * copies * (sample.path.stat().st_size + sample.count * _BLOCK) + (1 << 30)
    free = shutil.disk_usage(equipment.disk or equipment.temporary).free
    if free < size:
        raise NotPossible(f"{size // 1_000_000_000} GB of disk needed, {free // 1_000_000_000} GB free")
    return size, 2 * copies * sample.count + 10_000


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
