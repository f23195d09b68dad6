"""Connecting and logging in: TLS or nothing, one try, and no secret in anything that is said about it."""

from __future__ import annotations

import base64
import contextlib
import errno
import inspect
import logging
import math
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from archipec.contract import Option
from archipec.errors import ArchipecError, AuthError, ConfigError, PermanentError, TransientError
from archipec.options import read_options
from archipec.testing import PlantedSecret, configure, make_context
from archipec_plugins.imap import IMAP_SOURCE
from archipec_plugins.imap.source import ImapSource
from testbed.certificates import Authority, ServerCertificate, self_signed

from .scripted import CLOSE, Reply, ScriptedServer, listening

USER, PASSWORD = "studio@pec.example.it", 'segreto "di" \\prova'
GREETING = b"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready\r\n"
LOGGED_IN = b"<tag> OK [CAPABILITY IMAP4rev1 LIST-STATUS SPECIAL-USE QUOTA] Logged in\r\n"
UNCHANGED = (
    b'* LIST () "/" INBOX\r\n* STATUS INBOX (MESSAGES 3 UIDNEXT 10 UIDVALIDITY 7)\r\n<tag> OK done\r\n'
)

USUAL: Mapping[bytes, Reply] = {
    b"LOGIN": LOGGED_IN,
    b"AUTHENTICATE": b"+ \r\n",
    b"CAPABILITY": b"* CAPABILITY IMAP4rev1\r\n<tag> OK done\r\n",
}

Run: TypeAlias = Callable[..., AbstractContextManager[tuple[dict[str, Any], ScriptedServer]]]
LoggedIn: TypeAlias = Callable[..., AbstractContextManager[tuple[ImapSource, ScriptedServer]]]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> ServerCertificate:
    return authority.issue()


@pytest.fixture
def running(certificate: ServerCertificate) -> Run:
    """Runs a scripted server over TLS; gives the settings that lead to it."""

    @contextmanager
    def running(
        replies: Mapping[bytes, Reply],
        greeting: bytes = GREETING,
        presented: ServerCertificate | None = None,
        starttls: bool = False,
        **table: Any,
    ) -> Iterator[tuple[dict[str, Any], ScriptedServer]]:
        shown = presented or certificate
        server = ScriptedServer({**USUAL, **replies})
        with listening(server, shown.cert_file, shown.key_file, greeting, starttls=starttls) as port:
            usual = {"user": USER, "password": PASSWORD, "host": "127.0.0.1", "port": port}
            usual |= {"ca_file": str(certificate.ca_file), "scheme": "imap" if starttls else "imaps"}
            yield {**usual, **table}, server

    return running


@pytest.fixture
def refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Callable[[Mapping[str, Any]], ArchipecError]:
    """Opens the source, which must fail, and returns the error; looks for the password everywhere."""

    def refused(table: Mapping[str, Any]) -> ArchipecError:
        config = configure(IMAP_SOURCE, table)
        caplog.set_level(logging.DEBUG)
        with pytest.raises(ArchipecError) as caught, IMAP_SOURCE.open(config, make_context(tmp_path)):
            pass
        error = caught.value
        shown = f"{error!r} {error} {error.hint} {error.__cause__!r} {error.__context__!r} {config!r} {caplog.text}"
        assert table.get("password", PASSWORD) not in shown
        assert "\n" not in error.message
        assert error.message.isprintable()
        return error

    return refused


@pytest.fixture
def logged_in(running: Run, tmp_path: Path) -> LoggedIn:
    """Runs a scripted server and opens the source on it."""

    @contextmanager
    def logged_in(*arguments: Any, **table: Any) -> Iterator[tuple[ImapSource, ScriptedServer]]:
        with (
            running(*arguments, **table) as (settings, server),
            IMAP_SOURCE.open(configure(IMAP_SOURCE, settings), make_context(tmp_path)) as source,
        ):
            assert isinstance(source, ImapSource)
            yield source, server

    return logged_in


def test_a_run_that_finds_nothing_new_asks_two_questions(logged_in: LoggedIn) -> None:
    with logged_in({b"LIST": UNCHANGED}) as (source, server):
        folders = [folder.name for folder in source.folders()]
        for folder in folders:
            assert list(source.scan(folder, {"uidvalidity": 7, "uid": 9})) == []
    assert folders == ["INBOX"]
    assert [command.split(b" ")[0] for command in server.commands] == [b"LOGIN", b"LIST", b"LOGOUT"]
    assert server.commands[0] == b'LOGIN studio@pec.example.it "segreto \\"di\\" \\\\prova"'


def test_capabilities_are_asked_for_where_they_are_not_told(logged_in: LoggedIn) -> None:
    replies = {
        b"LOGIN": b"<tag> OK in\r\n",
        b"CAPABILITY": b"* CAPABILITY IMAP4rev1 QUOTA\r\n<tag> OK done\r\n",
        b"GETQUOTAROOT": b"* QUOTA x (STORAGE 1 2)\r\n<tag> OK done\r\n",
    }
    with logged_in(replies, b"* OK ready\r\n") as (source, server):
        assert source.quota() is not None
    words = [command.split(b" ")[0] for command in server.commands]
    assert words == [b"CAPABILITY", b"LOGIN", b"CAPABILITY", b"GETQUOTAROOT", b"LOGOUT"]


def test_capabilities_told_before_the_login_are_not_believed_after_it(logged_in: LoggedIn) -> None:
    with logged_in({b"LOGIN": b"<tag> OK in\r\n"}, b"* OK [CAPABILITY IMAP4rev1 QUOTA] ready\r\n") as (
        source,
        server,
    ):
        assert source.quota() is None
    assert server.count(b"CAPABILITY") == 1


@pytest.mark.parametrize(
    ("user", "password"),
    [
        ("niccolò@pec.it", "x"),
        (USER, "perché"),
        ("M 12345", "x"),
        ('a"b', "x"),
        ("a%b", "x"),
        (USER, "tab\there"),
    ],
)
def test_what_login_can_not_carry_goes_by_authenticate(logged_in: LoggedIn, user: str, password: str) -> None:
    with logged_in({}, user=user, password=password) as (_, server):
        pass
    sent = base64.b64encode(f"\0{user}\0{password}".encode())
    assert server.commands[:2] == [b"AUTHENTICATE PLAIN", sent]
    assert server.count(b"LOGIN") == 0


def test_logindisabled_leaves_authenticate(logged_in: LoggedIn) -> None:
    with logged_in({}, b"* OK [CAPABILITY IMAP4rev1 LOGINDISABLED AUTH=PLAIN] hi\r\n") as (_, server):
        pass
    assert server.commands[0] == b"AUTHENTICATE PLAIN"


@pytest.mark.parametrize(
    ("capabilities", "password", "words"),
    [
        (b"IMAP4rev1 LOGINDISABLED AUTH=GSSAPI", PASSWORD, "takes no passwords"),
        (b"IMAP4rev1", "perché", "only plain letters"),
    ],
)
def test_no_way_to_log_in(
    running: Run, refused: Callable[..., ArchipecError], capabilities: bytes, password: str, words: str
) -> None:
    with running({}, b"* OK [CAPABILITY " + capabilities + b"] hi\r\n", password=password) as (table, server):
        error = refused(table)
    assert type(error) is PermanentError
    assert words in error.message
    assert server.commands == []


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (
            b"<tag> NO [AUTHENTICATIONFAILED] wrong",
            AuthError,
            "refused the login of studio@pec.example.it: .*wrong",
        ),
        (b"<tag> NO [AUTHORIZATIONFAILED] not you", AuthError, "not you"),
        (b"<tag> NO [EXPIRED] password expired", AuthError, "password expired"),
        (b"<tag> NO", AuthError, "refused"),
        (b"<tag> BAD what is this", AuthError, "what is this"),
        (b"<tag> NO [UNAVAILABLE] directory down", TransientError, "directory down"),
        (b"<tag> NO [INUSE] in use", TransientError, "in use"),
        (b"<tag> NO [LIMIT] too many connections", TransientError, "too many connections"),
        (b"* BYE [UNAVAILABLE] going down" + b"\r\n" + CLOSE, TransientError, "going down"),
        (CLOSE, TransientError, "closed the connection"),
        (b"garbage", TransientError, "not IMAP"),
        (b"* CAPABILITY {3}\r\nabc\r\n<tag> OK", TransientError, "not IMAP"),
        (b"* 1 EXISTS {99999999}", TransientError, "more than 1048576 bytes"),
        (b"* OK x\r\n" * 200_000, TransientError, "more than 1048576 bytes"),
        (b"* OK " + b"x" * 100_000, TransientError, "not IMAP"),
        (
            b"<tag> NO can't do LOGIN studio@pec.example.it \"" + PASSWORD.encode() + b'"',
            AuthError,
            r"\*\*\*",
        ),
    ],
)
def test_a_login_that_fails(
    running: Run,
    refused: Callable[..., ArchipecError],
    answer: bytes,
    kind: type[ArchipecError],
    words: str,
) -> None:
    reply = answer if answer.endswith(CLOSE) else answer + b"\r\n"
    with running({b"LOGIN": reply}) as (table, server):
        error = refused(table)
    assert type(error) is kind
    assert re.search(words, error.message)
    assert server.count(b"LOGIN") == 1
    if kind is AuthError:
        assert "password made for mail programs" in error.hint


def test_a_refused_authenticate_shows_no_password(
    running: Run, refused: Callable[..., ArchipecError]
) -> None:
    sent = base64.b64encode(f"\0niccolò@pec.it\0{PASSWORD}".encode())
    with running({sent: b"<tag> NO wrong: " + sent + b"\r\n"}, user="niccolò@pec.it") as (table, _):
        error = refused(table)
    assert type(error) is AuthError
    assert error.message.endswith("wrong: ***")


@pytest.mark.parametrize(
    ("greeting", "words"),
    [
        (b"* BYE [ALERT] too busy\r\n" + CLOSE, "is not available now: .*too busy"),
        (CLOSE, "closed the connection"),
        (b"HTTP/1.1 400 Bad Request\r\n" + CLOSE, "not IMAP"),
        (b"* PREAUTH we know you\r\n", "not IMAP"),
        (b"* OK [CAPABILITY POP3] hi\r\n", "not IMAP"),
        (b"* OK \xff\xfe\r\n* \xff\r\n", "not IMAP"),
    ],
)
def test_a_greeting_that_is_none(
    running: Run, refused: Callable[..., ArchipecError], greeting: bytes, words: str
) -> None:
    with running({}, greeting) as (table, server):
        error = refused(table)
    assert type(error) is TransientError
    assert re.search(words, error.message)
    assert server.count(b"LOGIN") == 0


# -- TLS -------------------------------------------------------------------------------------------


def test_starttls_comes_before_everything_else(logged_in: LoggedIn) -> None:
    with logged_in({}, starttls=True) as (_, server):
        pass
    # What the greeting told in the clear is asked for again.
    assert [command.split(b" ")[0] for command in server.commands] == [
        *(b"STARTTLS", b"CAPABILITY", b"LOGIN", b"LOGOUT")
    ]


def test_what_was_slipped_in_before_tls_is_not_heard(logged_in: LoggedIn) -> None:
    replies = {
        b"STARTTLS": b"<tag> OK go\r\n* CAPABILITY IMAP4rev1 QUOTA\r\n* BYE go away\r\n",
        b"LOGIN": b"<tag> OK in\r\n",
    }
    with logged_in(replies, starttls=True) as (source, _):
        assert source.quota() is None


@pytest.mark.parametrize(
    ("greeting", "answer", "kind"),
    [
        (GREETING, b"<tag> BAD no such command\r\n", PermanentError),
        (GREETING, b"<tag> NO not today\r\n", PermanentError),
        (b"* PREAUTH welcome\r\n", b"<tag> BAD you are in already\r\n", PermanentError),
        (b"* BYE busy\r\n", b"", TransientError),
        (b"220 smtp.example.it ESMTP\r\n", b"", PermanentError),
        (b"+OK ready\r\n", b"", PermanentError),
    ],
)
def test_without_tls_nothing_is_said(
    running: Run,
    refused: Callable[..., ArchipecError],
    greeting: bytes,
    answer: bytes,
    kind: type[ArchipecError],
) -> None:
    with running({b"STARTTLS": answer}, greeting, starttls=True) as (table, server):
        error = refused(table)
    assert type(error) is kind
    assert server.count(b"LOGIN") == 0


def test_certificates_that_are_not_trusted(
    running: Run,
    refused: Callable[..., ArchipecError],
    authority: Authority,
    tmp_path: Path,
) -> None:
    cases = {
        "self-signed|self signed": self_signed(tmp_path),
        "expired": authority.expired(),
        "mismatch": authority.for_another_host(),
    }
    for words, presented in cases.items():
        for starttls in (False, True):
            with running({}, presented=presented, starttls=starttls) as (table, server):
                error = refused(table)
            assert type(error) is PermanentError
            assert re.search(rf"the certificate of 127.0.0.1:\d+ is not trusted: .*({words})", error.message)
            assert "ca_file" in error.hint
            assert server.count(b"LOGIN") == 0


def test_an_authority_that_nobody_named_is_not_trusted(
    running: Run, refused: Callable[..., ArchipecError]
) -> None:
    with running({}, ca_file=None) as (table, _):
        error = refused(table)
    assert type(error) is PermanentError
    assert "is not trusted" in error.message


def test_a_server_that_speaks_no_tls(refused: Callable[..., ArchipecError]) -> None:
    def serve() -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(ConnectionError):
            connection.sendall(GREETING)
            connection.settimeout(20)
            while connection.recv(1000):
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        port = listener.getsockname()[1]
        error = refused({"user": USER, "password": PASSWORD, "host": "127.0.0.1", "port": port})
        thread.join(20)
    assert type(error) is PermanentError
    assert "no TLS with 127.0.0.1" in error.message
    assert "993" in error.hint


@pytest.mark.parametrize("close", [True, False])
def test_a_server_that_never_answers_while_tls_begins(
    refused: Callable[..., ArchipecError], close: bool
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        table = {"user": USER, "password": PASSWORD, "host": "127.0.0.1", "port": port, "timeout": 1}
        if close:
            thread = threading.Thread(target=lambda: listener.accept()[0].close())
            thread.start()
        error = refused(table)
        if close:
            thread.join(20)
    assert type(error) is TransientError
    assert "while TLS began" in error.message


@pytest.mark.parametrize(
    "content", [None, b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END"]
)
def test_a_ca_file_that_is_none(
    refused: Callable[..., ArchipecError], tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    error = refused({"user": USER, "password": PASSWORD, "host": "localhost", "ca_file": str(path)})
    assert type(error) is PermanentError
    assert str(path) in error.message
    assert "PEM" in error.hint


# -- reaching the server ---------------------------------------------------------------------------


def test_a_port_where_nobody_listens(refused: Callable[..., ArchipecError]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = refused({"user": USER, "password": PASSWORD, "host": "127.0.0.1", "port": port})
    assert type(error) is TransientError
    assert re.search(rf"127.0.0.1:{port} can't be reached: .*refused", error.message)


@pytest.mark.parametrize(
    ("raised", "words", "last"),
    [
        (
            socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
            "host imap.example.it is unknown",
            True,
        ),
        (UnicodeError("label too long"), "host imap.example.it is unknown", True),
        (
            socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
            "can't be looked up now",
            False,
        ),
        (TimeoutError("timed out"), "has not answered for 60 seconds", False),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "network is unreachable", False),
    ],
)
def test_hosts_that_can_not_be_reached(
    refused: Callable[..., ArchipecError],
    monkeypatch: pytest.MonkeyPatch,
    raised: Exception,
    words: str,
    last: bool,
) -> None:
    def connect(*_: object) -> None:
        raise raised

    monkeypatch.setattr(socket, "create_connection", connect)
    error = refused({"user": USER, "password": PASSWORD, "host": "imap.example.it"})
    assert type(error) is TransientError
    assert words in error.message
    assert (error.retry_after == math.inf) is last


# -- settings --------------------------------------------------------------------------------------


def test_no_password(refused: Callable[..., ArchipecError]) -> None:
    error = refused({"user": USER, "host": "localhost"})
    assert type(error) is ConfigError
    assert USER in error.message


def settings(**table: object) -> Any:
    return configure(IMAP_SOURCE, {"user": USER, "host": "imap.example.it", **table})


def test_what_is_not_given_is_what_most_people_want() -> None:
    config = settings()
    account = config.account
    assert (account.scheme, account.port, account.timeout, account.ca_file) == ("imaps", 993, 60, None)
    assert (config.folders, config.exclude) == (("*",), ())
    assert settings(scheme="imap").account.port == 143
    assert settings(scheme="imap", port="10143").account.port == 10143
    assert read_options(IMAP_SOURCE.options, {"user": "u", "host": "h"}, "")["connections"] == 2


@pytest.mark.parametrize(
    ("table", "where"),
    [
        ({}, "imaps://studio%40pec.example.it@imap.example.it:993"),
        ({"scheme": "imap"}, "imap://studio%40pec.example.it@imap.example.it:143"),
        (
            {"host": "IMAP.Example.IT", "folders": ["a"], "port": 1},
            "imaps://studio%40pec.example.it@imap.example.it:1",
        ),
        ({"user": "M/12 è"}, "imaps://M%2F12%20%C3%A8@imap.example.it:993"),
        ({"host": "::1"}, "imaps://studio%40pec.example.it@[::1]:993"),
        ({"host": "[::1]"}, "imaps://studio%40pec.example.it@[::1]:993"),
    ],
)
def test_where(table: Mapping[str, object], where: str) -> None:
    assert IMAP_SOURCE.where(settings(**table)) == where


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        settings(user="a\r\nA1 LOGOUT", host="a b")
    assert len(caught.value.problems) == 2


def test_the_settings_show_no_password() -> None:
    assert PASSWORD not in repr(settings(password=PlantedSecret(PASSWORD)))


def test_the_url_fills_the_settings() -> None:
    parts: dict[str, Option] = {option.part: option for option in IMAP_SOURCE.options if option.part}
    assert {part: option.name for part, option in parts.items()} == {
        **{part: part for part in ("scheme", "user", "host", "port")},
        "path": "folders",
    }
    assert parts["path"].convert("2026/11") == ("2026/11",)


def test_what_is_used_of_imapclient_and_imaplib_beyond_their_documentation() -> None:
    """pyproject.toml admits no further major version of imapclient; this says what to look at before it does."""
    import imaplib

    import imapclient

    assert callable(imapclient.IMAPClient._create_IMAP4)
    assert list(inspect.signature(imapclient.IMAPClient._create_IMAP4).parameters) == ["self"]
    assert callable(imapclient.IMAPClient.plain_login)
    for name in ("_get_capabilities", "open", "read", "readline", "send", "shutdown", "response"):
        assert callable(getattr(imaplib.IMAP4, name))
    source = inspect.getsource(imapclient.IMAPClient.__init__)
    assert "self._create_IMAP4()" in source
    assert "self._imap" in source
    assert "_get_capabilities" in inspect.getsource(imaplib.IMAP4)
    assert imapclient.imap_utf7.decode(imapclient.imap_utf7.encode("Città & Co")) == "Città & Co"


def test_what_is_used_of_poplib_beyond_its_documentation() -> None:
    import poplib

    assert list(inspect.signature(vars(poplib.POP3)["_create_socket"]).parameters) == ["self", "timeout"]
    assert ".makefile('rb')" in inspect.getsource(poplib.POP3.__init__)
