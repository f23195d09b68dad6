"""cert9.db and key4.db as NSS makes them, read and written without NSS; certutil (NSS 3.87) is the second opinion."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from archipec.errors import PermanentError, TransientError
from archipec.simulator import shared_authority
from archipec_thunderbird.certificates import Certificate, actalis_root
from archipec_thunderbird.nss.changes import add_certificate, self_test, trust_for_mail
from archipec_thunderbird.nss.integrity import is_valid, sign
from archipec_thunderbird.nss.objects import LABEL, NEW_STYLE, OLD_STYLE, Level, Usage, certificate_columns
from archipec_thunderbird.nss.password import PasswordRecord, TokenKey, UnknownFormat, unlock
from archipec_thunderbird.nss.store import Change, open_store
from archipec_thunderbird.nss.trust_row import find_trust
from testbed.nss import add_new_columns, add_trust, age_password_record, listed_trust, make_databases
from testbed.requirements import require

ROOT = Certificate(shared_authority(3).root)
OTHER = Certificate(shared_authority(4).root)

# A row that Thunderbird 153.7 (NSS 3.125.1) wrote, with its key4.db: the CKO_TRUST of a test root, usage SERVER.
RECORD = PasswordRecord(
    bytes.fromhex("691f638109cabf00a50110cd263136a634dfce9b"),
    bytes.fromhex(
        "308181306d06092a864886f70d01050d3060304106092a864886f70d01050c30340420a1912c99c6a0a1f57a18b08257dbfd20"
        "c020ced4a6c42f21b35fed0b46018df0020101020120300a06082a864886f70d0209301b060960864801650304012a040e74f2"
        "8f295ff0be99725dafb433020410e3acf7d0ef61e1f129127b6aab4089df"
    ),
)
SIGNED = bytes.fromhex(
    "308180305c06092a864886f70d01050e304f304106092a864886f70d01050c303404206c41ace6b42a54645bac5394b82be9b4032c"
    "4600df10c241344bfc2591b18f91020101020120300a06082a864886f70d0209300a06082a864886f70d020904206d3be1035295f0"
    "bcdd2993ebcf2572fc14b9a4a4f47f3eae8c00ff884d7f51be"
)
ROW, COLUMN, VALUE = 986411249, "a62c", bytes.fromhex("00000002")


@pytest.fixture(params=["", "parola ‹è›"], ids=["no-password", "password"])
def password(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def profile(tmp_path: Path, password: str) -> Path:
    require("certutil")
    make_databases(tmp_path, password)
    return tmp_path


def key_of(profile: Path, password: str) -> TokenKey:
    with open_store(profile) as store:
        key = unlock(store.password(), password)
    assert key is not None
    return key


def test_what_thunderbird_signed() -> None:
    key = unlock(RECORD, "")
    assert key is not None
    assert is_valid(key, ROW, COLUMN, VALUE, SIGNED)
    assert not is_valid(key, ROW + 1, COLUMN, VALUE, SIGNED)
    assert not is_valid(key, ROW, "a62d", VALUE, SIGNED)
    assert not is_valid(key, ROW, COLUMN, bytes(4), SIGNED)
    assert unlock(RECORD, "x") is None


def test_our_signature_has_the_form_of_thunderbirds() -> None:
    key = unlock(RECORD, "")
    assert key is not None
    ours = sign(key, ROW, COLUMN, VALUE)
    assert is_valid(key, ROW, COLUMN, VALUE, ours)
    # All but the 32 random bytes of salt and the 32 of the result.
    assert (ours[:35], ours[67:99], len(ours)) == (SIGNED[:35], SIGNED[67:99], len(SIGNED))
    assert sign(key, ROW, COLUMN, VALUE) != ours


@pytest.mark.parametrize("old", [False, True], ids=["AES", "3DES"])
def test_the_password_is_checked(profile: Path, password: str, old: bool) -> None:
    if old:
        age_password_record(profile, password)
    key = key_of(profile, password)
    assert key.iterations == (10000 if password else 1)
    assert key.secret.hex() not in repr(key)
    with open_store(profile) as store:
        assert unlock(store.password(), f"{password}x") is None
        assert (unlock(store.password(), "") is None) == bool(password)


@pytest.mark.parametrize(
    "record",
    [
        PasswordRecord(bytes(21), RECORD.check),
        PasswordRecord(RECORD.salt, b""),
        PasswordRecord(RECORD.salt, b"\x30\x03\x02\x01\x01"),
        PasswordRecord(RECORD.salt, b"\x30\x00"),
        PasswordRecord(RECORD.salt, b"\x30\x08\x30\x04\x05\x00\x05\x00\x04\x00"),
        PasswordRecord(RECORD.salt, RECORD.check.replace(bytes.fromhex("050d"), bytes.fromhex("050e"))),
        PasswordRecord(RECORD.salt, RECORD.check.replace(bytes.fromhex("012a"), bytes.fromhex("0116"))),
        PasswordRecord(RECORD.salt, RECORD.check[:-16]),
    ],
    ids=["salt", "empty", "other", "nothing", "no name", "algorithm", "cipher", "cut"],
)
def test_unknown_password_records_are_refused(record: PasswordRecord) -> None:
    with pytest.raises(UnknownFormat):
        unlock(record, "")


@pytest.mark.parametrize(
    "signature", [b"", SIGNED[:-1], SIGNED.replace(b"\x05\x0e", b"\x05\x0d", 1), b"\x30\x00"]
)
def test_unknown_signatures_are_refused(signature: bytes) -> None:
    key = unlock(RECORD, "")
    assert key is not None
    with pytest.raises(UnknownFormat):
        is_valid(key, ROW, COLUMN, VALUE, signature)


def test_endless_work_is_refused() -> None:
    many = RECORD.check.replace(bytes.fromhex("020101020120"), bytes.fromhex("02047fffffff020120"))
    many = bytes.fromhex("308184") + many[3:]
    with pytest.raises(UnknownFormat):
        unlock(PasswordRecord(RECORD.salt, many), "")


def test_what_certutil_wrote_is_understood(profile: Path, password: str) -> None:
    add_trust(profile, ROOT.der, "C,,", password)
    key = key_of(profile, password)
    with open_store(profile) as store:
        self_test(store, key)
        found = find_trust(store, ROOT, key)
        assert found is not None
        assert (found.style, found.counts) == (OLD_STYLE, True)
        assert (found.level(Usage.WEB), found.level(Usage.MAIL)) == (Level.ANCHOR, Level.MUST_VERIFY)
        assert find_trust(store, OTHER, key) is None
        # The certificate's own row is the one this tool would have made.
        ((row, certificate),) = store.certificates()
        assert certificate == ROOT
        assert dict(row.columns) == certificate_columns(ROOT, row.columns[LABEL].decode())


@pytest.mark.parametrize("old", [False, True], ids=["AES", "3DES"])
def test_certutil_reads_what_was_written(profile: Path, password: str, old: bool) -> None:
    add_trust(profile, ROOT.der, "C,,", password)
    if old:
        age_password_record(profile, password)
    key = key_of(profile, password)
    with open_store(profile) as store:
        numbers = store.free_numbers()
        store.apply(
            [
                trust_for_mail(store, ROOT, key, numbers),
                add_certificate(store, OTHER, numbers),
                trust_for_mail(store, OTHER, key, numbers),
            ]
        )
    flags = listed_trust(profile, password)
    assert sorted(flags.values()) == [",C,", "C,C,"]
    assert f"{OTHER.name} - {OTHER.organization}" in flags


def test_new_rows_where_the_table_has_room_for_them(profile: Path, password: str) -> None:
    add_new_columns(profile)
    key = key_of(profile, password)
    with open_store(profile) as store:
        assert store.new_rows is NEW_STYLE
        store.apply([trust_for_mail(store, ROOT, key, store.free_numbers())])
    with open_store(profile) as store:
        found = find_trust(store, ROOT, key)
        assert found is not None
        assert (found.style, found.counts) == (NEW_STYLE, True)
        assert {usage: found.level(usage) for usage in Usage} == {
            Usage.MAIL: Level.ANCHOR,
            Usage.WEB: Level.UNKNOWN,
            Usage.CLIENT: Level.UNKNOWN,
            Usage.CODE: Level.UNKNOWN,
        }
        assert not store.trust_rows(OLD_STYLE, ROOT)


@pytest.mark.parametrize("damage", ["missing", "wrong"])
def test_a_row_that_nss_ignores_does_not_come_to_life(profile: Path, password: str, damage: str) -> None:
    """Its SERVER=anchor counts for nothing; signing the row must not make it count."""
    add_trust(profile, ROOT.der, "C,,", password)
    key = key_of(profile, password)
    with open_store(profile) as store:
        (row,) = store.trust_rows(OLD_STYLE, ROOT)
        server = OLD_STYLE.usages[Usage.WEB]
        signature = None if damage == "missing" else sign(key, row.number + 1, server, row.columns[server])
        store.apply([Change(row.number, {}, {server: row.columns[server]}, {server: (None, signature)})])
        found = find_trust(store, ROOT, key)
        assert found is not None
        assert not found.counts
        assert found.level(Usage.WEB) is Level.UNKNOWN
        store.apply([trust_for_mail(store, ROOT, key, store.free_numbers())])
        found = find_trust(store, ROOT, key)
        assert found is not None
        assert found.counts
        assert (found.level(Usage.WEB), found.level(Usage.MAIL)) == (Level.UNKNOWN, Level.ANCHOR)
    assert list(listed_trust(profile, password).values()) == [",C,"]


def test_the_self_test_refuses_signatures_it_would_not_have_made(profile: Path, password: str) -> None:
    add_trust(profile, ROOT.der, "C,,", password)
    with open_store(profile) as store, pytest.raises(UnknownFormat):
        self_test(store, TokenKey(bytes(20), 1))


def test_a_row_about_another_certificate_is_not_taken(profile: Path, password: str) -> None:
    """Same issuer and serial number, another hash."""
    add_trust(profile, ROOT.der, "C,,", password)
    with open_store(profile) as store:
        (row,) = store.trust_rows(OLD_STYLE, ROOT)
        store.apply([Change(row.number, {}, {"ace5363b4": bytes(20)}, {})])
        assert not store.trust_rows(OLD_STYLE, ROOT)


def test_the_nickname_of_a_subject_is_kept_and_no_other_taken(profile: Path, password: str) -> None:
    with open_store(profile) as store:
        numbers = store.free_numbers()
        first = add_certificate(store, ROOT, numbers)
        store.apply([first])
        assert first.after is not None
        assert add_certificate(store, ROOT, numbers).after == first.after
        wanted = f"{OTHER.name} - {OTHER.organization}"
        store.apply([Change(first.number, {}, {LABEL: wanted.encode()}, {})])
        second = add_certificate(store, OTHER, numbers)
        assert second.after is not None
        assert second.after[LABEL] == f"{wanted} #2".encode()


def test_a_change_is_whole_or_not_at_all(profile: Path, password: str) -> None:
    with open_store(profile) as store:
        good = add_certificate(store, ROOT, store.free_numbers())
        with pytest.raises(UnknownFormat):
            store.apply([good, Change(7, None, {"a1; DROP TABLE nssPublic": b""}, {})])
        assert list(store.certificates()) == []


def test_what_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match=r"has no cert9\.db"), open_store(tmp_path):
        pass
    for name in ("cert9.db", "key4.db"):
        (tmp_path / name).write_bytes(b"nothing" * 1000)
    with pytest.raises(PermanentError), open_store(tmp_path):
        pass
    for name in ("cert9.db", "key4.db"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(UnknownFormat), open_store(tmp_path):
        pass


def test_write_ahead_logging_is_refused(profile: Path) -> None:
    """Two files are one transaction only without it."""
    with closing(sqlite3.connect(profile / "key4.db")) as database:
        database.execute("PRAGMA journal_mode = WAL")
    with pytest.raises(UnknownFormat, match="wal"), open_store(profile):
        pass


def test_a_database_in_use(profile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archipec_thunderbird.nss.store._BUSY_SECONDS", 0.0)
    with closing(sqlite3.connect(profile / "cert9.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(TransientError), open_store(profile):
            pass


def test_the_actalis_root_is_the_pinned_one() -> None:
    assert actalis_root().name == "Actalis Authentication Root CA"
