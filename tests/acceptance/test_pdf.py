"""PDF files as a person gets them: of a message, of a sending with its receipts, of what a search found."""

from __future__ import annotations

import hashlib
import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from archipec.simulator import Attachment, compose
from testbed.command import Archipec
from testbed.office import COMUNE, NOTICE, ORDINARY, OWN, STUDIO, WHEN, Office, received, sending, sha256
from testbed.pdfs import assert_pdfa, embedded, opened, rightmost, text_of

ORIGINAL, RECEIPTS = sending("Istanza di accesso")
HOSTILE = '#import "/etc/passwd" ] $a$ 汉字 😀 \u202egnp.exe <script>alert(1)</script> ' + "x" * 10_000


@pytest.fixture(name="office", scope="module")
def _office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    """One that has archived a notice, a sending with its receipts, ordinary mail and a hostile message."""
    office = Office(tmp_path_factory.mktemp("office"))
    office.put(NOTICE, *RECEIPTS, ORDINARY, received(HOSTILE, "testo\x00\x1b[31m\n" + "y" * 5000, 5))
    office.put(ORIGINAL, folder="Inviata")
    office.archive()
    return office


def made(office: Office, *words: object, lang: str = "", expect: int = 0) -> bytes:
    """Run a command that writes a PDF, and return it."""
    path = office.folder / "pdf" / f"{len(list((office.folder / 'pdf').glob('*')))}.pdf"
    before = ("--lang", lang) if lang else ()
    one = office.run(*before, *words, "--pdf", path, "--json", expect=expect).object
    pdf = path.read_bytes()
    assert (one["file"], one["sha256"]) == (str(path), hashlib.sha256(pdf).hexdigest())
    assert one["size"] == len(pdf)
    assert sys.platform == "win32" or stat.S_IMODE(path.stat().st_mode) == 0o600
    assert_pdfa(pdf)
    return pdf


def identificativo(office: Office) -> str:
    (one,) = office.run("receipts", "--json", "--direction", "out").objects
    return str(one["identificativo"])


def test_of_a_message(office: Office) -> None:
    pdf = made(office, "get", sha256(NOTICE)[:8])
    assert embedded(pdf) == {"pec.eml": NOTICE}
    text = " ".join(text_of(pdf).split())
    for words in (
        "Busta di trasporto", "Avviso di accertamento", "già stata informata", "Firma del gestore: valida", COMUNE, STUDIO,
        "11/03/2025 09:30:01 (+01:00)", sha256(NOTICE), "delega.pdf.p7m", "firmato da Carla Firmataria",
        office.archive_url.rpartition("/")[2], "pagina 1 di",
    ):  # fmt: skip
        assert words in text, words
    with opened(pdf) as document:
        assert (str(document.Root.Lang), str(document.docinfo["/Title"])) == ("it", "Busta di trasporto")
        assert str(document.docinfo["/CreationDate"]).startswith("D:20250311083001")


def test_of_a_sending_by_the_identifier_that_all_its_messages_share(office: Office) -> None:
    pdf = made(office, "get", identificativo(office))
    assert set(embedded(pdf).values()) == {ORIGINAL, *RECEIPTS}
    text = " ".join(text_of(pdf).split())
    for words in (
        "Messaggio PEC inviato e relative ricevute", "consegnato", "ricevute di avvenuta consegna: 1 su 1 destinatari",
        "I messaggi allegati sono completi", "ricevuta di accettazione", "ricevuta di avvenuta consegna (completa)",
        "Esempio PEC S.p.A.", "casella certificata", *map(sha256, (ORIGINAL, *RECEIPTS)), "01-inviato.eml",
    ):  # fmt: skip
        assert words in text, words
    assert identificativo(office) in "".join(text_of(pdf).split())


def test_in_english_if_that_is_asked_for(office: Office) -> None:
    pdf = made(office, "get", identificativo(office), lang="en")
    text = " ".join(text_of(pdf).split())
    assert "PEC message sent and its receipts" in text and "delivery receipt (completa)" in text
    assert "ricevuta di" not in text and "Firma" not in text
    with opened(pdf) as document:
        assert str(document.Root.Lang) == "en"


def test_of_what_a_search_found_with_an_index(office: Office) -> None:
    pdf = made(office, "search", "--since", "2025-03-10", "--until", "2025-03-11")
    assert set(embedded(pdf).values()) >= {NOTICE, *RECEIPTS, ORIGINAL}
    text = " ".join(text_of(pdf).split())
    assert "Fascicolo di posta elettronica certificata" in text and "Indice" in text
    assert all(sha256(one) in text for one in (NOTICE, *RECEIPTS, ORIGINAL))
    assert text.index("ricevuta di accettazione") < text.index("busta di trasporto")  # the oldest first


def test_of_some_messages(office: Office) -> None:
    pdf = made(office, "get", sha256(NOTICE), sha256(ORDINARY))
    assert embedded(pdf) == {"0001-messaggio.eml": ORDINARY, "0002-pec.eml": NOTICE}


def test_hostile_text_is_shown_and_harmless(office: Office) -> None:
    (one,) = office.found("gnp.exe")
    for words in (("get", one["sha256"]), ("search", "gnp.exe OR accertamento")):
        pdf = made(office, *words)
        text = " ".join(text_of(pdf).split())
        assert '#import "/etc/passwd" ] $a$ [U+6C49 U+5B57] [U+1F600] [U+202E]gnp.exe <script>' in text
        assert "\x1b" not in text and "root:" not in text
        assert rightmost(pdf) < 0.91


def test_the_same_messages_have_the_same_bytes_wherever_they_are_asked_for(
    office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = identificativo(office)
    first = [made(office, "get", name), made(office, "search", "istanza")]
    elsewhere = Archipec(office.state, {"TZ": "Asia/Tokyo", "LANG": "de_DE.UTF-8", "PYTHONHASHSEED": "7"})
    monkeypatch.chdir(tmp_path)
    for number, words in enumerate((("get", name), ("search", "istanza"))):
        path = tmp_path / f"{number}.pdf"
        elsewhere("--config", office.folder / "archipec.toml", *words, "--pdf", path)
        assert path.read_bytes() == first[number]


def test_nothing_is_replaced(office: Office, tmp_path: Path) -> None:
    path = tmp_path / "new" / "uno.pdf"
    office.run("get", sha256(NOTICE), "--pdf", path)
    first = path.read_bytes()
    office.run("get", sha256(NOTICE), "--pdf", path)
    assert [one.name for one in path.parent.iterdir()] == ["uno.pdf"]
    out = office.run("get", sha256(ORDINARY), "--pdf", path).out
    assert path.read_bytes() == first and "uno-2.pdf" in out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("get", "{}", "--attachments"), 2, "--pdf writes one file"),
        (("get", "{}", "--to", "DIR"), 2, "--pdf writes one file"),
        (("search", "nonesiste"), 4, "nothing found, so there is no PDF to write"),
    ],
)
def test_what_makes_no_pdf(
    office: Office, tmp_path: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    given = [word.format(sha256(NOTICE)) for word in words]
    assert said in office.run(*given, "--pdf", tmp_path / "x.pdf", expect=code).err
    assert list(tmp_path.iterdir()) == []


def test_an_archive_alone_is_enough(office: Office, tmp_path: Path) -> None:
    command = Archipec(tmp_path / "state")
    for words in (("get", sha256(NOTICE)[:8], "--from"), ("search", "accertamento", "--to")):
        path = tmp_path / f"{words[0]}.pdf"
        command(*words, office.archive_url, "--pdf", path)
        assert embedded(path.read_bytes()) == {"pec.eml": NOTICE}


# -- beside an export ------------------------------------------------------------------------------------


def exported(office: Office, folder: Path, *words: object, expect: int = 0) -> dict[str, Any]:
    return office.run("receipts", "--export", folder, *words, "--json", expect=expect).object


def test_an_export_has_a_pdf_of_all_beside_its_messages(office: Office, tmp_path: Path) -> None:
    one = exported(office, tmp_path, identificativo(office))
    assert (one["complete"], one["document"]) == (True, "riepilogo.pdf")
    pdf = (tmp_path / "riepilogo.pdf").read_bytes()
    assert_pdfa(pdf)
    files = {path.name: path.read_bytes() for path in tmp_path.glob("*.eml")}
    assert embedded(pdf) == files and len(files) == 3
    assert "riepilogo" not in (tmp_path / "index.txt").read_text("utf-8")
    exported(office, tmp_path, identificativo(office))
    assert len(list(tmp_path.iterdir())) == 5  # nothing twice


def test_what_a_failed_delivery_is_in_italian(tmp_path: Path) -> None:
    office = Office(tmp_path)
    original = compose(
        STUDIO, [COMUNE], "Notificazione", when=WHEN, attachments=[Attachment("atto.pdf", b"x" * 99)]
    )
    accepted = OWN.accept(original, WHEN)
    office.put(OWN.acceptance(accepted), OWN.failure(accepted))
    office.archive()
    one = exported(office, tmp_path / "export", "Notificazione", expect=3)
    assert not one["complete"]
    text = " ".join(text_of((tmp_path / "export" / "riepilogo.pdf").read_bytes()).split())
    for words in (
        "mancata consegna",
        "non sono completi",
        "Che cosa manca per un deposito completo",
        f"{COMUNE}: non consegnato: 5.1.1",
        "il messaggio inviato",
    ):
        assert words in text, words
    assert "the sent" not in text and "not delivered" not in text  # what others say of it is English


def test_without_the_extra_an_export_is_as_it_was_and_a_pdf_is_refused(
    office: Office, tmp_path: Path
) -> None:
    without = "import sys; sys.modules['typst'] = None; from archipec.cli import main; main()"
    name = identificativo(office)

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-I", "-c", without, "--state", office.state]
        command += ["--config", office.folder / "archipec.toml", *words]
        return subprocess.run(
            [*map(str, command)], env=office.command.env, capture_output=True, text=True, check=False
        )

    done = run("receipts", "--export", tmp_path / "export", name, "--json")
    assert (done.returncode, json.loads(done.stdout)["document"]) == (0, None)
    assert len(list((tmp_path / "export").iterdir())) == 4
    done = run("--lang", "en", "get", name, "--pdf", tmp_path / "x.pdf")
    assert done.returncode == 4 and "pip install 'archipec[report]'" in done.stderr
    assert not (tmp_path / "x.pdf").exists()


def test_get_makes_the_document_of_an_export(tmp_path: Path) -> None:
    office = Office(tmp_path)
    original = compose(STUDIO, [COMUNE], "Breve", when=WHEN, attachments=[Attachment("a.pdf", b"x" * 99)])
    accepted = OWN.accept(original, WHEN)
    office.put(OWN.acceptance(accepted), OWN.delivery(accepted, receipt="breve"))
    office.put(original, folder="Inviata")
    office.archive()
    exported(office, tmp_path / "export", "Breve", expect=3)
    pdf = made(office, "get", identificativo(office))
    assert pdf == (tmp_path / "export" / "riepilogo.pdf").read_bytes()
    assert "una ricevuta di avvenuta consegna completa" in " ".join(text_of(pdf).split())


def test_what_goes_wrong_is_said_in_the_language_of_who_asks(tmp_path: Path) -> None:
    """Not in that of the document, which is Italian."""
    office = Office(tmp_path)
    office.put(ORDINARY, NOTICE)
    office.archive()
    result = office.run("receipts", "--export", tmp_path / "out", "nothing like this", expect=None)
    assert 'nothing is called "nothing like this"' in result.err
    for copy in (tmp_path / "PEC").rglob("*"):
        if copy.is_file() and sha256(copy.read_bytes()) in {sha256(ORDINARY), sha256(NOTICE)}:
            copy.unlink()
    keys = sha256(NOTICE), sha256(ORDINARY)
    for words in (("get", keys[0]), ("get", *keys), ("search",)):
        result = office.run(*words, "--pdf", tmp_path / "x.pdf", expect=None)
        assert result.code and "archipec verify" in result.err
        assert not [one for one in ("non ", "nessun", "copia", "legge") if one in result.err], result.err
