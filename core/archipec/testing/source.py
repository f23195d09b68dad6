"""Conformance of sources."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from archipec.contract import Skipped, SupportsHeaders, SupportsQuota, SupportsSkipped
from archipec.errors import ArchipecError
from archipec.testing.source_base import Mailbox, through_json
from archipec.testing.source_fetch import SourceFetch

__all__ = ["SourceConformance"]

# RFC 6154 §2, RFC 8457 §3 and INBOX, without the backslash.
_SPECIAL = {"All", "Archive", "Drafts", "Flagged", "Important", "Inbox", "Junk", "Sent", "Trash"}


class SourceConformance(SourceFetch):
    """Cases for a source.

    Fixtures to give, besides those of `PluginConformance`:
        source_type: the record.
        populated: makes a mailbox with known messages, to which ``table`` leads, and returns the messages of
            every folder that isn't empty: ``{"INBOX": [b"...", ...]}``. `nasty_messages` are good ones to
            take, as far as the place keeps their bytes.

    Fixtures to give where they make sense, else name their cases in ``expected_skips``:
        snapshot: returns the state of the mailbox (flags, counts, file times), as something to compare.
        deliver: called with a folder and a message, adds it as the newest.
        break_off: called, makes the service (your test's double of it) end every body in its middle from then on, as
            a connection does that is lost: many HTTP clients return half a body without an error.

        leave_out: called, adds things that the source passes over, and returns how `Skipped` names those that are
            messages, or may be; for a source with `archipec.contract.SupportsSkipped`.

    Attributes:
        window: small messages a source may keep under way; one folder of ``populated`` must hold more.
    """

    def test_folders_are_the_same_twice(self, mailbox: Mailbox) -> None:
        """Rule: folders come in a stable order, each once, with the names that scan and fetch take."""
        with mailbox.place.open() as source:
            first, second = list(source.folders()), list(source.folders())
        with mailbox.place.open() as source:
            third = list(source.folders())
        names = [folder.name for folder in first]
        assert names == [folder.name for folder in second], "folders must be the same when asked twice"
        assert names == [folder.name for folder in third], "folders must be the same in the next opening"
        assert len(set(names)) == len(names), f"a folder must be given once: {names}"
        missing = mailbox.kept.keys() - set(names)
        assert not missing, (
            f"folders must give every folder that is configured: {sorted(missing)} are missing"
        )
        for folder in first:
            assert folder.special is None or folder.special in _SPECIAL, (
                f"a folder's special use must be one of RFC 6154, without backslash: {folder}"
            )
            count = len(mailbox.kept.get(folder.name, ()))
            assert folder.messages in (None, count), (
                f"a folder's count must be right or None: {folder}, not {count}"
            )

    def test_listing_is_the_same_twice(self, mailbox: Mailbox) -> None:
        """Rule: scan gives the same refs in the same order, in this opening and in the next."""
        with mailbox.place.open() as source:
            names = [folder.name for folder in source.folders()]
            first = {name: self.refs(source, name) for name in names}
            second = {name: self.refs(source, name) for name in reversed(names)}
        with mailbox.place.open() as source:
            third = {name: self.refs(source, name) for name in names}
        assert first == second, "scan must give the same refs when asked twice"
        assert first == third, "scan must give the same refs in the next opening"

    def test_listing_names_each_message(self, mailbox: Mailbox) -> None:
        """Rule: scan lists every message of a folder, and nothing from a folder that is empty."""
        with mailbox.place.open() as source:
            for folder in list(source.folders()):
                listed, kept = len(self.listing(source, folder.name)), len(mailbox.kept.get(folder.name, ()))
                assert listed == kept, (
                    f"scan must list each message once: {listed} of {kept} in {folder.name!r}"
                )

    def test_sizes_are_exact(self, mailbox: Mailbox) -> None:
        """Rule: a size is the number of bytes that fetch gives, or None."""
        with mailbox.place.open() as source:
            for folder in mailbox.kept:
                sizes = {entry.ref: entry.size for entry in self.listing(source, folder)}
                for ref, raw in self.read_all(source, folder).items():
                    assert sizes[ref] in (None, len(raw)), (
                        f"a size must be exact: {ref!r} has {len(raw)}, not {sizes[ref]}"
                    )

    def test_listed_fields_are_usable(self, mailbox: Mailbox) -> None:
        """Rule: times are aware, flags are a tuple of words as the server spells them."""
        with mailbox.place.open() as source:
            for folder in mailbox.kept:
                for entry in self.listing(source, folder):
                    aware = entry.received is None or entry.received.utcoffset() is not None
                    assert aware, f"a time must be aware: {entry}"
                    assert isinstance(entry.flags, tuple), f"flags must be a tuple: {entry}"
                    words = all(isinstance(flag, str) and flag and " " not in flag for flag in entry.flags)
                    assert words, f"a flag must be a word: {entry}"

    def test_a_cursor_gives_exactly_the_rest(self, mailbox: Mailbox) -> None:
        """Rule: from a message's cursor on, scan lists what came later and no more; None lists everything."""
        with mailbox.place.open() as source:
            for folder in mailbox.kept:
                listed = self.listing(source, folder)
                refs = [entry.ref for entry in listed]
                for number in sorted({0, 1, len(listed) // 2, len(listed) - 1}):
                    cursor = through_json(listed[min(number, len(listed) - 1)].cursor)
                    rest = refs if cursor is None else refs[min(number, len(listed) - 1) + 1 :]
                    found = [entry.ref for entry in self.listing(source, folder, cursor)]
                    assert found == rest, (
                        f"a cursor must give exactly what came later: after message {number} of {len(refs)}"
                        f" {len(found)} came instead of {len(rest)}"
                    )

    def test_a_cursor_outlives_its_opening(self, mailbox: Mailbox) -> None:
        """Rule: a cursor means the same in a later run."""
        folder = mailbox.busiest
        with mailbox.place.open() as source:
            listed = self.listing(source, folder)
        cursor = through_json(listed[0].cursor)
        rest = [entry.ref for entry in (listed if cursor is None else listed[1:])]
        with mailbox.place.open() as source:
            found = [entry.ref for entry in self.listing(source, folder, cursor)]
        assert found == rest, "a cursor must mean the same in the next opening"

    def test_a_meaningless_cursor_lists_everything(self, mailbox: Mailbox) -> None:
        """Rule: a cursor that means nothing any more makes scan start from the beginning, without error."""
        folder = mailbox.busiest
        with mailbox.place.open() as source:
            refs = self.refs(source, folder)
            for cursor in ("no such cursor", {"no": ["such", "cursor"]}, [None, "x"], "", False):
                found = [entry.ref for entry in self.listing(source, folder, cursor)]
                assert found == refs, (
                    f"a meaningless cursor must list everything: {cursor!r} gave {len(found)}"
                )

    def test_what_came_later_is_listed(
        self, mailbox: Mailbox, deliver: Callable[[str, bytes], None] | None
    ) -> None:
        """Rule: after the last cursor comes what was delivered since, under a new ref."""
        if deliver is None:
            self.not_applicable("the fixture `deliver` is not given")
        folder, raw = mailbox.busiest, b"Subject: the newest\r\n\r\njust delivered\r\n"
        with mailbox.place.open() as source:
            before = self.listing(source, folder)
        cursor = through_json(before[-1].cursor)
        deliver(folder, raw)
        with mailbox.place.open() as source:
            known = set() if cursor is not None else {entry.ref for entry in before}
            new = [entry.ref for entry in self.listing(source, folder, cursor) if entry.ref not in known]
            assert len(new) == 1, f"after the last cursor exactly the new message must come, not {len(new)}"
            assert new[0] not in {entry.ref for entry in before}, "a ref must never be used again"
            found = self.fetched(source, folder, iter(new))
        self.assert_answered(found, new)
        self.assert_same(found, {new[0]: raw}, "the new message must come byte for byte")

    def test_a_folder_that_is_not_there(self, mailbox: Mailbox) -> None:
        """Rule: a folder that is gone is empty or an error of the tree; the others can still be read."""
        with mailbox.place.open() as source:
            for name in ("no such folder", "../no/such\r\nfolder", 'a"b{3}'):
                for ask in (
                    lambda name: source.scan(name, None),
                    lambda name: source.fetch(name, iter(["1"])),
                ):
                    try:
                        found = list(ask(name))
                    except ArchipecError:
                        continue
                    assert not found, f"a folder that isn't there must hold nothing: {found[:3]}"
        with mailbox.place.open() as source:
            self.read_all(source, mailbox.busiest)

    def test_what_is_passed_over_is_said(
        self, mailbox: Mailbox, leave_out: Callable[[], Iterable[str]] | None
    ) -> None:
        """Rule: what a source finds and does not read is named, each thing once, with the reason, by every run."""
        with mailbox.place.open() as source:
            if not isinstance(source, SupportsSkipped):
                self.not_applicable("the source passes over nothing")
        expected = set() if leave_out is None else set(leave_out())
        told = []
        for _ in range(2):
            with mailbox.place.open() as source:
                assert isinstance(source, SupportsSkipped), "a source has an ability every time or never"
                for folder in list(source.folders()):
                    self.read_all(source, folder.name)
                told.append(list(source.skipped()))
        for one in told[0]:
            assert isinstance(one, Skipped), f"skipped must yield Skipped, not {one!r}"
            assert one.name and one.reason, f"what is passed over needs a name and a reason: {one}"
        names = Counter(one.name for one in told[0])
        assert max(names.values(), default=1) == 1, f"each thing passed over must be named once: {names}"
        assert sorted(told[0]) == sorted(told[1]), "what is passed over must be said by every run, not by one"
        messages = {one.name for one in told[0] if one.message}
        assert expected <= messages, (
            f"a message that is not read must be said to be passed over: {sorted(expected - messages)}"
        )

    def test_quota_is_sane(self, mailbox: Mailbox) -> None:
        """Rule: a quota is None or says bytes used and a limit above zero."""
        with mailbox.place.open() as source:
            if not isinstance(source, SupportsQuota):
                self.not_applicable("the source has no quota")
            quota = source.quota()
        assert quota is None or (quota.used >= 0 and quota.limit > 0), (
            f"a quota must be bytes used of a limit: {quota}"
        )

    def test_reading_changes_nothing(self, mailbox: Mailbox, snapshot: Callable[[], object] | None) -> None:
        """Rule: reading changes nothing at the source: no flag, no count, no file."""
        if snapshot is None:
            self.not_applicable("the fixture `snapshot` is not given")
        before = snapshot()
        with mailbox.place.open() as source:
            for folder in list(source.folders()):
                refs = list(self.read_all(source, folder.name))
                if isinstance(source, SupportsHeaders):
                    list(source.headers(folder.name, iter(refs)))
            if isinstance(source, SupportsQuota):
                source.quota()
        assert snapshot() == before, "reading must change nothing at the source"
