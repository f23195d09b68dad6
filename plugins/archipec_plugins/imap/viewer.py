"""Folders opened to be looked at, never to be changed (EXAMINE), and the messages in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from archipec.errors import PermanentError, Scope
from archipec_plugins.imap.dialogue import Dialogue, Exchange
from archipec_plugins.imap.grammar import count_change, number, quoted
from archipec_plugins.imap.pipeline import Answer, Pipeline

__all__ = ["View", "Viewer", "examine"]


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

    def opened(self, exchange: Exchange, tag: bytes, folder: str) -> View:
        """Wait until a folder is open, whose `examine` was sent.

        Raises:
            ArchipecError: of scope FOLDER.
        """
        self._view = None
        exchange.codes.clear()
        exists: int | None = None
        for response in exchange.answers(tag, f'folder "{folder}" can\'t be opened', Scope.FOLDER):
            exists = count_change(response, exists)
        uidvalidity = number(exchange.codes.get("UIDVALIDITY"))
        if uidvalidity is None:
            raise PermanentError(
                f'the server keeps no message numbers for folder "{folder}"', scope=Scope.FOLDER
            )
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
            pipeline.uidnext = view.uidnext
            if str(view.uidvalidity) == uidvalidity:
                pipeline.send()
        else:
            (tag,) = pipeline.send(examine(wire_name))
            view = self.opened(exchange, tag, folder)
            pipeline.uidnext = view.uidnext
        if str(view.uidvalidity) == uidvalidity:
            yield from pipeline.answers()
