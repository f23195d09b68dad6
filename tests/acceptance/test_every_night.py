"""archipec without a person: nothing said on a good night, a log, many pipelines side by side, each failure named."""

from __future__ import annotations

import json
import logging
import os
import signal
import stat
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from archipec.cli.logs import _Masked
from archipec.cli.running import _uses
from archipec.config.pipeline import ad_hoc
from archipec.plugins.registry import Registry
from testbed.boxes import Boxes, block, imap
from testbed.command import Archipec
from testbed.scripted_imap import Box, ScriptedImap, a_message


@pytest.fixture
def boxes(tmp_path: Path) -> Boxes:
    return Boxes(Archipec(tmp_path / "state", {"PEC_PASSWORD": "x"}), tmp_path / "archipec.toml")


@pytest.fixture
def mail(tmp_path: Path) -> Path:
    folder = tmp_path / "mail"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.eml").write_bytes(a_message(number))
    return folder


def eml(name: str, folder: Path, sink: Path) -> str:
    return block(name, f'type = "eml"\npath = "{folder}"', sink)


def copies(root: Path) -> int:
    return sum(1 for one in root.rglob("cur/*"))


# -- what is said ----------------------------------------------------------------------------------------


def test_a_good_night_says_nothing_and_a_bad_one_names_what_failed(
    boxes: Boxes, mail: Path, tmp_path: Path
) -> None:
    good = [eml(f"box{number}", mail, tmp_path / f"A{number}") for number in range(3)]
    boxes.write(*good)
    for command in (("archive",), ("archive",), ("verify",), ("status",), ("todo",), ("settle",)):
        result = boxes("--quiet", *command)
        assert (result.out, result.err) == ("", ""), command
    boxes.write(*good, eml("bad", tmp_path / "PEK", tmp_path / "D"))
    result = boxes("-q", "archive", expect=4)
    assert result.out.startswith("bad: failed: ") and "box" not in result.out
    assert "error: bad: " in result.err and "PEK" in result.err
    shown = boxes("-q", "status", expect=4)
    assert shown.out.startswith("bad ") and "box0" not in shown.out


def test_a_server_that_is_tried_again_is_not_worth_a_word(boxes: Boxes, tmp_path: Path) -> None:
    """A connection that is cut once is put right by itself."""
    cut = threading.Event()

    def greeting(_number: int) -> bytes:
        if not cut.is_set():
            cut.set()
            return b"* BYE not now\r\n"
        return b"* OK ready\r\n"

    with ScriptedImap({b"INBOX": Box.of([a_message(1)])}, tmp_path / "tls", greeting=greeting) as server:
        boxes.write(block("one", imap(server.port, server.certificate.ca_file), tmp_path / "A"))
        log = tmp_path / "log"
        result = boxes("--quiet", "--log-file", log, "archive")
    assert cut.is_set() and (result.out, result.err) == ("", "")
    assert "trying again" in log.read_text()


def test_several_exit_codes_are_all_in_the_summary(boxes: Boxes, mail: Path, tmp_path: Path) -> None:
    with ScriptedImap({b"INBOX": Box.of([a_message(1)])}, tmp_path / "tls") as server:
        ca_file = server.certificate.ca_file
        (tmp_path / "wrong").write_text("not it")
        (tmp_path / "wrong").chmod(0o600)
        boxes.write(
            eml("one", mail, tmp_path / "A"),
            block("box17", imap(server.port, ca_file, f"file:{tmp_path / 'wrong'}"), tmp_path / "B"),
            block("box23", imap(993, ca_file, host="imaps.nope.invalid"), tmp_path / "C"),
            eml("two", mail, tmp_path / "D"),
        )
        for jobs in (1, 4):
            result = boxes("archive", "--jobs", jobs, expect=6)
            assert result.err.splitlines()[-1] == ("2 pipelines done; exit code 5: box23; exit code 6: box17")
    boxes.write(eml("one", mail, tmp_path / "A"), eml("two", mail, tmp_path / "D"))
    assert boxes("archive").err == ""


# -- the log ---------------------------------------------------------------------------------------------


def test_the_log_has_what_was_run_and_how_it_ended(boxes: Boxes, mail: Path, tmp_path: Path) -> None:
    boxes.write(eml("studio", mail, tmp_path / "A"), eml("bad", tmp_path / "PEK", tmp_path / "D"))
    log = tmp_path / "archipec.log"
    boxes("--log-file", log, "archive", expect=4)
    text = log.read_text("utf-8")
    assert "studio: archive ended with exit code 0" in text and '"stored": 3' in text
    assert "ERROR" in text and "bad: " in text and "PEK" in text
    assert text.rstrip().endswith("ended with exit code 4")
    if os.name == "posix":
        assert stat.S_IMODE(log.stat().st_mode) == 0o600
    before = len(text.splitlines())
    boxes("--log-file", log, "--quiet", "verify", "studio")
    assert len(log.read_text("utf-8").splitlines()) > before
    boxes("--log-file", tmp_path / "nowhere" / "log", "archive", expect=4)


def test_what_a_person_typed_stays_out_of_the_log(boxes: Boxes, tmp_path: Path) -> None:
    log = tmp_path / "archipec.log"
    url = "imaps://u@127.0.0.1?password=Tr0ubador"
    boxes.archipec("--log-file", log, "archive", "--from", url, "--to", f"maildir:{tmp_path / 'A'}", expect=4)
    assert "Tr0ubador" not in log.read_text("utf-8")


def test_a_line_of_the_log_is_one_line() -> None:
    record = logging.LogRecord("x", logging.WARNING, "", 0, "%s", ("a\nERROR: b\x1b[2J\u2028c",), None)
    shown = _Masked("%(levelname)s: %(message)s").format(record)
    assert shown == "WARNING: a\\nERROR: b\\x1b[2J\\u2028c"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is always full")
def test_a_log_that_can_t_be_written_is_said_and_stops_nothing(
    boxes: Boxes, mail: Path, tmp_path: Path
) -> None:
    boxes.write(eml("studio", mail, tmp_path / "A"))
    result = boxes("--log-file", "/dev/full", "archive")
    assert "what was logged is not all there" in result.err and copies(tmp_path / "A") == 3


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_log_that_is_a_pipe_without_a_reader_is_not_waited_for(boxes: Boxes, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "pipe" in boxes.archipec("--log-file", tmp_path / "pipe", "status", expect=None).err


# -- side by side ----------------------------------------------------------------------------------------


class Meeting:
    """Servers that answer only when all of them are asked: together or never."""

    def __init__(self, tmp_path: Path, number: int) -> None:
        self.barrier = threading.Barrier(number, timeout=60)
        self.met = 0
        self.tmp_path = tmp_path
        self.number = number

    def __call__(self, _tag: bytes, _name: bytes) -> None:
        self.barrier.wait()
        self.met += 1


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[list[ScriptedImap]]:
    meeting = Meeting(tmp_path, 3)
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                ScriptedImap(
                    {b"INBOX": Box.of([a_message(number)])}, tmp_path / f"tls{number}", select=meeting
                )
            )
            for number in range(3)
        ]


def test_pipelines_run_at_once_and_are_told_in_their_order(
    boxes: Boxes, servers: list[ScriptedImap], tmp_path: Path
) -> None:
    boxes.write(
        *(
            block(f"box{number}", imap(one.port, one.certificate.ca_file), tmp_path / f"A{number}")
            for number, one in enumerate(servers)
        )
    )
    # Each server waits for the others: one after the other nothing would come.
    result = boxes("archive", "--jobs", 3, "--json")
    assert [(one["pipeline"], one["stored"]) for one in result.objects] == [
        (f"box{number}", 1) for number in range(3)
    ]
    assert [copies(tmp_path / f"A{number}") for number in range(3)] == [1, 1, 1]
    assert len(boxes("runs", "--json").objects) == 3
    boxes("verify")


def test_those_that_share_an_archive_or_a_mailbox_take_turns(
    boxes: Boxes, mail: Path, tmp_path: Path
) -> None:
    others = []
    for number in range(4):
        folder = tmp_path / f"mail{number}"
        folder.mkdir()
        (folder / "x.eml").write_bytes(a_message(10 + number))
        others.append(eml(f"shared{number}", folder, tmp_path / "S"))
    boxes.write(*others, eml("one", mail, tmp_path / "A"), eml("two", mail, tmp_path / "B"))
    result = boxes("archive", "--jobs", 6, "--json")
    assert [one["stored"] for one in result.objects] == [1, 1, 1, 1, 3, 3]
    assert copies(tmp_path / "S") == 4
    boxes("verify")
    assert [one["stored"] for one in boxes("archive", "--jobs", 6, "--json").objects] == [0] * 6


@pytest.mark.skipif(os.name != "posix", reason="links to folders")
def test_one_folder_by_two_names_is_one(mail: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    registry = Registry.load()

    def uses(source: str, *archives: str) -> frozenset[str]:
        return _uses(ad_hoc(source, [f"maildir:{tmp_path / one}" for one in archives], (), registry, {}))

    assert uses(f"eml:{mail}", "disk/A") & uses("imaps://u@127.0.0.1", "link/A")
    assert uses(f"eml:{mail}", "link/A") & uses(f"dump:{tmp_path / 'disk' / 'A'}", "B")
    assert not uses(f"eml:{mail}", "disk/A") & uses("imaps://u@127.0.0.1", "disk/B")


def test_one_that_fails_holds_up_no_other(boxes: Boxes, mail: Path, tmp_path: Path) -> None:
    boxes.write(
        *(eml(f"box{number}", mail if number != 3 else tmp_path / "PEK", tmp_path / f"A{number}")
          for number in range(8))
    )  # fmt: skip
    result = boxes("archive", "--jobs", 8, "--json", expect=4)
    assert [one["exit_code"] for one in result.objects] == [0, 0, 0, 4, 0, 0, 0, 0]
    errors = [json.loads(line) for line in result.err.splitlines()]
    assert {one["pipeline"] for one in errors} == {"box3"}
    assert boxes.status(expect=4)["box3"]["exit_code"] == 4


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_ends_all_of_them_in_good_order(boxes: Boxes, tmp_path: Path) -> None:
    asked, let_go = threading.Barrier(3, timeout=60), threading.Event()

    def hold_back(_tag: bytes, _name: bytes) -> None:
        asked.wait()
        assert let_go.wait(60)

    with ExitStack() as stack:
        servers = [
            stack.enter_context(
                ScriptedImap({b"INBOX": Box.of([a_message(n)])}, tmp_path / f"tls{n}", select=hold_back)
            )
            for n in range(2)
        ]
        boxes.write(
            *(
                block(f"box{n}", imap(one.port, one.certificate.ca_file), tmp_path / f"A{n}")
                for n, one in enumerate(servers)
            ),
            block("box2", imap(servers[0].port, servers[0].certificate.ca_file, host="localhost"), tmp_path / "A2"),
        )  # fmt: skip
        process = boxes.archipec.start("--config", boxes.path, "archive", "--jobs", "2", "--json")
        asked.wait()
        process.send_signal(signal.SIGINT)
        let_go.set()
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    codes = {one["pipeline"]: one["exit_code"] for one in map(json.loads, out.splitlines())}
    assert codes == {"box0": 130, "box1": 130}
    assert err.count("stopping") == 1
    assert not list((boxes.archipec.state / "locks").glob("attempt-*"))
