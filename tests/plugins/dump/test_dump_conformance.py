"""The dump source keeps the contract, with .eml files as with what other sources read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from archipec.contract import SourceType
from archipec.plugins.registry import Registry
from archipec.testing import SourceConformance, nasty_messages
from archipec.testing.messages import small_messages


class TestEml(SourceConformance):
    expected_skips: ClassVar[Mapping[str, str]] = {
        "test_half_a_message_is_an_error": "a file is read to its end",
        "test_quota_is_sane": "a folder on disk has no quota",
        "test_folder_names_name_what_is_there": "every folder is read",
        "test_a_listing_is_called_whole_that_is": "a cursor means something as long as the files are there",
        "test_parse_reports_every_problem_at_once": "nothing is left for parse to find wrong",
    }

    @pytest.fixture
    def source_type(self) -> SourceType[Any]:
        # As the host opens it, with the formats that are installed.
        return Registry.load(strict=True).source("dump")

    @pytest.fixture
    def table(self, tmp_path: Path) -> Mapping[str, object]:
        return {"path": str(tmp_path / "mail")}

    @pytest.fixture
    def other_table(self, tmp_path: Path) -> Mapping[str, object]:
        return {"path": str(tmp_path / "other")}

    @pytest.fixture
    def broken_table(self, tmp_path: Path) -> Mapping[str, object]:
        return {"path": str(tmp_path / "nothing here")}

    @pytest.fixture
    def populated(self, tmp_path: Path) -> Mapping[str, list[bytes]]:
        kept = {".": small_messages(510), "2026/strane": list(nasty_messages().values())}
        kept["2026/strane"] = [raw for raw in kept["2026/strane"] if raw and not raw.startswith(b"From ")]
        (tmp_path / "mail" / "2026" / "strane").mkdir(parents=True)
        for folder, messages in kept.items():
            for number, raw in enumerate(messages):
                (tmp_path / "mail" / folder / f"{number}.eml").write_bytes(raw)
        return kept

    @pytest.fixture
    def deliver(self, tmp_path: Path) -> Callable[[str, bytes], None]:
        def save(folder: str, raw: bytes) -> None:
            (tmp_path / "mail" / folder / "new.eml").write_bytes(raw)

        return save

    @pytest.fixture
    def snapshot(self, tmp_path: Path) -> Callable[[], object]:
        root = tmp_path / "mail"
        return lambda: sorted((str(path), path.stat().st_mtime_ns) for path in root.rglob("*"))
