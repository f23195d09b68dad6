"""A real Thunderbird, headless and offline, on a profile of one's own: started, asked and driven by tests.

A start takes one to two seconds of both cores here: ask one Thunderbird many questions rather than starting many.

    profile = new_profile(tmp_path / "profile")
    drop_mbox(profile, "Posta", [raw])
    with Thunderbird(profile) as thunderbird:
        assert thunderbird.verdict("Posta").code == VERIFY_UNTRUSTED
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from .marionette import Marionette
from .requirements import missing, thunderbird_program

Preference = bool | int | str

# nsICMSMessageErrors, and what stands for a message without a signature (gSignatureStatus in about:message).
NOT_SIGNED = -1
SUCCESS, GENERAL_ERROR = 0, 1
VERIFY_UNTRUSTED, VERIFY_DIGEST_MISMATCH = 1029, 1034
VERIFY_HEADER_MISMATCH, VERIFY_TIME_MISMATCH = 1038, 1041

_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_QUOTED = re.compile(rb"^(>*From )", re.MULTILINE)

# What Thunderbird itself writes for a profile that has Local Folders and no other account.
_LOCAL_FOLDERS: Mapping[str, Preference] = {
    "mail.account.account1.server": "server1",
    "mail.account.lastKey": 1,
    "mail.accountmanager.accounts": "account1",
    "mail.accountmanager.localfoldersserver": "server1",
    "mail.server.server1.directory-rel": "[ProfD]Mail/Local Folders",
    "mail.server.server1.hostname": "Local Folders",
    "mail.server.server1.name": "Local Folders",
    "mail.server.server1.storeContractID": "@mozilla.org/msgstore/berkeleystore;1",
    "mail.server.server1.type": "none",
    "mail.server.server1.userName": "nobody",
}
# Without the last one Marionette would change two hundred settings, and write them into the profile.
_FOR_TESTS: Mapping[str, Preference] = {
    "app.donation.eoy.version.viewed": 999,
    "datareporting.policy.dataSubmissionEnabled": False,
    "mail.provider.suppress_dialog_on_startup": True,
    "mailnews.start_page.enabled": False,
    "marionette.port": 0,
    "remote.prefs.recommended": False,
}


class ThunderbirdFailed(Exception):
    """Thunderbird could not be started or did not end; the text ends with its own words."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What Thunderbird says of a seal: a code of nsICMSMessageErrors, and the signer's SHA-256, if it got that far."""

    code: int
    signer: str | None


@dataclass(frozen=True, slots=True)
class LocalFolder:
    """A folder below Local Folders as Thunderbird counts it; `name` has slashes for subfolders."""

    name: str
    messages: int
    unread: int
    bytes: int


def new_profile(directory: Path, prefs: Mapping[str, Preference] | None = None) -> Path:
    """Make a profile that has Local Folders and these settings, as if Thunderbird had run in it before."""
    (directory / "Mail" / "Local Folders").mkdir(parents=True)
    write_prefs(directory / "prefs.js", {**_LOCAL_FOLDERS, **(prefs or {})})
    return directory


def write_prefs(path: Path, prefs: Mapping[str, Preference]) -> None:
    """Write a prefs.js or user.js."""
    lines = [f"user_pref({_literal(name)}, {_literal(value)});\n" for name, value in prefs.items()]
    path.write_text("".join(lines), "utf-8")


def drop_mbox(profile: Path, name: str, messages: Sequence[bytes], *, quote: bool = True) -> Path:
    """Put an mbox of messages under Local Folders, as mboxrd unless told otherwise; shown at the next start."""
    path = profile / "Mail" / "Local Folders" / name
    separator = b"From - Sat Nov 21 18:48:43 2026\r\n"
    quoted = [_QUOTED.sub(rb">\1", raw) if quote else raw for raw in messages]
    path.write_bytes(b"".join(separator + raw + b"\r\n" for raw in quoted))
    return path


class Thunderbird:
    """A running Thunderbird. A context manager; `stop` and `start` may be called in between.

    Args:
        profile: its profile, which it changes as any Thunderbird does.
        prefs: settings in force from every start on (user.js).
        program: another Thunderbird than the one installed.
    """

    def __init__(
        self,
        profile: Path,
        *,
        prefs: Mapping[str, Preference] | None = None,
        program: str | None = None,
    ) -> None:
        self.profile = profile
        self._program = program
        self._prefs = {**_FOR_TESTS, **(prefs or {})}
        self._home = Path(tempfile.mkdtemp(prefix="thunderbird-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._marionette: Marionette | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            shutil.rmtree(self._home)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        finally:
            shutil.rmtree(self._home, ignore_errors=True)

    def start(self) -> None:
        """Start it and wait until it takes commands."""
        if problem := missing("thunderbird"):
            raise ThunderbirdFailed(problem)
        program = self._program or thunderbird_program()
        assert program is not None
        write_prefs(self.profile / "user.js", self._prefs)
        port_file = self.profile / "MarionetteActivePort"
        port_file.unlink(missing_ok=True)
        arguments = ["--no-remote", "--offline", "--marionette", "--remote-allow-system-access"]
        # Its console, for the error message; a session of its own, so that nothing of it is left behind.
        with (self._home / "console").open("ab") as console:
            self._process = subprocess.Popen(
                [program, "--profile", str(self.profile), *arguments],
                env={
                    **{
                        key: value
                        for key, value in os.environ.items()
                        if not key.startswith(("MOZ_", "XDG_"))
                    },
                    "HOME": str(self._home),
                    "MOZ_CRASHREPORTER_DISABLE": "1",
                    "MOZ_HEADLESS": "1",
                },
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )
        try:
            self._marionette = Marionette(self._port(port_file), timeout=_START_SECONDS)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Let it quit as from its menu, and wait until it has written everything."""
        marionette, process = self._marionette, self._process
        if marionette is None or process is None:
            return
        try:
            marionette.send("Marionette:Quit", {"flags": ["eAttemptQuit"]})
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                # A window may refuse to be closed; this it can't refuse, and everything is written all the same.
                with contextlib.suppress(OSError):  # no answer any more: it is quitting, and slow
                    marionette.send("Marionette:Quit", {"flags": ["eForceQuit"]})
                process.wait(_STOP_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ThunderbirdFailed(f"Thunderbird did not quit: {error}\n{self._console()}") from error
        finally:
            self.kill()

    def kill(self) -> None:
        """End it at once with all its processes, as a crash would."""
        if self._marionette is not None:
            self._marionette.close()
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._marionette = self._process = None

    # -- what it can be asked ------------------------------------------------------------------------

    def run(self, script: str, *arguments: Any) -> Any:
        """Run the body of an async function in its chrome context; `args` holds the arguments, all JSON."""
        if self._marionette is None:
            raise ThunderbirdFailed("this Thunderbird is not running")
        return self._marionette.run(script, *arguments)

    def verdict(self, folder: str, index: int = 0) -> Verdict:
        """Open a message in the window and read what it shows of the seal (in the folder's order of keys)."""
        code, signer = self._ask("verdict", folder, index)
        return Verdict(code, signer)

    def trust(self, sha256: str) -> tuple[bool, bool] | None:
        """Whether a root is trusted for (web, mail); None when Thunderbird does not know the certificate."""
        bits = self._ask("trust", sha256.lower())
        return None if bits is None else (bits[0], bits[1])

    def folders(self) -> list[LocalFolder]:
        """The folders below Local Folders, sorted by name, Thunderbird's own (Trash, Unsent Messages) included."""
        return sorted((LocalFolder(*row) for row in self._ask("folders")), key=lambda folder: folder.name)

    def messages(self, folder: str) -> list[bytes]:
        """Every message of a folder as Thunderbird reads it, its own status lines included."""
        return [base64.b64decode(one) for one in self._ask("messages", folder)]

    def mark_read(self, folder: str) -> None:
        """Mark every message as read."""
        self._ask("markRead", folder)

    def delete(self, folder: str, index: int = 0) -> None:
        """Delete a message for good, not into the bin."""
        self._ask("remove", folder, index)

    def compact(self, folder: str) -> None:
        """Compact a folder, as "File > Compact Folders" does."""
        self._ask("compact", folder)

    # -- inside ----------------------------------------------------------------------------------------

    def _ask(self, function: str, *arguments: Any) -> Any:
        return self.run(f"{_library()}\nreturn await {function}(...args);", *arguments)

    def _port(self, port_file: Path) -> int:
        assert self._process is not None
        deadline = time.monotonic() + _START_SECONDS
        while not (text := port_file.read_text() if port_file.exists() else ""):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise ThunderbirdFailed(f"Thunderbird did not start\n{self._console()}")
            time.sleep(0.01)
        return int(text)

    def _console(self) -> str:
        return (self._home / "console").read_text("utf-8", "replace")[-2000:]


def _library() -> str:
    return Path(__file__).with_suffix(".js").read_text("utf-8")


def _literal(value: Preference) -> str:
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value).lower() if isinstance(value, bool) else str(value)
