"""No process outlives the command, whatever ends it: who reads its output is told at once that there is no more."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from archipec.config.keeper import run_kept
from archipec.simulator import mailbox
from testbed.command import Archipec

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks processes up in /proc")
MARK = "ARCHIPEC_TEST_MARK"
SIGNALS = [getattr(signal, name, None) for name in ("SIGKILL", "SIGTERM", "SIGHUP", "SIGINT")]


def left(mark: str) -> list[str]:
    """Return the command lines of the processes whose environment has this mark."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdecimal() and f"{MARK}={mark}".encode() in (folder / "environ").read_bytes():
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                if line:  # one that has ended, and that nobody has waited for, has none
                    found.append(line)
        except OSError:
            continue
    return found


def until(condition: Callable[[], bool], seconds: float = 30) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def ended(process: subprocess.Popen[bytes], mark: str) -> None:
    """The pipe's reader gets the end at once, and nothing is left."""
    process.communicate(timeout=60)
    assert until(lambda: not left(mark)), left(mark)


@pytest.mark.parametrize("number", SIGNALS)
def test_while_seals_are_judged(tmp_path: Path, number: signal.Signals) -> None:
    letters = tmp_path / "letters"
    letters.mkdir()
    for at, sample in enumerate(mailbox(600, seed=5, size=20000)):
        (letters / f"{at}.eml").write_bytes(sample.raw)
    mark = f"{tmp_path.name}-{number}"
    archipec = Archipec(tmp_path / "state", {MARK: mark})
    arguments = ("archive", "--from", f"eml:{letters}", "--to", f"maildir:{tmp_path / 'A'}")
    process = subprocess.Popen(
        archipec.argv(*arguments), env=archipec.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert until(lambda: any("analysis.process" in one for one in left(mark)))
    process.send_signal(number)
    ended(process, mark)
    assert process.returncode in ({-9} if number is signal.SIGKILL else {130, 0})
    archipec(*arguments)
    assert archipec("status", "--json", expect=None).object["messages"] == 600


@pytest.mark.parametrize("number", SIGNALS)
def test_while_a_command_is_asked_for_a_secret(tmp_path: Path, number: signal.Signals) -> None:
    started = tmp_path / "started"
    program = tmp_path / "pass.sh"
    program.write_text(f"#!/bin/sh\nsleep 1000 &\ntouch {started}\nsleep 1000\n")
    program.chmod(0o700)
    mark = f"{tmp_path.name}-{number}"
    archipec = Archipec(tmp_path / "state", {MARK: mark})
    source = f"imaps://u@127.0.0.1:1/?password=command:{program}"
    process = subprocess.Popen(
        archipec.argv("archive", "--from", source, "--to", f"maildir:{tmp_path / 'A'}"),
        env=archipec.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert until(started.exists)
    process.send_signal(number)
    ended(process, mark)


def test_a_command_that_takes_too_long_is_ended_with_all_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = tmp_path / "started"
    monkeypatch.setenv(MARK, tmp_path.name)
    with pytest.raises(subprocess.TimeoutExpired):
        run_kept(["sh", "-c", f"sleep 1000 & touch {started}; sleep 1000"], timeout=3)
    assert started.exists()
    assert until(lambda: not left(tmp_path.name)), left(tmp_path.name)


def test_a_command_that_goes_on_starting_others_is_ended_with_all_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MARK, tmp_path.name)
    program = "for i in $(seq 300); do (sleep 1000 & sleep 1000) & done; wait"
    with pytest.raises(subprocess.TimeoutExpired):
        run_kept(["sh", "-c", program], timeout=0.5)
    assert until(lambda: not left(tmp_path.name)), left(tmp_path.name)


def test_a_command_that_leaves_something_in_the_background_is_not_waited_for(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    done = run_kept(["sh", "-c", f"sleep 1000 & echo $! > {pid}; echo the password"], timeout=100)
    os.kill(int(pid.read_text()), signal.SIGKILL)
    assert (done.returncode, done.stdout) == (0, b"the password\n")
