"""``archipec search`` and ``archipec index`` as a person uses them: mail is archived first, by the command line too."""

from __future__ import annotations

import errno
import os
import re
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from archipec.index.search import SEALS
from archipec.pec.seal import Status
from archipec.simulator import Attachment
from archipec.simulator.invoices import InvoiceFacts, invoice, sdi_file_name
from testbed.command import Archipec
from testbed.office import COMUNE, NOTICE, ORDINARY, STUDIO, Office, received, sending, sha256


@pytest.fixture(name="office")
def _office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def fill(office: Office) -> Office:
    original, receipts = sending("Diffida ad adempiere", 2)
    office.put(NOTICE, ORDINARY, received("Convocazione", "la riunione è convocata", 3), *receipts)
    office.put(original, folder="Posta inviata")
    office.archive()
    return office


@pytest.fixture(name="filled", scope="module")
def _filled(tmp_path_factory: pytest.TempPathFactory) -> Office:
    """An office that no test changes."""
    return fill(Office(tmp_path_factory.mktemp("filled")))


@pytest.fixture(name="own")
def _own(office: Office) -> Office:
    """The same, for a test to change."""
    return fill(office)


# -- words -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ["accertamento"], ["cittadinanza"], ["CITTADINANZA", "perche"], ["dell'art."], ["36-bis"], ["cittadin*"],
        ["planimetria"], ["relazione.pdf"], ["procura"], ["firmataria"], ["mappali"], ["elenco.txt"],
        ['"già stata informata"'], ["planimetria AND mappali"], ["assente OR planimetria"],
        [COMUNE, "-convocata", "-diffida"], ["planimetria", "NOT", "assente"],
    ],
)  # fmt: skip
def test_a_message_is_found_by_what_is_in_it(filled: Office, words: list[str]) -> None:
    assert filled.hashes(*words) == {sha256(NOTICE)}


@pytest.mark.parametrize(
    "words", [["assente"], ['"informata stata"'], ["planimetria", "convocata"], ["-" + "e*"]]
)
def test_and_by_nothing_else(filled: Office, words: list[str]) -> None:
    assert sha256(NOTICE) not in filled.hashes(*words)


def test_the_newest_come_first_and_limit_takes_them(filled: Office) -> None:
    dates = [one["date"] for one in filled.found()]
    assert len(dates) == 6
    assert dates == sorted(dates, reverse=True)
    assert [one["date"] for one in filled.found("--limit", 2)] == dates[:2]
    assert filled.subjects("accertamento", "--rank") == ["Avviso di accertamento"]


def test_a_hit_says_what_a_script_needs(filled: Office) -> None:
    (hit,) = filled.found("planimetria")
    assert hit == {
        "sha256": sha256(NOTICE),
        "id": sha256(NOTICE)[:8],
        "date": "2025-03-11T09:30:01+01:00",
        "kind": "posta-certificata",
        "system": "pec",
        "direction": "in",
        "from": COMUNE,
        "to": [STUDIO],
        "subject": "Avviso di accertamento",
        "snippet": "planimetria catastale procura speciale mappali e subalterni",
        "seal": "valid",
        "archives": [f"maildir:{filled.folder / 'PEC'}"],
    }


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["OR"], 'OR stands between two words'),
        (["com*une"], "a [*] can only stand at the end"),
        (["-&"], "no letter or digit"),
        (["--party", "@"], "no letter or digit in '@'"),
        (["(a"], "a [(] without its [)]"),
        (["--kind", "delivry"], '"delivry" is not one, did you mean "delivery"'),
        (["--in", "studoi"], 'no pipeline "studoi" was ever run, did you mean "studio"'),
        (["--since", "ieri"], "must be a date"),
    ],
)  # fmt: skip
def test_what_can_not_be_searched_for_is_said(filled: Office, words: list[str], said: str) -> None:
    result = filled.run("search", *words, expect=None)
    assert result.code in (2, 4)
    assert re.search(said, result.err)


# -- filters ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (["--kind", "buste"], {"Avviso di accertamento", "Convocazione"}),
        (["--kind", "envelope", "--kind", "ordinary"], {"Avviso di accertamento", "Convocazione", "Saldi", "Diffida ad adempiere"}),
        (["--kind", "avvenuta-consegna"], {"Diffida ad adempiere"}),
        (["--kind", "delivery"], {"Diffida ad adempiere"}),
        (["--kind", "ricevute", "--seal", "valid"], {"Diffida ad adempiere"}),
        (["--from", "comune.example"], {"Avviso di accertamento", "Convocazione"}),
        (["--to", "comune.example"], {"Diffida ad adempiere"}),
        (["--party", "newsletter@"], {"Saldi"}),
        (["--since", "2025-03-11", "--until", "2025-03-12"], {"Avviso di accertamento", "Diffida ad adempiere"}),
        (["--seal", "unsigned"], {"Saldi", "Diffida ad adempiere"}),
        (["--seal", "altered"], set()),
        (["--folder", "*INVIATA"], {"Diffida ad adempiere"}),
        (["--in", "studio", "--has", "attachment"], {"Avviso di accertamento"}),
        (["--attachment", "*.ZIP"], {"Avviso di accertamento"}),
        (["--attachment", "elenco.txt"], {"Avviso di accertamento"}),
        (["--direction", "in"], {"Avviso di accertamento", "Convocazione", "Saldi"}),
        (["--direction", "out"], {"Diffida ad adempiere"}),
        (["--has", "invoice"], set()),
        (["--has", "missing-receipt"], set()),
    ],
)  # fmt: skip
@pytest.mark.parametrize("words", [[], ["e*", "OR", "o*"]], ids=["all", "words"])
def test_filters_choose(filled: Office, filters: list[str], found: set[str], words: list[str]) -> None:
    assert set(filled.subjects(*words, *filters)) == found


def test_direction_tells_what_was_sent_from_what_came(filled: Office) -> None:
    assert {(one["kind"], one["direction"]) for one in filled.found()} == {
        ("posta-certificata", "in"),
        ("ordinaria", "in"),
        ("ordinaria", "out"),
        ("accettazione", "out"),
        ("avvenuta-consegna", "out"),
    }


def test_a_sending_without_its_delivery_is_found_by_that(office: Office) -> None:
    _, (acceptance, _delivery) = sending("Senza consegna")
    office.put(NOTICE, acceptance)
    office.archive()
    assert office.hashes("--has", "missing-receipt") == {sha256(acceptance)}
    assert office.hashes("--has", "missing-receipt", "accertamento") == set()


def test_an_invoice_is_found_as_one(office: Office) -> None:
    facts = InvoiceFacts()
    xml = Attachment(f"{sdi_file_name(facts)}", invoice(facts), "application/xml")
    carrier = received("Invio", attachments=[xml])
    office.put(NOTICE, carrier)
    office.archive()
    assert office.hashes("--has", "invoice") == {sha256(carrier)}


def test_every_status_of_a_seal_can_be_asked_for() -> None:
    assert set(SEALS) == {str(one) for one in Status}


# -- what a person sees ------------------------------------------------------------------------------------


def test_a_hit_on_a_screen(filled: Office) -> None:
    shown = filled.run("search", "planimetria").out
    assert shown.splitlines()[:4] == [
        f"{sha256(NOTICE)[:8]}  2025-03-11 09:30  posta-certificata  3 attachments",
        "  Avviso di accertamento",
        f"  {COMUNE} > {STUDIO}",
        "  planimetria catastale procura speciale mappali e subalterni",
    ]
    assert shown.splitlines()[4].startswith("  in maildir:")


def test_nothing_found_is_said(filled: Office) -> None:
    result = filled.run("search", "assente")
    assert (result.out, result.err) == ("", "nothing found\n")


def test_what_a_message_says_steers_no_terminal(office: Office) -> None:
    office.put(
        received(
            "Conto \x1b[2J\x9b31m\u202e", "testo \x1b]0;titolo\x07 con comandi \u202e e molto altro " * 20
        )
    )
    office.archive()
    shown = office.run("search", "comandi").out
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", shown)
    assert all(len(line) <= 80 for line in shown.splitlines() if not line.startswith("  in "))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_on_a_terminal_the_pager_shows_it(filled: Office, tmp_path: Path) -> None:
    pager = tmp_path / "pager"
    pager.write_text("#!/bin/sh\necho PAGED\nexec head -n 1\n")
    pager.chmod(0o700)
    shown = on_a_terminal(filled, {"PAGER": str(pager)}, "search")
    assert shown.startswith("PAGED\r\n")
    assert shown.count("\n") == 2, shown
    assert "PAGED" not in on_a_terminal(filled, {"PAGER": "cat"}, "search")
    assert "planimetria" in on_a_terminal(filled, {"PAGER": ""}, "search", "planimetria")
    # Nor does one that can't be started keep what was found from the user.
    (tmp_path / "broken").write_bytes(b"\0")
    (tmp_path / "broken").chmod(0o700)
    for broken in (str(tmp_path / "broken"), "less '"):
        assert "planimetria" in on_a_terminal(filled, {"PAGER": broken}, "search", "planimetria")


def on_a_terminal(office: Office, env: dict[str, str], *words: str) -> str:
    import pty

    main, side = pty.openpty()
    import subprocess

    argv = office.command.argv("--config", office.folder / "archipec.toml", *words)
    with subprocess.Popen(
        argv, env=office.command.env | env, stdin=side, stdout=side, stderr=side
    ) as process:
        os.close(side)
        shown = b""
        while True:
            try:
                piece = os.read(main, 4096)
            except OSError as error:
                assert error.errno == errno.EIO
                break
            if not piece:
                break
            shown += piece
    os.close(main)
    assert process.returncode == 0, shown
    return shown.decode()


# -- keeping it up to date ---------------------------------------------------------------------------------


def index_of(office: Office) -> Path:
    return office.state / "index.sqlite3"


def test_what_a_run_left_out_the_next_one_adds(office: Office) -> None:
    office.put(NOTICE)
    office.archive("--no-index")
    assert not index_of(office).exists()
    result = office.run("search", "planimetria", expect=4)
    assert "there is no index" in result.err and "`archipec index`" in result.err
    office.put(ORDINARY)
    office.archive()
    assert office.hashes() == {sha256(NOTICE), sha256(ORDINARY)}


def test_what_is_behind_is_said_and_index_adds_it(office: Office) -> None:
    office.put(NOTICE)
    office.archive()
    office.put(ORDINARY)
    office.archive("--no-index")
    result = office.run("search", "--json")
    assert len(result.objects) == 1
    assert "1 archived message not in the index yet" in result.err
    assert office.run("index", "--json").object == {
        "pipeline": "studio", "indexed": 1, "unread": 0, "missing": 0, "error": [], "exit_code": 0,
        "seconds": pytest.approx(0, abs=60),
    }  # fmt: skip
    result = office.run("search", "--json")
    assert (len(result.objects), result.err) == (2, "")
    assert office.run("index").out == "studio: the index is up to date\n"


@pytest.mark.parametrize("how", ["lost", "damaged"])
@pytest.mark.parametrize(
    "command", [["archive"], ["index"], ["index", "--full"], ["index", "studio", "--full"]]
)
def test_an_index_that_is_no_good_is_made_anew(own: Office, how: str, command: list[str]) -> None:
    path = index_of(own)
    if how == "lost":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:4096] + b"\xff" * 20_000)
    own.run(*command)
    assert own.hashes("planimetria", "--kind", "buste") == {sha256(NOTICE)}
    assert len(own.found()) == 6


def test_damage_that_shows_late_is_mended_by_index_alone(own: Office) -> None:
    with closing(sqlite3.connect(index_of(own))) as db:
        db.execute("DROP TABLE message")
    own.put(received("Sollecito"))
    result = own.run("archive", "--json")
    assert result.object["stored"] == 1
    assert "warning: studio: not everything can be searched: the index" in result.err
    result = own.run("index", expect=None)
    assert "the index is made anew" in result.err
    assert "7 messages indexed" in result.out
    assert own.hashes("planimetria", "--kind", "buste") == {sha256(NOTICE)}


def test_a_part_of_the_index_is_read_again(own: Office) -> None:
    with closing(sqlite3.connect(index_of(own))) as db:
        db.execute("UPDATE message SET kind = 'x'")
        db.commit()
    assert own.hashes("--kind", "buste") == set()
    assert own.run("index", "studio", "--full", "--json").object["indexed"] == 6
    assert len(own.hashes("--kind", "buste")) == 2


def test_a_damaged_index_is_said_by_search(own: Office) -> None:
    path = index_of(own)
    path.write_bytes(path.read_bytes()[:4096] + b"\xff" * 20_000)
    result = own.run("search", "planimetria", expect=4)
    assert "can't be used" in result.err
    assert "`archipec index` makes it again" in result.err


def test_an_index_that_can_not_be_written_fails_no_run(office: Office) -> None:
    index_of(office).parent.mkdir(parents=True)
    index_of(office).mkdir()
    office.put(NOTICE)
    result = office.run("archive", "--json")
    assert result.object["stored"] == 1
    assert "warning: studio: not everything can be searched: the index " in result.err
    assert "`archipec index` makes it searchable" in result.err
    assert office.run("index", expect=4).code == 4
    index_of(office).rmdir()
    office.run("index")
    assert office.hashes() == {sha256(NOTICE)}


def test_a_pipeline_may_want_no_index(office: Office) -> None:
    office.configure("index = false")
    office.put(NOTICE)
    office.archive()
    assert not index_of(office).exists()
    assert "index = false" in office.run("index").out
    assert office.run("search", expect=None).out == ""


def test_another_ledger_of_the_same_size_is_no_reason_to_miss_anything(office: Office) -> None:
    office.put(NOTICE)
    office.archive()
    shutil.rmtree(office.folder / "mail")
    shutil.rmtree(office.folder / "PEC")
    for file in office.state.glob("ledger*"):
        file.unlink()
    office.put(ORDINARY)
    office.archive()
    assert sha256(ORDINARY) in office.hashes()


def test_what_another_ledger_says_is_not_said_of_a_message(office: Office) -> None:
    office.put(NOTICE)
    office.archive()
    shutil.rmtree(office.folder / "mail")
    shutil.rmtree(office.folder / "PEC")
    for file in office.state.glob("ledger*"):
        file.unlink()
    office.put(ORDINARY)
    office.archive("--no-index")  # which gives the ordinary message the number that the notice had
    (hit,) = office.found("planimetria")
    assert (hit["sha256"], hit["seal"], hit["archives"]) == (sha256(NOTICE), None, [])
    for narrowed in (["--seal", "unsigned"], ["--in", "studio"], ["--folder", "INBOX"]):
        assert office.hashes("planimetria", *narrowed) == set()
    office.run("index")
    assert office.hashes("--seal", "unsigned", "--in", "studio") == {sha256(ORDINARY)}


def test_a_copy_that_is_gone_is_named_and_found_again_when_it_is_back(office: Office) -> None:
    office.put(NOTICE, ORDINARY)
    office.archive("--no-index")
    (copy,) = [
        file for file in (office.folder / "PEC").rglob("*") if file.is_file() and file.read_bytes() == NOTICE
    ]
    copy.rename(office.folder / "aside")
    result = office.run("index", expect=3)
    assert "1 message indexed" in result.out and "1 that no archive gave back" in result.out
    (office.folder / "aside").rename(copy)
    office.run("index")
    assert office.hashes() == {sha256(NOTICE), sha256(ORDINARY)}


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps files private by other means")
def test_the_index_is_private(filled: Office) -> None:
    assert {file.stat().st_mode & 0o777 for file in filled.state.glob("index*")} == {0o600}


# -- an archive alone --------------------------------------------------------------------------------------


@pytest.fixture(name="disk")
def _disk(filled: Office, tmp_path: Path) -> tuple[Archipec, str]:
    shutil.copytree(filled.folder / "PEC", tmp_path / "disk")
    return Archipec(tmp_path / "elsewhere"), f"maildir:{tmp_path / 'disk'}"


def test_an_archive_without_its_ledger_is_searched(disk: tuple[Archipec, str]) -> None:
    archipec, url = disk
    (hit,) = archipec("search", "planimetria", "--to", url, "--json").objects
    assert (hit["sha256"], hit["subject"], hit["direction"], hit["archives"]) == (
        sha256(NOTICE), "Avviso di accertamento", "in", [url],
    )  # fmt: skip
    assert len(archipec("search", "--to", url, "--json").objects) == 6
    (sent,) = archipec("search", "--to", url, "--to", COMUNE, "--kind", "delivery", "--json").objects
    assert sent["to"] == [COMUNE]
    assert not (archipec.state / "ledger.sqlite3").exists()


def test_index_reads_it_again_with_whom_to_trust(disk: tuple[Archipec, str], filled: Office) -> None:
    archipec, url = disk
    assert archipec("search", "planimetria", "--to", url, "--json").object["seal"] == "untrusted"
    again = archipec("index", "--to", url, "--full", "--trust", filled.folder / "root.pem", "--json").object
    assert (again["indexed"], again["missing"]) == (6, 0)
    hit = archipec("search", "planimetria", "--to", url, "--seal", "valid", "--json").object
    assert (hit["seal"], hit["date"]) == ("valid", "2025-03-11T09:30:01+01:00")
    assert archipec("index", "--to", url).out == "maildir: the index is up to date\n"


def test_what_an_archive_got_since_is_found_too(own: Office, tmp_path: Path) -> None:
    archipec, later = Archipec(tmp_path / "elsewhere"), received("Sollecito", "da evadere", 9)
    assert archipec("search", "evadere", "--to", own.archive_url, "--json").objects == []
    own.put(later)
    own.archive()
    assert archipec("search", "evadere", "--to", own.archive_url, "--json").object["sha256"] == sha256(later)


def test_several_archives_are_searched_as_one(disk: tuple[Archipec, str], filled: Office) -> None:
    archipec, url = disk
    found = archipec("search", "--to", url, "--to", filled.archive_url, "--json").objects
    assert len(found) == 12
    dates = [one["date"] for one in found]
    assert dates == sorted(dates, reverse=True)


@pytest.mark.parametrize("option", [["--in", "studio"], ["--folder", "INBOX"], ["--has", "missing-receipt"]])
def test_what_only_a_ledger_knows_is_not_asked_of_an_archive(
    disk: tuple[Archipec, str], option: list[str]
) -> None:
    archipec, url = disk
    assert "needs the ledger" in archipec("search", "--to", url, *option, expect=2).err


def test_what_is_no_archive_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = Archipec(tmp_path / "state")("search", "a", "--to", f"maildir:{tmp_path / 'empty'}", expect=4)
    assert "no archive of archipec" in result.err
