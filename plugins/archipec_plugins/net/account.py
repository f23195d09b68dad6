"""The settings of an account on a mail server, the same for every protocol."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from archipec.contract import Option, Secret, choice, file_path, port_number, positive
from archipec.errors import ConfigError, TransientError
from archipec.language import _


class MailProtocol(NamedTuple):
    """What mail servers speak.

    Attributes:
        name: in messages.
        upgrade: the command that begins TLS on the second scheme.
        ports: the usual one by URL scheme: TLS from the start, then TLS after ``upgrade``.
    """

    name: str
    upgrade: str
    ports: Mapping[str, int]


IMAP: Final = MailProtocol("IMAP", "STARTTLS", {"imaps": 993, "imap": 143})
POP3: Final = MailProtocol("POP3", "STLS", {"pop3s": 995, "pop3": 110})


_CROWDED: Final = re.compile(
    r"(too many|max(imum)?( number)?( of)?|limit|exceed\w*|concurrent|simultaneous|already|only one|another)\b.*"
    r"\b(connection|session|client|simultaneous|concurrent|logged (in|on)|logins)"
    r"|\b(connection|session|login)s?\b.*\b(limit|exceed\w*|maximum|too many|already)",
    re.IGNORECASE,
)
# A password was mistyped, or is being guessed: the account may be locked, and another try makes it worse.
_GUESSED: Final = re.compile(
    r"attempt|fail(ed|ures)\b|invalid|incorrect|wrong|bad (password|login)|credential|password", re.IGNORECASE
)


def is_crowded(reason: str) -> bool:
    """Tell whether a server refuses a login because as many connections as it allows are open."""
    return _CROWDED.search(reason) is not None and _GUESSED.search(reason) is None


def crowded(where: object, user: str, reason: str) -> TransientError:
    """Return the error for such a refusal."""
    return TransientError(
        _("{where} allows {user} no further connection now: {reason}").format(
            where=where, user=user, reason=reason
        ),
        hint=_(
            "the mailbox allows only so many connections at once: try later, close other mail "
            "programs, or set connections to 1"
        ),
        retry_after=math.inf,
    )


@dataclass(frozen=True, slots=True)
class Account:
    """An account and how to reach it.

    Attributes:
        timeout: seconds, for connecting and then for each wait.
    """

    scheme: str
    user: str
    host: str
    port: int
    password: Secret | None
    ca_file: Path | None
    timeout: int

    @property
    def url(self) -> str:
        """The account's URL: scheme, login, host and port."""
        from urllib.parse import quote

        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{quote(self.user, safe='')}@{host}:{self.port}"


def account_options(protocol: MailProtocol) -> tuple[Option, ...]:
    """Return the options that `read_account` reads."""
    (direct, _), (upgraded, _) = protocol.ports.items()
    return (
        Option(
            name="scheme",
            help=f"{direct} for TLS from the start, {upgraded} for {protocol.upgrade};"
            " nothing is ever sent in the clear",
            default=direct,
            part="scheme",
            convert=choice(*protocol.ports),
        ),
        Option(name="user", help="the login, often the PEC address", required=True, part="user"),
        Option(name="host", help="the server", required=True, part="host"),
        Option(
            name="port",
            help=f"its port, {' or '.join(map(str, protocol.ports.values()))} unless given",
            part="port",
            convert=port_number,
        ),
        Option(name="password", help="where the password is", secret=True, required=True),
        Option(
            name="ca_file",
            help="certificates of further authorities to trust, in PEM format",
            convert=file_path,
        ),
        Option(
            name="timeout",
            help="how long to wait for the server",
            default=60,
            unit="seconds",
            convert=positive,
        ),
    )


def read_account(protocol: MailProtocol, values: Mapping[str, Any]) -> Account:
    """Make an account from option values; others may be among them.

    Raises:
        ConfigError: with all problems.
    """
    host = str(values["host"]).removeprefix("[").removesuffix("]").lower()
    user = values["user"]
    problems = []
    if not host.isprintable() or not host or any(char in host for char in " /@"):
        problems.append(
            _('option "host" must be the name of a server, not {values}').format(values=repr(values["host"]))
        )
    if not user.isprintable():
        problems.append(_('option "user" must be a login, not {user}').format(user=repr(user)))
    if problems:
        raise ConfigError(problems)
    return Account(
        values["scheme"],
        user,
        host,
        values["port"] or protocol.ports[values["scheme"]],
        values["password"],
        values["ca_file"],
        values["timeout"],
    )
