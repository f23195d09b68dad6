"""The IMAP sink's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from archipec.contract import Option
from archipec.errors import ConfigError
from archipec_plugins.net.account import IMAP, Account, account_options, read_account

__all__ = ["OPTIONS", "Config", "parse", "where"]

OPTIONS = (
    *account_options(IMAP),
    Option(
        name="folder",
        help="the folder to put everything below; without it, folders are named as they were",
        part="path",
    ),
)


@dataclass(frozen=True, slots=True)
class Config:
    """A mailbox, and the folder in it that everything goes below; empty for none."""

    account: Account
    folder: str


def parse(values: Mapping[str, Any]) -> Config:
    """Make the configuration from option values; see `archipec.contract.SinkType`."""
    problems: list[str] = []
    folder: str = values["folder"] or ""
    if not folder.isprintable() or (folder and not folder.strip("/ ")):
        problems.append(f'option "folder" must be the name of a folder, not {folder!r}')
    try:
        account = read_account(IMAP, values)
    except ConfigError as error:
        raise ConfigError([*error.problems, *problems]) from error
    if problems:
        raise ConfigError(problems)
    return Config(account, folder)


def where(config: Config) -> str:
    """Return the mailbox's URL, whatever the folder: a copy that lies in another one is held, too."""
    return config.account.url
