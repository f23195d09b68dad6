"""The ledger's tables. A change here raises VERSION and comes with a step that brings older ledgers forward."""

from __future__ import annotations

import hashlib

APPLICATION_ID = 0x50454331
VERSION = 3

HELD = ("stored", "pending")
"""The states of a copy that count as archived."""
_NOTHING = hashlib.sha256().hexdigest()
WRONG_SIZE = (
    "(o.accepted IS NOT o.size AND EXISTS (SELECT 1 FROM content t WHERE t.id = o.content AND t.size <> o.size)"
    f" OR o.content = (SELECT id FROM content WHERE sha256 = '{_NOTHING}' AND size = 0))"
)
"""Whether its content is not the message that occurrence o lists: nothing of 0 bytes is one, and sizes are compared.

The content is looked up only where the size was not accepted with it: few rows of many.
"""
PROMISED = (*HELD, "missing", "altered")
"""The states of a copy that verification reads back: those that should be there."""
UNSETTLED = "state NOT IN ('stored', 'intent')"
"""Whether a copy waits for something, or for somebody: the condition of an index."""

_SIZE = "(SELECT size FROM content WHERE id = {}.content)"
_MORE = (
    f"INSERT INTO tally SELECT new.sink, new.state, 1, {_SIZE.format('new')}, new.content WHERE new.state <> 'intent'"
    " ON CONFLICT DO UPDATE SET messages = messages + 1, bytes = bytes + excluded.bytes,"
    " contents = contents + excluded.contents"
)
_FEWER = (
    f"UPDATE tally SET messages = messages - 1, bytes = bytes - {_SIZE.format('old')},"
    " contents = contents - old.content"
    " WHERE sink = old.sink AND state = old.state"
)

# Version 1 came to have it without changing its number.
_LOOSE = "CREATE TABLE IF NOT EXISTS loose (content INTEGER PRIMARY KEY REFERENCES content)"
_DELETION = (
    # Orders to delete at a source, written before it is asked, and what came of them: ordered, deleted, moved (to
    # the trash), gone (no longer there, and not by this order), refused (the message is kept), unknown (no answer: the
    # next listing tells).
    """CREATE TABLE deletion (
        id INTEGER PRIMARY KEY,
        pipeline TEXT NOT NULL,
        source INTEGER NOT NULL REFERENCES source,
        folder TEXT NOT NULL,
        ref TEXT NOT NULL,
        content INTEGER NOT NULL REFERENCES content,
        evidence TEXT NOT NULL,
        state TEXT NOT NULL,
        reason TEXT NOT NULL DEFAULT '',
        ordered INTEGER NOT NULL,
        expires INTEGER NOT NULL,
        ended INTEGER
    )""",
    "CREATE INDEX deletion_open ON deletion (source) WHERE state IN ('ordered', 'unknown')",
)
# The rules of [pipeline.prune] that let a message go, as text.
_RULE = "ALTER TABLE deletion ADD COLUMN rule TEXT NOT NULL DEFAULT ''"
# Verdicts by the status of the seal are found without reading what else they say.
_SEAL = "CREATE INDEX verdict_seal ON verdict (seal)"
_ATTEMPT = (
    # Every try of a pipeline, on record before it begins. source: its where, '' where the configuration did not tell.
    # lock: the file in the state folder's locks that is held as long as it runs. but_settling: the exit code but for
    # what sinks had still to confirm. counts: {WHAT: NUMBER}; errors: [{"error", "hint", "exit_code"}]; sinks: [{"name", "where", "root"}]; urls: as given on the command line, of an ad hoc run.
    """CREATE TABLE attempt (
        id INTEGER PRIMARY KEY,
        pipeline TEXT NOT NULL,
        source TEXT NOT NULL,
        command TEXT NOT NULL,
        started INTEGER NOT NULL,
        ended INTEGER,
        exit_code INTEGER,
        but_settling INTEGER,
        counts TEXT NOT NULL DEFAULT '{}',
        errors TEXT NOT NULL DEFAULT '[]',
        sinks TEXT NOT NULL DEFAULT '[]',
        urls TEXT,
        lock TEXT NOT NULL
    )""",
    "CREATE INDEX attempt_pipeline ON attempt (pipeline, source, command)",
)

_OCCURRENCES = (
    # Counting a folder's messages and their bytes looks into no row.
    "CREATE INDEX occurrence_present ON occurrence (folder, id, size) WHERE NOT gone",
    "CREATE INDEX occurrence_content ON occurrence (content) WHERE content IS NOT NULL",
)
_COUNTED = (
    # The copies of each sink by state, and their bytes, but for intents: what a million rows would have to be gone
    # through for. contents: the sum of their numbers. Kept by triggers, so that it is right whoever writes.
    """CREATE TABLE tally (
        sink INTEGER NOT NULL REFERENCES sink,
        state TEXT NOT NULL,
        messages INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        contents INTEGER NOT NULL,
        PRIMARY KEY (sink, state)
    ) WITHOUT ROWID""",
    f"CREATE TRIGGER copy_added AFTER INSERT ON copy WHEN new.state <> 'intent' BEGIN {_MORE}; END",
    f"""CREATE TRIGGER copy_changed AFTER UPDATE OF state ON copy WHEN new.state <> old.state
        BEGIN {_MORE}; {_FEWER}; END""",
    f"CREATE TRIGGER copy_removed AFTER DELETE ON copy WHEN old.state <> 'intent' BEGIN {_FEWER}; END",
    # The contents without a verdict, kept likewise.
    "CREATE TABLE unjudged (content INTEGER PRIMARY KEY REFERENCES content)",
    "CREATE TRIGGER content_added AFTER INSERT ON content BEGIN INSERT INTO unjudged VALUES (new.id); END",
    """CREATE TRIGGER verdict_given AFTER INSERT ON verdict
        BEGIN DELETE FROM unjudged WHERE content = new.content; END""",
    """CREATE TRIGGER verdict_taken AFTER DELETE ON verdict
        BEGIN INSERT OR IGNORE INTO unjudged VALUES (old.content); END""",
    # What is not settled is little of much. A query has the same condition, or SQLite takes another way.
    f"CREATE INDEX copy_unsettled ON copy (sink, state) WHERE {UNSETTLED}",
)

# Transactions that a person has dealt with, by direction and name: concerns is JSON, what was wrong then.
_HANDLED = """CREATE TABLE handled (
    direction TEXT NOT NULL,
    name TEXT NOT NULL,
    concerns TEXT NOT NULL,
    note TEXT NOT NULL,
    marked INTEGER NOT NULL,
    PRIMARY KEY (direction, name)
) WITHOUT ROWID"""

_PRUNING = (
    # Orders whose messages are marked at the source and may not be deleted yet.
    "CREATE TABLE mark (deletion INTEGER PRIMARY KEY REFERENCES deletion)",
    # Bytes of a message that went alone, held in the state folder until every archive has shown its copy after it:
    # held, or kept (an archive could not, and the source did not take it back). received: Unix seconds.
    """CREATE TABLE rescue (
        deletion INTEGER PRIMARY KEY REFERENCES deletion,
        file TEXT NOT NULL,
        flags TEXT NOT NULL,
        received INTEGER,
        state TEXT NOT NULL
    )""",
    # Plans that were shown: messages is JSON, [folder, ref, sha256] each; made: Unix seconds.
    """CREATE TABLE plan (
        id TEXT NOT NULL,
        pipeline TEXT NOT NULL,
        source INTEGER NOT NULL REFERENCES source,
        made INTEGER NOT NULL,
        messages TEXT NOT NULL,
        PRIMARY KEY (id, pipeline, source)
    ) WITHOUT ROWID""",
    # Sinks on a server that were found to be another store than the source.
    """CREATE TABLE independent (
        source INTEGER NOT NULL REFERENCES source,
        sink INTEGER NOT NULL REFERENCES sink,
        seen INTEGER NOT NULL,
        PRIMARY KEY (source, sink)
    ) WITHOUT ROWID""",
    # The name of an empty folder that is made in a sink for a moment, for as long as it may be there.
    "CREATE TABLE probe (sink INTEGER PRIMARY KEY REFERENCES sink, name TEXT NOT NULL)",
)

# An occurrence's claims: 1 when it passes for certified mail, NULL when that is not known; of one whose kind says so
# it is not asked.
# An occurrence's accepted: the size that was listed when its content was taken for the message (the content's may be
# another: the server misstates it, and gave the same bytes twice); NULL where nothing compared them.
# A copy's state: intent (may be there: ask `find`), stored, pending, rejected, failed (was not kept),
# missing or altered (verify found it so). intact_since: from when on every reading back found it intact.
SCHEMA = (
    "CREATE TABLE source (id INTEGER PRIMARY KEY, place TEXT NOT NULL UNIQUE)",
    "CREATE TABLE sink (id INTEGER PRIMARY KEY, place TEXT NOT NULL UNIQUE, archive TEXT NOT NULL DEFAULT '')",
    """CREATE TABLE folder (
        id INTEGER PRIMARY KEY,
        source INTEGER NOT NULL REFERENCES source,
        name TEXT NOT NULL,
        cursor TEXT,
        UNIQUE (source, name)
    )""",
    """CREATE TABLE content (
        id INTEGER PRIMARY KEY,
        sha256 TEXT NOT NULL,
        size INTEGER NOT NULL,
        kind TEXT NOT NULL,
        date INTEGER NOT NULL,
        date_from TEXT NOT NULL,
        UNIQUE (sha256, size)
    )""",
    """CREATE TABLE occurrence (
        id INTEGER PRIMARY KEY,
        folder INTEGER NOT NULL REFERENCES folder,
        ref TEXT NOT NULL,
        size INTEGER,
        received INTEGER,
        flags TEXT NOT NULL,
        kind TEXT,
        date INTEGER,
        date_from TEXT,
        message_id TEXT,
        content INTEGER REFERENCES content,
        gone INTEGER NOT NULL DEFAULT 0,
        reason TEXT NOT NULL DEFAULT '',
        accepted INTEGER,
        claims INTEGER,
        UNIQUE (folder, ref)
    )""",
    *_OCCURRENCES,
    """CREATE TABLE copy (
        content INTEGER NOT NULL REFERENCES content,
        sink INTEGER NOT NULL REFERENCES sink,
        state TEXT NOT NULL,
        token TEXT NOT NULL DEFAULT 'null',
        reason TEXT NOT NULL DEFAULT '',
        stored INTEGER,
        verified INTEGER,
        intact_since INTEGER,
        PRIMARY KEY (content, sink)
    ) WITHOUT ROWID""",
    # What a message may have been before a program saved it, when its bytes are kept as they came.
    """CREATE TABLE variant (
        sha256 TEXT NOT NULL,
        size INTEGER NOT NULL,
        content INTEGER NOT NULL REFERENCES content,
        PRIMARY KEY (sha256, size, content)
    ) WITHOUT ROWID""",
    """CREATE TABLE verdict (
        content INTEGER PRIMARY KEY REFERENCES content,
        seal TEXT NOT NULL,
        tipo TEXT,
        identificativo TEXT,
        msgid TEXT,
        riferimento TEXT,
        message_id TEXT COLLATE NOCASE,
        record TEXT NOT NULL,
        judged INTEGER NOT NULL
    )""",
    "CREATE INDEX verdict_identificativo ON verdict (identificativo) WHERE identificativo IS NOT NULL",
    "CREATE INDEX verdict_msgid ON verdict (msgid) WHERE msgid IS NOT NULL",
    "CREATE INDEX verdict_message_id ON verdict (message_id) WHERE message_id IS NOT NULL",
    _SEAL,
    """CREATE INDEX verdict_riferimento ON verdict (riferimento)
        WHERE riferimento IS NOT NULL AND identificativo IS NULL""",
    # An original that was saved without the envelope that bears its seal.
    _LOOSE,
    # What comparing a short delivery receipt with an original showed.
    """CREATE TABLE breve (
        receipt INTEGER NOT NULL REFERENCES content,
        original INTEGER NOT NULL REFERENCES content,
        status TEXT NOT NULL,
        form TEXT NOT NULL,
        sentence TEXT NOT NULL,
        PRIMARY KEY (receipt, original)
    ) WITHOUT ROWID""",
    """CREATE TABLE run (
        id INTEGER PRIMARY KEY,
        pipeline TEXT NOT NULL,
        source INTEGER NOT NULL REFERENCES source,
        started INTEGER NOT NULL,
        report TEXT NOT NULL,
        quota_used INTEGER,
        quota_limit INTEGER
    )""",
    "CREATE TABLE step (pipeline TEXT, place TEXT, done INTEGER NOT NULL, PRIMARY KEY (pipeline, place))",
    *_DELETION,
    _RULE,
    *_ATTEMPT,
    *_PRUNING,
    *_COUNTED,
    _HANDLED,
)

JSON_COLUMNS = frozenset(
    {
        "attempt.counts",
        "attempt.errors",
        "attempt.sinks",
        "attempt.urls",
        "copy.token",
        "deletion.evidence",
        "folder.cursor",
        "handled.concerns",
        "plan.messages",
        "run.report",
        "verdict.record",
    }
)
"""The columns whose text is JSON."""

STEPS = {
    1: (
        _LOOSE,
        "ALTER TABLE copy ADD COLUMN intact_since INTEGER",
        "UPDATE copy SET intact_since = verified WHERE state IN ('stored', 'pending')",
        *_DELETION,
    ),
    2: (
        "ALTER TABLE occurrence ADD COLUMN accepted INTEGER",
        "ALTER TABLE occurrence ADD COLUMN claims INTEGER",
        # Mail of REM was ordinary mail to earlier versions, and its seal was judged as that of any signed mail.
        "UPDATE occurrence SET kind = NULL, date = NULL, date_from = NULL WHERE kind = 'ordinaria'",
        "DELETE FROM verdict WHERE iif(json_valid(record), json_extract(record, '$.rem'), NULL) IS NOT NULL",
        "DROP INDEX IF EXISTS occurrence_folder",
        _SEAL,
        *_OCCURRENCES,
        _RULE,
        *_ATTEMPT,
        *_PRUNING,
        *_COUNTED,
        _HANDLED,
        """INSERT INTO tally SELECT c.sink, c.state, count(*), sum(t.size), sum(t.id)
            FROM copy c JOIN content t ON t.id = c.content WHERE c.state <> 'intent' GROUP BY 1, 2""",
        "INSERT INTO unjudged SELECT id FROM content WHERE id NOT IN (SELECT content FROM verdict)",
    ),
}
"""By the version they begin at: statements that bring a ledger to the next one."""
