"""A real WebDAV server (WsgiDAV on cheroot) on loopback, over TLS, in a process of its own.

``python webdav_server.py SETTINGS.json`` serves; `WebDAVServer` starts that.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if __name__ != "__main__":
    from .certificates import Authority, ServerCertificate
    from .process import ServerProcess

    USER = "versatore"
    PASSWORD = "parola d'ordine di prova"

    class WebDAVServer(ServerProcess):
        """`home` is the folder behind ``https://host:port/dav/``. Methods in ``refused`` are answered 405."""

        name = "webdav"

        def __init__(
            self,
            user: str = USER,
            password: str = PASSWORD,
            certificate: ServerCertificate | None = None,
            refused: Sequence[str] = (),
        ) -> None:
            super().__init__()
            self.user = user
            self.password = password
            self._certificate = certificate
            self._refused = list(refused)

        @property
        def home(self) -> Path:
            return self.root / "home"

        @property
        def ca_file(self) -> Path:
            """What a client must trust to accept the server."""
            assert self._certificate
            return self._certificate.ca_file

        def lay_out(self) -> None:
            self.home.mkdir()
            self._certificate = self._certificate or Authority(self.root).issue()

        def command(self, port: int) -> Sequence[str]:
            assert self._certificate
            settings = self.root / "settings.json"
            settings.write_text(
                json.dumps(
                    {
                        "port": port,
                        "home": str(self.home),
                        "user": self.user,
                        "password": self.password,
                        "certificate": str(self._certificate.cert_file),
                        "key": str(self._certificate.key_file),
                        "refused": self._refused,
                    }
                )
            )
            return [sys.executable, "-I", __file__, str(settings)]


def serve(settings: dict[str, Any]) -> None:
    """Serve until told to stop."""
    from cheroot.ssl.builtin import BuiltinSSLAdapter
    from cheroot.wsgi import Server
    from wsgidav.wsgidav_app import WsgiDAVApp

    dav = WsgiDAVApp(
        {
            "provider_mapping": {"/dav": settings["home"]},
            "simple_dc": {"user_mapping": {"*": {settings["user"]: {"password": settings["password"]}}}},
            "http_authenticator": {"accept_basic": True, "accept_digest": False, "default_to_digest": False},
            "lock_storage": True,
            "property_manager": True,
            "logging": {"enable": True},
            "verbose": 1,
        }
    )

    def application(environ: dict[str, Any], start: Any) -> Any:
        print(environ["REQUEST_METHOD"], environ["PATH_INFO"], flush=True)
        if environ["REQUEST_METHOD"] in settings["refused"]:
            start("405 Method Not Allowed", [("Content-Length", "0")])
            return [b""]
        return dav(environ, start)

    server = Server(("127.0.0.1", settings["port"]), application)
    server.ssl_adapter = BuiltinSSLAdapter(settings["certificate"], settings["key"])
    server.safe_start()


if __name__ == "__main__":
    serve(json.loads(Path(sys.argv[1]).read_text("utf-8")))
