"""Measures how fast messages and their files are read for their words, on one core.

The messages are the simulator's. Processor time is what counts, so that a busy machine changes little. Nothing is
asserted about times.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

from archipec.index.analyzer import ReadingSettings, make_analyzer
from archipec.index.document import index_message
from archipec.index.extraction.limits import ReadingBudget
from archipec.index.extraction.pdf import pdf_text
from archipec.pec.anchors import Anchors
from archipec.pec.inspection import judge_dissected
from archipec.pec.structure import parse_structure
from archipec.simulator import Attachment, Stream, compose, mailbox, shared_authority
from archipec.simulator.files import docx, odt, pdf, signed, xlsx, zipped
from archipec.simulator.invoices import InvoiceFacts, invoice

# This folder is a package of the checkout, which is not installed.
_ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(_ROOT), str(_ROOT / "tests" / "support")]

from benchmarks import report
from benchmarks.rates import rate_of

_PAGES = 20
_WORDS_A_PAGE = 400
_ANCHORS = Anchors((shared_authority().root,))


def main(arguments: list[str] | None = None) -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="benchmarks/index.py", description=__doc__)
    parser.add_argument("--count", type=int, default=1000, help="messages (default: 1000)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures to FILE")
    options = parser.parse_args(arguments)
    messages = [sample.raw for sample in mailbox(options.count, seed=2, size=1)]
    figures = message_rates(messages) | file_rates(max(options.count // 20, 1))
    mean = statistics.mean(map(len, messages))
    print(
        f"{platform.platform()}, Python {platform.python_version()}; messages of {mean:,.0f} bytes without files"
    )
    print(report.rates_table(figures))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> (20 if sys.platform == "darwin" else 10)
    print(f"peak memory {peak} MB, with the messages")
    if options.json:
        options.json.write_text(json.dumps({"a_second": figures, "peak_mb": peak}, indent=1) + "\n", "utf-8")
    return 0


def message_rates(messages: list[bytes]) -> dict[str, float]:
    """How many messages without files a second: judged, read for their words, and both as a worker does."""
    inspected = []
    for raw in messages:
        structure = parse_structure(raw)
        inspected.append((raw, structure, judge_dissected(raw, structure, _ANCHORS)))
    # A copy of each, which the judgement kept of the last ones does not fit.
    copies = iter(bytes(bytearray(raw)) for _ in range(100) for raw in messages)
    analyze = make_analyzer(ReadingSettings(anchors=_ANCHORS))
    return {
        "seal judged": rate_of(lambda raw: judge_dissected(raw, parse_structure(raw), _ANCHORS), messages),
        "words of a message, seal judged before": rate_of(lambda one: index_message(*one), inspected),
        "words and seal, as JSON": rate_of(lambda _: json.dumps(analyze(next(copies))), messages),
    }


def file_rates(count: int) -> dict[str, float]:
    """How many files of a kind a second, in messages that are not sealed; of PDF, pages."""
    pages = [_page(Stream("page", number)) for number in range(_PAGES)]
    document = pdf(*pages)
    rates = {"PDF pages": rate_of(lambda _: pdf_text(document, ReadingBudget()), range(count)) * _PAGES}
    page = pages[0]
    for name, content in {
        "DOCX of a page": docx(*page.split("\n")),
        "ODT of a page": odt(*page.split("\n")),
        "XLSX of 1,000 cells": xlsx(*_rows(page)),
        "signed PDF of a page in a zip file": zipped({"atto.pdf.p7m": signed(pdf(page))}),
        "invoice, signed": signed(invoice(InvoiceFacts(lines=page.split("\n")))),
    }.items():
        rates[name] = rate_of(_reader(compose(attachments=[Attachment("a.bin", content)])), range(count))
    return rates


def _reader(raw: bytes) -> Callable[[int], object]:
    structure = parse_structure(raw)
    inspection = judge_dissected(raw, structure, _ANCHORS)
    return lambda _: index_message(raw, structure, inspection)


def _rows(page: str) -> list[list[str | float]]:
    words = (page.split() * 2)[:500]
    return [[word, number * 1.5] for number, word in enumerate(words)]


def _page(stream: Stream) -> str:
    words = [
        "".join(chr(97 + stream.below(26)) for _ in range(stream.between(2, 10)))
        for _ in range(_WORDS_A_PAGE)
    ]
    return "\n".join(" ".join(words[at : at + 10]) for at in range(0, len(words), 10))


if __name__ == "__main__":
    sys.exit(main())
