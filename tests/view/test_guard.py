"""Who is let in, by requests that a program can send: each is an attack that a browser, or another user, could make."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from archipec.view.guard import LARGEST_FORM
from testbed.command import Archipec
from testbed.viewer import Reply, Viewer, running

FORM = "application/x-www-form-urlencoded"


@pytest.fixture(name="fresh")
def _fresh(sample: Path) -> Iterator[Viewer]:
    """A viewer that nobody has opened yet."""
    with running(Archipec(sample / "state")) as viewer:
        yield viewer


def refused(reply: Reply, status: int = 403) -> None:
    """Refused, by a page that says nothing of what there is, and that lets nobody in."""
    assert reply.status == status
    assert "set-cookie" not in reply.headers
    assert b"<nav" not in reply.body and b"demo" not in reply.body


def raw(viewer: Viewer, request: bytes) -> bytes:
    """Send these bytes, and return all that comes back until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", viewer.port), timeout=60) as connection:
        connection.sendall(request)
        found = b""
        while chunk := connection.recv(65536):
            found += chunk
    return found


# -- token and cookie ----------------------------------------------------------------------------------


def test_without_the_cookie_every_page_is_closed(viewer: Viewer) -> None:
    for path in ("/", "/nothing", "/static/style.css", "/static/htmx.min.js"):
        for cookie in ("", "archipec=1", f"archipec-{viewer.port}=", f"archipec-{viewer.port}=é", "=;;=;"):
            refused(viewer.ask(path, cookie=cookie))


def test_the_launch_token_works_once(fresh: Viewer) -> None:
    reply = fresh.ask(fresh.launch_path)
    assert reply.status == 200
    # Sent on by a page of this origin, so that the cookie goes along; and no trace of the token.
    assert reply.headers["refresh"] == "0; url=/"
    token = fresh.address.partition("token=")[2]
    assert token not in str(reply.headers) and token not in reply.text
    cookie, *attributes = reply.headers["set-cookie"].split("; ")
    assert attributes == ["HttpOnly", "SameSite=Strict", "Path=/"]
    assert cookie.startswith(f"archipec-{fresh.port}=") and token not in cookie
    assert fresh.ask("/", cookie=cookie).status == 200
    refused(fresh.ask(fresh.launch_path))
    # Who is in already comes in again.
    assert fresh.ask(fresh.launch_path, cookie=cookie).headers["refresh"] == "0; url=/"


def test_another_token_lets_nobody_in(fresh: Viewer) -> None:
    for token in ("", "x", "%C3%A9", "%00", "A" * 43, "A" * 20000, fresh.address.partition("token=")[2][:-1]):
        refused(fresh.ask(f"/launch?token={token}"))
    refused(fresh.ask("/launch"))
    assert fresh.ask(fresh.launch_path).status == 200


def test_what_the_person_did_not_ask_for_does_not_use_the_token_up(fresh: Viewer) -> None:
    refused(fresh.ask(fresh.launch_path, sec_purpose="prefetch;prerender"))
    refused(
        fresh.ask(
            fresh.launch_path, sec_fetch_site="cross-site", sec_fetch_mode="no-cors", sec_fetch_dest="image"
        )
    )
    refused(fresh.ask(fresh.launch_path, method="HEAD"))
    refused(fresh.ask(fresh.launch_path, host="evil.example"))
    opened = fresh.ask(
        fresh.launch_path, sec_fetch_site="cross-site", sec_fetch_mode="navigate", sec_fetch_dest="document"
    )
    assert opened.status == 200


def test_the_cookie_of_one_viewer_does_not_open_another(viewer: Viewer, fresh: Viewer) -> None:
    value = viewer.cookie.partition("=")[2]
    refused(fresh.ask("/", cookie=viewer.cookie))
    refused(fresh.ask("/", cookie=f"archipec-{fresh.port}={value}"))


# -- where a request comes from ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:{port}", "127.0.0.1", "localhost:{port}", "127.0.0.1:{other}", "127.0.0.1:{port}.evil.example",
     "127.0.0.1.evil.example:{port}", "[::1]:{port}", "2130706433:{port}", "0x7f.1:{port}", "127.1:{port}", "user@127.0.0.1:{port}", ""],
)  # fmt: skip
def test_another_host_is_refused(viewer: Viewer, host: str) -> None:
    """A name that an attacker has lead to 127.0.0.1 (DNS rebinding) is not the one that is served."""
    refused(viewer.ask("/", host=host.format(port=viewer.port, other=viewer.port + 1)), 403 if host else 400)


def test_two_hosts_are_refused(viewer: Viewer) -> None:
    host = f"127.0.0.1:{viewer.port}"
    for lines in (
        f"Host: {host}\r\nHost: evil.example",
        f"Host: evil.example\r\nHost: {host}",
        f"Host: {host}, x",
    ):
        answer = raw(
            viewer,
            f"GET / HTTP/1.1\r\n{lines}\r\nCookie: {viewer.cookie}\r\nConnection: close\r\n\r\n".encode(),
        )
        assert answer.split()[1] in (b"400", b"403")


def test_an_old_request_without_a_host_is_refused(viewer: Viewer) -> None:
    answer = raw(viewer, f"GET / HTTP/1.0\r\nCookie: {viewer.cookie}\r\n\r\n".encode())
    assert answer.split()[1] == b"403"


def test_an_absolute_address_is_no_way_round(viewer: Viewer) -> None:
    head = f"GET http://evil.example/ HTTP/1.1\r\nHost: 127.0.0.1:{viewer.port}\r\nCookie: {viewer.cookie}\r\nConnection: close"
    assert raw(viewer, f"{head}\r\n\r\n".encode()).split()[1] == b"404"


@pytest.mark.parametrize(
    ("site", "mode", "dest"),
    [
        ("cross-site", "no-cors", "image"), ("cross-site", "no-cors", "script"), ("cross-site", "cors", "empty"),
        ("cross-site", "navigate", "iframe"), ("cross-site", "navigate", "embed"), ("cross-site", "navigate", "object"),
        ("same-site", "no-cors", "image"), ("same-site", "cors", "empty"), ("same-site", "navigate", "iframe"),
        ("cross-site", "websocket", "websocket"), ("odd", "", ""),
    ],
)  # fmt: skip
def test_what_another_page_fetches_is_refused(viewer: Viewer, site: str, mode: str, dest: str) -> None:
    """A page of another port is of the same site: the browser sends it the cookie along."""
    refused(viewer.ask("/", sec_fetch_site=site, sec_fetch_mode=mode, sec_fetch_dest=dest))


@pytest.mark.parametrize(
    ("site", "mode", "dest"),
    [("none", "navigate", "document"), ("same-origin", "navigate", "document"), ("same-origin", "cors", "empty"),
     ("same-origin", "navigate", "iframe"), ("cross-site", "navigate", "document"), ("", "", "")],
)  # fmt: skip
def test_what_the_person_or_a_page_of_its_own_asks_for_is_answered(
    viewer: Viewer, site: str, mode: str, dest: str
) -> None:
    assert viewer.ask("/", sec_fetch_site=site, sec_fetch_mode=mode, sec_fetch_dest=dest).status == 200


@pytest.mark.parametrize("origin", ["", "null", "http://evil.example", "http://127.0.0.1", "https://{own}", "http://{own}.evil.example",
                                    "http://localhost:{port}", "http://127.0.0.1:1", "{own}"])  # fmt: skip
@pytest.mark.parametrize("site", ["", "same-origin", "none"])
def test_a_form_of_another_page_is_refused(viewer: Viewer, origin: str, site: str) -> None:
    own = f"127.0.0.1:{viewer.port}"
    reply = viewer.ask(
        "/", "POST", b"a=b", origin=origin.format(own=own, port=viewer.port), sec_fetch_site=site, content_type=FORM, content_length="3"
    )  # fmt: skip
    refused(reply)


def test_a_form_is_taken_from_a_page_of_its_own_alone(viewer: Viewer) -> None:
    """The first page takes none, and says so: it was let through to be asked."""
    for site in ("same-origin", ""):
        reply = viewer.ask(
            "/",
            "POST",
            b"a=b",
            origin=viewer.origin,
            sec_fetch_site=site,
            content_type=FORM,
            content_length="3",
        )
        assert reply.status == 405
    for site in ("cross-site", "same-site", "none"):
        refused(
            viewer.ask(
                "/",
                "POST",
                b"a=b",
                origin=viewer.origin,
                sec_fetch_site=site,
                content_type=FORM,
                content_length="3",
            )
        )
    refused(
        viewer.ask(
            "/", "POST", b"a=b", cookie="", origin=viewer.origin, content_type=FORM, content_length="3"
        )
    )


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content_type": "multipart/form-data; boundary=x", "content_length": "3"}, 415),
        ({"content_type": "application/json", "content_length": "3"}, 415),
        ({"content_type": "text/plain", "content_length": "3"}, 415),
        ({"content_length": "3"}, 415),
        ({"content_type": FORM}, 411),
        ({"content_type": FORM, "content_length": str(LARGEST_FORM + 1)}, 413),
        ({"content_type": FORM, "content_length": "9" * 18}, 413),
    ],
)
def test_what_is_no_small_form_is_refused_unread(
    viewer: Viewer, headers: dict[str, str], status: int
) -> None:
    refused(viewer.ask("/", "POST", b"", None, origin=viewer.origin, **headers), status)


@pytest.mark.parametrize(
    "method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "FOO"]
)
def test_other_methods_are_refused(viewer: Viewer, method: str) -> None:
    reply = viewer.ask("/", method)
    refused(reply, 405)
    assert reply.headers["allow"] == "GET, HEAD, POST"


def test_a_preflight_gets_no_leave(viewer: Viewer) -> None:
    reply = viewer.ask("/", "OPTIONS", origin="http://evil.example", access_control_request_method="POST")
    refused(reply, 405)
    for path, method in (("/", "GET"), ("/", "OPTIONS"), ("/nothing", "GET"), ("/static/style.css", "GET")):
        answered = viewer.ask(path, method, origin="http://evil.example")
        assert not [name for name in answered.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("upgrade", ["websocket", "h2c", "WebSocket", "x"])
@pytest.mark.parametrize("origin", ["own", "http://evil.example"])
def test_no_connection_becomes_another_protocol(viewer: Viewer, upgrade: str, origin: str) -> None:
    refused(
        viewer.ask(
            "/",
            connection="Upgrade",
            upgrade=upgrade,
            origin=viewer.origin if origin == "own" else origin,
            sec_websocket_key="dGhlIHNhbXBsZSBub25jZQ==",
            sec_websocket_version="13",
        )
    )


# -- what every answer says ----------------------------------------------------------------------------

COMMON = {
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
}
PAGE = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; frame-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def test_pages_say_what_they_may_not_do(viewer: Viewer) -> None:
    for path, status in (("/", 200), ("/nothing", 404)):
        reply = viewer.ask(path)
        assert reply.status == status
        assert reply.headers["content-security-policy"] == PAGE
        assert reply.headers["cache-control"] == "no-store"
        assert reply.headers["content-type"] == "text/html; charset=utf-8"
        assert COMMON.items() <= reply.headers.items()
        assert "server" not in reply.headers


def test_pages_have_no_script_or_style_of_their_own(viewer: Viewer) -> None:
    """Their policy forbids both: what is there would do nothing, and say so on the console."""
    for path in ("/", "/nothing"):
        text = viewer.ask(path).text
        assert re.findall("<script[^>]*>", text) == ['<script src="/static/htmx.min.js" defer>']
        assert not re.findall(r"<style|\sstyle=|\son\w+=|javascript:", text)


def test_refusals_say_it_too(viewer: Viewer) -> None:
    reply = viewer.ask("/", cookie="")
    assert COMMON.items() <= reply.headers.items()
    assert re.fullmatch(
        r"default-src 'none'; style-src 'sha256-[\w+/]{43}='; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        reply.headers["content-security-policy"],
    )
    assert reply.headers["cache-control"] == "no-store"


def test_files_of_its_own_hold_no_mail_and_may_be_kept(viewer: Viewer) -> None:
    for name, kind in (
        ("style.css", "text/css; charset=utf-8"),
        ("htmx.min.js", "text/javascript; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
    ):
        reply = viewer.ask(f"/static/{name}")
        assert (reply.status, reply.headers["content-type"]) == (200, kind)
        assert reply.headers["cache-control"] == "private, max-age=3600"
        assert COMMON.items() <= reply.headers.items()


def test_head_says_what_get_would(viewer: Viewer) -> None:
    got, head = viewer.ask("/"), viewer.ask("/", "HEAD")
    assert (head.status, head.body) == (200, b"")
    assert {**head.headers, "date": ""} == {**got.headers, "date": ""}


# -- odd addresses and requests ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py", "/static/..%2fapp.py", "/static/%2e%2e/app.py", "/static/..%5capp.py", "/static//etc/passwd",
        "/static/%2fetc%2fpasswd", "/static/htmx.LICENSE.txt", "/static/", "/static/style.css%00", "/static/style.css/", "/static",
        "/../../etc/passwd", "//evil.example/", "/%00", "/%ff%fe", "/\\..\\x", "/con", "/.git/config", "/?x=/etc/passwd%00",
    ],
)  # fmt: skip
def test_a_path_leads_to_no_file(viewer: Viewer, path: str) -> None:
    reply = viewer.ask(path)
    assert reply.status == (200 if path.startswith("/?") else 404)
    assert b"root:" not in reply.body and b"Starlette(" not in reply.body and "location" not in reply.headers


def test_what_is_in_an_address_stays_text(viewer: Viewer) -> None:
    reply = viewer.ask("/?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E")
    assert b"<script>alert" not in reply.body


def test_a_large_head_is_refused(viewer: Viewer) -> None:
    head = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{viewer.port}\r\n"
    with pytest.raises((ConnectionError, AssertionError)):
        # It may close the connection while we still write.
        assert raw(viewer, f"{head}X: {'x' * 1_000_000}\r\n\r\n".encode()).split()[1] == b"200"
    assert viewer.ask("/").status == 200


@pytest.mark.parametrize(
    "request_",
    [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET\r\n\r\n", b"\r\n" * 50 + b"\x00\r\n\r\n",
     b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
     b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n",
     b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc"],
)  # fmt: skip
def test_what_is_no_request_is_refused(viewer: Viewer, request_: bytes) -> None:
    assert raw(viewer, request_).split()[1] in (b"400", b"403")
    assert viewer.ask("/").status == 200


def test_half_requests_keep_no_other_waiting(viewer: Viewer) -> None:
    host = f"Host: 127.0.0.1:{viewer.port}\r\n"
    halves = [b"", b"GET / HT", f"GET / HTTP/1.1\r\n{host}X: ".encode()]
    halves.append(
        f"POST / HTTP/1.1\r\n{host}Cookie: {viewer.cookie}\r\nOrigin: {viewer.origin}\r\n"
        f"Content-Type: {FORM}\r\nContent-Length: 1000\r\n\r\na=".encode()
    )
    held = [socket.create_connection(("127.0.0.1", viewer.port), timeout=60) for _ in range(100)]
    try:
        for number, one in enumerate(held):
            one.sendall(halves[number % len(halves)])
        assert viewer.ask("/").status == 200
        # They are not held for ever: the server closes each, whether or not it answers first.
        for one in held[:3]:
            while one.recv(65536):
                pass
    finally:
        for one in held:
            one.close()
