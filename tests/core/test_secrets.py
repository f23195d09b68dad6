"""`archipec.config.secrets`: references, and secrets that do not show."""

from __future__ import annotations

import copy
import dataclasses
import logging
import os
import pickle
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import keyring
import keyring.backend
import keyring.errors
import pytest

from archipec.config.secrets import LazySecret, check_reference
from archipec.errors import ConfigError

PASSWORD = "hunter2-è"
posix = pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")


class Ring(keyring.backend.KeyringBackend):
    """A keyring in memory, never chosen by itself."""

    priority = -1.0

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kept: dict[tuple[str, str], str] = {}
        self.asked: list[tuple[str, str]] = []
        self.error: Exception | None = None

    def get_password(self, service: str, username: str) -> str | None:
        self.asked.append((service, username))
        if self.error is not None:
            raise self.error
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password


@pytest.fixture
def ring() -> Iterator[Ring]:
    before = keyring.get_keyring()
    made = Ring()
    keyring.set_keyring(made)
    yield made
    keyring.set_keyring(before)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A person who answers PASSWORD, and the questions put to him."""
    questions: list[str] = []

    def getpass(prompt: str) -> str:
        questions.append(prompt)
        return PASSWORD

    monkeypatch.setattr("getpass.getpass", getpass)
    set_terminal(monkeypatch, stdin=True, stderr=True)
    return questions


def set_terminal(monkeypatch: pytest.MonkeyPatch, *, stdin: bool, stderr: bool) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: stdin, raising=False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: stderr, raising=False)


def refused(secret: LazySecret) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        secret.reveal()
    return caught.value


# -- references -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reference",
    [
        "env:PEC",
        "file:/run/secrets/pec",
        "file:~/p w",
        "command:pass show 'pec it'",
        "keyring:archipec",
        "keyring:a:b",
    ],
)
def test_references(reference: str) -> None:
    assert check_reference(reference) == reference


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("hunter2", "never the secret itself"),
        ("", "never the secret itself"),
        (2, "never the secret itself"),
        (["env:A", "env:B"], "never the secret itself"),
        ("hunter2:x", "never the secret itself"),
        ("evn:PEC", 'never the secret itself, did you mean "env"?'),
        ("Keyring:archipec", 'did you mean "keyring"?'),
        ("env:", "must say which one after env:"),
        ("env: ", "must say which one after env:"),
        ("env:A=B", "must name an environment variable"),
        ("file:a\0b", "must say which one after file:"),
        ("command:pass 'hunter2", "must have its quotes in pairs"),
        ("command:''", "") if os.name != "posix" else ("command: ", "must say which one"),
    ],
)
def test_what_is_no_reference(value: object, problem: str) -> None:
    with pytest.raises(ValueError, match=r"^must ") as caught:
        check_reference(value)
    assert problem in str(caught.value)
    assert "hunter2" not in str(caught.value)


# -- environment ------------------------------------------------------------------------------------------------


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = LazySecret("env:PEC_PASSWORD", user="u", host="h")
    monkeypatch.delenv("PEC_PASSWORD", raising=False)
    assert refused(secret).message == "password of u@h: the environment variable PEC_PASSWORD is not set"
    monkeypatch.setenv("PEC_PASSWORD", f" {PASSWORD} ")
    assert secret.reveal() == f" {PASSWORD} "


def test_fetched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEC_PASSWORD", "first")
    secret = LazySecret("env:PEC_PASSWORD")
    assert secret.reveal() == "first"
    monkeypatch.setenv("PEC_PASSWORD", "second")
    assert secret.reveal() == "first"


# -- file -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\nsecond line\n", "\r\nsecond"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_file(tmp_path: Path, end: str, mark: str) -> None:
    path = tmp_path / "secret file"
    path.write_bytes((mark + f" {PASSWORD} " + end).encode())
    path.chmod(0o600)
    assert LazySecret(f"file:{path}").reveal() == f" {PASSWORD} "


@posix
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602])
def test_file_open_to_others(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "secret file"
    path.write_text(PASSWORD)
    path.chmod(mode)
    error = refused(LazySecret(f"file:{path}"))
    assert error.message == f"password: {path} is open to other users"
    assert error.hint == f"chmod 600 '{path}'"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"\nhunter2", "is empty"),
        (b"hunter2\xff\n", "is not UTF-8"),
        (None, "no such file"),
    ],
)
def test_file_without_a_secret(tmp_path: Path, content: bytes | None, problem: str) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
        path.chmod(0o600)
    error = refused(LazySecret(f"file:{path}"))
    assert problem in error.message
    assert str(path) in error.message
    assert "hunter2" not in "".join(traceback.format_exception(error))
    assert not isinstance(error.__context__, UnicodeDecodeError)


def test_file_of_nobody() -> None:
    assert "~no-such-user/x" in refused(LazySecret("file:~no-such-user/x")).message


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    assert str(tmp_path) in refused(LazySecret(f"file:{tmp_path}")).message


# -- command ----------------------------------------------------------------------------------------------------


def command(code: str) -> str:
    return f'command:"{sys.executable}" -c "{code}"'


def test_command() -> None:
    code = "import sys; sys.stdout.buffer.write('hunter2-è\\r\\nmore'.encode())"
    assert LazySecret(command(code)).reveal() == PASSWORD


def test_command_without_a_shell() -> None:
    code = "import sys; print(sys.argv[1:])"
    assert LazySecret(f"{command(code)} $HOME ; *").reveal() == "['$HOME', ';', '*']"


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("print('hunter2'); raise SystemExit(3)", "ended with exit code 3"),
        ("import sys; sys.stderr.write('hunter2'); sys.exit(1)", "ended with exit code 1"),
        ("print()", "is empty"),
        ("import os; os.write(1, b'hunter2' + bytes([255]))", "is not UTF-8"),
    ],
)
def test_command_that_fails(capfd: pytest.CaptureFixture[str], code: str, problem: str) -> None:
    error = refused(LazySecret(command(code), user="u"))
    assert problem in error.message
    assert sys.executable in error.message
    assert "hunter2" not in "".join(traceback.format_exception(error))
    assert capfd.readouterr() == ("", "")


def test_command_that_is_not_there() -> None:
    error = refused(LazySecret("command:/no/such/program --secret hunter2"))
    assert "/no/such/program" in error.message
    assert "hunter2" not in error.message


def test_command_that_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archipec.config.secrets._PATIENCE", 0.2)
    error = refused(LazySecret(command("import time; print('hunter2', flush=True); time.sleep(60)")))
    assert "gave no answer within" in error.message
    assert "hunter2" not in "".join(traceback.format_exception(error))


def test_command_is_not_given_the_terminal() -> None:
    code = "import sys; print(repr(sys.stdin.read()))"
    assert LazySecret(command(code)).reveal() == "''"


# -- keyring and person -----------------------------------------------------------------------------------------


def test_keyring(ring: Ring, terminal: list[str]) -> None:
    ring.kept["pec", "u@pec.it"] = PASSWORD
    assert LazySecret("keyring:pec", user="u@pec.it", host="h").reveal() == PASSWORD
    assert terminal == []


def test_keyring_without_the_entry(ring: Ring, terminal: list[str]) -> None:
    error = refused(LazySecret("keyring:pec", user="u@pec.it", host="h"))
    assert 'nothing for service "pec" and account "u@pec.it"' in error.message
    assert error.hint == f"store it with: {Path(sys.executable).with_name('keyring')} set pec u@pec.it"
    assert terminal == []


@pytest.mark.parametrize(
    ("raised", "problem"),
    [
        (
            keyring.errors.NoKeyringError("No recommended backend was available."),
            "this machine has no keyring",
        ),
        (keyring.errors.KeyringLocked("it is\nlocked"), "the keyring can't be asked: it is locked"),
        (RuntimeError(), "the keyring can't be asked: RuntimeError"),
    ],
)
def test_keyring_that_fails(ring: Ring, raised: Exception, problem: str) -> None:
    ring.error = raised
    assert problem in refused(LazySecret("keyring:pec", user="u")).message


def test_without_a_reference_the_keyring_comes_first(ring: Ring, terminal: list[str]) -> None:
    ring.kept["archipec", "u@pec.it@h"] = PASSWORD
    assert LazySecret(None, user="u@pec.it", host="h").reveal() == PASSWORD
    assert terminal == []


@pytest.mark.parametrize("raised", [None, keyring.errors.NoKeyringError()])
def test_then_the_person_is_asked_once(ring: Ring, terminal: list[str], raised: Exception | None) -> None:
    ring.error = raised
    secret = LazySecret(None, user="u@pec.it", host="h")
    assert [secret.reveal(), secret.reveal()] == [PASSWORD] * 2
    assert terminal == ["password of u@pec.it@h: "]
    assert ring.asked == [("archipec", "u@pec.it@h")]


@pytest.mark.parametrize(("stdin", "stderr"), [(False, True), (True, False)])
def test_nobody_is_asked_without_a_terminal(
    ring: Ring, terminal: list[str], monkeypatch: pytest.MonkeyPatch, stdin: bool, stderr: bool
) -> None:
    set_terminal(monkeypatch, stdin=stdin, stderr=stderr)
    error = refused(LazySecret(None, user="u", host="h"))
    assert error.message == "password of u@h: none is configured"
    assert "env:NAME" in error.hint
    assert "keyring set archipec u@h" in error.hint
    assert terminal == []


@pytest.mark.parametrize("answer", ["", EOFError()])
def test_a_person_without_an_answer(
    ring: Ring, terminal: list[str], monkeypatch: pytest.MonkeyPatch, answer: str | EOFError
) -> None:
    def getpass(_prompt: str) -> str:
        if isinstance(answer, EOFError):
            raise answer
        return answer

    monkeypatch.setattr("getpass.getpass", getpass)
    assert "none is configured" in refused(LazySecret(None, user="u")).message


def test_threads_fetch_once_and_one_at_a_time(ring: Ring, monkeypatch: pytest.MonkeyPatch) -> None:
    inside: list[int] = []
    most: list[int] = []

    def getpass(_prompt: str) -> str:
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.01)  # gives the others a chance to get it wrong
        inside.pop()
        return PASSWORD

    monkeypatch.setattr("getpass.getpass", getpass)
    set_terminal(monkeypatch, stdin=True, stderr=True)
    one, other = LazySecret(None, user="u"), LazySecret(None, user="v")
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda secret=secret: found.append(secret.reveal()))
        for secret in [one, other] * 4
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [PASSWORD] * 8
    assert most == [1, 1]


# -- never shown ------------------------------------------------------------------------------------------------


@pytest.fixture
def revealed(monkeypatch: pytest.MonkeyPatch) -> LazySecret:
    monkeypatch.setenv("PEC_PASSWORD", PASSWORD)
    secret = LazySecret("env:PEC_PASSWORD")
    assert secret.reveal() == PASSWORD
    return secret


def test_nothing_prints_it(revealed: LazySecret, caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("test").error("%s %r", revealed, revealed)
    shown = [
        str(revealed),
        repr(revealed),
        f"{revealed}",
        f"{revealed!r:>5}",
        f"{revealed:>5}",
        f"{[revealed]}",
    ]
    assert {text.strip(" []") for text in shown} == {"***"}
    assert caplog.messages == ["*** ***"]


def test_it_can_not_be_pickled(revealed: LazySecret) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="can't be pickled"):
            pickle.dumps(revealed, protocol)


def test_copies_are_the_same_object(revealed: LazySecret) -> None:
    @dataclasses.dataclass
    class Config:
        password: LazySecret

    assert copy.copy(revealed) is copy.deepcopy(revealed) is revealed
    assert dataclasses.asdict(Config(revealed))["password"] is revealed
    assert not hasattr(revealed, "__dict__")


def test_equal_by_where_it_comes_from(revealed: LazySecret) -> None:
    assert revealed == LazySecret("env:PEC_PASSWORD")
    assert hash(revealed) == hash(LazySecret("env:PEC_PASSWORD"))
    assert revealed != LazySecret("env:OTHER")
    assert revealed != LazySecret("env:PEC_PASSWORD", user="u")
    assert revealed != PASSWORD
    assert revealed.reference == "env:PEC_PASSWORD"
