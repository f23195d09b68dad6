"""Conformance of what a source can do besides listing and reading."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import pytest

from archipec.contract import (
    Json,
    Listed,
    Skipped,
    Source,
    SupportsFolderNames,
    SupportsListedWhole,
    SupportsQuota,
    SupportsSkipped,
)
from archipec.testing.base import UnderTest
from archipec.testing.plugin import PluginConformance

Messages: TypeAlias = Mapping[str, Sequence[bytes]]


@dataclass(frozen=True, kw_only=True)
class PopulatedMailbox:
    """A source that holds known messages.

    Attributes:
        kept: the messages by folder.
        busiest: the folder that holds most of them.
    """

    under_test: UnderTest[Source]
    messages: Messages

    @property
    def busiest(self) -> str:
        """The folder with most messages."""
        return max(self.messages, key=lambda name: len(self.messages[name]))


class AbilitiesConformance(PluginConformance):
    """The part of `archipec.testing.source.SourceConformance` for optional abilities; one that is not there is skipped."""

    @pytest.fixture
    def leave_out(self) -> Callable[[], Iterable[str]] | None:
        """Adds things that the source passes over; returns the names of those that are messages."""
        return None

    def listing(self, source: Source, folder: str, after: Json | None = None) -> list[Listed]:
        """List a folder."""
        raise NotImplementedError

    def read_all(self, source: Source, folder: str) -> dict[str, bytes]:
        """Read a folder."""
        raise NotImplementedError

    def test_what_is_passed_over_is_said(
        self, mailbox: PopulatedMailbox, leave_out: Callable[[], Iterable[str]] | None
    ) -> None:
        """Rule: what a source finds and does not read is named, each thing once, with the reason, by every run."""
        with mailbox.under_test.open() as source:
            if not isinstance(source, SupportsSkipped):
                self.not_applicable("the source passes over nothing")
        expected = set() if leave_out is None else set(leave_out())
        reported = []
        for _ in range(2):
            with mailbox.under_test.open() as source:
                assert isinstance(source, SupportsSkipped), "a source has an ability every time or never"
                for folder in list(source.folders()):
                    self.read_all(source, folder.name)
                reported.append(list(source.skipped()))
        for one in reported[0]:
            assert isinstance(one, Skipped), f"skipped must yield Skipped, not {one!r}"
            assert one.name and one.reason, f"what is passed over needs a name and a reason: {one}"
        names = Counter(one.name for one in reported[0])
        assert max(names.values(), default=1) == 1, f"each thing passed over must be named once: {names}"
        assert sorted(reported[0]) == sorted(reported[1]), (
            "what is passed over must be said by every run, not by one"
        )
        messages = {one.name for one in reported[0] if one.message}
        assert expected <= messages, (
            f"a message that is not read must be said to be passed over: {sorted(expected - messages)}"
        )

    def test_folder_names_name_what_is_there(self, mailbox: PopulatedMailbox) -> None:
        """Rule: every folder that can be read is among the names: one that isn't counts as deleted."""
        with mailbox.under_test.open() as source:
            if not isinstance(source, SupportsFolderNames):
                self.not_applicable("the source can't name folders that it does not read")
            read = [folder.name for folder in source.folders()]
            names = source.folder_names()
        assert not isinstance(names, str) and all(isinstance(name, str) for name in names), (
            f"folder_names must return names, not {names!r}"
        )
        missing = sorted(set(read) - set(names)) if names else []
        assert not missing, (
            f"folder_names must name every folder that is there, as folders does: not {missing}"
        )

    def test_a_listing_is_called_whole_that_is(self, mailbox: PopulatedMailbox) -> None:
        """Rule: only a listing that named every message is whole: what it lacks counts as gone."""
        with mailbox.under_test.open() as source:
            if not isinstance(source, SupportsListedWhole):
                self.not_applicable("the source does not say whether it listed a folder whole")
            folder = mailbox.busiest
            list(source.folders())
            everything = self.listing(source, folder)
            for after in (everything[0].cursor, everything[-1].cursor, None):
                listed = {one.ref for one in self.listing(source, folder, after)}
                whole = source.listed_whole(folder)
                assert isinstance(whole, bool), f"listed_whole must return a bool, not {whole!r}"
                assert not whole or len(listed) == len(everything), (
                    f"a listing of {len(listed)} of {len(everything)} messages must not be called whole"
                )

    def test_quota_is_sane(self, mailbox: PopulatedMailbox) -> None:
        """Rule: a quota is None or says bytes used and a limit above zero."""
        with mailbox.under_test.open() as source:
            if not isinstance(source, SupportsQuota):
                self.not_applicable("the source has no quota")
            quota = source.quota()
        assert quota is None or (quota.used >= 0 and quota.limit > 0), (
            f"a quota must be bytes used of a limit: {quota}"
        )
