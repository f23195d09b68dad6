"""The IMAP source's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from archipec.contract import Option, Secret, choice, file_path, port_number, positive, strings
from archipec.errors import ConfigError

__all__ = ["OPTIONS", "Config", "parse", "where"]

_PORTS: Final = {"imaps": 993, "imap": 143}

OPTIONS = (
    Option(
        name="scheme",
        help="imaps for TLS from the start, imap for STARTTLS; nothing is ever sent in the clear",
        default="imaps",
        part="scheme",
        convert=choice(*_PORTS),
    ),
    Option(name="user", help="the login, often the PEC address", required=True, part="user"),
    Option(name="host", help="the server", required=True, part="host"),
    Option(name="port", help="its port, 993 or 143 unless given", part="port", convert=port_number),
    Option(
        name="folders",
        help="folders to read, names or globs; trash, drafts and junk only if named without a glob",
        default=("*",),
        part="path",
        convert=strings,
    ),
    Option(name="exclude", help="folders not to read, names or globs", default=(), convert=strings),
    Option(name="password", help="where the password is", secret=True, required=True),
    Option(
        name="ca_file",
        help="certificates of further authorities to trust, in PEM format",
        convert=file_path,
    ),
    Option(name="connections", help="how many connections to read over", default=2, convert=positive),
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
    """A mailbox, how to reach it, and which of its folders to read."""

    scheme: Literal["imaps", "imap"]
    user: str
    host: str
    port: int
    folders: tuple[str, ...]
    exclude: tuple[str, ...]
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
        values["folders"],
        values["exclude"],
        values["password"],
        values["ca_file"],
        values["timeout"],
    )


def where(config: Config) -> str:
    """Return the mailbox's URL: scheme, login, host and port, whatever folders are read."""
    from urllib.parse import quote

    host = f"[{config.host}]" if ":" in config.host else config.host
    return f"{config.scheme}://{quote(config.user, safe='')}@{host}:{config.port}"
