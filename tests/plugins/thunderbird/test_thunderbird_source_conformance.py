"""The Thunderbird source keeps the contract."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from archipec.contract import SourceType
from archipec.testing import SourceConformance, nasty_messages
from archipec.testing.messages import small_messages
from archipec_plugins.mbox.mboxrd import quote
from archipec_plugins.thunderbird import THUNDERBIRD_SOURCE

STATUS = b"X-Mozilla-Status: 0001\r\nX-Mozilla-Status2: 00000000\r\n"


def append(path: Path, raw: bytes, status: bytes = STATUS) -> None:
    """Append a message as Thunderbird does."""
    with path.open("ab") as file:
        file.write(b"From - Sat Nov 21 18:48:43 2026\r\n" + status + b"".join(quote([raw])) + b"\r\n")


class TestProfile(SourceConformance):
    expected_skips: ClassVar[Mapping[str, str]] = {
        "test_half_a_message_is_an_error": "a file is read to its end",
        "test_quota_is_sane": "a folder on disk has no quota",
        "test_folder_names_name_what_is_there": "every folder is read",
        "test_a_listing_is_called_whole_that_is": "a cursor means something as long as the files are there",
        "test_parse_reports_every_problem_at_once": "nothing is left for parse to find wrong",
    }

    @pytest.fixture
    def source_type(self) -> SourceType[Any]:
        return THUNDERBIRD_SOURCE

    @pytest.fixture
    def table(self, tmp_path: Path) -> Mapping[str, object]:
        return {"path": str(tmp_path / "profile")}

    @pytest.fixture
    def other_table(self, tmp_path: Path) -> Mapping[str, object]:
        return {"path": str(tmp_path / "other")}

    @pytest.fixture
    def broken_table(self, tmp_path: Path) -> Mapping[str, object]:
        (tmp_path / "empty").mkdir()
        return {"path": str(tmp_path / "empty")}

    @pytest.fixture
    def populated(self, tmp_path: Path) -> Mapping[str, list[bytes]]:
        local = tmp_path / "profile" / "Mail" / "Local Folders"
        (local / "Archivio.sbd").mkdir(parents=True)
        (local.parent.parent / "prefs.js").write_text("")
        (local / "Archivio").write_bytes(b"")
        (local / "Archivio.msf").write_bytes(b"// <!-- <mdb:mork:z v='1.4'/> -->")
        # A message without a final newline gains one in any mbox.
        nasty = [raw for raw in nasty_messages().values() if raw.endswith(b"\n")]
        small = small_messages(510)
        for raw in small:
            append(local / "Archivio.sbd" / "2026", raw)
        for raw in nasty:
            append(local / "Strane", raw)
        maildir = tmp_path / "profile" / "ImapMail" / "imaps.pec.example.it" / "INBOX"
        (maildir / "cur").mkdir(parents=True)
        for number, raw in enumerate(small[:3]):
            (maildir / "cur" / f"{number}.eml").write_bytes(STATUS + raw)
        return {
            "Local Folders/Archivio/2026": small,
            "Local Folders/Strane": nasty,
            "imaps.pec.example.it/INBOX": small[:3],
        }

    @pytest.fixture
    def deliver(self, tmp_path: Path) -> Callable[[str, bytes], None]:
        path = tmp_path / "profile" / "Mail" / "Local Folders" / "Archivio.sbd" / "2026"
        return lambda _folder, raw: append(path, raw)

    @pytest.fixture
    def snapshot(self, tmp_path: Path) -> Callable[[], object]:
        root = tmp_path / "profile"
        return lambda: sorted(
            (str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in root.rglob("*")
        )
