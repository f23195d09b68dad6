"""Measures how fast archipec verifies messages of REM, on one core, and the memory that it takes.

The messages are the simulator's: dispatches and receipts of every event, by two providers. Certificates are known after the
first ones, as in any mailbox. Processor time is what counts; nothing is asserted about it.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from archipec.pec.anchors import Anchors
from archipec.pec.inspection import inspect_message
from archipec.pec.kind import kind_of
from archipec.pec.rem.evidence import read_evidence
from archipec.pec.rem.headers import read_header
from archipec.pec.rem.verify import is_evidence
from archipec.pec.seal import Status
from archipec.pec.structure import parse_structure
from archipec.pec.trusted_list import read_trusted_list
from archipec.simulator import compose, pseudo_pdf, shared_authority
from archipec.simulator.rem import REM_PROVIDERS, RemProvider
from archipec.simulator.rem_list import ListedService, trusted_list
from archipec.simulator.stream import Stream

# This folder is a package of the checkout, which is not installed.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.rates import rate_of

_EVENTS = (
    "SubmissionAcceptance", "RelayAcceptance", "ContentConsignment", "ContentConsignmentFailure", "RelayFailure",
    "RelayRejection",
)  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Print the figures; 0 when every message was judged as it should be."""
    parser = argparse.ArgumentParser(prog="benchmarks/rem.py", description=__doc__)
    parser.add_argument("--count", type=int, default=40, help="sendings (default: 40)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures to FILE")
    options = parser.parse_args(arguments)
    providers = [RemProvider(number=number) for number in range(len(REM_PROVIDERS))]
    messages = list(_messages(providers, options.count))
    evidences = [next(filter(is_evidence, parse_structure(raw).parts)).content() for raw in messages]
    root = Anchors((shared_authority().root,))
    services = [ListedService(one.name, one.certificate) for one in providers]
    listed = Anchors(lists=(read_trusted_list(trusted_list(services)),))
    wrong = sum(
        inspect_message(raw, anchors).seal.status is not Status.VALID
        for raw in messages
        for anchors in (root, listed)
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    figures = {
        "header kind": rate_of(kind_of, messages),
        "header, all of it": rate_of(read_header, messages),
        "evidence, read": rate_of(read_evidence, evidences),
        "judgement, by a root": rate_of(lambda raw: inspect_message(raw, root), messages),
        "judgement, by a trusted list": rate_of(lambda raw: inspect_message(raw, listed), messages),
    }
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    mean = statistics.mean(map(len, messages))
    print(
        f"{platform.platform()}, Python {platform.python_version()}; {len(messages)} messages of {mean:,.0f} bytes"
    )
    for name, rate in figures.items():
        print(f"{name:34} {rate:>10,.0f} a second")
    print(f"{'memory more than at the start':34} {grown / 1024:>10,.1f} MB")
    if options.json:
        text = json.dumps({"messages": len(messages), "a_second": figures, "grown_kb": grown}, indent=1)
        options.json.write_text(text + "\n", "utf-8")
    if wrong:
        print(f"{wrong} messages are not valid", file=sys.stderr)
    return 1 if wrong else 0


def _messages(providers: Sequence[RemProvider], count: int) -> list[bytes]:
    found = []
    for number in range(count):
        attachment = pseudo_pdf(Stream("rem bench", number), 6000)
        original = compose(
            subject=f"Contratto {number}",
            to=["a@studio.example", "b@ufficio.example"],
            attachments=[attachment],
        )
        sending = providers[0].accept(original)
        found.append(providers[0].dispatch(sending))
        found += [providers[place % 2].receipt(sending, event) for place, event in enumerate(_EVENTS)]
    return found


if __name__ == "__main__":
    sys.exit(main())
