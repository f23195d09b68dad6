"""The mbox source keeps the contract."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest

from archipec.contract import ContentKey, Item, SourceType
from archipec.testing import SourceConformance, nasty_messages
from archipec.testing.messages import small_messages
from archipec_plugins.mbox import MBOX_SOURCE, MboxSinkConfig
from archipec_plugins.mbox.mboxrd import quote, separator
from archipec_plugins.mbox.sink import MboxSink

# What an mbox without a table of contents can't keep: without a final newline a message gains one, and
# without a header nobody can tell its separator from text, but in mboxrd.
NASTY = [raw for raw in nasty_messages().values() if raw.endswith(b"\n")]


def append(path: Path, raw: bytes, line: bytes = b"From MAILER-DAEMON Sat Nov 21 20:00:00 2026\n") -> None:
    with path.open("ab") as file:
        file.write(line + raw + b"\n")


def write_archive(root: Path, messages: list[bytes]) -> None:
    """Write an archive as the MBOX sink does."""
    now = datetime(2026, 11, 21, tzinfo=UTC)
    sink = MboxSink(MboxSinkConfig(root, "none", 0), logging.getLogger("test"))
    for raw in messages:
        sink.put(Item(ContentKey.of(raw), "x", now, now, (), "unknown", b"", partial(io.BytesIO, raw)))
    sink.commit()
    sink.close()


class TestForeign(SourceConformance):
    expected_skips: ClassVar[Mapping[str, str]] = {
        "test_half_a_message_is_an_error": "a file is read to its end",
        "test_quota_is_sane": "a file has no quota",
        "test_folder_names_name_what_is_there": "every folder is read",
        "test_a_listing_is_called_whole_that_is": "a cursor means something as long as the files are there",
        "test_parse_reports_every_problem_at_once": "nothing is left for parse to find wrong",
    }

    @pytest.fixture
    def source_type(self) -> SourceType[Any]:
        return MBOX_SOURCE

    @pytest.fixture
    def table(self, tmp_path: Path) -> Mapping[str, object]:
        return {"path": str(tmp_path / "mail")}

    @pytest.fixture
    def other_table(self, tmp_path: Path) -> Mapping[str, object]:
        return {"path": str(tmp_path / "other")}

    @pytest.fixture
    def broken_table(self, tmp_path: Path) -> Mapping[str, object]:
        (tmp_path / "file").write_bytes(b"no mbox")
        return {"path": str(tmp_path / "file")}

    @pytest.fixture
    def populated(self, tmp_path: Path) -> Mapping[str, list[bytes]]:
        (tmp_path / "mail" / "2026").mkdir(parents=True)
        kept = {"2026/INBOX": small_messages(510), "nasty": NASTY}
        for raw in kept["2026/INBOX"]:
            append(tmp_path / "mail" / "2026" / "INBOX.mbox", raw)
        for raw in NASTY:
            append(tmp_path / "mail" / "nasty", b"".join(quote([raw])), separator(1_700_000_000))
        return kept

    @pytest.fixture
    def deliver(self, tmp_path: Path) -> Callable[[str, bytes], None]:
        return lambda folder, raw: append(tmp_path / "mail" / f"{folder}.mbox", raw)

    @pytest.fixture
    def snapshot(self, tmp_path: Path) -> Callable[[], object]:
        return lambda: sorted(
            (str(path), path.stat().st_mtime_ns, path.stat().st_size)
            for path in (tmp_path / "mail").rglob("*")
        )


class TestOwnArchive(TestForeign):
    """What the MBOX sink made, and another program appended to."""

    @pytest.fixture
    def populated(self, tmp_path: Path) -> Mapping[str, list[bytes]]:
        root = tmp_path / "mail"
        root.mkdir()
        kept = [*nasty_messages().values(), *small_messages(510)]
        write_archive(root, kept)
        foreign = b"Subject: appended by another program\n\nbody\n"
        append(root / "archive.mbox", foreign)
        return {"archive": [*kept, foreign]}
