"""What failed is on record and `status` says so; what did nothing says that it did nothing. By the public commands."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from archipec.simulator import mailbox, shared_authority
from testbed.boxes import Boxes, block, imap, set_back
from testbed.command import Archipec
from testbed.scripted_imap import Box, ScriptedImap, a_message


@pytest.fixture
def archipec(tmp_path: Path) -> Archipec:
    return Archipec(tmp_path / "state", {"PEC_PASSWORD": "x"})


@pytest.fixture
def source(tmp_path: Path) -> str:
    folder = tmp_path / "mail"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.eml").write_bytes(a_message(number))
    return f"eml:{folder}"


@pytest.fixture
def office(archipec: Archipec, tmp_path: Path) -> Boxes:
    return Boxes(archipec, tmp_path / "archipec.toml")


# -- what failed -----------------------------------------------------------------------------------------


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def test_each_box_that_failed_says_why_and_the_others_are_not_held_up(office: Boxes, tmp_path: Path) -> None:
    with ScriptedImap({b"INBOX": Box.of([a_message(1)])}, tmp_path / "tls") as server:
        ca_file = server.certificate.ca_file
        (tmp_path / "wrong").write_text("not it")
        (tmp_path / "wrong").chmod(0o600)
        office.write(
            block("no-secret", imap(server.port, ca_file, "env:NOT_SET"), tmp_path / "A"),
            block("wrong", imap(server.port, ca_file, f"file:{tmp_path / 'wrong'}"), tmp_path / "B"),
            block("nowhere", imap(993, ca_file, host="imaps.nope.invalid"), tmp_path / "C"),
            block("gone", f'type = "eml"\npath = "{tmp_path / "PEK"}"', tmp_path / "D"),
            block("good", imap(server.port, ca_file), tmp_path / "E"),
        )
        result = office("archive", expect=6)
    codes = {"no-secret": 4, "wrong": 6, "nowhere": 5, "gone": 4, "good": 0}
    assert [line.partition(":")[0] for line in result.out.splitlines() if not line.startswith(" ")] == list(
        codes
    )
    for name, code in codes.items():
        assert bool(code) is (f"error: {name}: " in result.err)
        assert bool(code) is bool(
            re.search(rf"^{name}: failed: .*exit code {code}\)$", result.out, re.MULTILINE)
        )
    shown = office.status(expect=6)
    assert list(shown) == list(codes)
    for name, code in codes.items():
        assert (shown[name]["exit_code"], shown[name]["last_try"]["exit_code"]) == (code, code)
        assert shown[name]["last_try"]["command"] == "archive"
        assert bool(shown[name]["error"]) is bool(code) is (shown[name]["last_success"] is None)
    assert "NOT_SET" in shown["no-secret"]["error"][0]
    assert "imaps.nope.invalid" in shown["nowhere"]["error"][0]
    assert (shown["good"]["messages"], shown["good"]["sinks"][0]["held"]) == (1, 1)
    for name, code in codes.items():
        text = office("status", name, expect=code).out
        assert all(line in text for line in shown[name]["error"])
    assert "failed with exit code 6" in office("status", "wrong", expect=6).out


def test_errors_and_objects_in_json_name_their_pipeline(office: Boxes, tmp_path: Path) -> None:
    office.write(
        block("one", f'type = "eml"\npath = "{tmp_path / "PEK"}"', tmp_path / "A"),
        block("two", imap(993, tmp_path / "ca.pem", "env:NOT_SET"), tmp_path / "B"),
    )
    for command in ("archive", "prune", "verify"):
        result = office(command, "--json", expect=None)
        assert result.code
        errors = [json.loads(line) for line in result.err.splitlines()]
        assert [one["pipeline"] for one in result.objects] == ["one", "two"]
        assert {one["pipeline"] for one in errors} == {"one", "two"}
        assert all(one["error"] and one["exit_code"] for one in (*result.objects, *errors))


def test_a_success_puts_a_failure_right(archipec: Archipec, source: str, tmp_path: Path) -> None:
    folder = Path(source.removeprefix("eml:"))
    to = ("--to", f"maildir:{tmp_path / 'A'}", "--no-seals")
    archipec("archive", "--from", source, *to)
    folder.rename(tmp_path / "away")
    archipec("archive", "--from", source, *to, expect=4)
    shown = archipec("status", "--json", expect=4).object
    assert shown["last_success"] < shown["last_try"]["started"] or shown["last_success_age"] >= 0
    assert (shown["exit_code"], shown["never_worked"], shown["sinks"][0]["held"]) == (4, False, 3)
    (tmp_path / "away").rename(folder)
    archipec("archive", "--from", source, *to)
    shown = archipec("status", "--json").object
    assert (shown["error"], shown["last_try"]["exit_code"]) == ([], 0)


def test_a_configuration_with_a_mistake_is_a_failure_of_each_pipeline_in_it(
    office: Boxes, source: str, tmp_path: Path
) -> None:
    good = block("studio", f'type = "eml"\npath = "{source.removeprefix("eml:")}"', tmp_path / "A")
    office.write(good)
    office("archive")
    office.write(good.replace('type = "eml"', 'typ = "eml"'))
    office("archive", expect=4)
    result = office("status", "--json", expect=4)
    (shown,) = result.objects
    assert (shown["pipeline"], shown["exit_code"], shown["sinks"][0]["held"]) == ("studio", 4, 3)
    assert "type" in shown["error"][0]
    assert "type" in result.err
    office.write(good.replace("[[pipeline]]", "[[pipeline"))
    office("archive", expect=4)
    assert office("status", "--json", expect=4).object["error"] != shown["error"]
    office.write(good)
    assert office("status", "studio", expect=4).out.count("failed with exit code 4") == 1
    office("archive")
    assert office.status(expect=0)["studio"]["error"] == []


def test_a_lock_that_is_held_is_a_try_too(archipec: Archipec, source: str, tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    to = ("--to", f"maildir:{tmp_path / 'A'}", "--no-seals")
    archipec("archive", "--from", source, *to)
    (lock,) = (tmp_path / "A").glob(".archipec.lock")
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        archipec("archive", "--from", source, *to, expect=5)
    shown = archipec("status", "--json", expect=5).object
    assert "in use by another run" in shown["error"][0]


@pytest.mark.parametrize("command", ["verify", "prune", "settle", "archive"])
def test_every_command_that_fails_is_on_record(
    office: Boxes, source: str, tmp_path: Path, command: str
) -> None:
    prune = '[pipeline.prune]\nolder_than = "0d"\n'
    one = block("studio", f'type = "eml"\npath = "{source.removeprefix("eml:")}"', tmp_path / "A") + prune
    office.write(one)
    office("archive")
    if command == "settle":
        # Only what is not confirmed is asked about.
        with closing(sqlite3.connect(office.archipec.state / "ledger.sqlite3")) as db:
            db.execute("UPDATE copy SET state = 'pending'")
            db.commit()
    (tmp_path / "A").rename(tmp_path / "B")
    code = office(command, *(["--yes"] if command == "prune" else []), expect=None).code
    assert code in {4, 5, 8}
    shown = office.status(expect=None)["studio"]
    assert shown["last_try"]["command"].startswith(command)
    assert (shown["last_try"]["exit_code"], shown["exit_code"]) == (code, code)
    assert "not in its place" in " ".join(shown["error"]) or command == "prune"


def test_what_was_killed_did_not_end(archipec: Archipec, tmp_path: Path) -> None:
    asked, let_go = threading.Event(), threading.Event()

    def hold_back(_tag: bytes, name: bytes) -> None:
        asked.set()
        assert let_go.wait(60)

    with ScriptedImap({b"INBOX": Box.of([a_message(1)])}, tmp_path / "tls", select=hold_back) as server:
        process = archipec.start("archive", "--from", server.url(), "--to", f"maildir:{tmp_path / 'A'}")
        assert asked.wait(60)
        running = archipec("status", "--json").object
        assert (running["last_try"]["running"], running["last_try"]["exit_code"]) == (True, None)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        let_go.set()
    for _ in range(2):
        result = archipec("status", "ad-hoc", expect=3)
        assert "did not end" in result.out and "it was killed" in result.out
    shown = archipec("status", "--json", expect=3).object
    assert (shown["last_try"]["running"], shown["exit_code"], shown["last_success"]) == (False, 3, None)
    assert not list((archipec.state / "locks").glob("attempt-*"))


# -- what never ran, is old, or is gone ------------------------------------------------------------------


def test_a_pipeline_that_never_ran_is_listed(office: Boxes, source: str, tmp_path: Path) -> None:
    office.write(block("nuovo", f'type = "eml"\npath = "{source.removeprefix("eml:")}"', tmp_path / "A"))
    result = office("status", "nuovo", expect=3)
    assert "nuovo" in result.out and "never" in result.out and "nuovo: it never ran" in result.err
    shown = office.status("nuovo", expect=3)["nuovo"]
    assert (shown["last_try"], shown["last_success"], shown["exit_code"]) == (None, None, 3)
    office("archive")
    office("status")


def test_a_last_success_that_is_old_is_said(office: Boxes, source: str, tmp_path: Path) -> None:
    office.write(block("studio", f'type = "eml"\npath = "{source.removeprefix("eml:")}"', tmp_path / "A"))
    office("archive")
    office("status", "--max-age", "1h")
    set_back(office.archipec.state, 6)
    office("status")
    assert "its last success is 6 days old" in office("status", "studio", "--max-age", "2d", expect=3).err
    office("status", "--max-age", "1w")
    set_back(office.archipec.state, 24)
    result = office("status", "studio", expect=3)
    assert "studio: its last success is 30 days old" in result.err and "30 days ago" in result.out
    assert office.status(expect=3)["studio"]["last_success_age"] >= 30 * 86_400
    office("archive")
    office("status")
    office("status", "--max-age", "soon", expect=2)


def test_files_that_were_archived_once_are_not_too_old(
    archipec: Archipec, source: str, tmp_path: Path
) -> None:
    archipec("archive", "--from", source, "--to", f"maildir:{tmp_path / 'A'}")
    set_back(archipec.state, 400)
    archipec("status")
    archipec("status", "--max-age", "365d", expect=3)


@pytest.mark.parametrize("how", ["deleted", "emptied", "another", "a file"])
def test_an_archive_that_is_gone_is_said(archipec: Archipec, source: str, tmp_path: Path, how: str) -> None:
    root = tmp_path / "A"
    archipec("archive", "--from", source, "--to", f"maildir:{root}", "--no-seals")
    archipec("status")
    root.rename(tmp_path / "B")
    if how == "emptied":
        root.mkdir()
    elif how == "another":
        archipec("--state", tmp_path / "other", "archive", "--from", source, "--to", f"maildir:{root}")
    elif how == "a file":
        root.write_text("")
    result = archipec("status", "ad-hoc", expect=3)
    assert f"the archive maildir:{root} is not there" in result.err
    assert "is not there" in result.out
    shown = archipec("status", "--json", expect=3).object
    assert "is not there" in shown["sinks"][0]["problem"]
    assert shown["sinks"][0]["held"] == 3


def test_an_archive_that_was_moved_and_is_used_there_is_no_alarm(
    archipec: Archipec, source: str, tmp_path: Path
) -> None:
    archipec("archive", "--from", source, "--to", f"maildir:{tmp_path / 'A'}", "--no-seals")
    (tmp_path / "A").rename(tmp_path / "B")
    archipec("archive", "--from", source, "--to", f"maildir:{tmp_path / 'B'}", "--no-seals")
    result = archipec("status", "ad-hoc")
    assert f"was moved to {tmp_path / 'B'}" in result.out


def test_a_deposit_that_nobody_confirms_raises_an_alarm(
    archipec: Archipec, source: str, tmp_path: Path
) -> None:
    (tmp_path / "versamenti").mkdir()
    to = f"conservation+directory:{tmp_path / 'versamenti'}"
    archipec("archive", "--from", source, "--to", to, "--no-seals")
    set_back(archipec.state, 1)
    shown = archipec("status", "--json").object
    assert shown["sinks"][0]["pending"] == 3
    assert shown["sinks"][0]["pending_since"] is not None
    set_back(archipec.state, 399)
    result = archipec("status", "ad-hoc", expect=3)
    assert "has waited for a confirmation for 400 days" in result.err
    assert "the oldest has waited for 400 days" in result.out


# -- names, ghosts ---------------------------------------------------------------------------------------


def test_an_unknown_name_is_refused_and_the_known_ones_named(
    office: Boxes, source: str, tmp_path: Path
) -> None:
    office.write(block("studio", f'type = "eml"\npath = "{source.removeprefix("eml:")}"', tmp_path / "A"))
    office.archipec("archive", "--from", source, "--to", f"maildir:{tmp_path / 'B'}")
    result = office("status", "studoi", expect=4)
    assert 'unknown pipeline "studoi"' in result.err
    assert '"studio"' in result.err
    assert "studio, ad-hoc" in result.err
    assert office("status", "ad-hoc").out.startswith("ad-hoc: ")
    assert "unknown pipeline" in office.archipec("--state", tmp_path / "new", "status", "x", expect=4).err


def test_sources_that_never_worked_come_last_and_stop_counting_once_one_did(
    archipec: Archipec, source: str, tmp_path: Path
) -> None:
    to = ("--to", f"maildir:{tmp_path / 'A'}", "--no-seals")
    archipec("archive", "--from", f"eml:{tmp_path / 'AAA'}", *to, expect=4)
    assert "(never worked)" in archipec("status", "ad-hoc", expect=4).out
    archipec("archive", "--from", source, *to)
    first, last = archipec("status", "--json").objects
    assert (first["never_worked"], first["counts"], first["exit_code"]) == (False, True, 0)
    assert (last["never_worked"], last["counts"], last["exit_code"]) == (True, False, 0)
    assert last["last_try"]["exit_code"] == 4


def test_what_the_configuration_no_longer_has_does_not_count(
    office: Boxes, source: str, tmp_path: Path
) -> None:
    good = block("studio", f'type = "eml"\npath = "{source.removeprefix("eml:")}"', tmp_path / "A")
    office.write(block("old", f'type = "eml"\npath = "{tmp_path / "PEK"}"', tmp_path / "B"), good)
    office("archive", expect=4)
    office("status", expect=4)
    office.write(good)
    shown = office.status(expect=0)
    assert list(shown) == ["studio", "old"]
    assert (shown["old"]["configured"], shown["studio"]["configured"]) == (False, True)


# -- what did nothing ------------------------------------------------------------------------------------


def test_verify_says_when_nothing_was_ever_archived(office: Boxes, tmp_path: Path) -> None:
    with ScriptedImap({b"INBOX": Box.of([])}, tmp_path / "tls", password="another") as server:
        office.write(block("box17", imap(server.port, server.certificate.ca_file), tmp_path / "A"))
        result = office("verify", expect=3)
        assert "nothing was ever archived" in result.out and "0 copies" not in result.out
        assert not (tmp_path / "A").exists()
        office("archive", expect=6)
        result = office("verify", "box17", "--json", expect=3)
        assert "nothing was ever archived" in result.object["error"][0]
        server.password = "x"
        office("archive")
    assert "0 copies read back" in office("verify").out  # the mailbox was empty, which is no failure


def test_verify_says_which_of_the_archives_has_nothing(
    archipec: Archipec, source: str, tmp_path: Path
) -> None:
    one, two = f"maildir:{tmp_path / 'A'}", f"mbox:{tmp_path / 'B'}"
    archipec("archive", "--from", source, "--to", one, "--no-seals")
    result = archipec("verify", "--from", source, "--to", one, "--to", two, "--no-seals", expect=3)
    assert "3 copies read back, 3 intact" in result.out
    assert f"nothing was ever archived in {two}" in result.err


@pytest.mark.parametrize("arguments", [("verify",), ("archive", "--dry-run", "--from")])
def test_what_is_not_there_is_an_error_alone(
    archipec: Archipec, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    result = archipec(
        *arguments,
        *([f"eml:{tmp_path / 'no'}"] if len(arguments) > 1 else []),
        "--to",
        f"maildir:{tmp_path / 'A'}",
        expect=4,
    )
    assert "0 copies" not in result.out and "would be stored" not in result.out
    assert "error: " in result.err
    (tmp_path / "A").mkdir(exist_ok=True)
    result = archipec("verify", "--to", f"maildir:{tmp_path / 'A'}", expect=4)
    assert "0 copies" not in result.out


# -- after an ad hoc run ---------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path: Path, archipec: Archipec, source: str) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*arguments: object, folder: Path = tmp_path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            archipec.argv(*arguments),
            env=archipec.env | {"XDG_CONFIG_HOME": str(tmp_path / "config"), "HOME": str(tmp_path)},
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_verify_and_receipts_go_by_the_last_ad_hoc_run(
    here: Callable[..., subprocess.CompletedProcess[str]], archipec: Archipec, source: str, tmp_path: Path
) -> None:
    nothing = here("verify")
    assert nothing.returncode == 4
    assert here("archive", "--from", source, "--to", "maildir:A dir").returncode == 0
    for command in ("verify", "receipts", "settle"):
        done = here(command)
        assert done.returncode in {0, 3}, done.stderr
        assert "taking the last ad hoc run" in done.stderr and "A%20dir" in done.stderr
    assert "3 copies read back, 3 intact" in here("verify").stdout
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = here("verify", folder=elsewhere)
    assert done.returncode == 4
    command = done.stderr.partition("type: ")[2].strip()
    assert command.startswith(f"cd {tmp_path} && ")
    assert command.endswith(f"archipec verify --from {source} --to 'maildir:A dir'")
    assert not list(elsewhere.iterdir())
    state = {**os.environ, "ARCHIPEC_STATE": str(archipec.state)}
    typed = subprocess.run(
        command, shell=True, cwd=elsewhere, env=state, capture_output=True, text=True, check=False
    )
    assert typed.returncode == 0, typed.stderr
    for refused in ("archive", "prune"):
        done = here(refused)
        assert done.returncode == 4
        assert f"archipec {refused} --from {source} --to 'maildir:A dir'" in done.stderr


def test_the_ambiguous_export_is_a_list(archipec: Archipec, tmp_path: Path) -> None:
    folder = tmp_path / "mail"
    folder.mkdir()
    for number, sample in enumerate(mailbox(60, seed=5, size=3000)):
        (folder / f"{number}.eml").write_bytes(sample.raw)
    (tmp_path / "root.pem").write_text(shared_authority().root_pem)
    to = ("--to", f"maildir:{tmp_path / 'A'}")
    archipec("archive", "--from", f"eml:{folder}", *to, "--trust", tmp_path / "root.pem")
    result = archipec("receipts", *to, "--export", tmp_path / "out", "e", expect=2)
    assert "sent messages fit" in result.err
    assert "\\n" not in result.err
    assert len([line for line in result.err.splitlines() if line.startswith("error: ")]) > 2


def test_help_lists_the_groups(archipec: Archipec) -> None:
    text = " ".join(archipec("archive", "--help").out.split())
    assert "envelopes, receipts, acceptances, deliveries, certified, uncertified, sent-certified" in text


# -- files -----------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name != "posix", reason="Windows has other permissions")
def test_nobody_else_may_look_into_the_state_folder(archipec: Archipec, source: str, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        archipec("archive", "--from", source, "--to", f"maildir:{tmp_path / 'A'}", "--no-seals")
        archipec("verify", "--from", source, "--to", f"maildir:{tmp_path / 'A'}")
    finally:
        os.umask(before)
    for path in [archipec.state, *archipec.state.rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


def test_without_a_name_it_is_a_line_a_box_and_their_totals(
    office: Boxes, source: str, tmp_path: Path
) -> None:
    mail = f'type = "eml"\npath = "{source.removeprefix("eml:")}"'
    office.write(
        *(block(f"box{number}", mail, tmp_path / f"A{number}") for number in range(4)),
        block("gone", f'type = "eml"\npath = "{tmp_path / "PEK"}"', tmp_path / "D"),
        block("new", mail, tmp_path / "E"),
    )
    office("archive", "box0", "box1", "box2", "box3", "gone", expect=4)
    result = office("status", expect=4)
    *lines, totals = result.out.splitlines()
    assert [line.split()[0] for line in lines] == ["box0", "box1", "box2", "box3", "gone", "new"]
    assert "PEK" in lines[4] and "failed (4)" in lines[4] and "it never ran" in lines[5]
    assert all("ok" in line and "3 messages" in line for line in lines[:4])
    assert totals.startswith("6 pipelines: 1 failed, 1 with warnings; 12 copies in 4 archives")
    assert result.err == ""
    # Details by name.
    assert f"archive    maildir:{tmp_path / 'A0'}" in office("status", "box0").out


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("archive", "--message-id", "<nope@x>"), 3),
        (("archive", "--folder", "NOPE*"), None),
        (("archive", "--since", "2027"), None),
        (("verify",), 3),
        (("status", "pippo"), 4),
        (("todo", "pippo"), 4),
        (("runs", "pippo"), 4),
        (("forget", "pippo"), 4),
    ],
)
def test_what_did_nothing_says_so(
    office: Boxes, source: str, tmp_path: Path, command: tuple[str, ...], code: int | None
) -> None:
    """Not a word and exit code 0 would be taken for success."""
    office.write(block("studio", f'type = "eml"\npath = "{source.removeprefix("eml:")}"', tmp_path / "A"))
    result = office(*command, expect=code)
    assert result.err.strip(), result
    assert not (tmp_path / "A").exists()
