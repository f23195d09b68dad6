"""Packages in a folder: the kit's cases, and what whoever collects them sees."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from archipec.conservation.provider import ConservationProvider
from archipec.contract import Receipt, SinkType
from archipec.testing import (
    ConservationConformance,
    ScriptedService,
    SinkConformance,
    Statement,
    configure,
    make_context,
    make_item,
)
from archipec.testing.messages import small_messages
from archipec_plugins.conservation.directory import DIRECTORY, DirectoryDrop


class Collector:
    """Who collects packages from the folder, with eyes of his own, and leaves JSON reports."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.service = ScriptedService(recognises=False, work=self.work)
        self._known: set[str] = set()

    def work(self) -> None:
        """Take what is ready; then answer for all that was ever taken."""
        for marker in sorted(self.folder.glob("PdV_*.ready")):
            package = marker.name.removeprefix("PdV_").removesuffix(".ready")
            found, index = self._read(package)
            if self.service.deposit(package, found, _render) is None and package not in self.service.kept:
                continue
            assert marker.read_text().strip() == index
            self._known.add(package)
            marker.unlink()
        for package in self._known:
            answer = self.service.ask(package, _render)
            if answer is not None:
                self._answer(package, answer)

    def _read(self, package: str) -> tuple[dict[str, bytes], str]:
        base = self.folder / f"PdV_{package}"
        if base.is_dir():
            files = {path.relative_to(base).as_posix(): path.read_bytes() for path in base.rglob("*.*")}
        else:
            with zipfile.ZipFile(f"{base}.zip") as archive:
                files = {name: archive.read(name) for name in archive.namelist()}
        index = hashlib.sha256(files["PIndex.xml"]).hexdigest()
        return {Path(name).stem: data for name, data in files.items() if name.startswith("documenti/")}, index

    def _answer(self, package: str, answer: bytes) -> None:
        reports = self.folder / "esiti"
        reports.mkdir(exist_ok=True)
        try:
            about = json.loads(answer)["pdv"]
        except (ValueError, TypeError):
            about = package
        for old in reports.glob("*"):
            old.unlink()
        if self.service.misbehaviour is None or about == package:
            (reports / f"RdV_{about}.json").write_bytes(answer)


def _render(said: Statement) -> bytes:
    entries = [{"id": name, "sha256": digest, "esito": "OK"} for name, digest in said.conserved.items()]
    entries += [{"id": name, "esito": "KO", "motivo": why} for name, why in said.rejected.items()]
    return json.dumps({"pdv": said.about, "documenti": entries}).encode()


class TestDirectory(ConservationConformance):
    """The provider, its collector in this process."""

    @pytest.fixture
    def provider(self) -> type[ConservationProvider]:
        return DirectoryDrop

    @pytest.fixture
    def collector(self, tmp_path: Path) -> Collector:
        (tmp_path / "drop").mkdir()
        return Collector(tmp_path / "drop")

    @pytest.fixture
    def service(self, collector: Collector) -> ScriptedService:
        return collector.service

    @pytest.fixture
    def table(self, collector: Collector) -> Mapping[str, object]:
        return {"path": str(collector.folder)}

    @pytest.fixture
    def mistakes(self) -> Sequence[Mapping[str, object]]:
        return [{"reports": "../elsewhere"}, {"report_name": "RdV_.*"}]

    @pytest.fixture
    def other_table(self, tmp_path: Path) -> Mapping[str, object]:
        return {"path": str(tmp_path / "other")}

    @pytest.fixture
    def broken_table(self, tmp_path: Path) -> Mapping[str, object]:
        return {"path": str(tmp_path / "not there")}

    expected_skips: ClassVar = {
        "test_a_rehearsal_keeps_nothing": "nobody checks what lies in a folder",
        "test_trouble_shows_no_secret": "there is no secret",
    }


class TestZip(TestDirectory):
    """The same with one file a package."""

    @pytest.fixture
    def table(self, collector: Collector) -> Mapping[str, object]:
        return {"path": str(collector.folder), "form": "zip"}


class TestDirectorySink(SinkConformance):
    """The whole sink keeps the contract of sinks."""

    bookkeeping: ClassVar = ("outbox.sqlite3*",)

    @pytest.fixture
    def sink_type(self) -> SinkType[Any]:
        return DIRECTORY

    @pytest.fixture
    def plugin_module(self) -> str:
        return "archipec_plugins.conservation.directory"

    @pytest.fixture
    def table(self, tmp_path: Path) -> Mapping[str, object]:
        (tmp_path / "drop").mkdir(exist_ok=True)
        return {"path": str(tmp_path / "drop"), "outbox": str(tmp_path / "outbox")}

    @pytest.fixture
    def mistakes(self) -> Sequence[Mapping[str, object]]:
        return [{"reports": "../elsewhere"}, {"report_name": "RdV_.*"}]

    @pytest.fixture
    def other_table(self, tmp_path: Path) -> Mapping[str, object]:
        return {"path": str(tmp_path / "other"), "outbox": str(tmp_path / "other outbox")}

    @pytest.fixture
    def broken_table(self, tmp_path: Path) -> Mapping[str, object]:
        (tmp_path / "a file").write_text("")
        return {"path": str(tmp_path / "drop"), "outbox": str(tmp_path / "a file")}

    @pytest.fixture
    def damage(self, tmp_path: Path) -> Callable[[Receipt], None]:
        def change(receipt: Receipt) -> None:
            path = _file(tmp_path, receipt)
            raw = bytearray(path.read_bytes())
            raw[len(raw) // 2] ^= 1
            path.write_bytes(raw)

        return change

    @pytest.fixture
    def remove(self, tmp_path: Path) -> Callable[[Receipt], None]:
        return lambda receipt: _file(tmp_path, receipt).unlink()


def _file(tmp_path: Path, receipt: Receipt) -> Path:
    return next((tmp_path / "outbox" / "messages").rglob(f"{receipt.key.sha256}.eml"))


@pytest.mark.skipif(os.name != "posix", reason="modes are of POSIX")
def test_what_is_written_is_private_and_nothing_half_done_is_in_view(tmp_path: Path) -> None:
    drop = tmp_path / "drop"
    drop.mkdir()
    table = {"path": str(drop), "outbox": str(tmp_path / "outbox"), "wait": "0"}
    (tmp_path / "outbox").mkdir()
    config = configure(DIRECTORY, table)
    with DIRECTORY.open(config, make_context(tmp_path)) as sink:
        for raw in small_messages(3):
            sink.put(make_item(raw))
        receipts = sink.commit()
        list(sink.settle(receipts))  # type: ignore[attr-defined]
    names = sorted(path.name for path in drop.iterdir())
    assert [name.startswith(("PdV_", ".archipec")) for name in names] == [True] * 3, names
    files = [path for root in (drop, tmp_path / "outbox") for path in root.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert {oct(stat.S_IMODE(path.stat().st_mode)) for path in files} == {"0o600"}
