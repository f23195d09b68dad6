"""The outbox's own record: what lies in it, which package each message is in, what the provider said.

A message is ``open`` (not in a package), ``packaged``, ``conserved`` (proven) or ``rejected``. A package is ``frozen``
(its bytes are fixed), ``trying`` (a deposit was begun: it may have arrived), ``deposited`` or ``settled`` (nothing more
to ask). Every change is one transaction, durable on return.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, NamedTuple

from archipec.errors import ArchipecError, IntegrityError, Scope
from archipec.language import N_
from archipec.message import ContentKey, Json
from archipec.sqlite_file import SqliteFile

OPEN, PACKAGED, CONSERVED, REJECTED = "open", "packaged", "conserved", "rejected"
FROZEN, TRYING, DEPOSITED, SETTLED = "frozen", "trying", "deposited", "settled"

_APPLICATION_ID = 0x50454332
_VERSION = 2
_SCHEMA = (
    """CREATE TABLE message (
        sha256 TEXT PRIMARY KEY,
        size INTEGER NOT NULL,
        date INTEGER NOT NULL,
        arrived INTEGER NOT NULL,
        told TEXT,
        state TEXT NOT NULL DEFAULT 'open',
        package TEXT,
        reason TEXT NOT NULL DEFAULT '',
        rejections INTEGER NOT NULL DEFAULT 0,
        refused_with TEXT NOT NULL DEFAULT '',
        report TEXT NOT NULL DEFAULT '',
        report_sha256 TEXT NOT NULL DEFAULT '',
        kept INTEGER NOT NULL DEFAULT 1,
        copy INTEGER NOT NULL DEFAULT 1
    ) WITHOUT ROWID""",
    "CREATE INDEX message_state ON message (state)",
    "CREATE INDEX message_package ON message (package)",
    """CREATE TABLE package (
        id TEXT PRIMARY KEY,
        state TEXT NOT NULL,
        made_with TEXT NOT NULL,
        manifest TEXT NOT NULL,
        ticket TEXT,
        reason TEXT NOT NULL DEFAULT '',
        deposited INTEGER,
        attention INTEGER NOT NULL DEFAULT 0
    )""",
    "CREATE INDEX package_state ON package (state)",
)
_STEPS = {
    1: (
        "ALTER TABLE package ADD COLUMN deposited INTEGER",
        "ALTER TABLE package ADD COLUMN attention INTEGER NOT NULL DEFAULT 0",
    ),
}
_MESSAGES = (
    "SELECT m.sha256, m.size, m.date, m.arrived, m.state, m.package, m.reason, m.rejections, m.refused_with,"
    " m.report, m.report_sha256, m.kept, m.copy, coalesce(p.reason, ''),"
    " iif(p.state IN ('trying', 'deposited'), coalesce(p.deposited, m.arrived), NULL), coalesce(p.attention, 0)"
    " FROM message m LEFT JOIN package p ON p.id = m.package"
)

_MESSAGE_COLUMNS = (
    "sha256 integer time time text text? text integer text text text integer integer text time? integer"
)
_TICKET = ({"token": object, "sha256": str}, type(None))


class OutboxMessage(NamedTuple):
    """A message in the outbox.

    Attributes:
        date, arrived: Unix seconds: the message's date, and when it got into the outbox.
        reason: why it is where it is, as text; ``waits_for`` the same of its package.
        rejections: how often the provider refused it; refused_with: by which settings its last package was made.
        report: file of the report that proves it, relative to the outbox; report_sha256: of its bytes.
        deposited: when its package was, in Unix seconds, as long as its outcome is not known; attention: whether that
            needs the user to act.
        kept: whether its bytes are still here; copy: 2 and more once a damaged copy was followed by another.
    """

    sha256: str
    size: int
    date: int
    arrived: int
    state: str
    package: str | None
    reason: str
    rejections: int
    refused_with: str
    report: str
    report_sha256: str
    kept: int
    copy: int
    waits_for: str
    deposited: int | None
    attention: int

    @property
    def key(self) -> ContentKey:
        """Its identity."""
        return ContentKey(self.sha256, self.size)


class PackageRow(NamedTuple):
    """A package as recorded. ``made_with`` names the settings it was made by; ``ticket`` is None before it has one."""

    id: str
    state: str
    made_with: str
    manifest: dict[str, Any]
    ticket: Any
    reason: str


class Deposit(NamedTuple):
    """A package and what became of it.

    Attributes:
        deposited: Unix seconds, None while it was not.
        attention: whether that needs the user to act.
        messages: how many are in it, by state.
    """

    id: str
    state: str
    reason: str
    deposited: int | None
    attention: bool
    messages: dict[str, int]


class Decision(NamedTuple):
    """What becomes of a message of a package: its state from now on, and why; ``report`` and its hash when proven."""

    sha256: str
    state: str
    reason: str = ""
    report: str = ""
    report_sha256: str = ""


class OutboxDatabase(SqliteFile):
    """The open record; see `archipec.sqlite_file.SqliteFile`.

    Raises:
        IntegrityError: it is damaged: nothing else says what the folder holds and what was deposited.
    """

    what: ClassVar[str] = N_("outbox")
    application_id: ClassVar[int] = _APPLICATION_ID
    version: ClassVar[int] = _VERSION
    schema = _SCHEMA
    steps = _STEPS
    json_columns = frozenset({"message.told", "package.manifest", "package.ticket"})

    def _damaged(self, problem: str) -> ArchipecError:
        return IntegrityError(
            f"the outbox {self._path} is damaged: {problem}",
            hint="bring its folder back from a backup",
            scope=Scope.ENDPOINT,
        )

    # -- messages ------------------------------------------------------------------------------------

    def get(self, key: ContentKey) -> OutboxMessage | None:
        """Return what is recorded of a message."""
        rows = self.rows(
            f"{_MESSAGES} WHERE m.sha256 = ? AND m.size = ?", (key.sha256, key.size), _MESSAGE_COLUMNS
        )
        return OutboxMessage(*rows[0]) if rows else None

    def add(self, arrived: Iterable[tuple[ContentKey, int, int]], now: int) -> None:
        """Record (message, date in Unix seconds, copy) as open; of one that is there already, that this copy counts now."""
        with self.transaction() as db:
            db.executemany(
                "INSERT INTO message (sha256, size, date, copy, arrived) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (sha256) DO UPDATE SET kept = 1, copy = excluded.copy",
                [(*key, date, copy, now) for key, date, copy in arrived],
            )

    def copy_of(self, sha256: str) -> int:
        """Return the number of the copy that counts, 0 when the message is not recorded."""
        rows = self.rows("SELECT copy FROM message WHERE sha256 = ?", (sha256,), "integer")
        return int(rows[0][0]) if rows else 0

    def all(self) -> Iterator[OutboxMessage]:
        """Yield every message, a page at a time."""
        last = ""
        query = f"{_MESSAGES} WHERE m.sha256 > ? ORDER BY m.sha256 LIMIT 1000"
        while rows := self.rows(query, (last,), _MESSAGE_COLUMNS):
            last = rows[-1][0]
            yield from map(OutboxMessage._make, rows)

    def unread(self, after: str, limit: int) -> list[OutboxMessage]:
        """Return open messages that were not examined yet, those after SHA-256 ``after``."""
        rows = self.rows(
            f"{_MESSAGES} WHERE m.state = 'open' AND m.told IS NULL AND m.sha256 > ? ORDER BY m.sha256 LIMIT ?",
            (after, limit),
            _MESSAGE_COLUMNS,
        )
        return [OutboxMessage(*row) for row in rows]

    def record_facts(self, facts: Iterable[tuple[str, Json]]) -> None:
        """Record what messages say of themselves: (SHA-256, JSON)."""
        with self.transaction() as db:
            db.executemany(
                "UPDATE message SET told = ? WHERE sha256 = ?",
                [(json.dumps(record), sha256) for sha256, record in facts],
            )

    def opened(self) -> Iterator[tuple[OutboxMessage, dict[str, Any]]]:
        """Yield the open messages and what they say of themselves."""
        for row in self.rows(
            f"{_MESSAGES} WHERE m.state = 'open' AND m.told IS NOT NULL ORDER BY m.date, m.sha256",
            columns=_MESSAGE_COLUMNS,
        ):
            ((told,),) = self.rows("SELECT told FROM message WHERE sha256 = ?", (row[0],), "text")
            yield OutboxMessage(*row), self.parse_json(told)

    def explain(self, reasons: Iterable[tuple[str, str]]) -> None:
        """Say why messages are where they are: (SHA-256, reason)."""
        with self.transaction() as db:
            db.executemany(
                "UPDATE message SET reason = ? WHERE sha256 = ?",
                [(reason, sha256) for sha256, reason in reasons],
            )

    def reopen_refused(self, settings: str) -> None:
        """Take up again what was refused when other settings made its package."""
        with self.transaction() as db:
            db.execute(
                "UPDATE message SET state = 'open', package = NULL, reason = '', told = NULL"
                " WHERE state = 'rejected' AND refused_with != ?",
                (settings,),
            )

    def drop_bytes(self, sha256s: Iterable[str]) -> None:
        """Record that bytes are no longer here."""
        with self.transaction() as db:
            db.executemany("UPDATE message SET kept = 0 WHERE sha256 = ?", [(one,) for one in sha256s])

    def conserved_with_bytes(self) -> list[str]:
        """Return the SHA-256 of what is proven and still here."""
        rows = self.rows("SELECT sha256 FROM message WHERE state = 'conserved' AND kept", (), "sha256")
        return [row[0] for row in rows]

    # -- packages ------------------------------------------------------------------------------------

    def freeze(self, package: str, made_with: str, manifest: Json, messages: Sequence[str]) -> None:
        """Record a package whose files are durable, and that its messages are in it."""
        with self.transaction() as db:
            db.execute(
                "INSERT INTO package (id, state, made_with, manifest) VALUES (?, 'frozen', ?, ?)",
                (package, made_with, json.dumps(manifest)),
            )
            db.executemany(
                "UPDATE message SET state = 'packaged', package = ?, reason = '' WHERE sha256 = ?",
                [(package, sha256) for sha256 in messages],
            )

    def dissolve(self, settings: str) -> None:
        """Take apart what was never deposited and was made by other settings: its messages are open again."""
        with self.transaction() as db:
            db.execute(
                "UPDATE message SET state = 'open', package = NULL, reason = '', told = NULL WHERE package IN"
                " (SELECT id FROM package WHERE state = 'frozen' AND made_with != ?)",
                (settings,),
            )
            db.execute("DELETE FROM package WHERE state = 'frozen' AND made_with != ?", (settings,))

    def packages_in(self, states: Sequence[str]) -> Iterator[PackageRow]:
        """Yield the packages in these states, as they were when this was asked."""
        names = self.rows(
            "SELECT id FROM package WHERE state IN (SELECT value FROM json_each(?)) ORDER BY rowid",
            (json.dumps(list(states)),),
            "text",
        )
        for (name,) in names:
            yield from self.package_row(name)

    def package_row(self, name: str) -> list[PackageRow]:
        """Return the package of that id, if there is one."""
        rows = self.rows(
            "SELECT id, state, made_with, manifest, ticket, reason FROM package WHERE id = ?",
            (name,),
            "text text text text text? text",
        )
        return [
            PackageRow(
                one,
                state,
                made_with,
                self.parse_json(manifest, dict),
                self.parse_json(ticket or "null", _TICKET),
                reason,
            )
            for one, state, made_with, manifest, ticket, reason in rows
        ]

    def package_ids(self) -> frozenset[str]:
        """Return the ids of all packages."""
        return frozenset(row[0] for row in self.rows("SELECT id FROM package", (), "text"))

    def deposits(self) -> Iterator[Deposit]:
        """Yield the packages, the newest first."""
        packages = self.rows(
            "SELECT id, state, reason, deposited, attention FROM package ORDER BY rowid DESC",
            (),
            "text text text time? integer",
        )
        for name, state, reason, deposited, attention in packages:
            counts = self.rows(
                "SELECT state, count(*) FROM message WHERE package = ? GROUP BY state ORDER BY state",
                (name,),
                "text integer",
            )
            yield Deposit(name, state, reason, deposited, bool(attention), dict(counts))

    def undecided(self, package: str) -> frozenset[str]:
        """Return the SHA-256 of a package's messages that nothing is decided about."""
        query = "SELECT sha256 FROM message WHERE package = ? AND state = 'packaged'"
        rows = self.rows(query, (package,), "sha256")
        return frozenset(row[0] for row in rows)

    def move(
        self,
        package: str,
        state: str,
        *,
        reason: str = "",
        ticket: Json = None,
        deposited: int | None = None,
        attention: bool = False,
    ) -> None:
        """Put a package into a state; a recorded ticket stays when none is given, and so does the time of its deposit.

        Args:
            deposited: Unix seconds.
        """
        with self.transaction() as db:
            db.execute(
                "UPDATE package SET state = ?, reason = ?, ticket = coalesce(?, ticket),"
                " deposited = coalesce(?, deposited), attention = ? WHERE id = ?",
                (
                    state,
                    reason,
                    None if ticket is None else json.dumps(ticket),
                    deposited,
                    attention,
                    package,
                ),
            )

    def decide(
        self, package: str, decisions: Iterable[Decision], *, reason: str, attention: bool = False
    ) -> None:
        """Record what became of messages of a package, which is settled when that is all of them."""
        with self.transaction() as db:
            for one in decisions:
                refused = one.state == REJECTED
                db.execute(
                    "UPDATE message SET state = ?, reason = ?, report = ?, report_sha256 = ?,"
                    " rejections = rejections + ?, refused_with = iif(?,"
                    " (SELECT made_with FROM package WHERE id = message.package), refused_with)"
                    " WHERE sha256 = ? AND package = ? AND state = 'packaged'",
                    (
                        one.state,
                        one.reason,
                        one.report,
                        one.report_sha256,
                        refused,
                        refused,
                        one.sha256,
                        package,
                    ),
                )
            left = db.execute(
                "SELECT count(*) FROM message WHERE package = ? AND state = 'packaged'", (package,)
            ).fetchone()[0]
            db.execute(
                "UPDATE package SET state = ?, reason = ?, attention = ? WHERE id = ?",
                (DEPOSITED if left else SETTLED, reason if left else "", attention and left > 0, package),
            )

    def ask_again(self, package: str, report: str) -> None:
        """Take back what a report proved that is no longer as it came: the provider is asked for it again."""
        with self.transaction() as db:
            db.execute(
                "UPDATE message SET state = 'packaged', reason = '' WHERE package = ? AND state = 'conserved' AND report = ?",
                (package, report),
            )
            db.execute(
                "UPDATE package SET state = 'deposited', reason = ? WHERE id = ?",
                ("its report was missing or altered, asked for again", package),
            )

    def count_refusal(self, package: str) -> None:
        """Count a refusal of a package that may be deposited again."""
        with self.transaction() as db:
            db.execute(
                "UPDATE message SET rejections = rejections + 1 WHERE package = ? AND state = 'packaged'",
                (package,),
            )
