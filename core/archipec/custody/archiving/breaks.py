"""Finds out what makes a source break the connection: a message, or the folder that it is in.

The second connection lost without an answer between makes a reader careful: it asks for one message at a time, and what
breaks the connection then is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from archipec.custody.ledger import SourceMessage
from archipec.errors import ArchipecError, TransientError

__all__ = ["Breaks"]

# Connections lost at one message before it is left out: fewer than the tries a run has in all.
_BREAKS = 3
# Fewer, where nothing else was asked for on those connections.
_BREAKS_ALONE = 2
# Messages left out like that, one after the other, before it is their folder that can't be read.
_BAD_MESSAGES = 3


class Breaks:
    """What one reader has seen break its connections, by the numbers of folders and rows."""

    def __init__(self) -> None:
        self._at: Counter[int] = Counter()
        self._alone: Counter[int] = Counter()
        self._since_answer: Counter[int] = Counter()
        self._bad_messages: Counter[int] = Counter()
        self._careful: dict[int, int] = {}

    def is_careful(self, folder: int) -> bool:
        """Return whether messages of a folder are to be asked for one at a time."""
        return folder in self._careful

    def answered(self, folder: int) -> None:
        """Take note of an answer: whatever broke the connection before, it is passed, or elsewhere."""
        if folder in self._since_answer:
            del self._since_answer[folder]
        if folder in self._bad_messages:
            del self._bad_messages[folder]
        if folder in self._careful:
            self._careful[folder] -= 1
            if not self._careful[folder]:
                del self._careful[folder]

    def is_to_blame(self, row: SourceMessage, error: ArchipecError) -> bool:
        """Return whether a connection broke so often in this message that the others should go on without it."""
        self._at[row.id] += 1
        return isinstance(error, TransientError) and self._at[row.id] >= _BREAKS

    def broke(
        self, folder: int, waiting: Collection[SourceMessage], error: ArchipecError
    ) -> SourceMessage | None:
        """Take note of a lost connection; return the message that it has to be for, when that is known.

        Args:
            waiting: what was asked for and not answered.
        """
        if not isinstance(error, TransientError) or error.retry_after is not None:
            return None
        self._since_answer[folder] += 1
        if folder not in self._careful:
            if self._since_answer[folder] > 1:
                self._careful[folder] = max(len(waiting), 1)
            return None
        if len(waiting) != 1:
            return None
        (row,) = waiting
        self._alone[row.id] += 1
        return row if self._alone[row.id] >= _BREAKS_ALONE else None

    def is_folder(self, folder: int) -> bool:
        """Take note of a message left out for this; return whether it is its folder that can't be read."""
        self._bad_messages[folder] += 1
        return self._bad_messages[folder] >= _BAD_MESSAGES
