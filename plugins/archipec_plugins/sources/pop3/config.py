"""The POP3 source's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from archipec.contract import Option, Secret, choice, file_path, port_number, positive
from archipec.errors import ConfigError

__all__ = ["OPTIONS", "Config", "parse", "where"]

_PORTS: Final = {"pop3s": 995, "pop3": 110}

OPTIONS = (
    Option(
        name="scheme",
        help="pop3s for TLS from the start, pop3 for STLS; nothing is ever sent in the clear",
        default="pop3s",
        part="scheme",
        convert=choice(*_PORTS),
    ),
    Option(name="user", help="the login, often the PEC address", required=True, part="user"),
    Option(name="host", help="the server", required=True, part="host"),
    Option(name="port", help="its port, 995 or 110 unless given", part="port", convert=port_number),
    Option(name="password", help="where the password is", secret=True),
    Option(
        name="ca_file",
        help="certificates of further authorities to trust, in PEM format",
        convert=file_path,
    ),
    Option(
        name="connections",
        help="how many connections to read over; many servers allow one a mailbox",
        default=1,
        convert=positive,
    ),
    Option(
        name="timeout",
        help="how long to wait for the server",
        default=60,
        unit="seconds",
        convert=positive,
    ),
)


@dataclass(frozen=True, slots=True)
class Config:
    """A mailbox and how to reach it."""

    scheme: Literal["pop3s", "pop3"]
    user: str
    host: str
    port: int
    password: Secret | None
    ca_file: Path | None
    timeout: int


def parse(values: Mapping[str, Any]) -> Config:
    """Make the configuration from option values; see `archipec.contract.SourceType`."""
    host = str(values["host"]).removeprefix("[").removesuffix("]").lower()
    user = values["user"]
    problems = []
    if not host.isprintable() or not host or any(char in host for char in " /@"):
        problems.append(f'option "host" must be the name of a server, not {values["host"]!r}')
    if not user.isprintable():
        problems.append(f'option "user" must be a login, not {user!r}')
    if problems:
        raise ConfigError(problems)
    return Config(
        values["scheme"],
        user,
        host,
        values["port"] or _PORTS[values["scheme"]],
        values["password"],
        values["ca_file"],
        values["timeout"],
    )


def where(config: Config) -> str:
    """Return the mailbox's URL: scheme, login, host and port."""
    from urllib.parse import quote

    host = f"[{config.host}]" if ":" in config.host else config.host
    return f"{config.scheme}://{quote(config.user, safe='')}@{host}:{config.port}"
