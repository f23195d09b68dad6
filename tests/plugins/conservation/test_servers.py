"""Settings of servers, and what goes wrong on the way to them."""

from __future__ import annotations

import ftplib
import importlib.util
import math
from pathlib import Path
from typing import Any

import httpx
import pytest

from archipec.errors import ArchipecError, AuthError, ConfigError, PermanentError, TransientError, Unsupported
from archipec.testing import configure, make_context
from archipec_plugins.conservation.ftps import FTPS, FTPSFolder
from archipec_plugins.conservation.http import HTTP
from archipec_plugins.conservation.sacer import SACER
from archipec_plugins.conservation.server import bounded
from archipec_plugins.conservation.sftp import SFTP
from archipec_plugins.conservation.webdav import WEBDAV, PlainWebDAVFolder, WebDAVFolder

TABLE: dict[str, Any] = {"host": "drop.example.it", "user": "studio", "password": "p", "outbox": "/nowhere"}


@pytest.mark.parametrize(("record", "package"), [(SFTP, "paramiko"), (WEBDAV, "httpx"), (SACER, "httpx")])
def test_what_is_not_installed_is_named(record: Any, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else find(name))
    who = dict.fromkeys(("ambiente", "ente", "struttura"), "x") if record is SACER else {}
    with pytest.raises(ConfigError, match=rf"{package}: pip install 'archipec\[conservation\]'"):
        configure(record, TABLE | who)


@pytest.mark.parametrize(
    ("table", "url"),
    [
        ({}, "conservation+ftps://studio@drop.example.it/"),
        ({"port": 990, "path": "/abs/dir/"}, "conservation+ftps://studio@drop.example.it//abs/dir"),
        ({"port": 2121, "path": "è/b c"}, "conservation+ftps://studio@drop.example.it:2121/%C3%A8/b%20c"),
        ({"host": "DROP.example.it", "user": "a@b/c"}, "conservation+ftps://a%40b%2Fc@drop.example.it/"),
        ({"host": "2001:db8::1"}, "conservation+ftps://studio@[2001:db8::1]/"),
    ],
)
def test_a_place_has_one_url(table: dict[str, Any], url: str) -> None:
    config = configure(FTPS, TABLE | table)
    assert FTPS.where(config) == url


def test_slashes_around_a_path_on_a_web_server_make_no_difference() -> None:
    places = {
        WEBDAV.where(configure(WEBDAV, TABLE | {"path": path})) for path in ("dav/in", "/dav/in", "dav/in/")
    }
    assert len(places) == 1


def test_problems_are_named_all_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        configure(WEBDAV, TABLE | {"host": "a b", "path": "../x", "reports": "..", "dav": False})
    assert len(caught.value.problems) == 4


def test_a_listing_has_an_end() -> None:
    with pytest.raises(PermanentError, match="more than 200000 names"):
        for _ in bounded(iter(str, "x"), "there"):
            pass


# -- HTTP --------------------------------------------------------------------------------------------------


def http(status: int | Exception, content: bytes = b"", **fields: str) -> HTTP:
    def answer(_request: httpx.Request) -> httpx.Response:
        if isinstance(status, Exception):
            raise status
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        return httpx.Response(status, headers=headers, stream=httpx.ByteStream(content))

    return HTTP(httpx.Client(transport=httpx.MockTransport(answer)), "https://there", "there", 1)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        *[(status, TransientError) for status in (408, 423, 429, 500, 502, 503, 504, 507)],
        *[(status, PermanentError) for status in (301, 302, 400, 403, 404, 409, 413)],
        *[(status, Unsupported) for status in (405, 501)],
        (401, AuthError),
    ],
)
def test_statuses(status: int, error: type[ArchipecError]) -> None:
    session = http(status, Retry_After="7")
    assert type(session.refusal(session.ask("GET", "/x"), "x")) is error


@pytest.mark.parametrize(
    ("after", "wait"), [("7", 7.0), ("", None), ("Fri, 31 Dec 2027", None), ("9" * 9, None)]
)
def test_how_long_to_wait(after: str, wait: float | None) -> None:
    session = http(503, Retry_After=after)
    error = session.refusal(session.ask("GET", "/x"), "x")
    assert isinstance(error, TransientError) and error.retry_after == wait


def test_a_full_disk_is_not_tried_again_in_this_run() -> None:
    session = http(507)
    error = session.refusal(session.ask("PUT", "/x"), "x")
    assert isinstance(error, TransientError) and error.retry_after == math.inf


def test_an_answer_is_read_no_further_than_asked() -> None:
    answer = http(200, b"x" * 5000).ask("GET", "/x", limit=1000)
    assert (len(answer.body), answer.cut) == (1001, True)


@pytest.mark.parametrize(
    "error", [httpx.ConnectError("no"), httpx.ReadTimeout("late"), httpx.RemoteProtocolError("odd")]
)
def test_broken_connections(error: Exception) -> None:
    with pytest.raises(TransientError, match="there"):
        http(error).ask("GET", "/x")


@pytest.mark.parametrize(
    "listing",
    [
        b"<html>",
        b"",
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><a>',
    ],
)
def test_what_is_no_listing(listing: bytes, tmp_path: Path) -> None:
    place = WebDAVFolder(http(207, listing), "dir", make_context(tmp_path))
    with pytest.raises(TransientError, match="listing"):
        place.names("")


def test_links_that_lead_elsewhere_are_no_names(tmp_path: Path) -> None:
    hrefs = (
        "/dir/",
        "/dir/a.xml",
        "https://there/dir/b.xml",
        "/dir/c/d.xml",
        "/dir/..%2fe.xml",
        "/f.xml",
        "http://[",
    )
    listing = "".join(f"<d:response><d:href>{href}</d:href></d:response>" for href in hrefs)
    page = f'<d:multistatus xmlns:d="DAV:">{listing}</d:multistatus>'.encode()
    place = WebDAVFolder(http(207, page), "dir", make_context(tmp_path))
    assert list(place.names("")) == ["a.xml", "b.xml"]


def test_an_index_page(tmp_path: Path) -> None:
    page = b'<h1>Index<a href="../">..</a><a href="?C=M">M</a><a href="a%20b.xml">a</a><a href="/dir/c/">c</a><a href='
    place = PlainWebDAVFolder(http(200, page), "dir", make_context(tmp_path))
    assert list(place.names("")) == ["a b.xml", "c"]


# -- FTP ---------------------------------------------------------------------------------------------------


class Refusing:
    """An FTP server that refuses files."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def pwd(self) -> str:
        return "/"

    def voidcmd(self, command: str) -> str:
        raise self._error


@pytest.mark.parametrize(
    ("error", "kind", "wait"),
    [
        (ftplib.error_perm("552 quota exceeded"), TransientError, math.inf),
        (ftplib.error_temp("452 no space"), TransientError, math.inf),
        (ftplib.error_temp("421 going down"), TransientError, None),
        (ftplib.error_perm("550 not permitted"), PermanentError, None),
        (ftplib.error_proto("gibberish"), TransientError, None),
        (EOFError(), TransientError, None),
        (TimeoutError(), TransientError, None),
        (ValueError("an illegal newline character"), TransientError, None),
    ],
)
def test_ftp_refusals(error: Exception, kind: type[ArchipecError], wait: float | None) -> None:
    ftp: Any = Refusing(error)
    with pytest.raises(kind) as caught:
        FTPSFolder(ftp, "there").write("file", [b""])
    assert getattr(caught.value, "retry_after", None) == wait
