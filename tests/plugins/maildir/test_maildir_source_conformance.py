"""The Maildir source keeps the contract."""

from __future__ import annotations

import mailbox
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from archipec.contract import SourceType
from archipec.testing import SourceConformance, nasty_messages
from archipec.testing.messages import small_messages
from archipec_plugins.maildir import MAILDIR_SOURCE


def deliver_to(maildir: Path, name: str, raw: bytes) -> Path:
    """Deliver as a mail server does."""
    for directory in ("tmp", "new", "cur"):
        (maildir / directory).mkdir(parents=True, exist_ok=True)
    (maildir / "tmp" / name).write_bytes(raw)
    return (maildir / "tmp" / name).rename(maildir / "new" / name)


class TestMaildir(SourceConformance):
    expected_skips: ClassVar[Mapping[str, str]] = {
        "test_half_a_message_is_an_error": "a file is read to its end",
        "test_quota_is_sane": "a folder on disk has no quota",
        "test_folder_names_name_what_is_there": "every folder is read",
        "test_a_listing_is_called_whole_that_is": "a cursor means something as long as the files are there",
        "test_parse_reports_every_problem_at_once": "nothing is left for parse to find wrong",
    }

    @pytest.fixture
    def source_type(self) -> SourceType[Any]:
        return MAILDIR_SOURCE

    @pytest.fixture
    def table(self, tmp_path: Path) -> Mapping[str, object]:
        return {"path": str(tmp_path / "mail")}

    @pytest.fixture
    def other_table(self, tmp_path: Path) -> Mapping[str, object]:
        return {"path": str(tmp_path / "other")}

    @pytest.fixture
    def broken_table(self, tmp_path: Path) -> Mapping[str, object]:
        (tmp_path / "file").write_bytes(b"")
        return {"path": str(tmp_path / "file")}

    @pytest.fixture
    def populated(self, tmp_path: Path) -> Mapping[str, list[bytes]]:
        root = tmp_path / "mail"
        kept = {
            "INBOX": small_messages(510),
            "Posta inviata/Città": [raw for raw in nasty_messages().values() if raw],
        }
        mailbox.Maildir(str(root), create=True)
        for number, raw in enumerate(kept["INBOX"]):
            deliver_to(root, f"{1_700_000_000 + number}.M{number}P1.host", raw)
        for number, raw in enumerate(kept["Posta inviata/Città"]):
            deliver_to(
                root / ".Posta inviata.Citt&AOA-", f"{1_700_000_000 + number}.M{number}P1.host:2,S", raw
            )
        return kept

    @pytest.fixture
    def deliver(self, tmp_path: Path) -> Callable[[str, bytes], None]:
        def arrive(_folder: str, raw: bytes) -> None:
            deliver_to(tmp_path / "mail", "1800000000.M1P1.host", raw)

        return arrive

    @pytest.fixture
    def snapshot(self, tmp_path: Path) -> Callable[[], object]:
        return lambda: sorted(
            (str(path), path.stat().st_mtime_ns, path.stat().st_size)
            for path in (tmp_path / "mail").rglob("*")
        )
