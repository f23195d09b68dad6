"""The sinks that make trees of files, Maildir and .eml, keep the contract."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from archipec.contract import Receipt, SinkType
from archipec.testing import SinkConformance
from archipec_plugins.eml import EML_SINK
from archipec_plugins.maildir import MAILDIR_SINK


class TreeConformance(SinkConformance):
    expected_skips: ClassVar[Mapping[str, str]] = {
        "test_settling_is_idempotent": "a file that is there needs no confirmation",
        "test_parse_reports_every_problem_at_once": "every mistake is seen by the option it is in",
    }
    tree: SinkType[Any]
    layout: str

    @pytest.fixture
    def sink_type(self) -> SinkType[Any]:
        return self.tree

    @pytest.fixture
    def table(self, tmp_path: Path) -> Mapping[str, object]:
        return {"path": str(tmp_path / "archive"), "layout": self.layout}

    @pytest.fixture
    def other_table(self, tmp_path: Path) -> Mapping[str, object]:
        return {"path": str(tmp_path / "other")}

    @pytest.fixture
    def broken_table(self, tmp_path: Path) -> Mapping[str, object]:
        (tmp_path / "file").write_bytes(b"")
        return {"path": str(tmp_path / "file")}

    @pytest.fixture
    def damage(self, tmp_path: Path) -> Callable[[Receipt], None]:
        def change(receipt: Receipt) -> None:
            path = tmp_path / "archive" / str(receipt.token)
            content = bytearray(path.read_bytes())
            content[len(content) // 2] ^= 1
            path.write_bytes(content)

        return change

    @pytest.fixture
    def remove(self, tmp_path: Path) -> Callable[[Receipt], None]:
        return lambda receipt: (tmp_path / "archive" / str(receipt.token)).unlink()


class TestMaildirByFolder(TreeConformance):
    tree, layout = MAILDIR_SINK, "folder"


class TestMaildirByDate(TreeConformance):
    tree, layout = MAILDIR_SINK, "date"


class TestEmlByDate(TreeConformance):
    tree, layout = EML_SINK, "date"


class TestEmlByFolder(TreeConformance):
    tree, layout = EML_SINK, "folder"


class TestEmlByKind(TreeConformance):
    tree, layout = EML_SINK, "kind"
