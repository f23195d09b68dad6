"""A time-stamping authority over HTTP, run by `testbed.tsa` as a program of its own: `openssl ts` does the work.

The path of the URL says what goes wrong: ``/tsa`` is as it should be, for the others see `_answer`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_DIGEST = b"\x04\x20"  # an OCTET STRING of 32 bytes: the only one in a request
_drained = threading.Event()
_signing = threading.Lock()  # the serial number is in a file


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", "ts", *arguments], check=True, capture_output=True)


def _reply(query: bytes, config: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        asked, answer = Path(folder, "query"), Path(folder, "answer")
        asked.write_bytes(query)
        with _signing:
            _openssl("-reply", "-config", config, "-queryfile", str(asked), "-out", str(answer))
        return answer.read_bytes()


def _digest_of(query: bytes) -> bytes:
    start = query.index(_DIGEST) + len(_DIGEST)
    return query[start : start + 32]


def _about_something_else(query: bytes) -> bytes:
    digest = _digest_of(query)
    return query.replace(digest, bytes([digest[0] ^ 1]) + digest[1:])


def _with_another_nonce(query: bytes) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        asked = Path(folder, "query")
        _openssl("-query", "-digest", _digest_of(query).hex(), "-sha256", "-cert", "-out", str(asked))
        return asked.read_bytes()


def _signed_by(name: str, config: str, answer: bytes) -> bytes:
    """Return the same time stamp, signed with another certificate of the authority: `openssl ts` itself would refuse."""
    folder = Path(config).parent / "good"
    with tempfile.TemporaryDirectory() as made:
        whole, token, info, signed = (Path(made, one) for one in ("whole", "token", "info", "signed"))
        whole.write_bytes(answer)
        _openssl("-reply", "-in", str(whole), "-token_out", "-out", str(token))
        cms = ["openssl", "cms", "-binary", "-outform", "DER"]
        read = ["-verify", "-noverify", "-inform", "DER", "-in", str(token), "-out", str(info)]
        sign = [
            "-sign",
            "-nodetach",
            "-cades",
            "-md",
            "sha256",
            "-econtent_type",
            "1.2.840.113549.1.9.16.1.4",
        ]
        with_key = ["-signer", str(folder / f"{name}.crt"), "-inkey", str(folder / f"{name}.key")]
        subprocess.run([*cms, *read], check=True, capture_output=True)
        subprocess.run(
            [*cms, *sign, *with_key, "-in", str(info), "-out", str(signed)], check=True, capture_output=True
        )
        body = b"\x30\x03\x02\x01\x00" + signed.read_bytes()
        return b"\x30\x82" + len(body).to_bytes(2, "big") + body


_QUESTIONS: Mapping[str, Callable[[bytes], bytes]] = {
    "/wrong-imprint": _about_something_else,
    "/wrong-nonce": _with_another_nonce,
}


class Handler(BaseHTTPRequestHandler):
    """Answers POST."""

    configs: Mapping[str, str]

    def do_POST(self) -> None:
        """Answer a request for a time stamp."""
        query = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/503":
            self.send_error(503)
        elif self.path == "/404":
            self.send_error(404)
        elif self.path == "/html":
            self._send(b"<html><body>please log in</body></html>", "text/html")
        elif self.path == "/drip":
            self._drip()
        elif self.path == "/huge":
            self._send(b"\x30\x82" + bytes(600_000))
        else:
            self._answer(query)

    def _answer(self, query: bytes) -> None:
        """Answer with a token: about something else, cut short, by an authority that nobody knows, or a good one."""
        question = _QUESTIONS.get(self.path, bytes)(query)
        answer = _reply(question, self.configs.get(self.path, self.configs["/tsa"]))
        if self.path in ("/mail", "/expired"):
            answer = _signed_by(self.path[1:], self.configs["/tsa"], answer)
        if self.path == "/broken-signature":
            answer = answer[:-1] + bytes([answer[-1] ^ 1])
        if self.path == "/with-mods":
            answer = answer.replace(b"\x02\x01\x00", b"\x02\x01\x01", 1)
        if self.path == "/truncated":
            answer = answer[: len(answer) // 2]
        if self.path == "/cut":
            self._send(answer[: len(answer) // 2], length=len(answer))
        else:
            self._send(answer)

    def _drip(self) -> None:
        """Answer a byte at a time, without end."""
        with suppress(OSError):
            while not _drained.wait(0.05):
                self.wfile.write(b"H")

    def _send(
        self, body: bytes, kind: str = "application/timestamp-reply", length: int | None = None
    ) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    port, *pairs = sys.argv[1:]
    Handler.configs = dict(pair.split("=", 1) for pair in pairs)
    ThreadingHTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()
