"""The zip sink keeps the contract, whatever is inside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from archipec.contract import Receipt, SinkType
from archipec.testing import SinkConformance
from archipec_plugins.zip import ZIP_SINK


class TestEml(SinkConformance):
    expected_skips: ClassVar[Mapping[str, str]] = {
        "test_parse_reports_every_problem_at_once": "an option holds no mistake that its converter can't see",
        "test_a_copy_that_is_gone": "nothing can be taken out of a zip and leave the rest in place",
    }
    settings: ClassVar[Mapping[str, object]] = {}

    @pytest.fixture
    def sink_type(self) -> SinkType[Any]:
        return ZIP_SINK

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
                file.seek(token["offset"] + 26)
                name = 0 if "mbox" in token["form"] else 30 + int.from_bytes(file.read(2), "little")
                file.seek(token["offset"] + name + token["length"] * 3 // 4)
                byte = file.read(1)[0]
                file.seek(-1, 1)
                file.write(bytes([byte ^ 1]))

        return change


_DEFLATED = {"test_a_copy_behind_a_link_is_none": "a deflated message is not found by its bytes"}


class TestEmlDeflated(TestEml):
    expected_skips: ClassVar[Mapping[str, str]] = {**TestEml.expected_skips, **_DEFLATED}
    settings: ClassVar[Mapping[str, object]] = {"compress": "deflated", "split": "month"}


class TestMbox(TestEml):
    bookkeeping: ClassVar[Sequence[str]] = ("archive.zip",)  # the mbox's header gets its sizes at the end
    settings: ClassVar[Mapping[str, object]] = {"inside": "mbox"}


class TestMboxDeflated(TestMbox):
    expected_skips: ClassVar[Mapping[str, str]] = {**TestEml.expected_skips, **_DEFLATED}
    settings: ClassVar[Mapping[str, object]] = {"inside": "mbox", "compress": "deflated"}


class TestMaildir(TestEml):
    settings: ClassVar[Mapping[str, object]] = {"inside": "maildir", "split": "year"}


class TestBySize(TestEml):
    """So small a size that each message has a zip to itself, which can then be taken away."""

    expected_skips: ClassVar[Mapping[str, str]] = {
        name: reason for name, reason in TestEml.expected_skips.items() if name != "test_a_copy_that_is_gone"
    }
    settings: ClassVar[Mapping[str, object]] = {"split": 1}
    many = 50

    @pytest.fixture
    def remove(self, tmp_path: Path) -> Callable[[Receipt], None]:
        def unlink(receipt: Receipt) -> None:
            token: Any = receipt.token
            (tmp_path / "archive" / token["file"]).unlink()

        return unlink
