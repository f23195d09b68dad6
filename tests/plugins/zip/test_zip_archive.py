"""The zip sink: its files, as other programs and archipec's own source read them, over many runs."""

from __future__ import annotations

import io
import mailbox
import random
import re
import stat
import struct
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

import pytest

from archipec.contract import (
    ContentKey,
    Receipt,
    State,
    SupportsCheck,
    SupportsFinish,
    SupportsIterate,
    SupportsSettle,
)
from archipec.errors import ConfigError, IntegrityError, MissingCopy
from archipec.testing import configure, make_context, make_item, nasty_messages
from archipec_plugins.zip import ZIP_SINK, ZIP_SOURCE
from archipec_plugins.zip.deflate import inflated
from archipec_plugins.zip.format import (
    Member,
    central_record,
    central_size,
    end_records,
    header_size,
    local_header,
)
from archipec_plugins.zip.toc import append_line, end_line
from testbed.zips import assert_clean, members, seen

if TYPE_CHECKING:
    from tests.plugins.conftest import Archive, Steps

NASTY = nasty_messages()
ONE, TWO, THREE = (b"Subject: %d\r\n\r\ntext\r\n" % n for n in range(3))
BIG = b"Subject: big\r\n\r\n" + random.Random(5).randbytes(3_000_000)
HOLLOW = b"Subject: hollow\r\n\r\n" + b"\0" * 3_000_000
NAME = re.compile(r"[0-9]{4}/[0-9]{2}/[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}\.[0-9]{2} .* – [0-9a-f]{8}\.eml")

pytestmark = pytest.mark.usefixtures("unflushed")
Make = Callable[..., "Archive"]


@pytest.fixture
def zips(archive: Make) -> Make:
    """Make archives of zips: called with options, and a name where a test has several."""

    def make(name: str = "archive", **options: object) -> Archive:
        return archive(ZIP_SINK, name, **options)

    return make


def keep(archive: Archive, *messages: Any) -> dict[ContentKey, Receipt]:
    """Do one run: keep messages and settle; return the receipts as they are then."""
    with archive.open() as sink:
        kept = archive.keep(sink, *messages)
        assert isinstance(sink, SupportsSettle)
        settled = list(sink.settle([each for each in kept.values() if each.state is State.PENDING]))
    return kept | {receipt.key: receipt for receipt in settled}


def taken_back(archive: Archive, tmp_path: Path) -> list[bytes]:
    """Return what archipec's zip source reads from an archive, sorted."""
    config = configure(ZIP_SOURCE, {"path": str(archive.root)})
    found = []
    with ZIP_SOURCE.open(config, make_context(tmp_path / "source")) as source:
        for folder in source.folders():
            refs = [listed.ref for listed in source.scan(folder.name, None)]
            found += [b"".join(fetched.chunks) for fetched in source.fetch(folder.name, refs)]
    return sorted(found)


@pytest.mark.parametrize("compress", ["stored", "deflated"])
@pytest.mark.parametrize("inside", ["eml", "mbox", "maildir"])
@pytest.mark.parametrize("split", [2_000_000_000, "month", 50_000])
def test_our_own_source_reads_every_byte_and_others_open_it(
    zips: Make, tmp_path: Path, inside: str, compress: str, split: object
) -> None:
    written = zips(inside=inside, compress=compress, split=split)
    # What has no header, no message's or nothing in it is none to a source.
    messages = [raw for raw in NASTY.values() if b":" in raw.split(b"\n")[0] and not raw.startswith(b"From ")]
    messages += [ONE, TWO, BIG]
    assert len(messages) > 10
    keep(written, *messages[::2])
    keep(written, *messages[1::2], THREE)
    keep(written, *messages)
    assert len(seen(written.root)) == len(messages) + 1
    assert_clean(*written.root.glob("*.zip"))
    assert taken_back(written, tmp_path) == sorted([*messages, THREE])


def test_an_eml_has_a_readable_name_and_a_time(zips: Make) -> None:
    written = zips()
    date = datetime(2026, 11, 21, 10, 33, 14, tzinfo=UTC)
    subject = b"Subject: CONSEGNA: Fattura 12/2026 =?utf-8?q?=C3=A8?= pronta\r\n\r\n"
    keep(written, make_item(subject, date=date, kind="avvenuta-consegna"), *NASTY.values())
    (path,) = written.root.glob("*.zip")
    for name in members(path):
        assert NAME.fullmatch(name), name
    with zipfile.ZipFile(path) as file:
        info = file.infolist()[0]
        assert info.filename.startswith("2026/11/2026-11-21 10.33 CONSEGNA – Fattura 12-2026 è pronta – ")
        assert info.date_time == (2026, 11, 21, 10, 33, 14)
        assert all(
            each.flag_bits == 0x800 and each.external_attr >> 16 == 0o100600 for each in file.infolist()
        )
        assert {each.extract_version for each in file.infolist()} == {20}
    assert b"PK\x06\x06" not in path.read_bytes()


def test_a_maildir_is_one_to_others(zips: Make, tmp_path: Path) -> None:
    written = zips(inside="maildir")
    keep(written, make_item(ONE, flags=("\\Seen", "\\Flagged")), TWO)
    keep(written, THREE)
    (path,) = written.root.glob("*.zip")
    with zipfile.ZipFile(path) as file:
        assert file.namelist()[:3] == ["cur/", "new/", "tmp/"]
        assert not any(":" in name for name in file.namelist())
        file.extractall(tmp_path / "Maildir")
    box = mailbox.Maildir(tmp_path / "Maildir", create=False)
    box.colon = ";"
    assert sorted(box.get_bytes(key) for key in box.iterkeys()) == sorted([ONE, TWO, THREE])
    assert "".join(sorted(box[key].get_flags() for key in box.iterkeys())) == "FS"


def test_each_run_has_its_own_mbox(zips: Make) -> None:
    written = zips(inside="mbox")
    keep(written, ONE, NASTY["from-lines"])
    before = written.files()
    keep(written, ONE)
    assert written.files() == before
    keep(written, TWO)
    with written.open() as sink:
        written.keep(sink, THREE)
    after = written.files()
    assert {name: content for name, content in after.items() if name in before} == before
    assert sorted(after) == [f"archive{n}.zip{t}" for n in ("", "_02", "_03") for t in ("", ".toc")]
    assert list(members(written.root / "archive_02.zip")) == ["archive_02.mbox"]
    keep(written, b"Subject: the next run\r\n\r\n")
    assert len(seen(written.root)) == 5
    assert_clean(*written.root.glob("*.zip"))


def test_every_run_goes_behind_what_is_there(zips: Make) -> None:
    """What was there is never moved or changed, and stands in every later directory."""
    written = zips()
    content = b""
    for number in range(6):
        keep(written, *(b"Subject: %d\r\n\r\n%d" % (number, n) for n in range(4)))
        now = written.files()["archive.zip"]
        assert now.startswith(content)
        content = now
        assert len(members(written.root / "archive.zip")) == 4 * (number + 1)
    assert_clean(written.root / "archive.zip")


def test_a_message_is_pending_till_the_directory_lists_it(zips: Make) -> None:
    written = zips()
    with written.open() as sink:
        (pending,) = written.keep(sink, ONE).values()
        assert pending.state is State.PENDING
        assert written.read(sink, pending) == ONE
        assert sink.find(pending.key) == pending
    with written.open() as sink:
        assert isinstance(sink, SupportsSettle)
        (stored,) = sink.settle([pending])
        assert (stored.state, stored.token) == (State.STORED, pending.token)
        assert sink.find(pending.key) == stored
        before = written.files()
        assert list(sink.settle([pending])) == [stored]
    assert written.files() == before
    (written.root / "archive.zip").unlink()
    with written.open() as sink:
        assert isinstance(sink, SupportsSettle)
        assert list(sink.settle([pending])) == []
        with pytest.raises(MissingCopy, match="is gone"):
            written.read(sink, pending)


@pytest.mark.parametrize("first", [[ONE], []])
def test_a_run_that_stores_nothing_mends_what_a_killed_one_left(zips: Make, first: list[bytes]) -> None:
    written = zips()
    keep(written, *first)
    inventory = written.root / "archipec.toc"
    listed = inventory.read_bytes() if first else b""
    with written.open() as sink:
        written.keep(sink, TWO)
    killed = written.files()
    for name in killed:
        (written.root / name).unlink()
    toc = killed["archive.zip.toc"]
    for lines in (toc, toc[: toc.rindex(b"M ")]):
        (written.root / "archive.zip").write_bytes(killed["archive.zip"] + b"PK\x03\x04torn")
        (written.root / "archive.zip.toc").write_bytes(lines)
        inventory.write_bytes(listed)  # it learns of a batch after the table
        with written.open() as sink:
            assert isinstance(sink, SupportsFinish)
            sink.finish()
            expected = [*first, TWO] if lines == toc else first
            assert written.held(sink) == expected
            done = written.files()
            sink.finish()
            assert written.files() == done
        assert seen(written.root) == expected
        assert len(list(written.root.glob("*.zip"))) == bool(expected)


@pytest.mark.parametrize("inside", ["eml", "mbox"])
def test_whatever_is_left_of_zip_and_table(zips: Make, inside: str) -> None:
    """A run killed while it wrote, or by a power cut, which may leave zeros: what was committed stays, all else goes."""
    whole, torn = zips("whole", inside=inside), zips("torn", inside=inside)
    with whole.open() as sink:
        whole.keep(sink, ONE)
        between = whole.files()
        whole.keep(sink, TWO)
    keep(whole)
    after = whole.files()
    old, new = (each["archive.zip"] for each in (between, after))
    toc, longer = (each["archive.zip.toc"] for each in (between, after))
    states = [(old + new[len(old) : at], toc) for at in range(len(old), len(new), 7)]
    states += [(old + bytes(99), toc)]
    states += [(new, toc + longer[len(toc) : at]) for at in range(len(toc), len(longer), 5)]
    for data, table in states:
        for path in torn.root.iterdir():
            path.unlink()
        (torn.root / "archive.zip").write_bytes(data)
        (torn.root / "archive.zip.toc").write_bytes(table)
        with torn.open() as sink:
            assert torn.held(sink) == ([ONE, TWO] if b"\n" in table[len(toc) :] else [ONE])
        keep(torn, ONE, TWO, THREE)
        assert len(seen(torn.root)) == 3
        with torn.open() as sink:
            assert torn.held(sink) == [ONE, TWO, THREE]


def test_the_directory_is_checked(zips: Make) -> None:
    written = zips()
    with written.open() as sink:
        assert isinstance(sink, SupportsCheck)
        written.keep(sink, ONE)
        assert list(sink.check()) == []
    keep(written, TWO)
    path = written.root / "archive.zip"
    data = path.read_bytes()
    start = data.rindex(b"PK\x01\x02", 0, data.rindex(b"PK\x01\x02"))
    with written.open() as sink:
        assert isinstance(sink, SupportsCheck)
        assert list(sink.check()) == []
        for at in range(start, len(data)):
            path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
            (problem,) = sink.check()
            assert isinstance(problem, IntegrityError)
        path.write_bytes(data[:-1])
        assert len(list(sink.check())) == 1


def test_a_full_zip_is_finished_at_once(zips: Make) -> None:
    written = zips(split="10 KB")
    with written.open() as sink:
        receipts = written.keep(sink, *(b"Subject: %d\r\n\r\n" % n + b"x" * 3000 for n in range(9)))
        states = [receipt.state for receipt in receipts.values()]
        assert states[:-1].count(State.STORED) >= 6
        assert states[-1] is State.PENDING
        paths = sorted(written.root.glob("*.zip"))
        assert len(paths) >= 4
        assert_clean(*paths[:-1])
    keep(written, ONE)
    assert len(seen(written.root)) == 10


def test_no_zip_grows_beyond_the_size(zips: Make) -> None:
    written = zips(split="10 KB")
    messages = [b"Subject: %d\r\n\r\n" % n + b"x" * (37 * n % 3000) for n in range(60)]
    messages.insert(30, b"x" * 20_000)
    for start in range(0, 61, 5):
        keep(written, *messages[start : start + 5])
    sizes = [path.stat().st_size for path in written.root.glob("*.zip")]
    assert sum(size > 10_000 for size in sizes) == 1
    assert seen(written.root) == sorted(messages)


def test_zips_by_time(zips: Make) -> None:
    dates = [datetime(year, 12, 31, 23, tzinfo=UTC) for year in (1, 1979, 2026, 2108, 9999)]
    items = [make_item(b"Subject: %d\r\n\r\n" % n, date=date) for n, date in enumerate(dates)]
    by_year, by_month = zips("by-year", split="year"), zips("by-month", split="month", inside="mbox")
    for written in (by_year, by_month):
        keep(written, *items)
        assert len(seen(written.root)) == 5
        assert_clean(*written.root.glob("*.zip"))
    assert {path.name for path in by_year.root.glob("*.zip")} == {
        f"archive-{date.year:04d}.zip" for date in dates
    }
    assert (by_month.root / "archive-2026-12.zip").exists()


def test_many_zips_at_a_time(zips: Make) -> None:
    """More than are kept in mind go on where they were."""
    written = zips(split="month")
    dates = [datetime(2000 + n // 12, n % 12 + 1, 1, tzinfo=UTC) for n in range(40)] * 2
    items = [make_item(b"Subject: %d\r\n\r\n" % n, date=date) for n, date in enumerate(dates)]
    with written.open() as sink:
        receipts = written.keep(sink, *items[:30]) | written.keep(sink, *items[30:])
        assert isinstance(sink, SupportsSettle)
        assert len(list(sink.settle(receipts.values()))) == 80
    assert len(list(written.root.glob("*.zip"))) == 40
    assert len(seen(written.root)) == 80


def test_small_runs_do_not_fill_a_zip_with_directories(zips: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archipec_plugins.zip.writer._WASTE", 1000)
    written = zips()
    messages = [b"Subject: %d\r\n\r\n" % n + b"x" * 1000 for n in range(40)]
    for raw in messages:
        keep(written, raw)
    stored = sum(path.stat().st_size for path in written.root.glob("*.zip"))
    assert stored < 3 * sum(map(len, messages))
    assert 2 <= len(list(written.root.glob("*.zip"))) < 10
    assert seen(written.root) == sorted(messages)


def test_what_is_inside_may_be_changed_between_runs(zips: Make) -> None:
    written = zips()
    for number, inside in enumerate(("eml", "maildir", "mbox", "eml", "eml")):
        changed = zips(f"changed-{number}", inside=inside)
        changed.root.rmdir()
        changed.root.symlink_to(written.root, target_is_directory=True)
        keep(changed, b"Subject: %d\r\n\r\n" % number)
    assert [len(members(path)) for path in sorted(written.root.glob("*.zip"))] == [1, 1, 1, 2]
    assert_clean(*written.root.glob("*.zip"))


def test_two_contents_of_one_name_are_two_members(zips: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def names(_item: Any) -> Iterator[str]:
        return (f"NAME{n or ''}.eml" if n % 2 else f"name{n or ''}.eml" for n in range(9))

    monkeypatch.setattr("archipec_plugins.zip.layout.eml_names", names)
    written = zips()
    keep(written, ONE, TWO)
    keep(written, THREE)
    assert list(members(written.root / "archive.zip").values()) == [ONE, TWO, THREE]


@pytest.mark.parametrize("inside", ["eml", "maildir"])
def test_a_damaged_copy_gets_another_beside_it(zips: Make, tmp_path: Path, inside: str) -> None:
    written = zips(inside=inside)
    (old,) = keep(written, ONE).values()
    path = written.root / "archive.zip"
    path.write_bytes(path.read_bytes().replace(b"text", b"next"))
    with written.open() as sink:
        assert sink.find(old.key) is None
        with pytest.raises(IntegrityError, match="not the bytes of message"):
            written.read(sink, old)
    (new,) = keep(written, ONE).values()
    with written.open() as sink:
        assert sink.find(old.key) == new
        assert isinstance(sink, SupportsIterate)
        assert list(sink.iterate()) == [new]
    with zipfile.ZipFile(path) as file:
        assert len(file.namelist()) == (5 if inside == "maildir" else 2)
        assert file.read(file.namelist()[-1]) == ONE


@pytest.mark.parametrize("options", [{}, {"compress": "deflated"}, {"inside": "mbox"}], ids=str)
def test_a_change_of_any_byte_is_noticed(zips: Make, options: dict[str, Any]) -> None:
    written = zips(**options)
    receipts = keep(written, b"Subject: x\n\nFrom y", b"", ONE * 9).values()
    path = written.root / "archive.zip"
    data = path.read_bytes()
    unnoticed = []
    with written.open() as sink:
        for at in range(data.index(b"PK\x01\x02")):
            path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
            noticed = 0
            for receipt in receipts:
                try:
                    written.read(sink, receipt)
                except IntegrityError:
                    noticed += 1
            assert noticed <= 1
            if not noticed:
                unnoticed.append(at)
    # Version, time, checksum, size and name of a member are no part of any message; nor are dates in an mbox.
    assert len(unnoticed) < (130 if options.get("inside") == "mbox" else 300)


def test_a_copy_that_was_cut_off_is_missing(zips: Make) -> None:
    written = zips()
    receipts = keep(written, ONE, TWO)
    path = written.root / "archive.zip"
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"Subject: 1") + 5])
    with written.open() as sink:
        assert written.read(sink, receipts[ContentKey.of(ONE)]) == ONE
        with pytest.raises(MissingCopy, match="ends before byte"):
            written.read(sink, receipts[ContentKey.of(TWO)])
        assert sink.find(ContentKey.of(TWO)) is None
    keep(written, TWO, THREE)
    assert sorted(members(written.root / "archive_02.zip").values()) == [TWO, THREE]


def test_a_zip_that_another_program_changed_is_left_alone(zips: Make) -> None:
    written = zips()
    keep(written, ONE)
    path = written.root / "archive.zip"
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("theirs.txt", "theirs")
    theirs = path.read_bytes()
    keep(written, TWO)
    assert path.read_bytes() == theirs
    assert list(members(written.root / "archive_02.zip").values()) == [TWO]
    (written.root / "archive_03.zip").write_bytes(theirs)
    keep(written, THREE)
    assert (written.root / "archive_03.zip").read_bytes() == theirs
    assert list(members(written.root / "archive_04.zip").values()) == [THREE]


def test_a_zip_that_another_program_cut_between_batches_is_left_alone(zips: Make) -> None:
    written = zips()
    with written.open() as sink:
        written.keep(sink, ONE)
        path = written.root / "archive.zip"
        theirs = path.read_bytes()[:-9]
        path.write_bytes(theirs)
        with pytest.raises(IntegrityError, match="another program has changed it while it was written to"):
            written.keep(sink, TWO)
        assert path.read_bytes() == theirs
        written.keep(sink, TWO)
        assert written.held(sink) == [TWO]
    assert path.read_bytes() == theirs
    assert (written.root / "archive_02.zip").exists()


def test_a_zip_that_was_taken_away_between_batches_is_followed_by_another(zips: Make) -> None:
    written = zips()
    with written.open() as sink:
        written.keep(sink, ONE)
        (written.root / "archive.zip").unlink()
        written.keep(sink, TWO)
        assert written.held(sink) == [TWO]
    assert not (written.root / "archive.zip").exists()
    assert (written.root / "archive_02.zip").exists()


def test_a_damaged_table_keeps_a_zip_from_being_added_to(zips: Make) -> None:
    written = zips()
    keep(written, ONE, TWO)
    toc = written.root / "archive.zip.toc"
    toc.write_bytes(toc.read_bytes().replace(b"M 0", b"M 1"))
    before = written.files()["archive.zip"]
    keep(written, THREE)
    with written.open() as sink:
        assert written.held(sink) == sorted([TWO, THREE])
    assert written.files()["archive.zip"] == before
    keep(written, ONE)
    assert len(members(written.root / "archive_02.zip")) == 2


def test_looking_changes_nothing(zips: Make, steps: Steps) -> None:
    written = zips()
    keep(written, ONE)
    with written.open() as sink:
        written.keep(sink, TWO)
    with (written.root / "archive.zip").open("ab") as file:
        file.write(b"PK\x03\x04torn")
    before = written.files()
    with written.open() as sink, steps.struck():
        assert sink.find(ContentKey.of(THREE)) is None
        assert written.held(sink) == sorted([ONE, TWO])
        assert sink.commit() == []
    assert steps.count == 0
    assert written.files() == before


def test_order_of_the_steps_to_disk(zips: Make, steps: Steps) -> None:
    """The table says that a run appends before it does, and what is there, or listed, after it is; each time flushed."""
    written = zips()
    with written.open() as sink, steps.struck():
        written.keep(sink, ONE)
        first, steps.names = steps.names, []
        pending = written.keep(sink, TWO)
        second, steps.names = steps.names, []
        assert isinstance(sink, SupportsSettle)
        assert len(list(sink.settle(pending.values()))) == 1
    inventory = ["open", "ftruncate", "write", "write", "sync_file", "sync_directory"]
    table = ["open", "write"]
    committed = ["write", "sync_files", *table, "sync_files", "write"]
    assert first == [*inventory, "open", *table, "sync_file", "sync_directory", *committed]
    assert second == ["open", *committed]
    assert steps.names == ["open", "write", "sync_file", *table, "sync_file"]


def test_a_receipt_is_read_without_the_table(zips: Make) -> None:
    for options in ({}, {"inside": "mbox", "compress": "deflated"}):
        written = zips(str(len(options)), **options)
        receipts = keep(written, *NASTY.values())
        (written.root / "archive.zip.toc").unlink()
        with written.open() as sink:
            for raw in NASTY.values():
                assert written.read(sink, receipts[ContentKey.of(raw)]) == raw


def test_reading_one_message_unpacks_nothing_else(zips: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    written = zips(inside="mbox", compress="deflated")
    receipts = keep(written, BIG, ONE, HOLLOW)
    read: list[int] = []
    path = written.root / "archive.zip"
    assert path.stat().st_size > 3_000_000

    def counting(chunks: Iterator[bytes], what: str) -> Iterator[bytes]:
        for chunk in inflated(chunks, what):
            read.append(len(chunk))
            yield chunk

    monkeypatch.setattr("archipec_plugins.zip.message.inflated", counting)
    with written.open() as sink:
        assert written.read(sink, receipts[ContentKey.of(ONE)]) == ONE
    assert sum(read) < 200


def test_a_reader_that_gives_other_pieces_is_told(zips: Make) -> None:
    """Deflated in other pieces, a message has another length than its header says."""

    class Uneven(io.BytesIO):
        pieces = 1_000_000

        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(size or 0, Uneven.pieces))

    raw = random.Random(7).randbytes(600_000).hex().encode()
    written = zips(compress="deflated")
    with written.open() as sink:
        sink.put(make_item(raw, open=lambda: Uneven(raw)))
        Uneven.pieces = 1000
        with pytest.raises(IntegrityError, match="does not read the same twice"):
            sink.commit()
        Uneven.pieces = 1_000_000
        written.keep(sink, make_item(raw, open=lambda: Uneven(raw)))
        assert written.held(sink) == [raw]


def test_what_shrinks_like_a_trap_is_kept_as_it_is(zips: Make, tmp_path: Path) -> None:
    """Our own source, like others, refuses a member that would grow a hundredfold."""
    for inside in ("eml", "mbox"):
        written = zips(inside, inside=inside, compress="deflated")
        hollow = [b"Subject: %d\r\n\r\n" % n + b"\0" * 90_000_000 for n in range(1)]
        keep(written, *hollow, ONE)
        (path,) = written.root.glob("*.zip")
        assert path.stat().st_size > 90_000_000
        with written.open() as sink:
            assert written.held(sink) == sorted([*hollow, ONE])
        assert len(taken_back(written, tmp_path / inside)) == 2


@pytest.mark.skipif(not hasattr(stat, "S_ISSOCK"), reason="Windows has no such modes")
def test_files_are_private(zips: Make) -> None:
    written = zips()
    keep(written, ONE)
    assert {path.stat().st_mode & 0o777 for path in written.root.iterdir() if "zip" in path.name} == {0o600}


def test_more_members_than_fit_without_zip64(zips: Make) -> None:
    written = zips(inside="maildir")
    items = [make_item(b"%d" % n) for n in range(65_536)]
    keep(written, *items[:65_531])  # and three folders
    assert b"PK\x06\x06" not in (written.root / "archive.zip").read_bytes()
    keep(written, *items[65_531:])
    path = written.root / "archive.zip"
    assert path.read_bytes().count(b"PK\x06\x06") == 1
    assert sorted(members(path).values()) == sorted(b"%d" % n for n in range(65_536))
    assert_clean(path)


def test_offsets_beyond_4_gib(zips: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A zip that has grown beyond 4 GiB, most of which is a hole here."""
    monkeypatch.setattr("archipec_plugins.zip.writer._WASTE", 6 << 30)
    written = zips(split="100 GB")
    keep(written, ONE)
    path, toc = written.root / "archive.zip", written.root / "archive.zip.toc"
    lift(path, toc, 5 << 30)
    receipts = keep(written, TWO, THREE)
    tokens: list[Any] = [receipt.token for receipt in receipts.values()]
    assert all(token["offset"] > 5 << 30 for token in tokens)
    assert sorted(members(path).values()) == [ONE, TWO, THREE]
    with zipfile.ZipFile(path) as file:
        assert [info.extract_version for info in file.infolist()] == [20, 45, 45]
    assert_clean(path)
    with written.open() as sink:
        assert written.held(sink) == [ONE, TWO, THREE]
    assert taken_back(written, tmp_path) == [ONE, TWO, THREE]


def lift(path: Path, toc: Path, offset: int) -> None:
    """Move a zip's directory and end to another offset, and tell its table."""

    data = path.read_bytes()
    directory, _, _ = data[data.index(b"PK\x01\x02") :].partition(b"PK\x05\x06")
    ending = directory + end_records(1, len(directory), offset)
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(ending)
    with toc.open("ab") as file:
        file.write(append_line(len(data)) + end_line(offset, offset + len(ending), crc32(ending)))


def test_a_member_of_4_gib_would_get_zip64_fields() -> None:

    size, stored, header = (1 << 32) + 5, 0xFFFFFFFF, (1 << 32) - 1
    member = Member("a", header, 8, 1, stored, size, 0)
    local, central = local_header(member), central_record(member)
    assert local[18:26] == b"\xff" * 8
    assert local[31:] == struct.pack("<2H2Q", 1, 16, size, stored)
    assert len(local) == header_size(member)
    assert central[47:] == struct.pack("<2H3Q", 1, 24, size, stored, header)
    smaller = member._replace(size=9, stored=9, header=0)
    assert (len(local_header(smaller)), len(central_record(smaller))) == (31, 47)
    assert header_size(smaller) == 31
    for one in (member, smaller, smaller._replace(header=header, name="è/"), member._replace(stored=1)):
        assert central_size(one) == len(central_record(one))


def test_no_mbox_grows_beyond_what_its_header_can_tell(zips: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archipec_plugins.zip.layout.LARGEST_MBOX", 5000)
    written = zips(inside="mbox", split="year")
    keep(written, *(b"Subject: %d\r\n\r\n" % n + b"x" * 2000 for n in range(5)))
    assert len(list(written.root.glob("*.zip"))) == 3
    with written.open() as sink, pytest.raises(Exception, match="too large for an mbox in a zip"):
        sink.put(make_item(b"x" * 6000))


def test_the_split_is_a_size_or_a_time() -> None:
    for split in ("2 GB", "month", "year", 5, "1 KiB"):
        assert configure(ZIP_SINK, {"path": "/a", "split": split}) is not None
    for split in ("monthly", "none", 0, "0 GB", "-1", True, ""):
        with pytest.raises(ConfigError, match="must be year, month or a size"):
            configure(ZIP_SINK, {"path": "/a", "split": split})
