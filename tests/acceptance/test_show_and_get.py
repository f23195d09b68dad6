"""``archipec show`` and ``archipec get`` as a person uses them: by the ids that ``search`` and ``receipts`` print."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from archipec.custody.ledger import Ledger
from archipec.pec.structure import parse_structure
from archipec.simulator import Attachment
from testbed.command import Archipec
from testbed.office import COMUNE, NOTICE, ORDINARY, Office, received, sending, sha256

ORIGINAL, RECEIPTS = sending("Istanza di accesso")


@pytest.fixture(name="office", scope="module")
def _office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    """One that has archived a notice, a sending with its receipts, and ordinary mail."""
    office = Office(tmp_path_factory.mktemp("office"))
    office.put(NOTICE, *RECEIPTS, ORDINARY)
    office.put(ORIGINAL, folder="Inviata")
    office.archive()
    return office


def shown(office: Office, *words: object) -> dict[str, Any]:
    return office.run("show", "--json", *words).object


# -- show ----------------------------------------------------------------------------------------------


def test_what_is_shown_of_a_message(office: Office) -> None:
    one = shown(office, sha256(NOTICE)[:8])
    assert (one["sha256"], one["size"], one["kind"]) == (sha256(NOTICE), len(NOTICE), "posta-certificata")
    assert (one["subject"], one["system"], one["date"]) == (
        "Avviso di accertamento", "pec", "2025-03-11T09:30:01+01:00",
    )  # fmt: skip
    assert {"role": "from", "address": COMUNE, "name": ""} in one["parties"]
    assert "già stata informata" in one["text"]
    assert one["certification"]["seal"]["status"] == "valid" and one["judged"]
    assert one["certification"]["mittente"] == COMUNE
    assert [file["path"] for file in one["attachments"]] == [
        "Relazione.pdf", "delega.pdf.p7m", "delega.pdf.p7m/delega.pdf", "allegati.zip", "allegati.zip/elenco.txt",
    ]  # fmt: skip
    assert one["attachments"][1]["signers"] == ["Carla Firmataria"]
    assert one["transaction"]["direction"] == "in" and one["transaction"]["status"] == "received"
    # Other tests put it into archives of theirs.
    (copy,) = (copy for copy in one["archives"] if copy["where"] == office.archive_url)
    assert (copy["state"], copy["verified"]) == ("stored", None)
    office.run("verify")
    (copy,) = (
        copy for copy in shown(office, sha256(NOTICE)[:8])["archives"] if copy["where"] == office.archive_url
    )
    assert copy["verified"] is not None


def test_a_person_reads_it_on_a_narrow_terminal(office: Office) -> None:
    text = office.run("show", sha256(NOTICE)[:8]).out
    for words in (
        "Avviso di accertamento", "già stata informata", "delega.pdf.p7m", "signed by Carla Firmataria", "seal           VALID",
        "RECEIVED", office.archive_url, sha256(NOTICE),
    ):  # fmt: skip
        assert words in text, words


@pytest.mark.parametrize("name", ["{}", "<{}>"])
def test_a_sending_is_shown_by_its_identifier_with_the_id_of_each_message(office: Office, name: str) -> None:
    (transaction,) = office.run("receipts", "--json", "--direction", "out").objects
    text = office.run("show", name.format(transaction["identificativo"])).out
    assert "DELIVERED" in text
    for raw in (ORIGINAL, *RECEIPTS):
        assert sha256(raw)[:8] in text
    assert sha256(NOTICE)[:8] not in text


def test_by_the_message_id_of_what_was_sent(office: Office) -> None:
    (transaction,) = office.run("receipts", "--json", "--direction", "out").objects
    one = shown(office, transaction["msgid"])
    assert one["sha256"] == sha256(ORIGINAL)
    assert one["transaction"]["identificativo"] == transaction["identificativo"]


def test_ordinary_mail_is_shown_too(office: Office) -> None:
    one = shown(office, sha256(ORDINARY)[:10])
    assert (one["kind"], one["transaction"], one["system"]) == ("ordinaria", None, None)
    assert "offerta imperdibile" in one["text"]


def test_the_source_is_printed_byte_for_byte(office: Office) -> None:
    argv = office.command.argv(
        "--config", office.folder / "archipec.toml", "show", sha256(NOTICE)[:8], "--source"
    )
    done = subprocess.run(argv, env=office.command.env, capture_output=True, check=True)
    assert done.stdout == NOTICE


def test_without_an_index_the_message_itself_is_read(tmp_path: Path) -> None:
    office = Office(tmp_path)
    office.put(NOTICE)
    office.archive("--no-index", "--no-seals")
    one = shown(office, sha256(NOTICE)[:8])
    assert [file["path"] for file in one["attachments"]] == [
        "Relazione.pdf",
        "delega.pdf.p7m",
        "allegati.zip",
    ]
    assert "già stata informata" in one["text"]
    assert not one["judged"] and one["certification"]["mittente"] == COMUNE


def test_what_names_nothing_or_several(tmp_path: Path) -> None:
    office = Office(tmp_path)
    assert "nothing was archived yet" in office.run("show", "abcd", expect=4).err
    office.put(NOTICE, ORDINARY)
    office.archive()
    assert (
        'no archived message is called "<qui@non.c-e>"' in office.run("show", "<qui@non.c-e>", expect=2).err
    )
    if sys.platform == "linux":  # an argument that is no text
        assert "no archived message is called" in office.run("show", "abcd\udcff", expect=2).err
    for option in ("--to", "--from"):
        command = "show" if option == "--to" else "get"
        assert (
            "is missing" in office.run(command, option, f"maildir:{tmp_path / 'none'}", "abcd", expect=4).err
        )


def test_hostile_names_steer_no_terminal(tmp_path: Path) -> None:
    office = Office(tmp_path)
    raw = received(
        "\x1b[31mrosso\u202e", "\x1b]0;titolo\x07 testo", attachments=[Attachment("\x1b[2Ja.txt", b"x")]
    )
    office.put(raw)
    office.archive()
    assert "\x1b" not in office.run("show", sha256(raw)[:8]).out
    assert "\u202e" not in office.run("show", sha256(raw)[:8]).out
    for words in (("show", sha256(raw)[:8]), ("search", "testo"), ("receipts",)):
        line = office.run(*words, "--json").out
        assert line.rstrip("\n").isprintable(), words
        assert "rosso\u202e" in json.dumps(json.loads(line), ensure_ascii=False), words


def test_what_an_archive_can_t_give_back_keeps_nothing_else(tmp_path: Path) -> None:
    office = Office(tmp_path)
    office.put(NOTICE, ORDINARY)
    office.archive()
    (lost,) = (
        path for path in (tmp_path / "PEC").rglob("*") if path.is_file() and path.read_bytes() == NOTICE
    )
    lost.unlink()
    done = office.run("get", sha256(NOTICE)[:8], sha256(ORDINARY)[:8], "--to", tmp_path / "out", expect=7)
    assert [path.read_bytes() for path in (tmp_path / "out").iterdir()] == [ORDINARY]
    assert "is no longer in" in done.err


# -- get -----------------------------------------------------------------------------------------------


def test_the_exact_bytes_come_out(office: Office, tmp_path: Path) -> None:
    done = office.run(
        "get", sha256(NOTICE)[:8], sha256(ORDINARY)[:8], "--to", tmp_path / "out", "--json"
    ).objects
    assert {Path(one["file"]).read_bytes() for one in done} == {NOTICE, ORDINARY}
    assert [one["sha256"] for one in done] == [sha256(NOTICE), sha256(ORDINARY)]
    if sys.platform != "win32":
        assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o700
        assert {stat.S_IMODE(Path(one["file"]).stat().st_mode) for one in done} == {0o600}
    again = office.run("get", sha256(NOTICE)[:8], "--to", tmp_path / "out").out
    assert len(list((tmp_path / "out").iterdir())) == 2, "what is there and equal stays as it is"
    assert again.startswith(sha256(NOTICE))


def test_a_sending_comes_out_whole(office: Office, tmp_path: Path) -> None:
    (transaction,) = office.run("receipts", "--json", "--direction", "out").objects
    done = office.run("get", transaction["identificativo"], "--to", tmp_path, "--json").objects
    assert {one["sha256"] for one in done} == {sha256(raw) for raw in RECEIPTS}


def test_attachments_come_out_with_safe_names(tmp_path: Path) -> None:
    office = Office(tmp_path)
    names = ["../../evil.txt", "con", "..\\..\\x.bat", "/etc/passwd", "atto.pdf", "atto.pdf"]
    raw = received(
        "Allegati", attachments=[Attachment(name, f"{n} {name}".encode()) for n, name in enumerate(names)]
    )
    office.put(raw)
    office.archive()
    out = tmp_path / "a" / "b" / "out"
    done = office.run("get", sha256(raw)[:8], "--attachments", "--to", out, "--json").objects
    assert len(done) == len(names)
    assert all(Path(one["file"]).parent == out for one in done)
    assert sorted(path.read_bytes() for path in out.iterdir()) == sorted(
        f"{n} {name}".encode() for n, name in enumerate(names)
    )
    assert office.run("get", sha256(raw)[:8], "--attachments", "--to", out, "--json").objects == done
    assert len(list(out.iterdir())) == len(names)
    assert not (tmp_path / "evil.txt").exists()
    assert {one.name for one in (tmp_path / "a").iterdir()} == {"b"}


def test_the_original_inside_comes_out(office: Office, tmp_path: Path) -> None:
    (done,) = office.run("get", sha256(NOTICE)[:8], "--inner", "--to", tmp_path, "--json").objects
    inside = parse_structure(NOTICE).postacert
    assert inside is not None
    assert Path(done["file"]).read_bytes() == inside.content()
    said = office.run("get", sha256(ORDINARY)[:8], "--inner", "--to", tmp_path, expect=3).err
    assert "has no original inside" in said


def test_into_any_archive_and_never_twice(office: Office, tmp_path: Path) -> None:
    for scheme in ("maildir", "mbox", "zip", "eml"):
        url = f"{scheme}:{tmp_path / scheme}"
        ids = (sha256(NOTICE)[:8], sha256(ORDINARY)[:8])
        assert [one["outcome"] for one in office.run("get", *ids, "--to", url, "--json").objects] == [
            "stored"
        ] * 2
        assert [one["outcome"] for one in office.run("get", *ids, "--to", url, "--json").objects] == [
            "already there"
        ] * 2
        checked = Archipec(tmp_path / "other-state")(
            "verify", "--to", url, "--no-seals", "--json", expect=None
        ).object
        assert (checked["ok"], checked["missing"], checked["altered"]) == (2, 0, 0), scheme
        # Nor does an archive run put what is there again.
        office.command("archive", "--from", f"eml:{office.folder / 'mail'}", "--to", url)
        checked = office.command(
            "verify", "--from", f"eml:{office.folder / 'mail'}", "--to", url, "--json"
        ).object
        assert (checked["ok"], checked["missing"], checked["altered"]) == (5, 0, 0), scheme


def test_an_archive_that_was_filled_before_is_not_filled_twice(office: Office, tmp_path: Path) -> None:
    """By another computer, whose ledger this one does not have."""
    url = f"mbox:{tmp_path / 'shared'}"
    Archipec(tmp_path / "elsewhere")("archive", "--from", f"eml:{office.folder / 'mail'}", "--to", url)
    office.run("get", sha256(NOTICE)[:8], "--to", url)
    office.command("archive", "--from", f"eml:{office.folder / 'mail'}", "--to", url)
    checked = Archipec(tmp_path / "third")("verify", "--to", url, "--no-seals", "--json", expect=None).object
    assert checked["ok"] == 5


def test_what_another_ledger_put_there_is_put_on_record(office: Office, tmp_path: Path) -> None:
    url = f"mbox:{tmp_path / 'shared'}"
    office.run("get", sha256(NOTICE)[:8], "--to", url)
    Archipec(tmp_path / "elsewhere")("archive", "--from", f"eml:{office.folder / 'mail'}", "--to", url)
    (done,) = office.run("get", sha256(ORDINARY)[:8], "--to", url, "--json").objects
    assert done["outcome"] == "already there"
    assert url in [copy["where"] for copy in shown(office, sha256(ORDINARY)[:8])["archives"]]


def test_files_and_a_url_at_once_make_no_sense(office: Office) -> None:
    assert "give a folder" in office.run("get", "abcd", "--inner", "--to", "mbox:x", expect=2).err
    assert "leave out --inner" in office.run("get", "abcd", "--inner", "--attachments", expect=2).err


def test_no_folder_is_made_for_attachments_that_are_not_there(office: Office, tmp_path: Path) -> None:
    done = office.run("get", sha256(ORDINARY)[:8], "--attachments", "--to", tmp_path / "out")
    assert "has no attachments" in done.err
    assert not (tmp_path / "out").exists()


# -- an archive alone ----------------------------------------------------------------------------------


@pytest.fixture(name="disk")
def _disk(office: Office, tmp_path: Path) -> Path:
    """A copy of the archive, on a disk that came without the ledger."""
    shutil.copytree(office.folder / "PEC", tmp_path / "disk")
    return tmp_path / "disk"


def test_a_copied_disk_is_read_without_its_ledger(office: Office, disk: Path, tmp_path: Path) -> None:
    stranger = Archipec(tmp_path / "state")
    trust = ("--trust", office.folder / "root.pem")
    one = stranger("show", sha256(NOTICE)[:8], "--to", f"maildir:{disk}", *trust, "--json").object
    assert one["certification"]["seal"]["status"] == "valid" and one["judged"]
    assert [copy["where"] for copy in one["archives"]] == [f"maildir:{disk}"]
    found = stranger("receipts", "--to", f"maildir:{disk}", *trust, "--json").objects
    known = office.run("receipts", "--json").objects
    assert [(one["status"], one["identificativo"]) for one in found] == [
        (one["status"], one["identificativo"]) for one in known
    ]
    (done,) = stranger(
        "get", sha256(NOTICE)[:8], "--from", f"maildir:{disk}", "--to", tmp_path / "out", "--json"
    ).objects
    assert Path(done["file"]).read_bytes() == NOTICE
    exported = stranger(
        "receipts", "--to", f"maildir:{disk}", *trust, "--export", tmp_path / "notifica", "istanza", "--json"
    ).object
    assert exported["complete"], exported


def test_one_that_the_ledger_knows_and_one_that_it_does_not(
    office: Office, disk: Path, tmp_path: Path
) -> None:
    stranger = Archipec(tmp_path / "state")
    stranger("get", sha256(NOTICE)[:8], "--from", f"maildir:{disk}", "--to", f"mbox:{tmp_path / 'known'}")
    urls = f"mbox:{tmp_path / 'known'}", f"maildir:{disk}"
    one = stranger("show", sha256(ORDINARY)[:8], "--to", urls[0], "--to", urls[1], "--json").object
    assert one["sha256"] == sha256(ORDINARY)
    stranger("get", sha256(ORDINARY)[:8], "--from", urls[0], "--from", urls[1], "--to", tmp_path / "out")
    (file,) = (tmp_path / "out").iterdir()
    assert file.read_bytes() == ORDINARY


def test_what_another_archive_holds_is_not_in_the_one_that_is_named(office: Office, tmp_path: Path) -> None:
    url = f"mbox:{tmp_path / 'one'}"
    office.run("get", sha256(NOTICE)[:8], "--to", url)
    assert shown(office, sha256(NOTICE)[:8], "--to", url)["sha256"] == sha256(NOTICE)
    for command, option in (("show", "--to"), ("get", "--from")):
        done = office.run(command, sha256(ORDINARY)[:8], option, url, expect=2)
        assert "no archived message is called" in done.err


def test_a_ledger_without_an_archive_says_that_nothing_was_archived(tmp_path: Path) -> None:
    office = Office(tmp_path)
    office.state.mkdir()
    with Ledger(office.state / "ledger.sqlite3"):
        pass
    assert "nothing was archived yet" in office.command("get", "abcd", expect=4).err


def test_whom_to_trust_decides_anew(office: Office, disk: Path, tmp_path: Path) -> None:
    stranger = Archipec(tmp_path / "state")
    words = ("show", sha256(NOTICE)[:8], "--to", f"maildir:{disk}", "--json")
    assert stranger(*words).object["certification"]["seal"]["status"] == "untrusted"
    trusted = stranger(*words, "--trust", office.folder / "root.pem").object
    assert trusted["certification"]["seal"]["status"] == "valid"


def test_what_changes_on_the_disk_is_noticed(office: Office, disk: Path, tmp_path: Path) -> None:
    stranger = Archipec(tmp_path / "state")
    words = ("show", "--to", f"maildir:{disk}", "--json")
    stranger(*words, sha256(NOTICE)[:8])
    new = received("Nuovo avviso", attachments=[])
    mail = tmp_path / "mail"
    mail.mkdir()
    (mail / "1.eml").write_bytes(new)
    Archipec(tmp_path / "third")("archive", "--from", f"eml:{mail}", "--to", f"maildir:{disk}")
    assert stranger(*words, sha256(new)[:8]).object["subject"] == "Nuovo avviso"
    for path in disk.rglob("*"):
        if path.is_file() and path.read_bytes() == NOTICE:
            path.unlink()
    done = stranger("get", sha256(NOTICE)[:8], "--from", f"maildir:{disk}", "--to", tmp_path, expect=7)
    assert "no archive holds" in done.err


def test_a_search_says_what_it_could_not_read(disk: Path, tmp_path: Path) -> None:
    for path in disk.rglob("*"):
        if path.is_file() and path.read_bytes() == ORDINARY:
            path.write_bytes(ORDINARY.swapcase())
    done = Archipec(tmp_path / "state")("search", "--to", f"maildir:{disk}", "--json")
    assert len(done.objects) == 4
    assert "1 message not found, as no sound copy was read" in done.err


# -- ids through a pipe ----------------------------------------------------------------------------------


def test_what_was_found_goes_into_another_archive_by_a_pipe(office: Office, tmp_path: Path) -> None:
    found = office.run("search", "accesso OR imperdibile", "--json").objects
    assert {one["sha256"] for one in found} == {sha256(raw) for raw in (ORIGINAL, *RECEIPTS, ORDINARY)}
    ids = "".join(f"{one['sha256']}\n" for one in found)
    url = f"zip:{tmp_path / 'found'}"
    words = ("archive", "--from", office.archive_url, "--to", url, "--only-ids")
    argv = office.command.argv(*words, "-", "--json")
    done = subprocess.run(argv, env=office.command.env, input=ids, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["stored"] == 4 and json.loads(done.stdout)["deselected"] == 1
    # An identificativo stands for the messages of its sending; what is there stays as it is.
    (transaction,) = office.run("receipts", "--json", "--direction", "out").objects
    (tmp_path / "ids").write_text(f"<{transaction['identificativo']}>\n{sha256(NOTICE)[:9]}\n", "utf-8")
    again = office.command(*words, tmp_path / "ids", "--json").object
    assert (again["stored"], again["failed"]) == (1, 0)
    checked = Archipec(tmp_path / "state")("verify", "--to", url, "--no-seals", "--json", expect=None).object
    assert checked["ok"] == 5
    (tmp_path / "ids").write_text("abcdef0123\n<nessuno@qui>\n", "utf-8")
    lost = office.command(*words, tmp_path / "ids", expect=3)
    assert "no message has a SHA-256 that begins with abcdef0123" in lost.err
    assert "no message has the Message-ID <nessuno@qui>" in lost.err
    (tmp_path / "ids").write_text("\n", "utf-8")
    assert "there is no id in it" in office.command(*words, tmp_path / "ids", expect=2).err
    (tmp_path / "ids").write_bytes(b"\xff\xfe\x00")
    assert "that is no text" in office.command(*words, tmp_path / "ids", expect=2).err


# -- names ---------------------------------------------------------------------------------------------


def test_the_beginning_of_several_hashes_is_refused_with_those_that_it_begins(tmp_path: Path) -> None:
    office = Office(tmp_path)
    # Of so many, two have their first four digits in common.
    messages = [b"Subject: %d\r\n\r\n" % number for number in range(400)]
    office.put(*messages)
    office.archive("--no-index")
    hashes = sorted(map(sha256, messages))
    one, other = next(pair for pair in pairwise(hashes) if pair[0][:4] == pair[1][:4])
    said = office.run("show", one[:4], expect=2).err
    assert f'begin with "{one[:4]}"' in said and one[:8] in said and other[:8] in said
    assert shown(office, one[:12])["sha256"] == one


def test_an_id_that_looks_like_the_beginning_of_a_hash_may_be_a_message_id(tmp_path: Path) -> None:
    office = Office(tmp_path)
    raw = b"Message-ID: <20250310093001>\r\nSubject: Cifre\r\n\r\n"
    office.put(raw)
    office.archive("--no-index")
    assert shown(office, "<20250310093001>")["sha256"] == sha256(raw)
