"""Mailboxes over IMAP (RFC 9051, RFC 3501), always over TLS: as a source that is never changed, and as a place for copies.

imapclient connects and logs in; after that the same connection is read by a small pipelined reader, because a
round trip a command and whole messages in memory are what makes IMAP slow (``docs/performance.md``).

The sink is for copies elsewhere, for migrations, and to restore. Messages are added by APPEND, with the date they were
received and their flags, to folders of the names they had. What is anywhere in the mailbox already is not added again,
except for trash, drafts and junk, which come and go. IMAP can't carry every sequence of bytes: a message that a server
would change is rejected, not bent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from archipec.contract import Option, SinkType, SourceType, deferred, positive, strings
from archipec.errors import ConfigError
from archipec.hookspecs import hookimpl
from archipec.language import _
from archipec_plugins.net.account import IMAP, Account, account_options, read_account


@dataclass(frozen=True, slots=True)
class ImapSourceConfig:
    """A mailbox, and which of its folders to read."""

    account: Account
    folders: tuple[str, ...]
    exclude: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ImapSinkConfig:
    """A mailbox, and the folder in it that everything goes below; empty for none."""

    account: Account
    folder: str


def _parse_source(values: Mapping[str, Any]) -> ImapSourceConfig:
    return ImapSourceConfig(read_account(IMAP, values), values["folders"], values["exclude"])


def _parse_sink(values: Mapping[str, Any]) -> ImapSinkConfig:
    problems: list[str] = []
    folder: str = values["folder"] or ""
    if not folder.isprintable() or (folder and not folder.strip("/ ")):
        problems.append(
            _('option "folder" must be the name of a folder, not {folder}').format(folder=repr(folder))
        )
    try:
        account = read_account(IMAP, values)
    except ConfigError as error:
        raise ConfigError([*error.problems, *problems]) from error
    if problems:
        raise ConfigError(problems)
    return ImapSinkConfig(account, folder)


def _where(config: ImapSourceConfig | ImapSinkConfig) -> str:
    """Return the mailbox's URL, whatever folders are read; a copy that lies in another folder is held, too."""
    return config.account.url


IMAP_SOURCE = SourceType[ImapSourceConfig](
    api=1,
    name="imap",
    summary="a mailbox over IMAP, read without changing anything in it",
    schemes=("imaps", "imap"),
    options=(
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
    ),
    parse=_parse_source,
    where=_where,
    open=deferred("archipec_plugins.imap.source:open_source"),
)

IMAP_SINK = SinkType[ImapSinkConfig](
    api=1,
    name="imap",
    summary="another mailbox over IMAP, to copy or restore into; nothing in it is changed",
    schemes=("imaps", "imap"),
    options=(
        *account_options(IMAP),
        Option(
            name="folder",
            help="the folder to put everything below; without it, folders are named as they were",
            part="path",
        ),
    ),
    parse=_parse_sink,
    where=_where,
    open=deferred("archipec_plugins.imap.sink:open_sink"),
)


@hookimpl
def archipec_sources() -> Iterable[SourceType[Any]]:
    """Yield the IMAP source."""
    yield IMAP_SOURCE


@hookimpl
def archipec_sinks() -> Iterable[SinkType[Any]]:
    """Yield the IMAP sink."""
    yield IMAP_SINK
