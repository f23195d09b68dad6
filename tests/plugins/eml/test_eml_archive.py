"""The .eml sink: where files are, what they are called, and what is never replaced."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from archipec.contract import ContentKey, Receipt, SupportsCheck, SupportsFinish
from archipec.errors import ArchipecError, IntegrityError, MissingCopy
from archipec.simulator import mailbox
from archipec.testing import make_item, nasty_messages
from archipec_plugins.eml import EML_SINK

if TYPE_CHECKING:
    from tests.plugins.conftest import Archive, Steps

NASTY = nasty_messages()
DATE = datetime(2026, 7, 1, 8, 30, tzinfo=UTC)
RAW = b"Subject: prova\r\n\r\ntext\r\n"
NAME = f"2026-07-01 08.30 MESSAGGIO – prova – {ContentKey.of(RAW).sha256[:8]}.eml"
OTHER = NAME.replace(ContentKey.of(RAW).sha256[:8], ContentKey.of(RAW).sha256[:16])


@pytest.fixture
def eml(archive: Callable[..., Archive]) -> Archive:
    return archive(EML_SINK)


@pytest.mark.parametrize(
    ("layout", "folder"),
    [("date", "2026/07/01"), ("folder", "Posta inviata/2026"), ("kind", "RICEVUTE ACCETTAZIONE E CONSEGNA")],
)
def test_layouts(archive: Callable[..., Archive], layout: str, folder: str) -> None:
    kept = archive(EML_SINK, layout=layout)
    item = make_item(RAW, date=DATE, folder="Posta inviata/2026", kind="avvenuta-consegna")
    with kept.open() as sink:
        kept.keep(sink, item)
    assert kept.files() == {f"{folder}/{NAME.replace('MESSAGGIO', 'CONSEGNA')}": RAW}


def test_the_time_of_change_is_the_date_in_the_name(eml: Archive) -> None:
    with eml.open() as sink:
        eml.keep(sink, make_item(RAW, date=DATE, received=DATE - timedelta(days=400)))
    assert (eml.root / "2026/07/01" / NAME).stat().st_mtime == DATE.timestamp()


def test_names_never_collide_even_where_case_counts_for_nothing(eml: Archive) -> None:
    """Two contents with the same eight digits and subjects that differ in case: somebody took the trouble."""

    def candidates(subject: bytes) -> Iterator[tuple[bytes, bytes]]:
        for number in itertools.count():
            raw = b"Subject: %b\r\n\r\n%d" % (subject, number)
            yield hashlib.sha256(raw).digest()[:4], raw

    lower = dict(itertools.islice(candidates(b"fattura"), 150_000))
    pair = next((raw, lower[start]) for start, raw in candidates(b"FATTURA") if start in lower)
    with eml.open() as sink:
        eml.keep(sink, *[make_item(raw, date=DATE) for raw in pair])
        assert eml.held(sink) == sorted(pair)
    assert len({path.casefold() for path in eml.files()}) == 2
    assert sorted(len(path.rpartition(" ")[2]) for path in eml.files()) == [12, 20]
    with eml.open() as sink:  # as if one of them came a second time, in a later run
        assert [receipt.token for receipt in eml.keep(sink, *pair).values()] != []
    assert len(eml.files()) == 2


def test_a_file_that_somebody_saved_there_is_left_alone(eml: Archive) -> None:
    theirs = eml.root / "2026/07/01" / NAME
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"theirs")
    with eml.open() as sink:
        eml.keep(sink, make_item(RAW, date=DATE))
        assert eml.held(sink) == [RAW]
    assert eml.files() == {f"2026/07/01/{NAME}": b"theirs", f"2026/07/01/{OTHER}": RAW}


def test_one_that_appears_while_a_batch_is_under_way_is_not_replaced(eml: Archive) -> None:
    with eml.open() as sink:
        sink.put(make_item(RAW, date=DATE))
        (eml.root / "2026/07/01" / NAME).write_bytes(b"theirs")
        with pytest.raises(ArchipecError, match="exists"):
            sink.commit()
    with eml.open() as sink:
        eml.keep(sink, make_item(RAW, date=DATE))
    assert eml.files() == {f"2026/07/01/{NAME}": b"theirs", f"2026/07/01/{OTHER}": RAW}


def test_a_damaged_copy_is_joined_by_an_intact_one(eml: Archive) -> None:
    for length in (8, 16, 32, 64):
        with eml.open() as sink:
            (receipt,) = eml.keep(sink, make_item(RAW, date=DATE)).values()
            assert len(str(receipt.token).rpartition(" ")[2]) == length + 4
            assert eml.held(sink) == [RAW]
        (eml.root / str(receipt.token)).write_bytes(b"damaged")
    with eml.open() as sink:
        (receipt,) = eml.keep(sink, make_item(RAW, date=DATE)).values()
    assert str(receipt.token).endswith("-2.eml")


@pytest.mark.parametrize("token", [None, 7, "", f"../archive/2026/07/01/{NAME}", "SHA256SUMS", {"a": 1}])
def test_a_receipt_that_leads_nowhere(eml: Archive, token: Any) -> None:
    other = ContentKey.of(b"something else")
    with eml.open() as sink:
        (receipt,) = eml.keep(sink, make_item(RAW, date=DATE)).values()
        assert eml.read(sink, Receipt(receipt.key, receipt.state, token)) == RAW
        with pytest.raises(MissingCopy):
            eml.read(sink, Receipt(other, receipt.state, token))


def test_looking_changes_nothing(eml: Archive, steps: Steps) -> None:
    with eml.open() as sink:
        eml.keep(sink, RAW)
    (eml.root / ".archipec.tmp").mkdir()
    (eml.root / ".archipec.tmp" / NAME).write_bytes(b"torn")
    with (eml.root / "SHA256SUMS").open("ab") as manifest:
        manifest.write(b"torn")
    before = eml.files()
    with eml.open() as sink, steps.struck():
        assert sink.find(ContentKey.of(b"else")) is None
        assert eml.held(sink) == [RAW]
        assert sink.commit() == []
    assert steps.count == 0
    assert eml.files() == before


def test_what_a_killed_run_put_in_view_is_held_before_it_is_listed(eml: Archive) -> None:
    with eml.open() as sink:
        receipts = eml.keep(sink, *NASTY.values())
    manifest = eml.root / "SHA256SUMS"
    manifest.write_bytes(b"".join(manifest.read_bytes().splitlines(keepends=True)[:5]) + b"0123")
    (eml.root / ".archipec.tmp").mkdir()
    with eml.open() as sink:
        assert all(sink.find(key) == receipt for key, receipt in receipts.items())
        assert eml.held(sink) == sorted(NASTY.values())
        eml.keep(sink, *NASTY.values(), RAW)
        assert eml.held(sink) == sorted([*NASTY.values(), RAW])
    assert len(eml.files()) == manifest.read_bytes().count(b"\n") == len(NASTY) + 1


def test_what_is_to_be_listed_is_not_forgotten_by_a_run_that_stores_nothing(eml: Archive) -> None:
    with eml.open() as sink:
        eml.keep(sink, RAW)
    (eml.root / "SHA256SUMS").write_bytes(b"")
    (eml.root / ".archipec.tmp").mkdir()
    with eml.open() as sink, pytest.raises(IntegrityError):
        sink.put(make_item(b"x", key=ContentKey.of(b"y")))
    with eml.open() as sink:
        assert isinstance(sink, SupportsFinish) and isinstance(sink, SupportsCheck)
        sink.finish()
        assert list(sink.check()) == []
    assert (eml.root / "SHA256SUMS").read_bytes().count(b"\n") == 1
    assert not (eml.root / ".archipec.tmp").exists()


def test_a_run_killed_before_it_stored_anything(eml: Archive) -> None:
    (eml.root / ".archipec.tmp").mkdir()
    (eml.root / ".archipec.tmp" / NAME).write_bytes(b"torn")
    with eml.open() as sink:
        assert isinstance(sink, SupportsFinish)
        sink.finish()
    assert [path.name for path in eml.root.iterdir()] == ["archipec.toc"]


def test_of_a_damaged_copy_and_one_not_listed_yet_the_latter_counts(eml: Archive) -> None:
    with eml.open() as sink:
        (old,) = eml.keep(sink, make_item(RAW, date=DATE)).values()
    (eml.root / str(old.token)).write_bytes(b"damaged")
    manifest = (eml.root / "SHA256SUMS").read_bytes()
    with eml.open() as sink:
        eml.keep(sink, make_item(RAW, date=DATE))
    (eml.root / "SHA256SUMS").write_bytes(manifest)
    (eml.root / ".archipec.tmp").mkdir()
    with eml.open() as sink:
        assert eml.held(sink) == [RAW]
        assert eml.read(sink, old) == RAW


def test_a_hundred_files_gone_are_counted_one_by_one(eml: Archive) -> None:
    with eml.open() as sink:
        for receipt in eml.keep(sink, *[b"%d" % n for n in range(100)]).values():
            (eml.root / str(receipt.token)).unlink()
    with eml.open() as sink:
        assert isinstance(sink, SupportsCheck)
        problems = list(sink.check())
    assert all(isinstance(each, MissingCopy) for each in problems)
    assert len({each.key.sha256 for each in problems if isinstance(each, MissingCopy) and each.key}) == 100


def test_a_whole_mailbox_by_kind(archive: Callable[..., Archive]) -> None:
    kept = archive(EML_SINK, layout="kind")
    samples = {sample.raw: sample for sample in mailbox(120, seed=9)}
    with kept.open() as sink:
        kept.keep(sink, *[make_item(raw, date=sample.received) for raw, sample in samples.items()])
        assert kept.held(sink) == sorted(samples)
    assert {path.parent.name for path in kept.root.rglob("*.eml")} >= {
        "POSTA CERTIFICATA",
        "RICEVUTE ACCETTAZIONE E CONSEGNA",
        "ALTRI MESSAGGI",
    }


def test_the_longest_path_leaves_room_for_the_root_on_windows(archive: Callable[..., Archive]) -> None:
    kept = archive(EML_SINK, layout="folder")
    items = [
        make_item(b"%d" % n, folder=folder, head=b"Subject: " + subject.encode() * 200)
        for n, (folder, subject) in enumerate(itertools.product(("x" * 300, "d/" * 60, "è" * 300), "xè漢📬"))
    ]
    with kept.open() as sink:
        kept.keep(sink, *items)
    longest = max(len(path.encode("utf-16-le")) // 2 for path in kept.files())
    assert longest <= 259 - 1 - len(r"C:\Users\mario.rossi\Documents\PEC\archivio")


def test_an_archive_that_went_away(eml: Archive, tmp_path: Path) -> None:
    with eml.open() as sink:
        (receipt,) = eml.keep(sink, RAW).values()
        eml.root.rename(tmp_path / "gone")
        for ask in (
            lambda: sink.find(receipt.key),
            lambda: sink.find(ContentKey.of(b"else")),
            lambda: eml.read(sink, receipt),
        ):
            with pytest.raises(ArchipecError, match="cannot look"):
                ask()
