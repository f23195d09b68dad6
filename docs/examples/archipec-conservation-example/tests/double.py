"""The service, as its manual describes it: it shares no code with the plugin, and decides by the bytes it gets."""

from __future__ import annotations

import base64
import io
import json
import ssl
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from archipec.testing import ScriptedService, Statement


def render(said: Statement) -> bytes:
    """Put a statement into the service's words."""
    documents = [{"id": name, "sha256": digest.upper()} for name, digest in said.conserved.items()]
    documents += [{"id": name, "reason": reason} for name, reason in said.rejected.items()]
    return json.dumps({"id": said.about, "state": said.state, "documents": documents}).encode()


@contextmanager
def running(service: ScriptedService, login: str, certificate: Path) -> Iterator[int]:
    """Run the service on this machine; give its port."""
    expected = f"Basic {base64.b64encode(login.encode()).decode()}"

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers["Authorization"] != expected:
                self.answer(401, b"")
                return
            with zipfile.ZipFile(io.BytesIO(body)) as archive:
                names = [name for name in archive.namelist() if name.startswith("documenti/")]
                documents = {Path(name).stem: archive.read(name) for name in names}
            self.answer(202, service.deposit(self.package, documents, render))

        def do_GET(self) -> None:
            if self.headers["Authorization"] != expected:
                self.answer(401, b"")
                return
            answer = service.ask(self.package, render)
            self.answer(404 if answer and b'"unknown"' in answer else 200, answer)

        @property
        def package(self) -> str:
            return self.path.removeprefix("/deposits/")

        def answer(self, status: int, body: bytes | None) -> None:
            if body is None:  # the connection breaks
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trust.load_cert_chain(certificate)
    server.socket = trust.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
