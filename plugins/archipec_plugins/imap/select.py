"""Folders opened to be looked at, never to be changed (EXAMINE), and the messages in them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path
from typing import Final

from archipec.errors import PermanentError, Scope
from archipec_plugins.imap.commands import Dialogue, Exchange
from archipec_plugins.imap.fetch import Answer, Pipeline
from archipec_plugins.imap.grammar import count_change, number, quoted

__all__ = ["View", "Viewer", "examine"]

# How servers that want to know who is speaking (RFC 2971) refuse a folder.
_WANTS_ID: Final = re.compile(r"unsafe login|\bID (?:command|first|required)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class View:
    """The folder that is open, as it was then.

    Attributes:
        exists: how many messages it holds; None when the server didn't say.
    """

    folder: str
    uidvalidity: int
    uidnext: int
    exists: int | None = None


def examine(wire_name: bytes) -> bytes:
    """Return the command that opens a folder."""
    return b"EXAMINE " + quoted(wire_name)


class Viewer:
    """What a connection has open: one folder at a time.

    Args:
        temp: where a message waits whose server names it only behind its bytes.
    """

    def __init__(self, dialogue: Dialogue, temp: Path) -> None:
        self._dialogue = dialogue
        self._temp = temp
        self._view: View | None = None

    def open(self, folder: str, wire_name: bytes, *commands: bytes) -> tuple[View, Exchange, list[bytes]]:
        """Open a folder; return what it is, and the exchange in which ``commands`` were sent behind, with their tags.

        Raises:
            ArchipecError: of scope FOLDER.
        """
        while True:
            exchange = self._dialogue.begin()
            tag, *tags = exchange.send(examine(wire_name), *commands)
            if (view := self._opened(exchange, tag, folder)) is not None:
                return view, exchange, tags

    def _opened(self, exchange: Exchange, tag: bytes, folder: str) -> View | None:
        """Wait until a folder is open, whose `examine` was sent; None when it is to be sent once more.

        Raises:
            ArchipecError: of scope FOLDER.
        """
        self._view = None
        exchange.codes.clear()
        exists: int | None = None
        try:
            for response in exchange.answers(tag, f'folder "{folder}" can\'t be opened', Scope.FOLDER):
                exists = count_change(response, exists)
        except PermanentError as error:
            if self._dialogue.identified or not _WANTS_ID.search(error.message):
                raise
            self._dialogue.identify()
            return None
        uidvalidity = number(exchange.codes.get("UIDVALIDITY"))
        if uidvalidity is None:
            raise PermanentError(f'folder "{folder}" has no UIDVALIDITY', scope=Scope.FOLDER)
        self._view = View(folder, uidvalidity, number(exchange.codes.get("UIDNEXT")) or 0, exists)
        return self._view

    def read(self, folder: str, wire_name: bytes, refs: Iterable[str], section: str = "") -> Iterator[Answer]:
        """Yield each message that is there, in any order.

        Args:
            refs: "uidvalidity/uid". Those of another UIDVALIDITY than the folder's are gone.
            section: ``""`` for whole messages, ``"HEADER"`` for their headers.
        """
        for uidvalidity, group in groupby(refs, key=lambda ref: ref.partition("/")[0]):
            yield from self._read_group(folder, wire_name, uidvalidity, group, section)

    def _read_group(
        self, folder: str, wire_name: bytes, uidvalidity: str, refs: Iterator[str], section: str
    ) -> Iterator[Answer]:
        """Read messages of one UIDVALIDITY."""
        exchange = self._dialogue.begin()
        pipeline = Pipeline(exchange, refs, section, self._temp)
        view = self._view
        if view is not None and view.folder == folder:
            if str(view.uidvalidity) == uidvalidity:
                pipeline.send()
        else:
            (tag,) = pipeline.send(examine(wire_name))
            view = self._opened(exchange, tag, folder)
            if view is None:
                view, exchange, _ = self.open(folder, wire_name)
                pipeline = Pipeline(exchange, chain(pipeline.taken(), refs), section, self._temp)
                pipeline.send()
        pipeline.uidnext = view.uidnext
        if str(view.uidvalidity) == uidvalidity:
            yield from pipeline.answers()
