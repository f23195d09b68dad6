"""A real OpenSSH server on loopback that offers SFTP and nothing else.

Its one user exists in no system file: nss_wrapper (https://cwrap.org/nss_wrapper.html) shows the server a passwd and
a shadow file of this test's own, so that keys and passwords are checked by sshd itself, as root or not.
"""

from __future__ import annotations

import getpass
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from .process import ServerProcess
from .requirements import find, nss_wrapper

USER = "versatore"
PASSWORD = "parola d'ordine di prova"


class SFTPServer(ServerProcess):
    """`home` is where the user's paths begin; `key_file` is a private key that opens it, `other_key_file` one that doesn't."""

    name = "sshd"

    def __init__(self, user: str = USER, password: str = PASSWORD) -> None:
        super().__init__()
        self.user = user
        self.password = password

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def key_file(self) -> Path:
        return self.root / "user_key"

    @property
    def other_key_file(self) -> Path:
        return self.root / "other_key"

    def known_hosts(self, path: Path, *, key: str | None = None) -> Path:
        """Write a known_hosts file with this server's key, or with ``key`` in its stead."""
        key = key or (self.root / "host_key.pub").read_text("ascii")
        path.write_text(f"[{self.host}]:{self.port} {key}", "ascii")
        return path

    def lay_out(self) -> None:
        self.home.mkdir()
        for name in ("host_key", "user_key", "other_key"):
            # The default of OpenSSH, and what its clients ask for first.
            _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(self.root / name))
        (self.root / "authorized_keys").write_bytes((self.root / "user_key.pub").read_bytes())
        uid, gid = os.getuid(), os.getgid()
        (self.root / "passwd").write_text(
            f"{self.user}:x:{uid}:{gid}::{self.home}:/bin/sh\n"
            "sshd:x:65534:65534::/run/sshd:/usr/sbin/nologin\n",
            "utf-8",
        )
        (self.root / "group").write_text(f"{getpass.getuser()}:x:{gid}:\n", "utf-8")
        hashed = _run("openssl", "passwd", "-6", "-stdin", given=self.password)
        (self.root / "shadow").write_text(f"{self.user}:{hashed}:19000:0:99999:7:::\n", "utf-8")
        if uid == 0:
            # Where sshd locks up its unprivileged part; Debian's service makes it.
            Path("/run/sshd").mkdir(exist_ok=True)

    def command(self, port: int) -> Sequence[str]:
        config = self.root / "sshd_config"
        config.write_text(
            "\n".join(
                (
                    f"ListenAddress {self.host}:{port}",
                    f"HostKey {self.root / 'host_key'}",
                    f"AuthorizedKeysFile {self.root / 'authorized_keys'}",
                    "PidFile none",
                    "StrictModes no",
                    "UsePAM no",
                    "PermitRootLogin yes",
                    "KbdInteractiveAuthentication no",
                    "MaxStartups 100",
                    "LogLevel VERBOSE",
                    "Subsystem sftp internal-sftp",
                    f"ForceCommand internal-sftp -d {self.home}",
                )
            ),
            "utf-8",
        )
        return [find("sshd") or "sshd", "-D", "-e", "-f", str(config)]

    def environment(self) -> Mapping[str, str]:
        return {
            "LD_PRELOAD": nss_wrapper() or "",
            "NSS_WRAPPER_PASSWD": str(self.root / "passwd"),
            "NSS_WRAPPER_GROUP": str(self.root / "group"),
            "NSS_WRAPPER_SHADOW": str(self.root / "shadow"),
        }


def _run(program: str, *arguments: str, given: str = "") -> str:
    done = subprocess.run([program, *arguments], input=given, capture_output=True, text=True, check=True)
    return done.stdout.strip()
