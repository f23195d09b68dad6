"""The Maildir sink: what mail programs see in its directories, and what they do to them."""

from __future__ import annotations

import mailbox
import math
import os
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from archipec.contract import ContentKey, Receipt, SupportsIterate
from archipec.errors import IntegrityError, MissingCopy, PermanentError, TransientError
from archipec.testing import make_item, nasty_messages
from archipec_plugins.maildir import MAILDIR_SINK, names
from archipec_plugins.maildir import index as catalog

if TYPE_CHECKING:
    from tests.plugins.conftest import Archive, Steps

NASTY = nasty_messages()
ONE, TWO, THREE = (b"Subject: %d\r\n\r\ntext\r\n" % n for n in range(3))
DATE = datetime(2026, 7, 1, 8, 30, tzinfo=UTC)


@pytest.fixture
def maildir(archive: Callable[..., Archive]) -> Archive:
    return archive(MAILDIR_SINK)


def only(archive: Archive) -> Path:
    """Return the path of the only message."""
    (path,) = archive.files()
    return archive.root / path


def name_of(raw: bytes, info: str = ":2,", copy: str = "") -> str:
    """Return the name that a message of `DATE` has."""
    key = ContentKey.of(raw)
    return f"1782894600.{key.sha256}{copy}.archipec,S={key.size}{info}"


class TestNames:
    @pytest.mark.parametrize(
        ("flags", "info"),
        [
            ((), ":2,"),
            (("\\Seen",), ":2,S"),
            (("\\Seen", "\\Flagged", "\\Answered", "\\Draft", "$Forwarded"), ":2,DFPRS"),
            (("\\SEEN", "\\Recent", "\\Deleted", "NonJunk", ":2,T", "../x"), ":2,S"),
        ],
    )
    def test_flags(self, maildir: Archive, flags: tuple[str, ...], info: str) -> None:
        with maildir.open() as sink:
            maildir.keep(sink, make_item(ONE, date=DATE, flags=flags))
        assert only(maildir).relative_to(maildir.root).as_posix() == f"INBOX/cur/{name_of(ONE, info)}"

    @pytest.mark.parametrize("at", [0, 9_999_999_999])
    def test_parse_and_str_are_inverse(self, at: int) -> None:
        for name in (
            names.ArchivedName(at, "a" * 64, 1, 0, ""),
            names.ArchivedName(at, "0" * 64, 17, 10**15, ";2,S"),
            names.ArchivedName(at, "0" * 64, 2, 5, ",W=7:2,Sabc"),
        ):
            assert names.parse_archived(str(name)) == name

    @pytest.mark.parametrize(
        "file",
        [
            "",
            "1782894600.M1P2.host,S=5:2,S",
            f"1782894600.{'A' * 64}.archipec,S=5:2,",
            f"-1.{'a' * 64}.archipec,S=5:2,",
            f"01.{'a' * 64}.archipec,S=5:2,",
            f"1.{'a' * 64}_1x.archipec,S=5:2,",
            f"1.{'a' * 64}.archipec,S=05:2,",
            f"1.{'a' * 64}.archipec,S=5:2," + "x" * 200,
            f".1.{'a' * 64}.archipec,S=5:2,",
        ],
    )
    def test_what_is_not_ours(self, file: str) -> None:
        assert names.parse_archived(file) is None

    @pytest.mark.parametrize("how", ["refused", "mangled"])
    def test_where_no_colon_may_be(self, maildir: Archive, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
        create = os.open

        def fat(path: Any, flags: int, mode: int = 0o777) -> int:
            if ":" in str(path) and how == "refused":
                raise OSError(22, "Invalid argument", path)
            return create(str(path).replace(":", "\uf022"), flags, mode)

        monkeypatch.setattr(os, "open", fat)
        with maildir.open() as sink:
            maildir.keep(sink, make_item(ONE, date=DATE, flags=("\\Seen",)))
            assert maildir.held(sink) == [ONE]
        assert [path.name for path in (maildir.root / "INBOX/cur").iterdir()] == [name_of(ONE, ";2,S")]


class TestMailPrograms:
    def test_they_see_every_message_with_its_flags(self, maildir: Archive) -> None:
        items = [make_item(raw, flags=("\\Seen", "\\Flagged")) for raw in NASTY.values()]
        with maildir.open() as sink:
            maildir.keep(sink, *items, make_item(ONE, folder="Posta inviata"))
        box = mailbox.Maildir(maildir.root / "INBOX", create=False)
        assert sorted(box.get_bytes(key) for key in box.iterkeys()) == sorted(NASTY.values())
        assert {message.get_flags() for message in box} == {"FS"}
        assert {message.get_subdir() for message in box} == {"cur"}
        sent = mailbox.Maildir(maildir.root / "Posta inviata", create=False)
        assert [message.get_flags() for message in sent] == [""]
        assert {path.name for path in maildir.root.glob("*/*")} == {"cur", "new", "tmp"}

    def test_the_time_of_change_is_when_it_was_received(self, maildir: Archive) -> None:
        with maildir.open() as sink:
            maildir.keep(sink, make_item(ONE, received=DATE, date=DATE - timedelta(days=400)))
        assert only(maildir).stat().st_mtime == DATE.timestamp()

    def test_a_directory_for_each_day(self, archive: Callable[..., Archive]) -> None:
        by_date = archive(MAILDIR_SINK, layout="date")
        items = [make_item(b"%d" % n, date=DATE + timedelta(days=n)) for n in range(400)]
        with by_date.open() as sink:
            by_date.keep(sink, *items)
            assert len(by_date.held(sink)) == 400
        days = {path.relative_to(by_date.root).as_posix() for path in by_date.root.glob("*/*/*")}
        assert days == {f"{DATE + timedelta(days=n):%Y/%m/%d}" for n in range(400)}
        assert len(mailbox.Maildir(by_date.root / "2026/07/01", create=False)) == 1

    def test_what_they_renamed_is_found_again(self, maildir: Archive) -> None:
        with maildir.open() as sink:
            receipts = maildir.keep(sink, ONE, TWO, THREE)
            seen, moved, still = receipts.values()
            path = maildir.root / str(seen.token)
            path.rename(path.with_name(path.name + "RS"))
            other = maildir.root / "Archivio" / "new"
            other.mkdir(parents=True)
            path = maildir.root / str(moved.token)
            path.rename(other / path.name.partition(":")[0])
            for receipt in (seen, moved, still):
                assert ContentKey.of(maildir.read(sink, receipt)) == receipt.key
                found = sink.find(receipt.key)
                assert found is not None
                assert (maildir.root / str(found.token)).exists()
        with maildir.open() as sink:
            for receipt in receipts.values():
                assert ContentKey.of(maildir.read(sink, receipt)) == receipt.key
            assert maildir.held(sink) == [ONE, TWO, THREE]
            maildir.keep(sink, ONE, TWO, THREE)
            assert len(maildir.files()) == 3

    def test_files_and_directories_of_others_are_left_alone(self, maildir: Archive) -> None:
        theirs = {
            "archipec.json": b"{}",
            ".archipec.lock": b"",
            "INBOX/cur/1782894600.M1P2.host:2,S": b"theirs",
            "INBOX/dovecot-uidlist": b"3",
            "INBOX/tmp/" + name_of(TWO): b"torn",
            ".archipec.tmp/notes": b"?",
        }
        for name, content in theirs.items():
            (maildir.root / name).parent.mkdir(parents=True, exist_ok=True)
            (maildir.root / name).write_bytes(content)
        with maildir.open() as sink:
            maildir.keep(sink, ONE)
            assert maildir.held(sink) == [ONE]
            assert sink.find(ContentKey.of(TWO)) is None
        assert theirs.items() <= maildir.files().items()
        assert len(maildir.files()) == len(theirs) + 1


class TestCopies:
    def test_a_damaged_copy_is_joined_by_an_intact_one(self, maildir: Archive) -> None:
        with maildir.open() as sink:
            (old,) = maildir.keep(sink, make_item(ONE, date=DATE)).values()
        hurt = maildir.root / str(old.token)
        hurt.write_bytes(ONE[:-1] + b"x")
        with maildir.open() as sink:
            assert sink.find(old.key) is None
            with pytest.raises(IntegrityError):
                maildir.read(sink, old)
            (new,) = maildir.keep(sink, make_item(ONE, date=DATE)).values()
            assert maildir.read(sink, new) == ONE
            assert maildir.read(sink, old) == ONE  # by now it is known that there is a better one
            assert maildir.held(sink) == [ONE]
            assert isinstance(sink, SupportsIterate)
            assert list(sink.iterate()) == [new]
        assert str(new.token) == f"INBOX/cur/{name_of(ONE, copy='_2')}"
        assert hurt.read_bytes() == ONE[:-1] + b"x"
        hurt.with_name(Path(str(new.token)).name).write_bytes(b"")
        with maildir.open() as sink:
            (third,) = maildir.keep(sink, make_item(ONE, date=DATE)).values()
            assert names.parse_archived(str(third.token).rpartition("/")[2]).copy == 3  # type: ignore[union-attr]
            assert maildir.held(sink) == [ONE]

    def test_a_name_does_not_vouch_for_a_content(self, maildir: Archive) -> None:
        with maildir.open() as sink:
            maildir.keep(sink, ONE)
        path = maildir.root / "INBOX/cur" / name_of(TWO)
        path.write_bytes(THREE)
        with maildir.open() as sink:
            assert sink.find(ContentKey.of(TWO)) is None

    def test_names_that_differ_in_size_alone_are_two_keys(self, maildir: Archive) -> None:
        with maildir.open() as sink:
            (receipt,) = maildir.keep(sink, make_item(ONE, date=DATE)).values()
        forged = maildir.root / "INBOX/cur" / name_of(ONE).replace("S=20", "S=21")
        forged.write_bytes(ONE + b"x")
        with maildir.open() as sink:
            assert isinstance(sink, SupportsIterate)
            assert {each.key.size for each in sink.iterate()} == {20, 21}
            assert sink.find(receipt.key) == receipt
            assert sink.find(ContentKey(receipt.key.sha256, 21)) is None

    def test_many_that_were_deleted_cost_one_look_around(
        self, maildir: Archive, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        messages = [b"%d" % n for n in range(50)]
        with maildir.open() as sink:
            receipts = maildir.keep(sink, *messages)
            for path in (maildir.root / "INBOX/cur").iterdir():
                path.unlink()
            walks: list[str] = []
            walk = catalog.walk

            def counted(root: str) -> Iterator[tuple[str, list[str]]]:
                walks.append(root)
                return walk(root)

            monkeypatch.setattr(catalog, "walk", counted)
            for key, receipt in receipts.items():
                assert sink.find(key) is None
                with pytest.raises(MissingCopy):
                    maildir.read(sink, receipt)
            assert len(walks) == 1

    @pytest.mark.parametrize(
        "token", [None, 7, "", "INBOX/cur", f"../archive/INBOX/cur/{name_of(TWO)}", {"a": 1}]
    )
    def test_a_receipt_that_leads_nowhere(self, maildir: Archive, token: Any) -> None:
        with maildir.open() as sink:
            (receipt,) = maildir.keep(sink, ONE).values()
            assert maildir.read(sink, Receipt(receipt.key, receipt.state, token)) == ONE
            with pytest.raises(MissingCopy):
                maildir.read(sink, Receipt(ContentKey.of(THREE), receipt.state, token))

    def test_looking_changes_nothing(self, maildir: Archive, steps: Steps) -> None:
        with maildir.open() as sink:
            maildir.keep(sink, ONE)
        (maildir.root / ".archipec.tmp").mkdir()
        (maildir.root / ".archipec.tmp" / name_of(TWO)).write_bytes(b"torn")
        before = maildir.files()
        with maildir.open() as sink, steps.struck():
            assert sink.find(ContentKey.of(TWO)) is None
            assert maildir.held(sink) == [ONE]
            assert sink.commit() == []
        assert steps.count == 0
        assert maildir.files() == before

    def test_a_large_directory_in_parts(self, maildir: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(catalog, "_AT_ONCE", 3)
        messages = [b"%d" % n for n in range(10)]
        with maildir.open() as sink:
            maildir.keep(sink, *messages)
        with maildir.open() as sink:
            assert maildir.held(sink) == messages
            assert all(sink.find(ContentKey.of(raw)) for raw in messages)


class TestWriting:
    def test_order_of_the_steps_to_disk(self, maildir: Archive, steps: Steps) -> None:
        """Contents are flushed before any gets its name, and names and manifest before the inventory lists them."""
        with maildir.open() as sink, steps.struck():
            maildir.keep(sink, ONE, TWO)
            steps.names.clear()
            maildir.keep(sink, THREE, b"Subject: 4\r\n\r\n")
        staged = ["open", "write", "utime"]
        flush = "sync_files" if os.sys.platform == "linux" else "sync_directories"  # type: ignore[attr-defined]
        assert steps.names == [*staged, *staged, "sync_files", "rename", "rename", "write", flush, "write"]

    def test_what_could_not_be_flushed_is_flushed_before_it_is_vouched_for(
        self, maildir: Archive, steps: Steps
    ) -> None:
        with maildir.open() as sink:
            maildir.keep(sink, ONE)
            with steps.struck():
                maildir.keep(sink, TWO)
            # The last step of all is a line in the inventory.
            with pytest.raises(TransientError), steps.struck(steps.count - 2, "broken"):
                maildir.keep(sink, THREE)
            with steps.struck():
                assert sink.find(ContentKey.of(THREE)) is not None
            assert steps.names == ["sync_directories"]

    def test_what_an_interrupted_run_staged_is_removed(self, maildir: Archive) -> None:
        with maildir.open() as sink:
            sink.put(make_item(ONE, date=DATE))
            staged = maildir.files()
            assert list(staged) == [f".archipec.tmp/{name_of(ONE)}"]
        assert maildir.files() == {}
        (maildir.root / ".archipec.tmp").mkdir()
        for name, content in staged.items():
            (maildir.root / name).write_bytes(content[:5])
        with maildir.open() as sink:
            maildir.keep(sink, make_item(ONE, date=DATE), TWO)
            assert maildir.held(sink) == [ONE, TWO]
        assert not (maildir.root / ".archipec.tmp").exists()

    def test_a_staging_directory_that_is_a_file(self, maildir: Archive) -> None:
        (maildir.root / ".archipec.tmp").write_bytes(b"")
        with maildir.open() as sink, pytest.raises(PermanentError, match=re.escape(".archipec.tmp")):
            maildir.keep(sink, ONE)

    def test_an_archive_that_went_away(self, maildir: Archive) -> None:
        with maildir.open() as sink:
            (receipt,) = maildir.keep(sink, ONE).values()
            maildir.root.rename(maildir.root.with_name("gone"))
            with pytest.raises(TransientError, match="cannot look"):
                sink.find(ContentKey.of(ONE))
            with pytest.raises(TransientError, match="cannot look"):
                sink.find(ContentKey.of(TWO))
            with pytest.raises(TransientError, match="cannot look"):
                maildir.read(sink, receipt)
            with pytest.raises(TransientError, match="cannot look") as caught:
                maildir.held(sink)
            assert caught.value.retry_after == math.inf
