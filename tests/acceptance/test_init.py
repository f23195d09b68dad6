"""``archipec init`` as a script and as a person use it, on a real Dovecot."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
import tomllib
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from archipec.simulator import mailbox
from testbed.command import Archipec
from testbed.dovecot import Dovecot
from testbed.requirements import require

pytestmark = pytest.mark.real


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config" / "archipec.toml"


@pytest.fixture
def command(archipec: Archipec, config: Path) -> Archipec:
    archipec.env["ARCHIPEC_CONFIG"] = str(config)
    return archipec


def options(server: Dovecot, tmp_path: Path, port: int | None = None) -> list[str]:
    return [
        *("--host", server.host, "--port", str(port or server.port), "--ca-file", str(server.ca_file)),
        *("--to", f"maildir:{tmp_path / 'PEC'}"),
    ]


def test_from_an_address_to_an_archive_by_options_alone(
    dovecot: Dovecot, command: Archipec, config: Path, tmp_path: Path
) -> None:
    samples = [sample.raw for sample in mailbox(12, seed=41, size=7000)]
    dovecot.fill("INBOX", samples[:8])
    dovecot.fill("Posta inviata", samples[8:])
    before = dovecot.snapshot()
    arguments = ["init", dovecot.user, "--password", "env:PEC_PASSWORD", *options(dovecot, tmp_path)]
    report = command(*arguments, "--json").object
    sizes = {"INBOX": sum(map(len, samples[:8])), "Posta inviata": sum(map(len, samples[8:]))}
    assert report["folders"] == [
        {"folder": "INBOX", "messages": 8, "bytes": sizes["INBOX"]},
        {"folder": "Posta inviata", "messages": 4, "bytes": sizes["Posta inviata"]},
    ]
    assert dovecot.snapshot() == before
    assert os.name == "nt" or stat.S_IMODE(config.stat().st_mode) == 0o600
    assert [path.name for path in config.parent.iterdir()] == ["archipec.toml"]
    (pipeline,) = tomllib.loads(config.read_text("utf-8"))["pipeline"]
    assert pipeline["source"] == {
        "type": "imap",
        "host": "127.0.0.1",
        "port": dovecot.port,
        "user": dovecot.user,
        "password": "env:PEC_PASSWORD",
        "ca_file": str(dovecot.ca_file),
    }
    assert command("archive", "--json").object["stored"] == 12


def test_over_pop3(dovecot: Dovecot, command: Archipec, config: Path, tmp_path: Path) -> None:
    require("dovecot-pop3")
    dovecot.fill("INBOX", [sample.raw for sample in mailbox(5, seed=43, size=7000)])
    settings = options(dovecot, tmp_path, dovecot.pop3_port)
    result = command("init", dovecot.user, "--source", "pop3", "--password", "env:PEC_PASSWORD", *settings)
    assert "5" in result.out
    assert "INBOX" in result.out
    assert "POP3 sees only the inbox" in result.err
    assert 'type = "pop3"' in config.read_text("utf-8")
    assert command("archive", "--json").object["stored"] == 5


def test_a_configuration_that_is_there_is_never_touched(
    dovecot: Dovecot, command: Archipec, config: Path, tmp_path: Path
) -> None:
    config.parent.mkdir()
    config.write_text("# mine\n")
    before = dovecot.log().count("Login: user")
    result = command(
        "init", dovecot.user, "--password", "env:PEC_PASSWORD", *options(dovecot, tmp_path), expect=4
    )
    assert "already" in result.err
    assert config.read_text() == "# mine\n"
    assert dovecot.log().count("Login: user") == before, "somebody logged in"


def test_a_refused_login_writes_nothing(
    dovecot: Dovecot, command: Archipec, config: Path, tmp_path: Path
) -> None:
    command.env["PEC_PASSWORD"] = "wr0ng-s3cret"
    result = command(
        "init", dovecot.user, "--password", "env:PEC_PASSWORD", *options(dovecot, tmp_path), expect=6
    )
    assert "wr0ng-s3cret" not in result.out + result.err
    assert not config.exists()
    assert dovecot.log().count("auth failed, 1 attempts") == 1


def test_a_preset_is_guessed_and_said(command: Archipec, config: Path, tmp_path: Path) -> None:
    result = command(
        *("init", "studio@pec.it", "--password", "ask", "--no-test", "--to", f"mbox:{tmp_path / 'PEC'}"),
        *("--credentials-expire", "2027-02-21", "--name", "studio"),
    )
    assert "Aruba PEC, by its domain" in result.err
    (pipeline,) = tomllib.loads(config.read_text("utf-8"))["pipeline"]
    assert pipeline == {
        "name": "studio",
        "credentials_expire": date(2027, 2, 21),
        "source": {"type": "imap", "provider": "aruba", "user": "studio@pec.it"},
        "sink": [{"type": "mbox", "path": str(tmp_path / "PEC")}],
    }
    # The preset leads there: without a password and a terminal nothing is sent anywhere.
    assert "studio@pec.it@imaps.pec.aruba.it" in command("archive", expect=4).err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "ADDRESS"),
        (("no-address",), 4, "no address"),
        (("studio@pec.example.it",), 2, "--provider or --host"),
        (("studio@legalmail.it",), 2, "--login"),
        (("studio@pec.it", "--to", "maildir:A"), 2, "--password"),
        (("studio@pec.it", "--password", "hunter2", "--to", "maildir:A"), 4, "never the secret itself"),
        (("studio@pec.it", "--password", "ask"), 2, "--to"),
        (("studio@pec.it", "--password", "ask", "--to", "maildri:A"), 4, "did you mean"),
        (("studio@pec.it", "--provider", "arbua"), 4, 'did you mean "aruba"'),
        (("studio@legalmail.it", "--source", "pop3", "--login", "M1"), 4, "no POP3 server"),
        (("studio@pec.it", "--password-stdin", "--to", "maildir:A"), 4, "the password is empty"),
    ],
)
def test_what_a_script_must_say(
    command: Archipec, config: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    result = command("init", *arguments, expect=code)
    assert words in result.err
    assert "hunter2" not in result.err
    assert not config.exists()


KEYRING = """
import keyring.backend, json, pathlib
class Kept(keyring.backend.KeyringBackend):
    priority = 9
    path = pathlib.Path({path!r})
    def set_password(self, service, user, password):
        self.path.write_text(json.dumps([service, user, password]))
    def get_password(self, service, user):
        kept = json.loads(self.path.read_text()) if self.path.exists() else [None, None, None]
        return kept[2] if kept[:2] == [service, user] else None
"""


def with_keyring(command: Archipec, tmp_path: Path) -> Path:
    """Give the command a keyring that keeps things in a file."""
    kept = tmp_path / "kept.json"
    (tmp_path / "kept_keyring.py").write_text(KEYRING.format(path=str(kept)))
    settings = tmp_path / "python_keyring"
    settings.mkdir()
    (settings / "keyringrc.cfg").write_text(
        f"[backend]\ndefault-keyring=kept_keyring.Kept\nkeyring-path={tmp_path}\n"
    )
    del command.env["PYTHON_KEYRING_BACKEND"]
    command.env |= {"XDG_CONFIG_HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}
    return kept


def piped(command: Archipec, text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command.argv(*arguments),
        env=command.env,
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_password_over_a_pipe_goes_into_the_keyring(
    dovecot: Dovecot, command: Archipec, config: Path, tmp_path: Path
) -> None:
    kept = with_keyring(command, tmp_path)
    dovecot.fill("INBOX", [sample.raw for sample in mailbox(3, seed=45, size=7000)])
    arguments = ("init", dovecot.user, "--password-stdin", *options(dovecot, tmp_path))
    done = piped(command, f"{dovecot.password}\n", *arguments)
    assert done.returncode == 0, done.stderr
    assert json.loads(kept.read_text()) == ["archipec", dovecot.user, dovecot.password]
    assert 'password = "keyring:archipec"' in config.read_text("utf-8")
    assert dovecot.password not in config.read_text("utf-8") + done.stdout + done.stderr
    assert command("archive", "--json").object["stored"] == 3


def test_a_wrong_password_is_not_kept(
    dovecot: Dovecot, command: Archipec, config: Path, tmp_path: Path
) -> None:
    kept = with_keyring(command, tmp_path)
    arguments = ("init", dovecot.user, "--password-stdin", *options(dovecot, tmp_path))
    assert piped(command, "wrong\n", *arguments).returncode == 6
    assert not kept.exists()
    assert not config.exists()


def test_without_a_keyring_there_is_a_way_out(
    dovecot: Dovecot, command: Archipec, config: Path, tmp_path: Path
) -> None:
    arguments = ("init", dovecot.user, "--password-stdin", *options(dovecot, tmp_path))
    done = piped(command, f"{dovecot.password}\n", *arguments)
    assert done.returncode == 4
    assert "keyring" in done.stderr
    assert "env:NAME" in done.stderr
    assert not config.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def test_a_person_is_asked_and_the_password_never_shown(
    dovecot: Dovecot, command: Archipec, config: Path, tmp_path: Path
) -> None:
    kept = with_keyring(command, tmp_path)
    dovecot.fill("INBOX", [sample.raw for sample in mailbox(3, seed=47, size=7000)])
    arguments = command.argv("init", "--port", str(dovecot.port), "--ca-file", str(dovecot.ca_file))
    answers = [
        ("PEC address: ", dovecot.user),
        ("by its name [-]: ", "-"),
        ("Server: ", dovecot.host),
        (f"Login [{dovecot.user}]: ", ""),
        ("Where is it [keyring]: ", ""),
        ("Password: ", dovecot.password),
        ("Folder for the archive [~/PEC/studio]: ", str(tmp_path / "PEC")),
    ]
    shown, code = _converse(arguments, command.env, answers)
    assert code == 0, shown
    assert dovecot.password not in shown
    assert "3" in shown
    assert f"next: {Path(sys.executable).with_name('archipec')} archive" in shown
    assert json.loads(kept.read_text())[2] == dovecot.password
    assert command("archive", "--json").object["stored"] == 3


def _converse(argv: list[str], env: dict[str, str], answers: list[tuple[str, str]]) -> tuple[str, int]:
    """Answer a program's questions on a terminal of its own; what that showed, and the exit code."""
    import pty

    child, terminal = pty.fork()
    if child == 0:
        os.execve(argv[0], argv, env)
    shown = ""
    deadline = time.monotonic() + 60
    with open(terminal, "r+b", buffering=0) as file:
        try:
            for question, answer in answers:
                while question not in shown.rpartition("\x00")[2]:
                    assert time.monotonic() < deadline, shown
                    shown += file.read(1000).decode()
                shown += "\x00"
                file.write(answer.encode() + b"\n")
            while data := file.read(1000):
                shown += data.decode()
        except OSError:
            pass  # Linux ends a terminal whose program has ended like that
    return shown, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize(("days", "warned"), [(14, True), (15, False), (0, True), (-3, True)])
def test_status_warns_before_credentials_expire(
    command: Archipec, config: Path, tmp_path: Path, days: int, warned: bool
) -> None:
    day = (datetime.now(UTC).astimezone() + timedelta(days=days)).date()
    command(
        *("init", "studio@pec.it", "--password", "env:PEC_PASSWORD", "--no-test"),
        *("--to", f"mbox:{tmp_path / 'PEC'}", "--credentials-expire", str(day)),
    )
    result = command("status", "studio", expect=3)  # it never ran
    assert (f"{day}" in result.err) is warned
    assert ("studio: its credentials" in result.err) is warned
    if days < 0:
        assert "expired" in result.err


def test_what_comes_next_is_said_with_the_configuration_that_was_named(
    archipec: Archipec, tmp_path: Path
) -> None:
    config = tmp_path / "a folder" / "mine.toml"
    arguments = [
        "--config",
        config,
        "init",
        "studio@pec.example.it",
        "--host",
        "imaps.example.it",
        "--no-test",
    ]
    done = archipec(*arguments, "--password", "env:PEC_PASSWORD", "--to", f"maildir:{tmp_path / 'PEC'}")
    command = done.out.partition("next: ")[2].strip()
    assert command == f"{Path(sys.executable).with_name('archipec')} --config '{config}' archive"
