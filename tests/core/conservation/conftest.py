"""Sealed messages and packages of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from archipec.conservation.builder import PackageBuilder
from archipec.conservation.metadata import PackageSettings
from archipec.conservation.outbox_db import PackageRow
from archipec.conservation.provider import Package
from archipec.conservation.signature import Signing
from archipec.conservation.subjects import Subjects
from archipec.conservation.terms import Terms
from archipec.message import ContentKey
from archipec.pec.anchors import Anchors
from archipec.pec.inspection import inspect_message, record
from archipec.pec.recall import recall
from archipec.pec.transactions import MessageRecord
from archipec.simulator import Provider, compose, shared_authority

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
SUBJECT = "Notifica <atto> & \u201cà\u0300 é\u201d \N{EURO SIGN}"


@pytest.fixture(scope="session")
def sent() -> list[bytes]:
    """A sending to two: acceptance, deliveries, copy; then an envelope that came in."""
    provider = Provider(4)
    original = compose(
        sender="studio@pec.example.it",
        to=["a@pec.example.it", "b@pec.example.it"],
        subject=SUBJECT,
        when=datetime(2026, 9, 15, 8, 30, tzinfo=UTC),
    )
    sending = provider.accept(original)
    return [
        provider.acceptance(sending),
        provider.delivery(sending, "a@pec.example.it"),
        provider.delivery(sending, "b@pec.example.it"),
        original,
        provider.envelope(sending),
    ]


@pytest.fixture(scope="session")
def records(sent: list[bytes]) -> list[MessageRecord]:
    """What is known of them, their seals being trusted."""
    anchors = Anchors((shared_authority().root,))
    return [
        recall(number, ContentKey.of(raw), NOW, record(raw, inspect_message(raw, anchors)))
        for number, raw in enumerate(sent)
    ]


@pytest.fixture
def pack(tmp_path: Path, sent: list[bytes], records: list[MessageRecord]) -> Callable[..., Package]:
    """Make a package of the sending and of the envelope."""
    for raw in sent:
        (tmp_path / ContentKey.of(raw).sha256).write_bytes(raw)

    def make(
        *,
        terms: Terms = Terms(root="DocumentoAmministrativoInformatico"),  # noqa: B008
        subjects: Subjects = Subjects(),  # noqa: B008
        holder: str = "",
        signing: Signing = Signing(),  # noqa: B008
    ) -> Package:
        settings = PackageSettings(
            terms=terms,
            subjects=subjects,
            holder=holder,
            submitter="",
            years=10,
            signing=signing,
            version="1.2.3",
            fingerprint="",
        )
        builder = PackageBuilder(tmp_path / "packages", lambda sha256: tmp_path / sha256, settings)
        rome = ZoneInfo("Europe/Rome")
        groups = [(records[:4], "U"), (records[4:], "E")]
        built = builder.build(groups, NOW, lambda one: (one.date or NOW).astimezone(rome))
        return builder.load(PackageRow(built.id, "frozen", "", built.manifest, None, ""))

    return make
