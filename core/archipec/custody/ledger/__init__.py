"""The ledger: one SQLite file a state folder, on record before anything is believed.

It is the work list too. Every listed message is a row; a cursor is stored in the transaction of the rows it
covers; what is left to do is a query (rows some sink lacks), never a state kept beside it.

Any thread may call. Times are Unix seconds.
"""

from __future__ import annotations

from archipec.custody.ledger.copies import Content, Copy
from archipec.custody.ledger.deletions import Deletions
from archipec.custody.ledger.journal import Journal
from archipec.custody.ledger.loose import Loose
from archipec.custody.ledger.occurrences import FolderState, Look, Occurrences, Row
from archipec.custody.ledger.records import Records
from archipec.custody.ledger.verdicts import Verdicts

__all__ = ["Content", "Copy", "FolderState", "Ledger", "Look", "Row"]


class Ledger(Occurrences, Verdicts, Records, Deletions, Loose, Journal):
    """The custody database: what sources have, what sinks have, what was judged, what was run.

    See `archipec.custody.ledger.database.Database` for what opening it may raise.
    """
