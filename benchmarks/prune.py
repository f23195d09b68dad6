"""Measures how fast copies are proven: every message of an archive read back and compared, beside `sha256sum`.

The files are the same and in the file system's cache for both, so that it is the work that is measured and not the
disk; they take turns. What is proven is what `archipec prune` proves, ledger included. Nothing is asserted about times.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from archipec.config.pipeline import endpoint
from archipec.custody.ledger import Ledger
from archipec.custody.ledger.deletions import ArchivedMessage
from archipec.custody.pruning.proof import Prover
from archipec.custody.run import Cancellation, Run
from archipec.plugins.registry import Registry

_RUNS = 5


def main(arguments: list[str] | None = None) -> int:
    """Print the figures; 0 when every copy was proven."""
    parser = argparse.ArgumentParser(prog="benchmarks/prune.py", description=__doc__)
    parser.add_argument("--count", type=int, default=5000, help="messages (default: 5,000)")
    parser.add_argument("--size", type=int, default=20_000, help="bytes of each (default: 20,000)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures to FILE")
    options = parser.parse_args(arguments)
    if shutil.which("sha256sum") is None:
        print("sha256sum is not installed", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        _archive(folder, options.count, options.size)
        figures, wrong = _measure(folder, options.count)
    print(
        f"{platform.platform()}, Python {platform.python_version()}; {options.count:,} messages of"
        f" {options.size:,} bytes; the median of {_RUNS} runs"
    )
    for what, sinks in figures.items():
        for sink, seconds in sinks.items():
            print(f"{what:10} {sink:10} {seconds:8.3f} s {options.count / seconds:>10,.0f} a second")
    for sink, seconds in figures["proof"].items():
        share = figures["sha256sum"][sink] / seconds
        print(f"proof of {sink} copies runs at {share:.2f} of sha256sum")
    if options.json:
        options.json.write_text(json.dumps({"messages": options.count, "seconds": figures}, indent=1) + "\n")
    if wrong:
        print(f"{wrong} copies are not proven", file=sys.stderr)
    return 1 if wrong else 0


def _archive(folder: Path, count: int, size: int) -> None:
    """Make messages and archive them, as a person would."""
    chance = random.Random(1)
    mail = folder / "mail"
    mail.mkdir()
    for number in range(count):
        head = b"Subject: %d\r\nMessage-ID: <%d@bench.example>\r\n\r\n" % (number, number)
        body = chance.randbytes((size - len(head)) // 2).hex().encode()
        (mail / f"{number:05}.eml").write_bytes(head + body)
    sinks = [part for kind in ("maildir", "mbox") for part in ("--to", f"{kind}:{folder / kind}")]
    command = [sys.executable, "-m", "archipec", "--state", str(folder / "state"), "archive", "--no-seals"]
    subprocess.run([*command, "--from", f"eml:{mail}", *sinks], check=True, stdout=subprocess.DEVNULL)


def _measure(folder: Path, count: int) -> tuple[dict[str, dict[str, float]], int]:
    files = {
        kind: [str(path) for path in (folder / kind).rglob("*") if path.is_file()]
        for kind in ("maildir", "mbox")
    }
    registry, wrong = Registry.load(), 0
    figures: dict[str, dict[str, float]] = {"sha256sum": {}, "proof": {}}
    with Ledger(folder / "state" / "ledger.sqlite3") as ledger:
        run: Run[object] = Run(ledger, folder, Cancellation(), temp=folder)
        for kind in ("maildir", "mbox"):
            sink = endpoint("sink", f"{kind}:{folder / kind}", registry)
            number = ledger.copies.sink_number(sink.where)
            held = [
                one
                for folder_number in _folders(ledger)
                for one in ledger.deletions.held_of(
                    folder_number,
                    [number],
                    [each.ref for each in ledger.sources.last_listing(folder_number, "")],
                ).values()
            ]
            proven: list[int] = []

            def prove(
                sink: object = sink,
                number: int = number,
                held: list[ArchivedMessage] = held,
                proven: list[int] = proven,
            ) -> None:
                with Prover([(sink, number)], run) as prover:  # type: ignore[list-item]
                    proven.append(sum(one.doubt is None for one in prover.prove(held).values()))

            listing = "\0".join(files[kind]).encode()

            def add_up(listing: bytes = listing) -> None:
                command = ["xargs", "-0", "sha256sum"]
                subprocess.run(command, input=listing, check=True, stdout=subprocess.DEVNULL)

            figures["sha256sum"][kind], figures["proof"][kind] = _in_turns(add_up, prove)
            wrong += sum(count - one for one in proven)
    return figures, wrong


def _folders(ledger: Ledger) -> list[int]:
    return [row[0] for row in ledger.rows("SELECT id FROM folder")]


def _in_turns(*works: Callable[[], None]) -> list[float]:
    """Seconds on the wall of each, the median of some runs; the first only warms up."""
    seconds: list[list[float]] = [[] for _ in works]
    for run in range(_RUNS + 1):
        for work, times in zip(works, seconds, strict=True):
            os.sync()
            start = time.perf_counter()
            work()
            if run:
                times.append(time.perf_counter() - start)
    return [statistics.median(times) for times in seconds]


if __name__ == "__main__":
    sys.exit(main())
