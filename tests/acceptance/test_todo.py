"""``archipec todo``: what needs a person over all pipelines, a line each, with the command that deals with it."""

from __future__ import annotations

import shlex
import sqlite3
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

import pytest

from archipec.custody import attention
from archipec.pec.transactions import Outcome, Transaction
from archipec.simulator import Authority
from testbed.boxes import Boxes, block, imap, set_back
from testbed.command import Archipec
from testbed.office import Office, sending
from testbed.scripted_imap import Box, ScriptedImap, a_message


@pytest.fixture
def archipec(tmp_path: Path) -> Archipec:
    return Archipec(tmp_path / "state", {"PEC_PASSWORD": "x"})


@pytest.fixture
def boxes(archipec: Archipec, tmp_path: Path) -> Boxes:
    return Boxes(archipec, tmp_path / "archipec.toml")


@pytest.fixture
def mail(tmp_path: Path) -> Path:
    folder = tmp_path / "mail"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.eml").write_bytes(a_message(number))
    return folder


def kinds(found: list[dict[str, object]]) -> list[tuple[object, object]]:
    return [(one["pipeline"], one["kind"]) for one in found]


def eml(name: str, mail: Path, tmp_path: Path, more: str = "") -> str:
    return block(name, f'type = "eml"\npath = "{mail}"', tmp_path / f"PEC-{name}", more)


def test_nothing_to_do_is_exit_code_0(boxes: Boxes, mail: Path, tmp_path: Path) -> None:
    boxes.write(eml("studio", mail, tmp_path))
    boxes("archive")
    result = boxes("todo")
    assert (result.out, result.err) == ("", "nothing to do\n")
    assert boxes("todo", "studio", "--json").objects == []
    assert 'unknown pipeline "studoi"' in boxes("todo", "studoi", expect=4).err


def test_what_failed_is_there_with_the_command_that_deals_with_it(
    boxes: Boxes, mail: Path, tmp_path: Path
) -> None:
    with ScriptedImap({b"INBOX": Box.of([a_message(1)])}, tmp_path / "tls") as server:
        ca_file = server.certificate.ca_file
        (tmp_path / "wrong").write_text("not it")
        (tmp_path / "wrong").chmod(0o600)
        boxes.write(
            eml("good", mail, tmp_path),
            block("nowhere", imap(993, ca_file, host="imaps.nope.invalid"), tmp_path / "C"),
            block("wrong", imap(server.port, ca_file, f"file:{tmp_path / 'wrong'}"), tmp_path / "B"),
            eml("new", mail, tmp_path),
        )
        boxes("archive", "good", "nowhere", "wrong", expect=6)
    found = boxes.todo()
    assert kinds(found) == [("wrong", "login-refused"), ("nowhere", "failed"), ("new", "never-ran")]
    assert [one["command"] for one in found] == [["archive", name] for name in ("wrong", "nowhere", "new")]
    assert "imaps.nope.invalid" in found[1]["text"] and found[1]["since"]
    result = boxes("todo", expect=3)
    assert len(result.out.splitlines()) == 3 and "3 things to do" in result.err
    assert boxes("todo", "wrong", expect=3).out.startswith("wrong: ")
    # The command that is named is one.
    _, _, command = result.out.splitlines()[2].partition("  -> ")
    program, *words = shlex.split(command)
    assert Path(program).name == "archipec"
    assert words[:4] == ["--config", str(boxes.path), "--state", str(boxes.archipec.state)]
    boxes.archipec(*words)
    assert kinds(boxes.todo()) == kinds(found)[:2]


def test_an_ad_hoc_run_that_failed_is_repeated_where_it_was_typed(archipec: Archipec, tmp_path: Path) -> None:
    source, sink = f"eml:{tmp_path / 'nope'}", f"maildir:{tmp_path / 'A'}"
    archipec("archive", "--from", source, "--to", sink, expect=4)
    (one,) = archipec("todo", "--json", expect=3).objects
    assert (one["kind"], one["command"]) == ("failed", ["archive", "--from", source, "--to", sink])
    assert Path(one["folder"]).is_dir()


def test_copies_archives_and_ages(boxes: Boxes, mail: Path, tmp_path: Path) -> None:
    boxes.write(eml("studio", mail, tmp_path), eml("other", mail, tmp_path))
    boxes("archive")
    assert boxes("todo").out == ""
    first, second, _ = sorted((tmp_path / "PEC-studio").rglob("cur/*"))
    first.write_bytes(b"x" + first.read_bytes()[1:])
    second.unlink()
    boxes("verify", "studio", expect=7)
    found = boxes.todo()
    assert ("studio", "copy-altered") in kinds(found) and ("studio", "copy-missing") in kinds(found)
    (altered,) = (one for one in found if one["kind"] == "copy-altered")
    assert (altered["about"], altered["command"]) == (
        f"maildir:{tmp_path / 'PEC-studio'}",
        ["archive", "studio"],
    )
    boxes(*altered["command"], expect=None)
    boxes("verify", "studio", expect=None)
    (tmp_path / "PEC-other").rename(tmp_path / "away")
    assert ("other", "archive-gone") in kinds(boxes.todo())
    (tmp_path / "away").rename(tmp_path / "PEC-other")
    set_back(boxes.archipec.state, 30)
    assert ("other", "long-ago") in kinds(boxes.todo())


def test_a_full_mailbox(boxes: Boxes, mail: Path, tmp_path: Path) -> None:
    boxes.write(eml("studio", mail, tmp_path))
    boxes("archive")
    for used, text in ((60, None), (75, "75 % full"), (95, "95 % full")):
        with closing(sqlite3.connect(boxes.archipec.state / "ledger.sqlite3")) as db:
            db.execute("UPDATE run SET quota_used = ?, quota_limit = 100", (used,))
            db.commit()
        found = boxes.todo(expect=3 if text else 0)
        assert [one["kind"] for one in found] == (["mailbox-full"] if text else [])
        assert all(text in one["text"] and one["command"][:2] == ["prune", "studio"] for one in found if text)


def test_deposits_that_nobody_confirms(boxes: Boxes, mail: Path, tmp_path: Path) -> None:
    (tmp_path / "versamenti").mkdir()
    deposit = (
        f'[[pipeline.sink]]\ntype = "conservation-directory"\npath = "{tmp_path / "versamenti"}"\n'
        f'outbox = "{tmp_path / "outbox"}"\nwait = 0\n'
    )
    boxes.write(eml("studio", mail, tmp_path) + deposit)
    boxes("archive")
    assert boxes("todo").out == ""
    set_back(boxes.archipec.state, 40)
    boxes("archive")  # the box itself is up to date
    found = [one for one in boxes.todo() if one["kind"] == "no-report"]
    assert found and all(one["command"] == ["settle", "studio"] for one in found)
    with closing(sqlite3.connect(boxes.archipec.state / "ledger.sqlite3")) as db:
        db.execute("UPDATE copy SET state = 'rejected', reason = 'FORMATO-001' WHERE state = 'pending'")
        db.commit()
    (rejected,) = (one for one in boxes.todo() if one["kind"] == "rejected")
    assert "3 copies rejected" in rejected["text"] and "FORMATO-001" in rejected["text"]


def test_messages_that_could_not_be_read_say_why(boxes: Boxes, mail: Path, tmp_path: Path) -> None:
    (mail / "broken.eml").symlink_to(mail / "nowhere.eml")
    boxes.write(eml("studio", mail, tmp_path))
    boxes("archive", expect=3)
    (one,) = boxes.todo()
    assert one["kind"] in {"left-out", "not-stored"}
    assert "1 message" in one["text"] and one["about"] and one["about"] in one["text"]


def test_what_expires(boxes: Boxes, mail: Path, tmp_path: Path) -> None:
    today = date.today()  # noqa: DTZ011  a person's day
    authority = Authority(seed=7)
    (tmp_path / "root.pem").write_text(authority.root_pem)

    def write(credentials: int, export: int) -> None:
        lines = [
            f"credentials_expire = {today + timedelta(days=credentials)}",
            f"export_expires = {today + timedelta(days=export)}",
            f'trust = ["{tmp_path / "root.pem"}"]',
        ]
        boxes.write(eml("studio", mail, tmp_path, "\n".join(lines)))

    write(40, 40)
    boxes("archive", "--dry-run")
    assert "export-expires" not in [one["kind"] for one in boxes.todo(expect=None)]
    write(5, 5)
    found = {one["kind"]: one for one in boxes.todo()}
    assert str(today + timedelta(days=5)) in found["credentials-expire"]["text"]
    assert found["export-expires"]["command"] == ["archive", "studio"]
    boxes("archive")
    assert [one["kind"] for one in boxes.todo()] == ["credentials-expire"]
    write(-3, 40)
    assert "expired on" in boxes.todo()[0]["text"]


def test_receipts_that_did_not_come_until_they_are_handled(tmp_path: Path) -> None:
    office = Office(tmp_path)
    _, (acceptance, _) = sending("Diffida")
    office.put(acceptance)
    office.archive()
    (one,) = office.run("todo", "--json", expect=3).objects
    assert (one["kind"], one["pipeline"]) == ("receipt", "studio")
    assert "Diffida" in one["text"] and "missing" in one["text"]
    assert one["command"][:2] == ["receipts", "--handled"]
    office.run(*("telefonato" if word == "TEXT" else word for word in one["command"]))
    assert office.run("todo", "--json").objects == []


def test_receipts_of_an_ad_hoc_run_are_looked_for_in_its_archive(tmp_path: Path) -> None:
    """Without its name the command looks through the archives of the configuration."""
    office = Office(tmp_path)
    (tmp_path / "mail").mkdir()
    office.archive()
    other = tmp_path / "other"
    other.mkdir()
    _, (acceptance, _) = sending("Diffida")
    (other / "1.eml").write_bytes(acceptance)
    source, sink = f"eml:{other}", f"maildir:{tmp_path / 'PEC-other'}"
    office.run("archive", "--from", source, "--to", sink, "--trust", tmp_path / "root.pem")
    (one,) = (each for each in office.run("todo", "--json", expect=3).objects if each["kind"] == "receipt")
    assert one["command"][:3] == ["receipts", "--to", sink]
    office.run(*("telefonato" if word == "TEXT" else word for word in one["command"]))
    assert "receipt" not in [each["kind"] for each in office.run("todo", "--json", expect=None).objects]


def test_what_came_from_one_s_own_mailbox_is_dealt_with_by_its_direction() -> None:
    """Sent and received it has one name, and without a direction the command means what was sent."""
    commands = {
        direction: attention._of_transaction(
            "studio",
            Transaction(
                direction=direction,
                status=Outcome.UNPROVEN,
                identificativo="opec1",
                msgid="",
                date=None,
                mittente="a@pec.example",
                oggetto="Diffida",
            ),
        ).command
        for direction in ("in", "out")
    }
    assert commands["in"] == ("receipts", "--direction", "in", "--handled", "opec1", "--note", "TEXT")
    assert commands["out"] == ("receipts", "--handled", "opec1", "--note", "TEXT")


def test_a_mistake_in_the_configuration_does_not_hide_the_rest(
    boxes: Boxes, mail: Path, tmp_path: Path
) -> None:
    boxes.write(eml("studio", mail, tmp_path))
    boxes("archive")
    set_back(boxes.archipec.state, 30)
    boxes.path.write_text("[[pipeline]\n")
    result = boxes("todo", expect=4)
    assert "error: " in result.err
