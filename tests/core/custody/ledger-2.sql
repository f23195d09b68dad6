-- A ledger of format 2, with the rows of ledger-1.sql.
PRAGMA application_id = 1346716465;
PRAGMA user_version = 2;
BEGIN TRANSACTION;
CREATE TABLE breve (
        receipt INTEGER NOT NULL REFERENCES content,
        original INTEGER NOT NULL REFERENCES content,
        status TEXT NOT NULL,
        form TEXT NOT NULL,
        sentence TEXT NOT NULL,
        PRIMARY KEY (receipt, original)
    ) WITHOUT ROWID;
CREATE TABLE content (
        id INTEGER PRIMARY KEY,
        sha256 TEXT NOT NULL,
        size INTEGER NOT NULL,
        kind TEXT NOT NULL,
        date INTEGER NOT NULL,
        date_from TEXT NOT NULL,
        UNIQUE (sha256, size)
    );
INSERT INTO "content" VALUES(1,'0000000000000000000000000000000000000000000000000000000000000001',100,'ordinaria',1700000001,'received');
INSERT INTO "content" VALUES(2,'0000000000000000000000000000000000000000000000000000000000000002',200,'ordinaria',1700000002,'received');
INSERT INTO "content" VALUES(3,'0000000000000000000000000000000000000000000000000000000000000003',300,'ordinaria',1700000003,'received');
CREATE TABLE copy (
        content INTEGER NOT NULL REFERENCES content,
        sink INTEGER NOT NULL REFERENCES sink,
        state TEXT NOT NULL,
        token TEXT NOT NULL DEFAULT 'null',
        reason TEXT NOT NULL DEFAULT '',
        stored INTEGER,
        verified INTEGER, intact_since INTEGER,
        PRIMARY KEY (content, sink)
    ) WITHOUT ROWID;
INSERT INTO "copy" VALUES(1,1,'stored','"a"','',1700000100,1700000200,1700000200);
INSERT INTO "copy" VALUES(2,1,'altered','"b"','',1700000100,1700000200,NULL);
INSERT INTO "copy" VALUES(3,1,'stored','"c"','',1700000100,NULL,NULL);
CREATE TABLE deletion (
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
    );
CREATE TABLE folder (
        id INTEGER PRIMARY KEY,
        source INTEGER NOT NULL REFERENCES source,
        name TEXT NOT NULL,
        cursor TEXT,
        UNIQUE (source, name)
    );
INSERT INTO "folder" VALUES(1,1,'INBOX','{"uid": 3}');
CREATE TABLE loose (content INTEGER PRIMARY KEY REFERENCES content);
CREATE TABLE occurrence (
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
        UNIQUE (folder, ref)
    );
INSERT INTO "occurrence" VALUES(1,1,'7/1',100,1700000001,'\Seen',NULL,NULL,NULL,NULL,1,0,'');
INSERT INTO "occurrence" VALUES(2,1,'7/2',200,1700000002,'\Seen',NULL,NULL,NULL,NULL,2,0,'');
INSERT INTO "occurrence" VALUES(3,1,'7/3',300,1700000003,'\Seen',NULL,NULL,NULL,NULL,3,0,'');
CREATE TABLE run (
        id INTEGER PRIMARY KEY,
        pipeline TEXT NOT NULL,
        source INTEGER NOT NULL REFERENCES source,
        started INTEGER NOT NULL,
        report TEXT NOT NULL,
        quota_used INTEGER,
        quota_limit INTEGER
    );
CREATE TABLE sink (id INTEGER PRIMARY KEY, place TEXT NOT NULL UNIQUE, archive TEXT NOT NULL DEFAULT '');
INSERT INTO "sink" VALUES(1,'maildir:/srv/PEC','');
CREATE TABLE source (id INTEGER PRIMARY KEY, place TEXT NOT NULL UNIQUE);
INSERT INTO "source" VALUES(1,'imaps://studio%40pec.example.it@imaps.example.it:993');
CREATE TABLE step (pipeline TEXT, place TEXT, done INTEGER NOT NULL, PRIMARY KEY (pipeline, place));
CREATE TABLE variant (
        sha256 TEXT NOT NULL,
        size INTEGER NOT NULL,
        content INTEGER NOT NULL REFERENCES content,
        PRIMARY KEY (sha256, size, content)
    ) WITHOUT ROWID;
CREATE TABLE verdict (
        content INTEGER PRIMARY KEY REFERENCES content,
        seal TEXT NOT NULL,
        tipo TEXT,
        identificativo TEXT,
        msgid TEXT,
        riferimento TEXT,
        message_id TEXT COLLATE NOCASE,
        record TEXT NOT NULL,
        judged INTEGER NOT NULL
    );
CREATE INDEX occurrence_folder ON occurrence (folder);
CREATE INDEX verdict_identificativo ON verdict (identificativo) WHERE identificativo IS NOT NULL;
CREATE INDEX verdict_msgid ON verdict (msgid) WHERE msgid IS NOT NULL;
CREATE INDEX verdict_message_id ON verdict (message_id) WHERE message_id IS NOT NULL;
CREATE INDEX verdict_riferimento ON verdict (riferimento)
        WHERE riferimento IS NOT NULL AND identificativo IS NULL;
CREATE INDEX deletion_open ON deletion (source) WHERE state IN ('ordered', 'unknown');
COMMIT;
