"""What is known of the PEC providers (``providers.toml``): servers, logins, folders, and what a refused login means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

from archipec.errors import ArchipecError, AuthError, ConfigError
from archipec.language import _
from archipec.message import Json
from archipec.options import nearest

Protocol: TypeAlias = Literal["imap", "pop3", "smtp"]

_KEY: Final = "provider"


@dataclass(frozen=True, slots=True)
class Server:
    """A host and its port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MailProvider:
    """A provider, as far as it is known.

    Attributes:
        name: what ``provider = "…"`` says.
        imap, pop3, smtp: servers over TLS, the usual one first.
        domains: of addresses that can only be this provider's.
        login: how the login is made of an address, None where it can't be made of it.
        login_form: the same as text.
        folders: as the server names them, by use.
        basis: "tried" with real mailboxes by others, "stated" by the provider or in a directory, or "weak".
        refused: what to do when the login is refused.
    """

    name: str
    title: str
    imap: tuple[Server, ...] = ()
    pop3: tuple[Server, ...] = ()
    smtp: tuple[Server, ...] = ()
    domains: tuple[str, ...] = ()
    login: str | None = None
    login_form: str
    folders: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    basis: str
    refused: str
    notes: tuple[str, ...] = ()

    def servers(self, protocol: Protocol) -> tuple[Server, ...]:
        """Return the servers of a protocol, the usual one first."""
        return {"imap": self.imap, "pop3": self.pop3, "smtp": self.smtp}[protocol]

    def server(self, protocol: Protocol) -> Server | None:
        """Return the usual server of a protocol, None when the preset has none."""
        return next(iter(self.servers(protocol)), None)

    def login_of(self, address: str) -> str | None:
        """Return the login of an address, None when the address doesn't say it."""
        name, _, domain = address.rpartition("@")
        return None if self.login is None else self.login.format(address=address, name=name, domain=domain)

    def as_json(self) -> dict[str, Json]:
        """Return the JSON object of ``providers --json``."""
        shape: dict[str, Json] = {"name": self.name, "title": self.title}
        shape |= {
            protocol: [{"host": one.host, "port": one.port} for one in servers]
            for protocol, servers in (("imap", self.imap), ("pop3", self.pop3), ("smtp", self.smtp))
        }
        return shape | {
            "domains": self.domains,
            "login": self.login_form,
            "folders": dict(self.folders),
            "basis": self.basis,
            "refused": self.refused,
            "notes": self.notes,
        }


@cache
def providers() -> Mapping[str, MailProvider]:
    """Return every preset, by name."""
    import tomllib
    from importlib.resources import files

    document = tomllib.loads(files("archipec.config").joinpath("providers.toml").read_text("utf-8"))
    return MappingProxyType({table["name"]: _provider(table) for table in document["provider"]})


def find(name: str) -> MailProvider:
    """Return a provider.

    Raises:
        ConfigError: there is none of this name.
    """
    known = providers()
    if name not in known:
        raise ConfigError(
            _('unknown provider "{name}"{nearest}').format(name=name, nearest=nearest(name, known)),
            hint=_("`archipec providers` lists them"),
        )
    return known[name]


def guess(address: str) -> MailProvider | None:
    """Return the provider that an address must be of by its domain, None when the domain doesn't say it."""
    domain = address.rpartition("@")[2].lower().rstrip(".")
    for provider in providers().values():
        if any(domain == one or domain.endswith(f".{one}") for one in provider.domains):
            return provider
    return None


def of_host(host: str) -> MailProvider | None:
    """Return the provider that a server belongs to."""
    host = host.lower().rstrip(".")
    for provider in providers().values():
        if any(server.host == host for server in (*provider.imap, *provider.pop3, *provider.smtp)):
            return provider
    return None


def expand(table: Mapping[str, object]) -> dict[str, object]:
    """Return a source's table with what its provider is known by filled in: host and port, and type if need be.

    The provider is the one named by the key ``provider``, which is taken out, or, where an IMAP or POP3 source has
    no host, the one that its user's domain tells. What is given stays.

    Raises:
        ConfigError: an unknown provider, or one without a server for this type.
    """
    given = dict(table)
    protocol = given.setdefault("type", "imap") if _KEY in given else given.get("type")
    # A source of another type may have an option of this name for itself.
    if protocol not in ("imap", "pop3"):
        return given
    name, user = given.pop(_KEY, None), given.get("user")
    if name is not None and not isinstance(name, str):
        raise ConfigError(_('"{key}" must be text').format(key=_KEY))
    if name is not None:
        provider: MailProvider | None = find(name)
    else:
        provider = guess(user) if "host" not in given and isinstance(user, str) else None
    if provider is None or "host" in given:
        return given
    server = provider.server("imap" if protocol == "imap" else "pop3")
    if server is None:
        raise ConfigError(
            _('no {protocol} server of provider "{name}" is known').format(
                protocol=str(protocol).upper(), name=provider.name
            ),
            hint='give "host"',
        )
    return {"host": server.host, "port": server.port, **given}


def advised(error: ArchipecError, host: object) -> ArchipecError:
    """Return a refused login with the way out that is known for the provider of ``host``; other errors as they are.

    Args:
        host: of the source that raised it; anything that is no known server changes nothing.
    """
    provider = of_host(host) if isinstance(host, str) and isinstance(error, AuthError) else None
    if provider is None:
        return error
    return AuthError(error.message, hint=f"{provider.title}: {provider.refused}", scope=error.scope)


def _provider(table: Mapping[str, Any]) -> MailProvider:
    values = dict(table)
    for protocol in ("imap", "pop3", "smtp"):
        values[protocol] = tuple(_servers(values.get(protocol, ())))
    for name in ("domains", "notes"):
        values[name] = tuple(values.get(name, ()))
    return MailProvider(**values)


def _servers(texts: list[str]) -> Iterator[Server]:
    for text in texts:
        host, _, port = text.rpartition(":")
        yield Server(host, int(port))
