"""The PEC providers' servers (``providers.toml``)."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

__all__ = ["Provider", "find_provider", "providers"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A provider.

    Attributes:
        name, title: short, and for a person.
        imap, pop3, smtp: "host:port" over TLS, the usual one first.
        domains: of addresses that can only be this provider's.
    """

    name: str
    title: str
    imap: tuple[str, ...] = ()
    pop3: tuple[str, ...] = ()
    smtp: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()

    def servers(self, protocol: str) -> tuple[str, ...]:
        """Return the servers for "imap", "pop3" or "smtp"."""
        return {"imap": self.imap, "pop3": self.pop3, "smtp": self.smtp}[protocol]

    def hosts(self) -> frozenset[str]:
        """Return the names of all its servers."""
        return frozenset(server.partition(":")[0] for server in (*self.imap, *self.pop3, *self.smtp))


@cache
def providers() -> tuple[Provider, ...]:
    """Return every provider that is known."""
    text = resources.files("archipec_thunderbird").joinpath("providers.toml").read_text("utf-8")
    lists = ("imap", "pop3", "smtp", "domains")
    return tuple(
        Provider(
            name=table["name"], title=table["title"], **{name: tuple(table.get(name, ())) for name in lists}
        )
        for table in tomllib.loads(text)["provider"]
    )


def find_provider(host: str, addresses: Sequence[str]) -> Provider | None:
    """Return whose server or address it is, None when no PEC provider's that is known."""
    by_host = (one for one in providers() if host.lower() in one.hosts())
    domains = {address.rpartition("@")[2].lower() for address in addresses}
    by_domain = (one for one in providers() if domains & set(one.domains))
    return next(by_host, None) or next(by_domain, None)
