"""A real Dovecot of one's own on 127.0.0.1: started, filled, looked at and taken away by tests."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from .certificates import Authority, ServerCertificate
from .dovecot_config import Fsync, Owner, Ports, Setup, Storage, passwd_file, render
from .imap import Deliverer, IMAPRefused
from .mailboxes import Mailboxes
from .requirements import dovecot_version, find, missing

USER = "studio@pec.example.it"
PASSWORD = "segreto di prova"

# What Italian webmails call the folders that aren't archived by default, and the sent one, which is.
ITALIAN_FOLDERS: Mapping[str, str] = {
    "Cestino": "\\Trash",
    "Bozze": "\\Drafts",
    "Posta indesiderata": "\\Junk",
    "Posta inviata": "\\Sent",
}

_START_SECONDS = 20.0
_STOP_SECONDS = 10.0


class ServerFailed(Exception):
    """The server could not be started or stopped; the text ends with its own log."""


class Dovecot(Mailboxes):
    """IMAP and POP3, each plain (with STARTTLS/STLS) and over TLS, for the logins given.

    A context manager. `stop` and `start` may be called in between: ports, folders and messages stay.
    Dovecot keeps every byte of a message except bare LF (becomes CRLF) and NUL (becomes 0x80), and
    refuses a message of no bytes at all.
    """

    def __init__(
        self,
        *,
        storage: Storage = "sdbox",
        user: str = USER,
        password: str = PASSWORD,
        users: Mapping[str, str] | None = None,
        special: Mapping[str, str] | None = None,
        quota: str | None = None,
        fsync: Fsync = "never",
        certificate: ServerCertificate | None = None,
        config: str = "",
    ) -> None:
        """`users`: further logins and passwords. `special`: folders to create with their SPECIAL-USE
        (see ITALIAN_FOLDERS). `quota`: as Dovecot writes it, "100M". `config`: further settings.
        """
        super().__init__(user, password, users or {})
        self._storage: Storage = storage
        self._special = dict(special or {})
        self._quota = quota
        self._fsync: Fsync = fsync
        self._given_certificate = certificate
        self._extra = config
        self._owner = Owner.pick()
        self._root: Path | None = None
        self._ports: Ports | None = None
        self._process: subprocess.Popen[bytes] | None = None

    # -- life ------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        if problem := missing("dovecot"):
            raise ServerFailed(problem)
        # Unix sockets go in here and their paths must stay short; the mail's owner must reach its home.
        self._root = Path(tempfile.mkdtemp(prefix="dovecot-"))
        try:
            self._root.chmod(0o711)
            self._lay_out()
            self.start()
        except BaseException:
            self._clean_up()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clean_up()

    def start(self) -> None:
        """Start and wait until a login works. On ports of its own choice the first time, later on the same."""
        attempts = 1 if self._ports else 5
        for attempt in range(1, attempts + 1):
            ports = self._ports or _free_ports()
            try:
                self._start_on(ports)
            except ServerFailed as error:
                # Another program may have taken a free port before Dovecot did.
                if attempt == attempts or "Address already in use" not in str(error):
                    raise
            else:
                self._ports = ports
                return

    def stop(self) -> None:
        """Stop the server with all its processes; connections are closed, messages stay."""
        process, self._process = self._process, None
        if process is None:
            return
        # The whole group at once: told alone, the master gives its children a full second to notice.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        finally:
            # Children write until they are gone, and their folders may be removed next.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        deadline = time.monotonic() + _STOP_SECONDS
        while _group_alive(process.pid):
            if time.monotonic() > deadline:
                raise ServerFailed(f"Dovecot's process group {process.pid} does not end")
            time.sleep(0.002)

    def log(self) -> str:
        """What the server wrote into its log so far."""
        path = self.root / "dovecot.log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    # -- what a client needs to know -------------------------------------------------------------

    @property
    def root(self) -> Path:
        """The temporary directory that holds everything of this server."""
        if self._root is None:
            raise ServerFailed("this Dovecot is used outside its `with` block")
        return self._root

    @property
    def port(self) -> int:
        """IMAP over TLS."""
        return self._listening.imaps

    @property
    def plain_port(self) -> int:
        """IMAP without TLS, offering STARTTLS."""
        return self._listening.imap

    @property
    def pop3_port(self) -> int:
        """POP3 over TLS."""
        return self._listening.pop3s

    @property
    def plain_pop3_port(self) -> int:
        """POP3 without TLS, offering STLS."""
        return self._listening.pop3

    @property
    def ca_file(self) -> Path:
        """What a client must trust to accept the server."""
        return self.certificate.ca_file

    @property
    def tls(self) -> ssl.SSLContext:
        """A client context that trusts `ca_file` alone."""
        return ssl.create_default_context(cafile=str(self.ca_file))

    # -- inside ----------------------------------------------------------------------------------

    @property
    def _listening(self) -> Ports:
        if self._ports is None:
            raise ServerFailed("this Dovecot is not running yet")
        return self._ports

    def _lay_out(self) -> None:
        run, homes = self.root / "run", self.root / "homes"
        run.mkdir(0o755)
        homes.mkdir(0o711)
        # Homes are numbered: logins hold characters that paths shouldn't.
        of_user = {user: homes / str(number) for number, user in enumerate(self.passwords)}
        for home in of_user.values():
            home.mkdir(0o700)
            os.chown(home, self._owner.uid, self._owner.gid)
        if self._given_certificate is None:
            tls = self.root / "tls"
            tls.mkdir(0o700)
            self.certificate = Authority(tls).issue()
        else:
            self.certificate = self._given_certificate
        users = self.root / "users"
        users.write_text(passwd_file(self.passwords, of_user, self._owner), "utf-8")
        # The server's own unprivileged processes read it; the passwords in it are made up.
        users.chmod(0o644)

    def _start_on(self, ports: Ports) -> None:
        program, version = find("dovecot"), dovecot_version()
        if program is None or version is None:
            raise ServerFailed("Dovecot is not installed")
        config = self.root / "dovecot.conf"
        setup = Setup(
            root=self.root,
            ports=ports,
            owner=self._owner,
            certificate=self.certificate,
            storage=self._storage,
            fsync=self._fsync,
            special=self._special,
            quota=self._quota,
            pop3=missing("dovecot-pop3") is None,
            extra=self._extra,
        )
        config.write_text(render(setup, version), "utf-8")
        # A session of its own: Ctrl-C in a terminal must not take the server away before its client,
        # and `stop` can see whether any process is left.
        with (self.root / "console.log").open("ab") as console:
            self._process = subprocess.Popen(
                [program, "-F", "-c", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )
        try:
            self._wait_until_ready(self._process, ports.imap)
        except BaseException:
            self.stop()
            raise

    def _wait_until_ready(self, process: subprocess.Popen[bytes], port: int) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                Deliverer(self.host, port, self.user, self.password, timeout=_START_SECONDS).close()
            except (OSError, IMAPRefused) as error:
                if process.poll() is not None or time.monotonic() > deadline:
                    console = (self.root / "console.log").read_text("utf-8", "replace")
                    raise ServerFailed(f"Dovecot did not start: {error}\n{console}{self.log()}") from error
                time.sleep(0.01)
            else:
                return

    def _clean_up(self) -> None:
        try:
            self.stop()
        finally:
            root, self._root, self._ports = self.root, None, None
            shutil.rmtree(root)


def _free_ports() -> Ports:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(4)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return Ports(*(one.getsockname()[1] for one in sockets))


def _group_alive(group: int) -> bool:
    """Whether a process of the group still runs; the dead that nobody has waited for don't count."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # After the name in parentheses: state, parent, group.
            state, _, of_group = stat.read_text().rpartition(")")[2].split()[:3]
            if int(of_group) == group and state not in "ZX":
                return True
    return False
