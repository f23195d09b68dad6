"""Providers of PEC and REM for tests, demonstrations and benchmarks: they seal messages of every kind as test authorities.

Everything is fixed by seeds, keys included: the same calls give the same bytes on every machine. Nothing here talks to
a network, and no name in it is real.

    provider = Provider(seed=7, style=ARUBA_2026)
    sending = provider.accept(compose(subject="Contratto"))
    receipts = [provider.acceptance(sending), provider.delivery(sending)]
    samples = list(mailbox(1000, seed=7))
"""

from __future__ import annotations

from archipec.simulator.authority import LEAF_VALID, Authority, shared_authority, to_pem
from archipec.simulator.mailbox import MIXED, OFFICE, Sample, mailbox
from archipec.simulator.originals import Attachment, compose, pseudo_pdf
from archipec.simulator.provider import Provider
from archipec.simulator.rem import REM_PROVIDERS, RemProvider
from archipec.simulator.rem_stamp import shared_stamps
from archipec.simulator.sending import Sending
from archipec.simulator.stream import Stream
from archipec.simulator.styles import (
    ARUBA_2014,
    ARUBA_2018,
    ARUBA_2026,
    LEGALMAIL_2018,
    NAMIRIAL_2024,
    STYLES,
    Style,
)

__all__ = [
    "ARUBA_2014",
    "ARUBA_2018",
    "ARUBA_2026",
    "LEAF_VALID",
    "LEGALMAIL_2018",
    "MIXED",
    "NAMIRIAL_2024",
    "OFFICE",
    "REM_PROVIDERS",
    "STYLES",
    "Attachment",
    "Authority",
    "Provider",
    "RemProvider",
    "Sample",
    "Sending",
    "Stream",
    "Style",
    "compose",
    "mailbox",
    "pseudo_pdf",
    "shared_authority",
    "shared_stamps",
    "to_pem",
]
