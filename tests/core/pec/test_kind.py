"""`archipec.pec.kind`: what a message is, from its header."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archipec.pec.kind import (
    ACCEPTANCES,
    GROUPS,
    KINDS,
    MAX_KIND,
    OUTCOMES,
    POSTA_CERTIFICATA,
    PROGRESS,
    in_group,
    kind_of,
    known_kind,
)

RECEIPTS = [
    "accettazione",
    "non-accettazione",
    "presa-in-carico",
    "avvenuta-consegna",
    "errore-consegna",
    "preavviso-errore-consegna",
    "rilevazione-virus",
]


@pytest.mark.parametrize("value", RECEIPTS)
@pytest.mark.parametrize("eol", [b"\r\n", b"\n"])
def test_every_receipt(value: str, eol: bytes) -> None:
    head = eol.join([b"Received: x", b"X-Ricevuta: " + value.encode(), b"Subject: y", b"", b"body"])
    assert kind_of(head) == value


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"X-Trasporto: posta-certificata\r\n\r\n", "posta-certificata"),
        (b"x-TRASPORTO:errore", "anomalia"),
        (b"Subject: CONSEGNA: x\r\n\r\nX-Ricevuta: avvenuta-consegna\r\n", "ordinaria"),
        (b"Subject: x\n\nX-Ricevuta: avvenuta-consegna\n", "ordinaria"),
        (b"Subject: x\r\n X-Ricevuta: accettazione\r\n\r\n", "ordinaria"),
        (b"X-Ricevuta:\r\n  accettazione \r\n\r\n", "accettazione"),
        (b"X-Ricevuta : ACCETTAZIONE\r\n\r\n", "accettazione"),
        (b"X-Ricevuta: accettazione\r\nX-Ricevuta: avvenuta-consegna\r\n\r\n", "accettazione"),
        (b"X-Ricevuta: avvenuta-consegna\r\nX-Trasporto: posta-certificata\r\n\r\n", "posta-certificata"),
        (b"From someone Mon Jan  1 00:00:00 2026\nX-Ricevuta: accettazione\n\n", "accettazione"),
        (b"From someone Mon Jan  1 00:00:00 2026\nSubject: x\n\n", "ordinaria"),
        (b"X-Riferimento-Message-ID: <a@example.it>\r\n\r\n", "ordinaria"),
        (b"X-RicevutaX: accettazione\r\n\r\n", "ordinaria"),
        (b"", "unknown"),
        (b"\r\nX-Ricevuta: accettazione\r\n", "unknown"),
        (b"\nSubject: x\n", "unknown"),
        (b"nothing that looks like a field\r\n\r\n", "unknown"),
        (b"\x00\xff\xfe", "unknown"),
    ],
)
def test_headers_that_decide(head: bytes, kind: str) -> None:
    assert kind_of(head) == kind


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"X-Ricevuta: Nuovo-Tipo\r\n\r\n", "nuovo-tipo"),
        (b"X-Ricevuta: ../..\x1b[31m \xe8 ciao\r\n\r\n", "..-..-31m-ciao"),
        (b"X-Trasporto: accettazione\r\n\r\n", "x-accettazione"),
        (b"X-Ricevuta: ordinaria\r\n\r\n", "x-ordinaria"),
        (b"X-Ricevuta: posta-certificata\r\n\r\n", "x-posta-certificata"),
        (b"X-Ricevuta:\r\n\r\n", "x-empty"),
        (b"X-Ricevuta: " + b"a" * 5000 + b"\r\n\r\n", "a" * MAX_KIND),
    ],
)
def test_unknown_values_become_tokens(head: bytes, kind: str) -> None:
    assert kind_of(head) == kind
    assert in_group(kind, "certified")
    assert not in_group(kind, "uncertified")
    assert not in_group(kind, "receipts")


@given(
    st.binary(max_size=300), st.sampled_from([b"", b"X-Ricevuta: ", b"X-Trasporto:", b"\nX-Ricevuta:\r\n\t"])
)
def test_any_bytes_give_a_bounded_printable_kind(junk: bytes, start: bytes) -> None:
    kind = kind_of(start + junk)
    assert 0 < len(kind) <= MAX_KIND
    assert kind.isascii()
    assert kind.isprintable()
    assert " " not in kind


@given(st.binary(max_size=60))
def test_a_foreign_header_never_gives_a_kind_of_the_other(junk: bytes) -> None:
    assert kind_of(b"X-Ricevuta: " + junk.replace(b"\n", b"") + b"\r\n\r\n") not in {
        "posta-certificata",
        "anomalia",
        "ordinaria",
        "unknown",
    }


def test_groups() -> None:
    assert set(GROUPS) == {
        "all",
        "envelopes",
        "receipts",
        "acceptances",
        "deliveries",
        "certified",
        "uncertified",
    }
    assert GROUPS["certified"] | GROUPS["uncertified"] == GROUPS["all"] == set(KINDS)
    assert not GROUPS["certified"] & GROUPS["uncertified"]
    assert GROUPS["envelopes"] | GROUPS["receipts"] == GROUPS["certified"]
    with pytest.raises(KeyError):
        in_group("accettazione", "nessuno")


def test_importing_it_is_cheap() -> None:
    code = "import sys; import archipec.pec.kind; print([m for m in ('email', 'dataclasses', 'datetime') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("blob", [b"X-Ricevuta:" + b" \n" * 4_000_000, b"\nX-" * 500_000, b"a" * 9_000_000])
def test_a_huge_header_is_bounded(blob: bytes) -> None:
    assert kind_of(blob)


def test_every_row_of_the_table_is_a_kind_with_its_own_name_code_and_word() -> None:
    rows = [known_kind(kind) for kind in KINDS]
    assert [row.name for row in rows] == list(KINDS)
    marked = [row for row in rows if row.name not in ("ordinaria", "unknown")]
    for field in ("code", "label", "word"):
        assert len({getattr(row, field) for row in marked}) == len(marked), field
    assert {row.name for row in rows if row.export_name} == ACCEPTANCES | PROGRESS | OUTCOMES | {
        POSTA_CERTIFICATA
    }


def test_a_kind_that_is_not_in_the_table_has_what_an_unknown_one_has() -> None:
    assert known_kind("x-new-kind") == known_kind("unknown")
    assert known_kind("x-new-kind").code == "MSG"
