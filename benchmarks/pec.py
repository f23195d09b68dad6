"""Measures what archipec reads out of PEC messages, on one core: kinds, certification data, seals, beside openssl.

The messages are the simulator's, of every style; seals have a warm cache, as in any mailbox after its first messages.
Processor time is what counts, so that a busy machine changes little. Nothing is asserted about times.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from archipec.pec.anchors import Anchors
from archipec.pec.daticert import parse_daticert
from archipec.pec.inspection import inspect_message
from archipec.pec.kind import kind_of
from archipec.pec.seal import Status, judge_seal
from archipec.pec.structure import parse_structure
from archipec.simulator import STYLES, mailbox, shared_authority

# This folder is a package of the checkout, which is not installed.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.rates import RUNS, rate_of

_SIZE = 20_000
_OPENSSL_FILES = 100


def main(arguments: list[str] | None = None) -> int:
    """Print the figures; 0 when every message was judged as it should be."""
    parser = argparse.ArgumentParser(prog="benchmarks/pec.py", description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="messages of each style (default: 200)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures to FILE")
    options = parser.parse_args(arguments)
    anchors = Anchors((shared_authority().root,))
    messages = [
        sample.raw
        for style in STYLES
        for sample in mailbox(options.count, seed=1, size=_SIZE, style=style, mix={"received": 1})
    ]
    wrong = sum(inspect_message(raw, anchors).seal.status is not Status.VALID for raw in messages)
    figures = {
        "header kind": rate_of(kind_of, messages),
        "certification data": rate_of(_certification, messages),
        "seal": rate_of(lambda raw: judge_seal(raw, parse_structure(raw), anchors), messages),
        "judgement (all of it)": rate_of(lambda raw: inspect_message(raw, anchors), messages),
    }
    if shutil.which("openssl"):
        figures["openssl cms -verify, a file each"] = _openssl(
            messages[:: max(1, len(messages) // _OPENSSL_FILES)]
        )
    mean = statistics.mean(map(len, messages))
    print(
        f"{platform.platform()}, Python {platform.python_version()}; {len(messages)} messages of {mean:,.0f} bytes"
    )
    for name, rate in figures.items():
        print(f"{name:34} {rate:>10,.0f} a second")
    openssl = figures.get("openssl cms -verify, a file each")
    if openssl:
        print(f"{'seal, times as fast as openssl':34} {figures['seal'] / openssl:>10.1f}")
    if options.json:
        options.json.write_text(
            json.dumps({"messages": len(messages), "a_second": figures}, indent=1) + "\n", "utf-8"
        )
    if wrong:
        print(f"{wrong} messages are not valid", file=sys.stderr)
    return 1 if wrong else 0


def _certification(raw: bytes) -> object:
    part = parse_structure(raw).daticert
    assert part is not None
    return parse_daticert(part.content())


def _openssl(messages: Sequence[bytes]) -> float:
    """The same by `openssl cms -verify` on files, one process each as a script would."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        (folder / "root.pem").write_text(shared_authority().root_pem, encoding="ascii")
        for number, raw in enumerate(messages):
            (folder / f"{number}.eml").write_bytes(raw)
        options = ["-CAfile", str(folder / "root.pem"), "-out", str(folder / "out")]
        rates = []
        for _ in range(RUNS):
            start = _processor_time()
            for number in range(len(messages)):
                command = ["openssl", "cms", "-verify", "-in", str(folder / f"{number}.eml"), *options]
                subprocess.run(command, capture_output=True, check=True)
            rates.append(len(messages) / (_processor_time() - start))
    return statistics.median(rates)


def _processor_time() -> float:
    """Of this process and of those that it waited for."""
    return sum(os.times()[:4])


if __name__ == "__main__":
    sys.exit(main())
