"""The IMAP source's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from archipec.contract import Option, positive, strings
from archipec_plugins.net.account import IMAP, Account, account_options, read_account

__all__ = ["OPTIONS", "Config", "parse", "where"]

OPTIONS = (
    *account_options(IMAP),
    Option(
        name="folders",
        help="folders to read, names or globs; trash, drafts and junk only if named without a glob",
        default=("*",),
        part="path",
        convert=strings,
    ),
    Option(name="exclude", help="folders not to read, names or globs", default=(), convert=strings),
    Option(name="connections", help="how many connections to read over", default=2, convert=positive),
)


@dataclass(frozen=True, slots=True)
class Config:
    """A mailbox, and which of its folders to read."""

    account: Account
    folders: tuple[str, ...]
    exclude: tuple[str, ...]


def parse(values: Mapping[str, Any]) -> Config:
    """Make the configuration from option values; see `archipec.contract.SourceType`."""
    return Config(read_account(IMAP, values), values["folders"], values["exclude"])


def where(config: Config) -> str:
    """Return the mailbox's URL, whatever folders are read."""
    return config.account.url
