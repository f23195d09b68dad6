"""The MBOX sink keeps the contract."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from archipec.contract import Receipt, SinkType
from archipec.testing import SinkConformance
from archipec_plugins.mbox import MBOX_SINK


class TestOneFile(SinkConformance):
    expected_skips: ClassVar[Mapping[str, str]] = {
        "test_settling_is_idempotent": "what is in the table of contents needs no confirmation",
        "test_parse_reports_every_problem_at_once": "only one option can hold a mistake that its converter can't see",
        "test_a_copy_that_is_gone": "nothing can be taken out of an mbox and leave the rest in place",
    }
    settings: ClassVar[Mapping[str, object]] = {}

    @pytest.fixture
    def sink_type(self) -> SinkType[Any]:
        return MBOX_SINK

    @pytest.fixture
    def table(self, tmp_path: Path) -> Mapping[str, object]:
        return {"path": str(tmp_path / "archive"), **self.settings}

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
            token: Any = receipt.token
            with (tmp_path / "archive" / token["file"]).open("r+b") as file:
                file.seek(token["offset"] + token["length"] // 2)
                byte = file.read(1)[0]
                file.seek(-1, 1)
                file.write(bytes([byte ^ 1]))

        return change


class TestByYear(TestOneFile):
    settings: ClassVar[Mapping[str, object]] = {"split": "year"}


class TestBySize(TestOneFile):
    """So small a size that each message has a file to itself, which can then be taken away."""

    expected_skips: ClassVar[Mapping[str, str]] = {
        name: reason
        for name, reason in TestOneFile.expected_skips.items()
        if name != "test_a_copy_that_is_gone"
    }
    settings: ClassVar[Mapping[str, object]] = {"split": "size", "split_size": 1}
    many = 50

    @pytest.fixture
    def remove(self, tmp_path: Path) -> Callable[[Receipt], None]:
        def unlink(receipt: Receipt) -> None:
            token: Any = receipt.token
            (tmp_path / "archive" / token["file"]).unlink()

        return unlink
