"""What the accounts of a profile do to the mail on a PEC provider's server, and how to make them leave it alone.

Names and defaults of the settings: nsIPop3IncomingServer, nsIImapIncomingServer, nsIMsgRetentionSettings, mailnews.js; and
what the account wizard of a real Thunderbird 153 wrote.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar, cast

from archipec.config.providers import MailProvider, Protocol, guess, of_host
from archipec.errors import ConfigError, IntegrityError
from archipec.language import _
from archipec_thunderbird.backup import ChangeRecord, make_backup, write_record
from archipec_thunderbird.lock import ProfileLock
from archipec_thunderbird.prefs import PREFS, USER, Value, read_prefs, read_prefs_file, write_prefs

__all__ = ["AccountProblem", "MailAccount", "Safety", "leave_on_server", "read_accounts"]

T = TypeVar("T", bound=Value)

_TLS: Final = {2: "STARTTLS", 3: "TLS"}
_PORTS: Final = {("pop3", True): 995, ("pop3", False): 110, ("imap", True): 993, ("imap", False): 143}
_SMTP_PORTS: Final = {True: 465, False: 587}
_KEEP_ALL, _KEEP_BY_AGE = 1, 2
_MARK, _TO_TRASH = 0, 1

# What a safe account has, for each protocol; all but the first are Thunderbird's defaults.
_SAFE: Final[Mapping[str, Mapping[str, Value]]] = {
    "pop3": {
        "leave_on_server": True,
        "delete_by_age_from_server": False,
        "delete_mail_left_on_server": False,
        "retainBy": _KEEP_ALL,
    },
    "imap": {"retainBy": _KEEP_ALL},
}
_DEFAULTS: Final[Mapping[str, Value]] = {
    "leave_on_server": False,
    "delete_by_age_from_server": False,
    "num_days_to_leave_on_server": 7,
    "delete_mail_left_on_server": False,
    "retainBy": _KEEP_ALL,
    "daysToKeepHdrs": 30,
    "numHdrsToKeep": 2000,
    "delete_model": _TO_TRASH,
    "empty_trash_on_exit": False,
}


@dataclass(frozen=True, slots=True)
class AccountProblem:
    """Something about an account that a person should know.

    Attributes:
        name: "download-deletes", "deleted-after-days", "deleting-here-deletes-there", "retention", "sent-only-here",
            "sent-not-kept", "other-server" or "no-tls".
        text: one sentence.
        fixable: whether `leave_on_server` takes it away.
    """

    name: str
    text: str
    fixable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MailAccount:
    """An account on a PEC provider's server.

    Attributes:
        key: Thunderbird's name for its server, "server1".
        name: as Thunderbird shows it.
        addresses: of its identities.
        type: "pop3" or "imap".
        host, port, tls: its server; `tls` is "TLS", "STARTTLS" or "none".
        provider: whose it is.
        deletion: what deleting a message in Thunderbird means, one sentence.
        sent: where what is sent is kept: "server", "profile" or "nowhere".
        problems: may be none.
    """

    key: str
    name: str
    addresses: tuple[str, ...]
    type: str
    host: str
    port: int
    tls: str
    provider: MailProvider
    deletion: str
    sent: str
    problems: tuple[AccountProblem, ...]


@dataclass(frozen=True, slots=True)
class Safety:
    """What `leave_on_server` changed.

    Attributes:
        accounts: whose settings were changed, by name; none when all were safe.
        backup: where prefs.js is as it was before; None when nothing was changed.
    """

    accounts: tuple[str, ...]
    backup: Path | None


def read_accounts(profile: Path) -> list[MailAccount]:
    """Return the POP3 and IMAP accounts on servers of PEC providers, in Thunderbird's order.

    Raises:
        ArchipecError: the profile can't be read.
    """
    return list(_Settings(read_prefs(profile)).accounts())


def leave_on_server(profile: Path, *, dry_run: bool = False) -> Safety:
    """Make every account on a PEC provider's server leave mail there, whatever happens in Thunderbird.

    Raises:
        TransientError: Thunderbird is running; nothing was touched.
        ConfigError: user.js would undo it at the next start.
        IntegrityError: what was written does not read back.
        ArchipecError: the profile can't be read or written.
    """
    if dry_run:
        return _leave_on_server(profile, dry_run=True)
    with ProfileLock(profile):
        return _leave_on_server(profile, dry_run=False)


def _leave_on_server(profile: Path, *, dry_run: bool) -> Safety:
    settings = _Settings(read_prefs(profile))
    changes: dict[str, Value | None] = {}
    names = []
    for account in settings.accounts():
        unsafe = settings.made_safe(account.key, account.type)
        changes |= unsafe
        names += [account.name] if unsafe else []
    if dry_run or not changes:
        return Safety(tuple(names), None)
    forced = [name for name in read_prefs_file(profile / USER) if name in changes]
    if forced:
        raise ConfigError(
            _("{profile} sets {forced} at every start").format(
                profile=profile / USER, forced=", ".join(forced)
            ),
            hint=_("remove those lines first"),
        )
    before = read_prefs_file(profile / PREFS)
    backup = make_backup(profile, [PREFS])
    write_record(
        ChangeRecord(backup, (), {name: (before.get(name), after) for name, after in changes.items()})
    )
    write_prefs(profile, changes)
    after = _Settings(read_prefs(profile))
    if any(after.made_safe(one.key, one.type) for one in after.accounts()):
        raise IntegrityError(
            _("{profile}: what was written does not read back").format(profile=profile),
            hint=_("`thunderbird-profile-tool undo` puts back what was there; a copy is in {backup}").format(
                backup=backup
            ),
        )
    return Safety(tuple(names), backup)


class _Settings:
    """A profile's settings, read as Thunderbird reads them."""

    def __init__(self, prefs: Mapping[str, Value]) -> None:
        self._prefs = prefs

    def accounts(self) -> Iterator[MailAccount]:
        for account in self._list("mail.accountmanager.accounts"):
            key = self._get(f"mail.account.{account}.server", "")
            kind = self._get(f"mail.server.{key}.type", "")
            if kind in _SAFE:
                identities = self._list(f"mail.account.{account}.identities")
                described = self._described(key, kind, identities)
                if described is not None:
                    yield described

    def made_safe(self, key: str, kind: str) -> dict[str, Value | None]:
        """Return the settings that make a server safe; as Thunderbird does, a default is made by removing the setting."""
        return {
            f"mail.server.{key}.{name}": None if self._default(name) == safe else safe
            for name, safe in _SAFE[kind].items()
            if self._of_server(key, name) != safe
        }

    def _described(self, key: str, kind: str, identities: list[str]) -> MailAccount | None:
        host = self._get(f"mail.server.{key}.hostname", "")
        login = self._get(f"mail.server.{key}.userName", "")
        addresses = tuple(
            filter(None, (self._get(f"mail.identity.{identity}.useremail", "") for identity in identities))
        )
        provider = of_host(host) or next(filter(None, map(guess, (*addresses, login))), None)
        if provider is None:
            return None
        socket = self._get(f"mail.server.{key}.socketType", 0)
        port = self._get(f"mail.server.{key}.port", -1)
        if port <= 0:
            port = _PORTS[kind, socket == 3]
        sent = self._sent(kind, identities)
        tls = _TLS.get(socket, "none")
        problems = (
            *self._deletions(key, kind),
            *_sent_problems(sent),
            *_server_problems(provider, kind, host, port, tls),
            *self._smtp_problems(provider, identities),
        )
        return MailAccount(
            key=key,
            name=self._get(f"mail.server.{key}.name", login or host),
            addresses=addresses,
            type=kind,
            host=host,
            port=port,
            tls=tls,
            provider=provider,
            deletion=self._deletion(key, kind),
            sent=sent,
            problems=problems,
        )

    def _deletion(self, key: str, kind: str) -> str:
        if kind == "pop3":
            if not self._of_server(key, "leave_on_server"):
                return _("the server keeps nothing: what Thunderbird has downloaded is there no more")
            if self._of_server(key, "delete_mail_left_on_server"):
                return _("deleting a message in Thunderbird deletes it on the server too")
            return _("deleting a message in Thunderbird leaves it on the server")
        model = self._of_server(key, "delete_model")
        if model == _MARK:
            return _("deleting a message marks it on the server; compacting the folder removes it there")
        if model == _TO_TRASH:
            emptied = (
                _(", which is emptied when Thunderbird ends")
                if self._of_server(key, "empty_trash_on_exit")
                else ""
            )
            return _("deleting a message moves it to the bin on the server{emptied}").format(emptied=emptied)
        return _("deleting a message removes it on the server at once")

    def _deletions(self, key: str, kind: str) -> Iterator[AccountProblem]:
        if kind == "pop3":
            if not self._of_server(key, "leave_on_server"):
                yield AccountProblem(
                    "download-deletes",
                    _("every message is deleted on the server once downloaded"),
                    fixable=True,
                )
            elif self._of_server(key, "delete_by_age_from_server"):
                days = self._of_server(key, "num_days_to_leave_on_server")
                yield AccountProblem(
                    "deleted-after-days",
                    _("messages are deleted on the server after {days} days").format(days=days),
                    fixable=True,
                )
            if self._of_server(key, "delete_mail_left_on_server"):
                text = _("deleting a message in Thunderbird deletes it on the server too")
                yield AccountProblem("deleting-here-deletes-there", text, fixable=True)
        retain = self._of_server(key, "retainBy")
        if retain != _KEEP_ALL:
            by_age = _("older than {number} days").format(number=self._of_server(key, "daysToKeepHdrs"))
            by_number = _("but the newest {number}").format(number=self._of_server(key, "numHdrsToKeep"))
            which = by_age if retain == _KEEP_BY_AGE else by_number
            yield AccountProblem(
                "retention",
                _("Thunderbird deletes all messages {which}, on the server too").format(which=which),
                fixable=True,
            )

    def _sent(self, kind: str, identities: list[str]) -> str:
        places = set()
        for identity in identities:
            folder = self._get(f"mail.identity.{identity}.fcc_folder", "")
            if not self._get(f"mail.identity.{identity}.fcc", True):
                places.add("nowhere")
            else:
                on_server = folder.startswith("imap") if folder else kind == "imap"
                places.add("server" if on_server else "profile")
        # The worst of several identities.
        return next((place for place in ("nowhere", "profile", "server") if place in places), "server")

    def _smtp_problems(self, provider: MailProvider, identities: list[str]) -> Iterator[AccountProblem]:
        if not provider.smtp:
            return
        for identity in identities:
            key = self._get(f"mail.identity.{identity}.smtpServer", self._get("mail.smtp.defaultserver", ""))
            host = self._get(f"mail.smtpserver.{key}.hostname", "")
            if not host:
                continue
            socket = self._get(f"mail.smtpserver.{key}.try_ssl", 0)
            port = self._get(f"mail.smtpserver.{key}.port", 0) or _SMTP_PORTS[socket == 3]
            yield from _server_problems(provider, "smtp", host, port, _TLS.get(socket, "none"))

    def _list(self, name: str) -> list[str]:
        return list(dict.fromkeys(filter(None, self._get(name, "").split(","))))

    def _of_server(self, key: str, name: str) -> Value:
        return self._get(f"mail.server.{key}.{name}", self._default(name))

    def _default(self, name: str) -> Value:
        return self._get(f"mail.server.default.{name}", _DEFAULTS[name])

    def _get(self, name: str, default: T) -> T:
        """Return a setting; one of another type counts as not there, as it does for Thunderbird."""
        value = self._prefs.get(name, default)
        return cast(T, value) if type(value) is type(default) else default


def _sent_problems(sent: str) -> Iterator[AccountProblem]:
    if sent == "profile":
        text = _("what you send is kept in this profile only: no archive of the server has it")
        yield AccountProblem("sent-only-here", text)
    elif sent == "nowhere":
        yield AccountProblem("sent-not-kept", _("no copy is kept of what you send"))


def _server_problems(
    provider: MailProvider, kind: str, host: str, port: int, tls: str
) -> Iterator[AccountProblem]:
    expected = [str(server) for server in provider.servers(cast("Protocol", kind))]
    if expected and f"{host.lower()}:{port}" not in expected:
        text = _("{kind} goes to {host}:{port}; {title} has {expected}").format(
            kind=kind.upper(), host=host, port=port, title=provider.title, expected=" or ".join(expected)
        )
        yield AccountProblem("other-server", text)
    if tls == "none":
        yield AccountProblem(
            "no-tls",
            _("{kind} to {host} is not encrypted: the password can be read on its way").format(
                kind=kind.upper(), host=host
            ),
        )
