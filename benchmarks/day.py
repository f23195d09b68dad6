"""Measures what is done every day: commands that only look, on ledgers of two sizes; `verify`, beside `sha256sum`.

Ledgers are made by SQL (`testbed.ledgers`), as large as asked for; archives are made by archipec, of the simulator's
messages, and in the file system's cache for whoever reads them. Each line is the median of some runs, in turn, of the
whole process. Nothing is asserted about times. (The run that finds nothing new is measured by `benchmarks/run.py`.)
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from archipec.simulator import mailbox

_ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(_ROOT), str(_ROOT / "tests" / "support")]

from benchmarks.measure import Measurement, measured
from testbed.ledgers import add_messages

_RUNS = 3
_PIPELINES = 13
_ARCHIVES = 40
_SOURCE = "imaps://studio%40pec.example.it@imaps.example.it:993"
_PIPELINE = """
[[pipeline]]
name = "studio"
[pipeline.source]
type = "imap"
host = "imaps.example.it"
user = "studio@pec.example.it"
[[pipeline.sink]]
type = "maildir"
path = "{root}"
"""


def main(arguments: list[str] | None = None) -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="benchmarks/day.py", description=__doc__)
    parser.add_argument(
        "--ledger",
        type=int,
        action="append",
        help="messages of a ledger (default: 50,000 and 1,000,000); 0 for none",
    )
    parser.add_argument("--count", type=int, default=5000, help="messages to verify (default: 5,000)")
    parser.add_argument("--size", type=int, default=20_000, help="bytes of each (default: 20,000)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures to FILE")
    options = parser.parse_args(arguments)
    print(f"{platform.platform()}, Python {platform.python_version()}; medians of {_RUNS} runs")
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        tasks = [
            *_starts(folder),
            *(
                task
                for count in options.ledger or (50_000, 1_000_000)
                if count
                for task in _ledger(folder, count)
            ),
            *_verifications(folder, options.count, options.size),
            *_many_archives(folder),
        ]
        for task in tasks:
            figures[task.label] = shown = _medians(task, folder)
            print(
                f"{task.label:58} {shown['seconds']:8.2f} s {shown['cpu']:8.2f} s of processor {shown['mb']:6.0f} MB",
                flush=True,
            )
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


class _Task(NamedTuple):
    """What is measured: a command, and what is removed before each run of it."""

    label: str
    command: Sequence[str]
    fresh: Sequence[Path] = ()


def _archipec(*arguments: object) -> list[str]:
    # Many of these end with 3, because something needs a person.
    ends = "import sys; from archipec.cli import main\ntry: main()\nexcept SystemExit as end: sys.exit(end.code not in (0, 3))"
    return [sys.executable, "-c", ends, *map(str, arguments)]


def _starts(folder: Path) -> Iterator[_Task]:
    config = folder / "thirteen.toml"
    one = _PIPELINE.format(root=folder / "none")
    config.write_text("".join(one.replace("studio", f"studio{number}") for number in range(_PIPELINES)))
    yield _Task("--version", _archipec("--version"))
    yield _Task("--help", _archipec("--help"))
    yield _Task("plugins list", _archipec("plugins", "list"))
    looking = ("--config", config, "--state", folder / "empty")
    yield _Task(f"status, {_PIPELINES} pipelines that never ran", _archipec(*looking, "status"))


def _ledger(folder: Path, count: int) -> Iterator[_Task]:
    state = folder / f"state-{count}"
    state.mkdir()
    root = folder / f"archive-{count}"
    config = folder / f"{count}.toml"
    config.write_text(_PIPELINE.format(root=root))
    add_messages(state / "ledger.sqlite3", _SOURCE, [f"maildir:{root}"], count)
    looking = ("--config", config, "--state", state)
    what = f"{count:,} messages"
    yield _Task(f"status, {what}", _archipec(*looking, "status"))
    month = ("--since", "2015-03", "--until", "2015-03")
    yield _Task(f"receipts of a month, {what}", _archipec(*looking, "receipts", *month))
    yield _Task(
        f"receipts --missing of a month, {what}", _archipec(*looking, "receipts", "--missing", *month)
    )
    yield _Task(f"report --html, {what}", _archipec(*looking, "report", "--html", folder / "report.html"))
    if count <= 100_000:
        yield _Task(f"receipts, {what}", _archipec(*looking, "receipts"))


def _verifications(folder: Path, count: int, size: int) -> Iterator[_Task]:
    mail = folder / "mail"
    mail.mkdir()
    for number, sample in enumerate(mailbox(count, seed=7, size=size)):
        (mail / f"{number:06}.eml").write_bytes(sample.raw)
    for kind in ("maildir", "mbox", "zip"):
        root = folder / kind
        command = _archipec("--state", folder / "verified", "archive", "--no-seals")
        measured([*command, "--from", f"eml:{mail}", "--to", f"{kind}:{root}"], _surroundings(folder), folder)
        yield _Task(f"verify --to, {kind}", _archipec("verify", "--no-seals", "--to", f"{kind}:{root}"))
        yield _Task(f"sha256sum, {kind}", ["sh", "-c", f"find '{root}' -type f -print0 | xargs -0 sha256sum"])


def _many_archives(folder: Path) -> Iterator[_Task]:
    config = folder / "forty.toml"
    samples = [one.raw for one in mailbox(28 * _ARCHIVES, seed=8, size=8_000)]
    tables = []
    for number in range(_ARCHIVES):
        mail = folder / f"box{number}"
        mail.mkdir()
        for at, raw in enumerate(samples[number::_ARCHIVES]):
            (mail / f"{at}.eml").write_bytes(raw)
        source = f'[[pipeline]]\nname = "box{number}"\n[pipeline.source]\ntype = "eml"\npath = "{mail}"\n'
        tables.append(f'{source}[[pipeline.sink]]\ntype = "maildir"\npath = "{folder}/kept{number}"\n')
    config.write_text("".join(tables))
    state, kept = folder / "forty", [folder / f"kept{number}" for number in range(_ARCHIVES)]
    looking = ("--config", config, "--state", state)
    archive = _archipec(*looking, "archive")
    what = f"{_ARCHIVES} pipelines"
    yield _Task(f"archive, {what} with 28 new messages each", archive, (state, *kept))
    yield _Task(f"archive, {what} with nothing new", archive)
    yield _Task(f"verify with seals, {_ARCHIVES} archives of 28 messages", _archipec(*looking, "verify"))


def _surroundings(folder: Path) -> Mapping[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8"}


def _medians(task: _Task, folder: Path) -> dict[str, float]:
    runs: list[Measurement] = []
    for _ in range(_RUNS):
        for one in task.fresh:
            shutil.rmtree(one, ignore_errors=True)
        runs.append(measured(task.command, _surroundings(folder), folder))
    return {
        "seconds": statistics.median(one.seconds for one in runs),
        "cpu": statistics.median(one.cpu_seconds for one in runs),
        "mb": statistics.median(one.peak_mb for one in runs),
    }


if __name__ == "__main__":
    sys.exit(main())
