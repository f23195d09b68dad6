"""Secrets by reference: fetched when they are needed, once, and never shown.

A configuration holds ``env:NAME``, ``file:PATH``, ``command:CMD`` or ``keyring:SERVICE``, never the secret itself.
Without a reference the keyring is asked, then the person.
"""

from __future__ import annotations

import os
import shlex
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

from archipec.durability import open_regular
from archipec.errors import ConfigError
from archipec.language import N_, _, written
from archipec.masking import hide
from archipec.options import nearest
from archipec.supervision import waiting

SERVICE: Final = "archipec"
"""The keyring service that is asked when no reference is given."""

_FORMS = N_("env:NAME, file:PATH, command:CMD or keyring:SERVICE")
_KINDS = ("env", "file", "command", "keyring")
_LONGEST = 64 * 1024
_PATIENCE = 120.0  # seconds: a password manager may ask the person for its own password

# Two questions at once on one terminal would mix, and keyrings are not made for many threads.
_one_at_a_time = threading.Lock()


def check_reference(value: object) -> str:
    """Accept a reference to a secret.

    Raises:
        ValueError: it is not a reference, with what it must be. The value is not repeated: it may be a secret.
    """
    kind, separator, rest = value.partition(":") if isinstance(value, str) else ("", "", "")
    if not separator or kind not in _KINDS:
        known = nearest(kind.lower(), _KINDS) if separator else ""
        raise ValueError(
            _("must be a reference ({forms}), never the secret itself{known}").format(
                forms=_(_FORMS), known=known
            )
        )
    if not rest.strip() or "\0" in rest:
        raise ValueError(_("must say which one after {kind}:").format(kind=kind))
    if kind == "env" and "=" in rest:
        raise ValueError(_("must name an environment variable after env:"))
    if kind == "command":
        try:
            arguments = _arguments(rest)
        except ValueError:
            raise ValueError(_("must have its quotes in pairs after command:")) from None
        if not arguments:
            raise ValueError(_("must say which one after command:"))
    assert isinstance(value, str)
    return value


class LazySecret:
    """The `archipec.contract.Secret` that plugins get. Threads may share it.

    Args:
        reference: as `check_reference` accepts it; None asks the keyring, then the person.
        name: what it is ("password"), for questions and errors.
        user: whose it is; the keyring's account. May be empty.
        host: where; may be empty.
    """

    __slots__ = ("_host", "_name", "_reference", "_user", "_value")

    def __init__(
        self,
        reference: str | None,
        *,
        name: str = "password",
        user: str = "",
        host: str = "",
    ) -> None:
        self._reference = reference
        self._name = name
        self._user = user
        self._host = host
        self._value: str | None = None

    @property
    def reference(self) -> str | None:
        """Where it comes from."""
        return self._reference

    def reveal(self) -> str:
        """Return the secret."""
        with _one_at_a_time:
            if self._value is None:
                with waiting():  # it may ask the user
                    self._value = self._fetch()
                hide(self._value)
            return self._value

    def __repr__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return format("***", spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LazySecret) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def __copy__(self) -> LazySecret:
        return self

    def __deepcopy__(self, _memo: object) -> LazySecret:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError(_("a secret can't be pickled"))

    def _identity(self) -> tuple[object, ...]:
        return self._reference, self._name, self._user, self._host

    @property
    def _account(self) -> str:
        return "@".join(filter(None, (self._user, self._host)))

    @property
    def _what(self) -> str:
        return f"{self._name} of {self._account}" if self._account else self._name

    def _fetch(self) -> str:
        if self._reference is None:
            return self._from_keyring_or_person()
        kind, _, rest = self._reference.partition(":")
        fetch: dict[str, Callable[[str], str]] = {
            "env": self._from_environment,
            "file": self._from_file,
            "command": self._from_command,
            "keyring": self._from_keyring,
        }
        return fetch[kind](rest)

    def _from_environment(self, name: str) -> str:
        value = os.environ.get(name, "")
        if not value:
            raise ConfigError(
                _("{what}: the environment variable {name} is not set").format(what=self._what, name=name),
                hint=_("set it where archipec runs, or change the reference"),
            )
        return value

    def _from_file(self, name: str) -> str:
        path = Path(name)
        try:
            path = path.expanduser()
            with open(open_regular(path.resolve(), os.O_RDONLY), "rb") as file:
                if os.name == "posix" and os.fstat(file.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                    raise ConfigError(
                        _("{what}: {path} is open to other users").format(what=self._what, path=path),
                        hint=f"chmod 600 {shlex.quote(str(path))}",
                    )
                line = file.readline(_LONGEST)
        except (OSError, RuntimeError) as error:  # RuntimeError: no such home
            reason = getattr(error, "strerror", None) or str(error)
            raise ConfigError(
                f"{self._what}: {path}: {reason.rstrip('.').lower()}",
                hint=_("the file holds the secret on its first line"),
            ) from error
        return self._first_line(line, _("the first line of {path}").format(path=path))

    def _from_command(self, command: str) -> str:
        import subprocess

        from archipec.config.keeper import run_kept

        arguments = _arguments(command)
        program = shlex.split(command)[0] if os.name != "nt" else command.split()[0]
        try:
            done = run_kept(arguments, _PATIENCE)
        except subprocess.TimeoutExpired:
            failure = _("gave no answer within {seconds} seconds").format(seconds=written(_PATIENCE))
        except OSError as error:
            failure = (error.strerror or str(error)).lower()
        else:
            if done.returncode == 0:
                return self._first_line(
                    done.stdout[:_LONGEST], _("the output of the command {program}").format(program=program)
                )
            failure = _("ended with exit code {code}").format(code=done.returncode)
        raise ConfigError(
            _("{what}: the command {program} {failure}").format(
                what=self._what, program=program, failure=failure
            ),
            hint=_("run it yourself to see what is wrong"),
        )

    def _from_keyring(self, service: str) -> str:
        account = self._user or self._host
        value, failure = _ask_keyring(service, account)
        if value:
            return value
        problem = failure or _(
            'the keyring has nothing for service "{service}" and account "{account}"'
        ).format(service=service, account=account)
        raise ConfigError(
            f"{self._what}: {problem}",
            hint=_("store it with: {command}").format(command=_keyring_set(service, account)),
        )

    def _from_keyring_or_person(self) -> str:
        value, failure = _ask_keyring(SERVICE, self._account)
        if value:
            return value
        if sys.stdin is not None and sys.stdin.isatty() and sys.stderr is not None and sys.stderr.isatty():
            import getpass

            try:
                value = getpass.getpass(f"{self._what}: ")
            except EOFError:
                value = ""
            if value:
                return value
        raise ConfigError(
            _("{what}: none is configured").format(what=self._what) + (f" ({failure})" if failure else ""),
            hint=_("give a reference ({forms}), or store it with: {command}").format(
                forms=_(_FORMS), command=_keyring_set(SERVICE, self._account)
            ),
        )

    def _first_line(self, data: bytes, where: str) -> str:
        line = data.partition(b"\n")[0].removesuffix(b"\r").removeprefix(b"\xef\xbb\xbf")
        value = _utf8(line)
        if value is None:
            raise ConfigError(
                _("{what}: {where} is not UTF-8").format(what=self._what, where=where),
                hint=_("save it as UTF-8"),
            )
        if not value:
            raise ConfigError(
                _("{what}: {where} is empty").format(what=self._what, where=where),
                hint=_("it must hold the secret"),
            )
        return value


def _keyring_set(service: str, account: str) -> str:
    """Return the command that stores a password."""
    from archipec.terminal import command_line

    return command_line("keyring", "set", service, account)


def _arguments(command: str) -> list[str] | str:
    """A command as subprocess takes it. Windows programs split their command line themselves."""
    return command if os.name == "nt" else shlex.split(command)


def _utf8(data: bytes) -> str | None:
    # An exception that leaves here would carry the bytes along.
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _ask_keyring(service: str, account: str) -> tuple[str | None, str]:
    """The secret, or None and why the keyring can't be asked ("" when it can and has none)."""
    import keyring
    import keyring.errors

    try:
        return keyring.get_password(service, account), ""
    except keyring.errors.NoKeyringError:
        return None, _("this machine has no keyring")
    except Exception as error:  # noqa: BLE001 - backends raise whatever their system raises
        return None, _("the keyring can't be asked: {reason}").format(
            reason=" ".join(str(error).split()) or type(error).__name__
        )
