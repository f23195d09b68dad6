"""Correct plugins pass every case of the kit; these are also the examples of how an author uses it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from archipec.contract import PostStepType, Receipt, SinkType, SourceType
from archipec.testing import (
    DeletionConformance,
    PostStepConformance,
    SinkConformance,
    SourceConformance,
    nasty_messages,
)

from . import counter_step, directory_sink, memory_sink, memory_source


class TestMemorySource(SourceConformance):
    """A source with everything a source can have."""

    window = 25

    @pytest.fixture
    def source_type(self) -> SourceType[Any]:
        """The record under test."""
        return memory_source.MEMORY_SOURCE

    @pytest.fixture
    def server(self, monkeypatch: pytest.MonkeyPatch) -> memory_source.Server:
        """A mailbox that nobody else has."""
        server = memory_source.Server(password="s3cret-of-the-mailbox")
        monkeypatch.setitem(memory_source.SERVERS, "pec.example.it", server)
        return server

    @pytest.fixture
    def table(self, server: memory_source.Server) -> Mapping[str, object]:
        """Settings that work."""
        return {
            "host": "pec.example.it",
            "port": 993,
            "user": "studio@pec.example.it",
            "password": server.password,
        }

    @pytest.fixture
    def mistakes(self) -> Sequence[Mapping[str, object]]:
        """Settings that ``parse`` refuses."""
        return [{"host": "a/b"}, {"user": "two words"}]

    @pytest.fixture
    def other_table(self, table: Mapping[str, object]) -> Mapping[str, object]:
        """Another mailbox."""
        return {**table, "user": "altro@pec.example.it"}

    @pytest.fixture
    def broken_table(self, table: Mapping[str, object]) -> Mapping[str, object]:
        """A login that is refused."""
        return {**table, "password": "wr0ng-of-the-mailbox"}

    @pytest.fixture
    def populated(self, server: memory_source.Server) -> Mapping[str, Sequence[bytes]]:
        """Every nasty message, two of them twice, and an empty folder."""
        raws = list(nasty_messages().values())
        server.folders["Vuota"] = []
        for raw in raws:
            server.deliver("INBOX", raw)
        for raw in raws[:2]:
            server.deliver('Città & "Co"', raw)
        return {"INBOX": raws, 'Città & "Co"': raws[:2]}

    @pytest.fixture
    def snapshot(self, server: memory_source.Server) -> Callable[[], object]:
        """Messages and flags."""
        return lambda: (dict(server.folders), set(server.seen))

    @pytest.fixture
    def break_off(self, server: memory_source.Server) -> Callable[[], None]:
        """A server that loses every connection."""
        return lambda: setattr(server, "breaks_off", True)

    @pytest.fixture
    def leave_out(self, server: memory_source.Server) -> Callable[[], Sequence[str]]:
        """Two locked messages."""

        def leave_out() -> Sequence[str]:
            server.locked |= {"INBOX 101", "INBOX 102"}
            return sorted(server.locked)

        return leave_out

    @pytest.fixture
    def deliver(self, server: memory_source.Server) -> Callable[[str, bytes], None]:
        """Adds a message."""
        return server.deliver


class TestMemoryDeletion(DeletionConformance):
    """The same source, for what it deletes."""

    @pytest.fixture
    def source_type(self) -> SourceType[Any]:
        """The record under test."""
        return memory_source.MEMORY_SOURCE

    @pytest.fixture
    def server(self, monkeypatch: pytest.MonkeyPatch) -> memory_source.Server:
        """A mailbox that nobody else has."""
        server = memory_source.Server(password="s3cret-of-the-mailbox")
        monkeypatch.setitem(memory_source.SERVERS, "pec.example.it", server)
        return server

    @pytest.fixture
    def table(self, server: memory_source.Server) -> Mapping[str, object]:
        """Settings that work."""
        return {"host": "pec.example.it", "user": "studio@pec.example.it", "password": server.password}

    @pytest.fixture
    def populated(self, server: memory_source.Server) -> Mapping[str, Sequence[bytes]]:
        """Two folders with some messages in common."""
        messages = [b"Subject: %d\r\n\r\nbody\r\n" % number for number in range(8)]
        for raw in messages:
            server.deliver("INBOX", raw)
        for raw in messages[:3]:
            server.deliver("Altro", raw)
        server.seen |= {("INBOX", number) for number in range(1, 9)}
        return {"INBOX": messages, "Altro": messages[:3]}

    @pytest.fixture
    def mark(self, server: memory_source.Server) -> Callable[[str, bytes], None]:
        """Another program's mark."""
        return lambda folder, raw: server.marked.add((folder, raw))

    @pytest.fixture
    def renumber(self, server: memory_source.Server) -> Callable[[str], None]:
        """All references are void."""

        def renumber(_folder: str) -> None:
            server.validity += 1

        return renumber


class TestMemorySink(SinkConformance):
    """A sink without files, which confirms later."""

    expected_skips: ClassVar[Mapping[str, str]] = {
        "test_parse_reports_every_problem_at_once": "one setting, checked as a whole",
        "test_a_copy_behind_a_link_is_none": "there are no files",
    }

    @pytest.fixture
    def sink_type(self) -> SinkType[Any]:
        """The record under test."""
        return memory_sink.MEMORY_SINK

    @pytest.fixture(autouse=True)
    def archive(self, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
        """An empty archive."""
        archive: list[Any] = []
        monkeypatch.setitem(memory_sink.ARCHIVES, "studio", archive)
        return archive

    @pytest.fixture
    def table(self) -> Mapping[str, object]:
        """Settings that work."""
        return {"archive": "studio"}

    @pytest.fixture
    def mistakes(self) -> Sequence[Mapping[str, object]]:
        """Settings that ``parse`` refuses."""
        return [{"archive": "a b:c"}]

    @pytest.fixture
    def other_table(self) -> Mapping[str, object]:
        """Another archive."""
        return {"archive": "altro"}

    @pytest.fixture
    def broken_table(self) -> Mapping[str, object]:
        """An archive that isn't there."""
        return {"archive": "nowhere"}

    @pytest.fixture
    def damage(self, archive: list[Any]) -> Callable[[Receipt], None]:
        """Changes the last byte."""

        def damage(receipt: Receipt) -> None:
            key, raw = archive[int(str(receipt.token))]
            archive[int(str(receipt.token))] = (key, raw[:-1] + b"?")

        return damage

    @pytest.fixture
    def remove(self, archive: list[Any]) -> Callable[[Receipt], None]:
        """Takes the copy away; its place stays empty."""
        return lambda receipt: archive.__setitem__(int(str(receipt.token)), (None, b""))


class TestDirectorySink(SinkConformance):
    """A sink with files."""

    expected_skips: ClassVar[Mapping[str, str]] = {
        "test_settling_is_idempotent": "a file needs no confirmation",
        "test_parse_reports_every_problem_at_once": "only the path can be wrong",
    }

    @pytest.fixture
    def sink_type(self) -> SinkType[Any]:
        """The record under test."""
        return directory_sink.DIRECTORY_SINK

    @pytest.fixture
    def table(self, tmp_path: Path) -> Mapping[str, object]:
        """Settings that work."""
        return {"path": str(tmp_path / "archives" / "studio")}

    @pytest.fixture
    def mistakes(self, tmp_path: Path) -> Sequence[Mapping[str, object]]:
        """Settings that ``parse`` refuses."""
        return [{"path": str(tmp_path / "a*b?")}]

    @pytest.fixture
    def other_table(self, tmp_path: Path) -> Mapping[str, object]:
        """Another directory."""
        return {"path": str(tmp_path / "archives" / "altro")}

    @pytest.fixture
    def broken_table(self, tmp_path: Path) -> Mapping[str, object]:
        """A path below a file."""
        (tmp_path / "file").write_bytes(b"")
        return {"path": str(tmp_path / "file" / "archive")}

    @pytest.fixture
    def damage(self, table: Mapping[str, object]) -> Callable[[Receipt], None]:
        """Changes the last byte."""

        def damage(receipt: Receipt) -> None:
            path = Path(str(table["path"])) / str(receipt.token)
            path.write_bytes(path.read_bytes()[:-1] + b"?")

        return damage

    @pytest.fixture
    def remove(self, table: Mapping[str, object]) -> Callable[[Receipt], None]:
        """Takes the file away."""
        return lambda receipt: (Path(str(table["path"])) / str(receipt.token)).unlink()


class TestCounterStep(PostStepConformance):
    """A post-step whose effect can be seen."""

    expected_skips: ClassVar[Mapping[str, str]] = {
        "test_parse_reports_every_problem_at_once": "one setting, checked as a whole"
    }

    @pytest.fixture
    def poststep_type(self) -> PostStepType[Any]:
        """The record under test."""
        return counter_step.COUNTER_STEP

    @pytest.fixture(autouse=True)
    def seen(self, monkeypatch: pytest.MonkeyPatch) -> dict[Any, int]:
        """An empty counter."""
        seen: dict[Any, int] = {}
        monkeypatch.setitem(counter_step.SEEN, "studio", seen)
        return seen

    @pytest.fixture
    def table(self) -> Mapping[str, object]:
        """Settings that work."""
        return {"counter": "studio"}

    @pytest.fixture
    def other_table(self) -> Mapping[str, object]:
        """Another counter."""
        return {"counter": "altro"}

    @pytest.fixture
    def broken_table(self) -> Mapping[str, object]:
        """A counter that isn't there."""
        return {"counter": "nowhere"}

    @pytest.fixture
    def effect(self, seen: dict[Any, int]) -> Callable[[], object]:
        """What was counted."""
        return lambda: dict(seen)
