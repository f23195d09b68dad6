"""The ledger: one SQLite file in each state folder, written before anything else relies on it.

It is the work list too. Every listed message is a row; a cursor is stored in the transaction of the rows it
covers; what is left to do is a query (rows some sink lacks), never a state kept beside it.

Any thread may call. Times are Unix seconds, sizes bytes.
"""

from __future__ import annotations

from pathlib import Path

from archipec.custody.ledger.copies import Content, Copies, Copy
from archipec.custody.ledger.database import Database
from archipec.custody.ledger.deletions import Deletions
from archipec.custody.ledger.figures import LedgerFigures
from archipec.custody.ledger.forgetting import Forgets
from archipec.custody.ledger.handled import HandledMarks
from archipec.custody.ledger.holdings import HeldMessages
from archipec.custody.ledger.runs import Runs
from archipec.custody.ledger.sources import FolderState, HeaderFacts, SourceMessage, Sources
from archipec.custody.ledger.transactions import Transactions
from archipec.custody.ledger.unsealed import Unsealed
from archipec.custody.ledger.verdicts import Verdicts

__all__ = ["Content", "Copy", "FolderState", "HeaderFacts", "Ledger", "SourceMessage"]


class Ledger(Database):
    """The custody database.

    Attributes:
        sources: what sources have: folders, messages, what is left to do.
        copies: what sinks have: contents, intents, receipts.
        verdicts: what was judged.
        holdings: what is known of messages that are found in the index.
        transactions: what certified messages say of each other.
        handled: transactions that someone has dealt with.
        deletions: plans, orders and what came of them.
        figures: what is counted for a report.
        unsealed: originals that were saved without their envelope.
        runs: attempts, runs, quotas, steps.
        forgets: what is no more, to be forgotten.

    Raises:
        ArchipecError: it can't be opened; see `archipec.sqlite_file.SqliteFile`.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        super().__init__(path, read_only=read_only)
        self.sources = Sources(self)
        self.copies = Copies(self)
        self.verdicts = Verdicts(self, self.copies)
        self.holdings = HeldMessages(self)
        self.transactions = Transactions(self)
        self.handled = HandledMarks(self)
        self.deletions = Deletions(self)
        self.figures = LedgerFigures(self)
        self.unsealed = Unsealed(self)
        self.runs = Runs(self)
        self.forgets = Forgets(self)
