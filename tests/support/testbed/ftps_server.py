"""A real ProFTPD on loopback that speaks FTP over implicit TLS, as it comes: data connections must resume the session.

``python ftps_server.py PORT COMMAND...`` starts a ProFTPD for each connection, as inetd does: by itself it would make
whoever connects right after another has left wait for 0.4 seconds.
"""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

if __name__ != "__main__":
    from .certificates import Authority, ServerCertificate
    from .process import ServerProcess
    from .requirements import find

    USER = "versatore"
    PASSWORD = "parola d'ordine di prova"

    class FTPSServer(ServerProcess):
        """`home` is the folder the user sees as ``/``."""

        name = "proftpd"

        def __init__(
            self, user: str = USER, password: str = PASSWORD, certificate: ServerCertificate | None = None
        ) -> None:
            super().__init__()
            self.user = user
            self.password = password
            self._certificate = certificate

        @property
        def home(self) -> Path:
            return self.root / "home"

        @property
        def ca_file(self) -> Path:
            """What a client must trust to accept the server."""
            assert self._certificate
            return self._certificate.ca_file

        def log(self) -> str:
            logs = (self.console, self.root / "tls.log")
            return "".join(log.read_text("utf-8", "replace") for log in logs if log.exists())

        def lay_out(self) -> None:
            self.home.mkdir()
            self._certificate = self._certificate or Authority(self.root).issue()
            hashed = subprocess.run(
                ["openssl", "passwd", "-6", "-stdin"],
                input=self.password,
                capture_output=True,
                text=True,
                check=True,
            ).stdout.strip()
            uid, gid = os.getuid(), os.getgid()
            for name, line in (
                ("passwd", f"{self.user}:{hashed}:{uid}:{gid}::{self.home}:/bin/sh\n"),
                ("group", f"versatori:x:{gid}:\n"),
            ):
                (self.root / name).write_text(line, "utf-8")
                (self.root / name).chmod(0o600)

        def command(self, port: int) -> Sequence[str]:
            import grp  # which Windows lacks

            assert self._certificate
            config = self.root / "proftpd.conf"
            config.write_text(
                "\n".join(
                    (
                        "ServerType inetd",
                        "ServerName prova",
                        f"DefaultAddress {self.host}",
                        f"Port {port}",
                        "UseIPv6 off",
                        "UseReverseDNS off",
                        "WtmpLog off",
                        "DelayEngine off",
                        "RequireValidShell off",
                        "RootLogin on",
                        "DefaultRoot ~" if os.getuid() == 0 else f"DefaultChdir {self.home}",
                        "AllowOverwrite on",
                        "AllowStoreRestart on",
                        f"User {getpass.getuser()}",
                        f"Group {grp.getgrgid(os.getgid()).gr_name}",
                        f"PidFile {self.root / 'pid'}",
                        "ScoreboardFile none",
                        "AuthOrder mod_auth_file.c",
                        f"AuthUserFile {self.root / 'passwd'}",
                        f"AuthGroupFile {self.root / 'group'}",
                        "LoadModule mod_tls.c",
                        "TLSEngine on",
                        "TLSRequired on",
                        "TLSOptions UseImplicitSSL",
                        "TLSProtocol TLSv1.2 TLSv1.3",
                        f"TLSLog {self.root / 'tls.log'}",
                        f"TLSECCertificateFile {self._certificate.cert_file}",
                        f"TLSECCertificateKeyFile {self._certificate.key_file}",
                        "",
                    )
                ),
                "utf-8",
            )
            proftpd = find("proftpd") or "proftpd"
            return [sys.executable, "-I", __file__, str(port), proftpd, "-c", str(config)]


def serve(port: int, command: Sequence[str]) -> None:
    """Give each connection to a process of its own."""
    running: list[subprocess.Popen[bytes]] = []
    with socket.create_server(("127.0.0.1", port)) as server:
        while True:
            connection, _ = server.accept()
            with connection:
                running.append(
                    subprocess.Popen(command, stdin=connection.fileno(), stdout=connection.fileno())
                )
            running = [process for process in running if process.poll() is None]


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2:])
