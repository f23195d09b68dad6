"""Measures the index: how fast it is filled, what it takes, how fast it answers, and what it adds to a run of `archive`.

An office's mailbox out of the simulator, archived into a Maildir by the command line; queries are asked in one process, as the
view of a search would, and of the command line. Nothing is asserted about times.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
# This folder is a package of the checkout; it is not installed.
sys.path[:0] = [str(_ROOT)]

from archipec.config.selection import read_selection
from archipec.index.database import index_path
from archipec.index.search import SearchRequest, open_index_and_ledger, search_ledger
from archipec.simulator import shared_authority
from benchmarks import corpus
from benchmarks.measure import Measurement, measured

_PAGE = 20
_TURNS = 5

# What is asked, by what it measures; words are those of the simulator's texts.
QUERIES: dict[str, list[SearchRequest]] = {
    "word": [
        SearchRequest(words=word)
        for word in ("pratica", "fattura", "comune", "cordiali", "verbale", "assente")
    ],
    "words": [
        SearchRequest(words=words)
        for words in ("pratica comune", "pratica -comune", "fattura OR verbale", "pratica AND cordiali")
    ],
    "phrase": [
        SearchRequest(words=words)
        for words in (
            '"cordiali saluti"',
            '"si trasmette"',
            '"ricevuta di avvenuta consegna"',
            '"saluti cordiali"',
        )
    ],
    "prefix": [SearchRequest(words=words) for words in ("prat*", "co*", "trasm*", "s*", "zzz*")],
    "address": [
        SearchRequest(words=words) for words in ("studio@posta.example.it", "ufficio@avvocati.example")
    ],
    "filter": [
        SearchRequest(selection=read_selection({"only": ["anomalia"]})),
        SearchRequest(words="messaggio", selection=read_selection({"only": ["non-accettazione"]})),
        SearchRequest(words="messaggio", selection=read_selection({"since": "2025", "until": "2025"})),
        SearchRequest(words="messaggio", seals=frozenset({"unsigned"})),
        SearchRequest(words="messaggio", seals=frozenset({"altered"})),
        SearchRequest(words="messaggio", seals=frozenset({"valid"}), direction="in"),
        SearchRequest(words="messaggio", parties=("studio",), direction="out"),
        SearchRequest(words="messaggio", attachment="*.docx"),
        SearchRequest(words="messaggio", attachments=True),
        SearchRequest(selection=read_selection({"folders": ["*inviata*"]})),
        SearchRequest(words="messaggio", archives=("maildir:nowhere",)),
    ],
}


def main(arguments: list[str] | None = None) -> int:
    """Fill an index and ask it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=50_000, help="messages")
    parser.add_argument("--size", type=int, default=20_000, help="bytes of a message, on average")
    parser.add_argument("--cache", type=Path, help="folder to keep the mailbox in")
    parser.add_argument("--keep", type=Path, help="folder for archive and state, used again when it is there")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="bench-search-") as temporary:
        place = Place(options.keep or Path(temporary))
        place.fill(options.count, options.size, options.cache or corpus.default_cache())
        place.index()
        place.ask()
    return 0


class Place:
    """A folder with a mailbox, an archive and a state folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state = root / "state"
        self.count = 0

    def fill(self, count: int, size: int, cache: Path) -> None:
        """Archive the mailbox, with the seals judged."""
        self.count = count
        if self.state.exists():
            return
        mail = self.root / "mail"
        for number, (raw, _) in enumerate(corpus.corpus(count, size, cache).messages()):
            folder = mail / f"{number // 1000:03}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{number:06}.eml").write_bytes(raw)
        (self.root / "root.pem").write_text(shared_authority().root_pem)
        (self.root / "archipec.toml").write_text(
            '[[pipeline]]\nname = "office"\ntrust = ["root.pem"]\n[pipeline.source]\ntype = "eml"\npath = "mail"\n'
            '[[pipeline.sink]]\ntype = "maildir"\npath = "PEC"\n'
        )
        done = self.run("archive", "--no-index")
        _say(f"archived without the index: {_figures(done, count)}")

    def index(self) -> None:
        """Fill the index anew."""
        done = self.run("index", "--full")
        size = index_path(self.state).stat().st_size
        _say(
            f"index --full: {_figures(done, self.count)}; {size / 1e6:.0f} MB, {size / self.count:.0f} bytes a message"
        )

    def ask(self) -> None:
        """Ask each query some times, the first page of it, and the command line once each."""
        with open_index_and_ledger(self.state) as (index, ledger):
            for name, requests in QUERIES.items():
                times = []
                for request in requests:
                    asked = [_seconds(search_ledger(index, ledger, request)) for _ in range(_TURNS)]
                    times += asked
                    _say(f"    {max(asked) * 1000:7.1f} ms  {_named(request)}")
                _say(
                    f"{name:>8}: median {statistics.median(times) * 1000:.1f} ms, p95 {_p95(times) * 1000:.1f} ms"
                )
        for words in (["pratica"], ["s*"], ["messaggio", "--seal", "altered"]):
            done = [self.run("search", *words, "--limit", str(_PAGE)).seconds for _ in range(_TURNS)]
            _say(f"archipec search {' '.join(words)} --limit {_PAGE}: {statistics.median(done):.3f} s")

    def run(self, *words: str) -> Measurement:
        """Run the command line."""
        command = [sys.executable, "-Im", "archipec", "--config", str(self.root / "archipec.toml")]
        return measured([*command, "--state", str(self.state), *words], os.environ, self.root)


def _seconds(found: Iterator[object]) -> float:
    """Return the processor time that the first page takes, which is the time on the wall where nothing else runs."""
    start = time.process_time()
    list(islice(found, _PAGE))
    return time.process_time() - start


def _named(request: SearchRequest) -> str:
    default = SearchRequest()
    parts = [
        name
        for name in request.__slots__
        if name != "words" and getattr(request, name) != getattr(default, name)
    ]
    return " ".join([request.words, *(f"[{name}]" for name in parts)])


def _p95(times: list[float]) -> float:
    return sorted(times)[int(len(times) * 0.95)]


def _figures(done: Measurement, count: int) -> str:
    return (
        f"{done.seconds:.1f} s, {count / done.seconds:,.0f} messages a second; processor {done.cpu_seconds:.1f} s,"
        f" {done.cpu_seconds / count * 1000:.2f} ms a message; peak {done.peak_mb:.0f} MB"
    )


def _say(words: str) -> None:
    print(words, flush=True)


if __name__ == "__main__":
    sys.exit(main())
