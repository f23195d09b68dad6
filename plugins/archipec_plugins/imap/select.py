"""Folders opened to be looked at, never to be changed (EXAMINE), and the messages in them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path
from typing import Final

from archipec.errors import PermanentError, Scope
from archipec.language import _
from archipec_plugins.imap.commands import CommandBatch, CommandChannel
from archipec_plugins.imap.fetch import ImapAnswer, ImapFetchPipeline
from archipec_plugins.imap.grammar import count_change, number, quoted

# How servers that want to know who is speaking (RFC 2971) refuse a folder.
_WANTS_ID: Final = re.compile(r"unsafe login|\bID (?:command|first|required)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class MailboxState:
    """The folder that is open, as it was then.

    Attributes:
        exists: how many messages it holds; None when the server didn't say.
    """

    folder: str
    uidvalidity: int
    uidnext: int
    exists: int | None = None


def examine(encoded_name: bytes) -> bytes:
    """Return the command that opens a folder."""
    return b"EXAMINE " + quoted(encoded_name)


class SelectedMailbox:
    """What a connection has open: one folder at a time.

    Args:
        temp: where a message waits whose server names it only behind its bytes.
    """

    def __init__(self, channel: CommandChannel, temp: Path) -> None:
        self._channel = channel
        self._temp = temp
        self._state: MailboxState | None = None

    def open(
        self, folder: str, encoded_name: bytes, *commands: bytes
    ) -> tuple[MailboxState, CommandBatch, list[bytes]]:
        """Open a folder; return what it is, and the batch in which ``commands`` were sent behind, with their tags.

        Raises:
            ArchipecError: of scope FOLDER.
        """
        while True:
            batch = self._channel.begin()
            tag, *tags = batch.send(examine(encoded_name), *commands)
            if (state := self._opened(batch, tag, folder)) is not None:
                return state, batch, tags

    def _opened(self, batch: CommandBatch, tag: bytes, folder: str) -> MailboxState | None:
        """Wait until a folder is open, whose `examine` was sent; None when it is to be sent once more.

        Raises:
            ArchipecError: of scope FOLDER.
        """
        self._state = None
        batch.codes.clear()
        exists: int | None = None
        try:
            for response in batch.answers(
                tag, _('folder "{folder}" can\'t be opened').format(folder=folder), Scope.FOLDER
            ):
                exists = count_change(response, exists)
        except PermanentError as error:
            if self._channel.identified or not _WANTS_ID.search(error.message):
                raise
            self._channel.identify()
            return None
        uidvalidity = number(batch.codes.get("UIDVALIDITY"))
        if uidvalidity is None:
            raise PermanentError(
                _('folder "{folder}" has no UIDVALIDITY').format(folder=folder), scope=Scope.FOLDER
            )
        self._state = MailboxState(folder, uidvalidity, number(batch.codes.get("UIDNEXT")) or 0, exists)
        return self._state

    def read(
        self, folder: str, encoded_name: bytes, refs: Iterable[str], section: str = ""
    ) -> Iterator[ImapAnswer]:
        """Yield each message that is there, in any order.

        Args:
            refs: "uidvalidity/uid". Those of another UIDVALIDITY than the folder's are gone.
            section: ``""`` for whole messages, ``"HEADER"`` for their headers.
        """
        for uidvalidity, group in groupby(refs, key=lambda ref: ref.partition("/")[0]):
            yield from self._read_group(folder, encoded_name, uidvalidity, group, section)

    def _read_group(
        self, folder: str, encoded_name: bytes, uidvalidity: str, refs: Iterator[str], section: str
    ) -> Iterator[ImapAnswer]:
        """Read messages of one UIDVALIDITY."""
        batch = self._channel.begin()
        pipeline = ImapFetchPipeline(batch, refs, section, self._temp)
        state = self._state
        if state is not None and state.folder == folder:
            if str(state.uidvalidity) == uidvalidity:
                pipeline.send()
        else:
            (tag,) = pipeline.send(examine(encoded_name))
            state = self._opened(batch, tag, folder)
            if state is None:
                state, batch, _ = self.open(folder, encoded_name)
                pipeline = ImapFetchPipeline(batch, chain(pipeline.taken(), refs), section, self._temp)
                pipeline.send()
        pipeline.uidnext = state.uidnext
        if str(state.uidvalidity) == uidvalidity:
            yield from pipeline.answers()
