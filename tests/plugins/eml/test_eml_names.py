"""Names of .eml files: for people to read, for every system to take."""

from __future__ import annotations

import base64
import unicodedata
from datetime import datetime
from itertools import islice
from pathlib import PureWindowsPath
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archipec.message import ContentKey
from archipec.pec.kind import KINDS
from archipec.simulator import mailbox
from archipec.testing import make_item
from archipec_plugins.eml.names import LONGEST, eml_names, kind_folder

DATE = datetime(2026, 11, 21, 10, 33, tzinfo=ZoneInfo("Europe/Rome"))
RAW = b"any message"
MARK = ContentKey.of(RAW).sha256
CODE_POINTS = st.characters(codec=None, exclude_categories=())


def name(subject: bytes, kind: str = "avvenuta-consegna") -> str:
    return next(eml_names(make_item(RAW, date=DATE, kind=kind, head=b"Subject: " + subject + b"\r\n\r\n")))


@pytest.mark.parametrize(
    ("kind", "subject", "shown"),
    [
        ("avvenuta-consegna", b"CONSEGNA: subject", "CONSEGNA – subject"),
        ("posta-certificata", b"POSTA CERTIFICATA: Re: prova", "PEC – Re- prova"),
        ("accettazione", b"=?UTF-8?Q?ACCETTAZIONE:_Citt=C3=A0?=", "ACCETTAZIONE – Città"),
        ("errore-consegna", b"Avviso di mancata consegna: x", "MANCATA CONSEGNA – x"),
        ("errore-consegna", b"AVVISO DI MANCATA CONSEGNA PER VIRUS: x", "MANCATA CONSEGNA – AVVISO DI MANCATA CONSEGNA PER VIRUS- x"),
        ("preavviso-errore-consegna", b"AVVISO DI MANCATA CONSEGNA PER SUP. TEMPO MASSIMO: x", "AVVISO – x"),
        ("anomalia", b"ANOMALIA MESSAGGIO: x", "ANOMALIA – x"),
        ("avvenuta-consegna", b"REM ContentConsignment: subject", "CONSEGNA – subject"),
        ("posta-certificata", b"REM Dispatch: Re: prova", "PEC – Re- prova"),
        ("rem-relay-to-non-rem", b"=?UTF-8?Q?REM_RelayToNonERDS:_Citt=C3=A0?=", "INOLTRO ESTERNO – Città"),
        ("anomalia", b"EXTERNAL: x", "ANOMALIA – x"),
        ("posta-certificata", b"POSTA CERTIFICATA: REM Dispatch: x", "PEC – REM Dispatch- x"),
        ("rem-new-event", b"REM NewEvent: x", "REM NEW EVENT – REM NewEvent- x"),
        ("ordinaria", b"REM Dispatch: x", "MESSAGGIO – REM Dispatch- x"),
        ("ordinaria", b"CONSEGNA: la merce", "MESSAGGIO – CONSEGNA- la merce"),
        ("ricevuta-nuova", b"x", "RICEVUTA NUOVA – x"),
        ("accettazione", b"", "ACCETTAZIONE"),
        ("accettazione", b"Citt\xe0", "ACCETTAZIONE – Città"),
        ("accettazione", b"a \x1b[31m\xe2\x80\xaegnp.exe", "ACCETTAZIONE – a [31mgnp.exe"),
        ("accettazione", b'n. 12/2026 "a\\b" <c> d? e*|. . ', "ACCETTAZIONE – n. 12-2026 'a-b' (c) d e-"),
    ],
)  # fmt: skip
def test_what_people_read(kind: str, subject: bytes, shown: str) -> None:
    assert name(subject, kind) == f"2026-11-21 10.33 {shown} – {MARK[:8]}.eml"


def test_every_kind_has_a_word_and_a_folder() -> None:
    words = {kind: name(b"x", kind).split(" – ")[0] for kind in KINDS}
    assert len(set(words.values())) == len(KINDS) - 1, "ordinary and unknown messages alone share a word"
    assert (
        kind_folder("avvenuta-consegna") == kind_folder("accettazione") == "RICEVUTE ACCETTAZIONE E CONSEGNA"
    )
    assert kind_folder("errore-consegna") != kind_folder("avvenuta-consegna")
    assert kind_folder("something new") == kind_folder("ordinaria")


def test_the_next_names_when_one_is_taken() -> None:
    given = list(islice(eml_names(make_item(RAW, date=DATE)), 6))
    marks = [one.removesuffix(".eml").rpartition(" – ")[2] for one in given]
    assert marks == [MARK[:8], MARK[:16], MARK[:32], MARK, f"{MARK}-2", f"{MARK}-3"]


def test_names_of_a_mailbox_are_all_different() -> None:
    samples = list(mailbox(150, seed=5))
    shown = {next(eml_names(make_item(sample.raw, date=sample.received))).casefold() for sample in samples}
    assert len(shown) == len({sample.raw for sample in samples})


@given(
    subject=st.text(CODE_POINTS, max_size=300) | st.text("à漢📬e\u0301\u202e", min_size=100, max_size=300),
    kind=st.sampled_from(KINDS) | st.text("abc.-_", min_size=1, max_size=40),
    encoded=st.booleans(),
)
def test_every_system_takes_every_name(subject: str, kind: str, encoded: bool) -> None:
    raw = subject.encode("utf-8", "surrogatepass")
    if encoded:
        raw = b"=?utf-8?B?" + base64.b64encode(raw) + b"?="
    head = b"Subject: " + raw.replace(b"\n", b"")
    for one in islice(eml_names(make_item(RAW, date=DATE, kind=kind, head=head)), 5):
        assert one.startswith("2026-11-21 10.33 ") and one.endswith(".eml")
        assert one == unicodedata.normalize("NFC", one)
        assert one.isprintable() and not set(one) & set('<>:"/\\|?*')
        assert "  " not in one
        assert not any(unicodedata.category(char) in ("Cc", "Cf", "Cs", "Cn") for char in one)
        assert len(one.encode("utf-16-le")) <= 2 * LONGEST
        assert len(one.encode()) <= 240
        assert len(unicodedata.normalize("NFD", one)) <= 255
        assert PureWindowsPath(one).name == one
