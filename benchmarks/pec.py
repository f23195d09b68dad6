"""Measures what archipec reads out of PEC messages, on one core: kinds, certification data, seals, beside openssl.

The messages are the simulator's, of every style; seals have a warm cache, as in any mailbox after its first messages.
Processor time is what counts, so that a busy machine changes little. Nothing is asserted about times.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import _lru_cache_wrapper
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from archipec.pec.anchors import Anchors
from archipec.pec.daticert import parse_daticert
from archipec.pec.inspection import inspect_message, record
from archipec.pec.kind import kind_of
from archipec.pec.mime import Part
from archipec.pec.seal import Status, judge_seal
from archipec.pec.structure import parse_structure
from archipec.simulator import STYLES, mailbox, shared_authority

# This folder is a package of the checkout, which is not installed.
_ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(_ROOT), str(_ROOT / "tests" / "support")]

from benchmarks import report
from benchmarks.rates import RUNS, rate_of

_SIZE = 20_000
_OPENSSL_FILES = 100
_COLD = 50
# What a provider's key has signed: attributes of about this length.
_SIGNED = bytes(150)
_RSA = (padding.PKCS1v15(), hashes.SHA256())


def main(arguments: list[str] | None = None) -> int:
    """Print the figures; 0 when every message was judged as it should be."""
    parser = argparse.ArgumentParser(prog="benchmarks/pec.py", description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="messages of each style (default: 200)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures to FILE")
    options = parser.parse_args(arguments)
    judged = messages(options.count)
    anchors = Anchors((shared_authority().root,))
    wrong = sum(inspect_message(raw, anchors).seal.status is not Status.VALID for raw in judged)
    figures = rates(judged)
    if shutil.which("openssl"):
        figures["openssl cms -verify, a file each"] = _openssl(
            judged[:: max(1, len(judged) // _OPENSSL_FILES)]
        )
    mean = statistics.mean(map(len, judged))
    print(
        f"{platform.platform()}, Python {platform.python_version()}; {len(judged)} messages of {mean:,.0f} bytes"
    )
    print(report.rates_table(figures))
    if options.json:
        options.json.write_text(
            json.dumps({"messages": len(judged), "a_second": figures}, indent=1) + "\n", "utf-8"
        )
    if wrong:
        print(f"{wrong} messages are not valid", file=sys.stderr)
    return 1 if wrong else 0


def messages(count: int) -> list[bytes]:
    """So many sealed messages of each style of provider."""
    return [
        sample.raw
        for style in STYLES
        for sample in mailbox(count, seed=1, size=_SIZE, style=style, mix={"received": 1})
    ]


def rates(judged: Sequence[bytes]) -> dict[str, float]:
    """How many messages a second of processor time each piece of work takes, beside what no verdict can do without:
    SHA-256 of the message and of what is signed in it, and one verification with a provider's RSA key of 2048 bits.

    A verdict is everything that is recorded of a message. It is cold when nothing is remembered of earlier ones.
    """
    anchors = Anchors((shared_authority().root,))
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    signature, public = key.sign(_SIGNED, *_RSA), key.public_key()

    def primitives(raw: bytes, signed: Part) -> None:
        hashlib.sha256(raw).digest()
        hashlib.sha256(memoryview(raw)[signed.start : signed.end]).digest()
        public.verify(signature, _SIGNED, *_RSA)

    def verdict(raw: bytes) -> None:
        record(raw, inspect_message(raw, anchors))

    def cold(raw: bytes) -> None:
        for one in remembered:
            one.cache_clear()
        verdict(raw)

    whole = [(raw, part) for raw in judged if (part := parse_structure(raw).signed) is not None]
    verdict(judged[0])
    remembered = [one for one in gc.get_objects() if _is_memory(one)]
    return {
        "SHA-256 and RSA alone": rate_of(lambda one: primitives(*one), whole),
        "header kind": rate_of(kind_of, judged),
        "certification data": rate_of(_certification, judged),
        "seal": rate_of(lambda raw: judge_seal(parse_structure(raw), anchors), judged),
        "verdict": rate_of(verdict, judged),
        "verdict, cold": rate_of(cold, judged[:_COLD]),
    }


def _is_memory(one: object) -> bool:
    """Whether an object is what `pec` remembers earlier messages by."""
    return isinstance(one, _lru_cache_wrapper) and one.__module__.startswith("archipec.pec.")


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
