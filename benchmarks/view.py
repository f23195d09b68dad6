"""Measures the viewer: how soon a page answers and what memory the process takes, over an office's mailbox of two sizes.

The mailbox is out of the simulator, archived into a Maildir by the command line. Every page is asked for one after the other, as
a person would, some times each, over connections of their own; the processor time is that of the viewer's process. Nothing is
asserted about times.
"""

from __future__ import annotations

import argparse
import html
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
# This folder and the test bed are packages of the checkout; they are not installed.
sys.path[:0] = [str(_ROOT), str(_ROOT / "tests" / "support")]

from archipec.simulator import mailbox, shared_authority
from archipec.view.pages import NAVIGATION
from testbed.command import Archipec
from testbed.viewer import Viewer, running

_TURNS = 20
_MESSAGES = 10  # pages of single messages
_TICKS = os.sysconf("SC_CLK_TCK")
# Searches, which only the page of messages knows.
_SEARCHES = ("?q=pratica", "?q=comun*", "?q=%22cordiali+saluti%22", "?q=nothing+of+the+kind", "?page=40")
_COUNTING = 'hx-trigger="load'  # on a page that looks again by itself
_LINK = re.compile(r'href="(/messages/[0-9a-f]{8,64})"')


def main(arguments: list[str] | None = None) -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="benchmarks/view.py", description=__doc__)
    parser.add_argument("--count", type=int, action="append", help="messages (default: 10 and 50,000)")
    parser.add_argument("--size", type=int, default=9_000, help="bytes of a message, on average")
    parser.add_argument(
        "--keep", type=Path, help="folder for mailbox, archive and state, used again when it is there"
    )
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="bench-view-") as temporary:
        for count in options.count or (10, 50_000):
            place = Place((options.keep or Path(temporary)) / str(count))
            place.fill(count, options.size)
            place.look(count)
    return 0


class Place:
    """A folder with a mailbox, an archive and a state folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._archipec = Archipec(root / "state", {"ARCHIPEC_CONFIG": str(root / "archipec.toml")})

    def fill(self, count: int, size: int) -> None:
        """Archive the mailbox: seals judged, words indexed."""
        if (self._root / "state").exists():
            return
        for number, sample in enumerate(mailbox(count, seed=7, size=size)):
            folder = self._root / "mail" / sample.folder
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{number:06}.eml").write_bytes(sample.raw)
        (self._root / "root.pem").write_text(shared_authority().root_pem)
        (self._root / "archipec.toml").write_text(
            '[[pipeline]]\nname = "office"\ntrust = ["root.pem"]\n[pipeline.source]\ntype = "eml"\npath = "mail"\n'
            '[[pipeline.sink]]\ntype = "maildir"\npath = "PEC"\n'
        )
        self._archipec("archive", expect=None, timeout=3600)

    def look(self, count: int) -> None:
        """Ask for each page, and say what came of it."""
        with running(self._archipec) as viewer:
            viewer.let_in()
            print(f"{count:,} messages", flush=True)
            pages = list(_pages(viewer))
            # What takes longer than a page may is found out meanwhile.
            first = [seconds for _, paths in pages for seconds in _asked(viewer, paths, 1)]
            _say("all at first", first)
            started = time.perf_counter()
            while any(_COUNTING in viewer.ask(path).text for _, paths in pages for path in paths[:1]):
                time.sleep(0.2)
            print(f"    everything was counted after {time.perf_counter() - started:.1f} s more", flush=True)
            everything: list[float] = []
            for name, paths in pages:
                before = _processor(viewer)
                times = _asked(viewer, paths, _TURNS)
                _say(name, times, (_processor(viewer) - before) / len(times))
                everything += times
            _say("all", everything)
            print(f"    the process takes {_memory(viewer, 'VmHWM'):.0f} MB at most", flush=True)


def _pages(viewer: Viewer) -> Iterator[tuple[str, Sequence[str]]]:
    for tab in NAVIGATION:
        yield tab.path, [tab.path]
        if tab.path == "/messages":
            yield "searches", [tab.path + search for search in _SEARCHES]
            links = [html.unescape(link) for link in _LINK.findall(viewer.ask(tab.path).text)]
            yield "a message", list(dict.fromkeys(links))[:_MESSAGES]


def _asked(viewer: Viewer, paths: Sequence[str], turns: int) -> list[float]:
    """Ask for pages in turn; return the seconds that each answer took."""
    times: list[float] = []
    for _ in range(turns):
        for path in paths:
            started = time.perf_counter()
            reply = viewer.ask(path)
            times.append(time.perf_counter() - started)
            assert reply.status == 200, (path, reply)
    return times


def _say(name: str, times: Sequence[float], processor: float | None = None) -> None:
    cost = "" if processor is None else f", {processor * 1000:6.1f} ms of processor"
    print(
        f"    {name:14} median {statistics.median(times) * 1000:6.1f} ms, p95 {_p95(times) * 1000:6.1f} ms,"
        f" worst {max(times) * 1000:6.1f} ms{cost}",
        flush=True,
    )


def _p95(times: Sequence[float]) -> float:
    return sorted(times)[int(len(times) * 0.95)] if len(times) > 1 else times[0]


def _processor(viewer: Viewer) -> float:
    """Return the processor seconds that the viewer's process has taken."""
    fields = Path(f"/proc/{viewer.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _memory(viewer: Viewer, name: str) -> float:
    """Return a figure of the viewer's process, in MB."""
    status = Path(f"/proc/{viewer.process.pid}/status").read_text()
    found = re.search(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1000


if __name__ == "__main__":
    raise SystemExit(main())
