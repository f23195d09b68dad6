"""The zip source keeps the contract."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from archipec.contract import SourceType
from archipec.testing import SourceConformance, nasty_messages
from archipec.testing.messages import small_messages
from archipec_plugins.zip import ZIP_SOURCE

SEPARATOR = b"From MAILER-DAEMON Sat Nov 21 20:00:00 2026\n"


class TestZip(SourceConformance):
    """Maildir, loose files and an mbox in two zips."""

    expected_skips: ClassVar[Mapping[str, str]] = {
        "test_half_a_message_is_an_error": "a file is read to its end",
        "test_quota_is_sane": "a file has no quota",
        "test_folder_names_name_what_is_there": "every folder is read",
        "test_a_listing_is_called_whole_that_is": "a cursor means something as long as the files are there",
        "test_parse_reports_every_problem_at_once": "nothing is left for parse to find wrong",
        "test_what_came_later_is_listed": "nothing is added to a zip that was downloaded",
        "test_headers_are_the_beginning_of_the_message": "with an mbox in it, headers would be as dear as messages",
    }

    @pytest.fixture
    def source_type(self) -> SourceType[Any]:
        return ZIP_SOURCE

    @pytest.fixture
    def table(self, tmp_path: Path) -> Mapping[str, object]:
        return {"path": str(tmp_path / "mail")}

    @pytest.fixture
    def other_table(self, tmp_path: Path) -> Mapping[str, object]:
        return {"path": str(tmp_path / "other")}

    @pytest.fixture
    def broken_table(self, tmp_path: Path) -> Mapping[str, object]:
        (tmp_path / "file.zip").write_bytes(b"PK no zip")
        return {"path": str(tmp_path / "file.zip")}

    @pytest.fixture
    def populated(self, tmp_path: Path) -> Mapping[str, list[bytes]]:
        (tmp_path / "mail").mkdir()
        small = small_messages(510)
        nasty = [raw for raw in nasty_messages().values() if raw]
        mbox = [SEPARATOR + raw + b"\n" for raw in small]
        with zipfile.ZipFile(tmp_path / "mail" / "a1.zip", "w", zipfile.ZIP_DEFLATED) as file:
            for number, raw in enumerate(nasty):
                file.writestr(f"Maildir/.Posta inviata/cur/{1_700_000_000 + number}.M1.host:2,S", raw)
            file.writestr("archive.mbox", b"".join(mbox[:300]))
        with zipfile.ZipFile(tmp_path / "mail" / "a2.zip", "w", zipfile.ZIP_STORED) as file:
            file.writestr("archive.mbox", b"".join(mbox[300:]))
            for number, raw in enumerate(small[:3]):
                file.writestr(f"2026/{number}.eml", raw)
        return {"Maildir/Posta inviata": nasty, "2026": small[:3], "archive": small}

    @pytest.fixture
    def snapshot(self, tmp_path: Path) -> Callable[[], object]:
        return lambda: sorted(
            (str(path), path.stat().st_mtime_ns, path.read_bytes()) for path in (tmp_path / "mail").iterdir()
        )


class TestZipOfFiles(TestZip):
    """Without an mbox, headers can be read."""

    expected_skips: ClassVar[Mapping[str, str]] = {
        name: reason
        for name, reason in TestZip.expected_skips.items()
        if name != "test_headers_are_the_beginning_of_the_message"
    }

    @pytest.fixture
    def populated(self, tmp_path: Path) -> Mapping[str, list[bytes]]:
        small = small_messages(510)
        (tmp_path / "mail").mkdir()
        with zipfile.ZipFile(tmp_path / "mail" / "all.zip", "w", zipfile.ZIP_DEFLATED) as file:
            for number, raw in enumerate(small):
                file.writestr(f"{number}.eml", raw)
        return {".": small}
