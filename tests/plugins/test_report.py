"""The report step: writes what the host composes, whole or not at all, where the configuration says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archipec.contract import PostStepType, RunView
from archipec.errors import PermanentError
from archipec.testing import PostStepConformance, make_context, make_run
from archipec_plugins.report import REPORT, named


def composing(view: RunView, document: Callable[[str], bytes]) -> RunView:
    return replace(view, compose=document)


class TestConformance(PostStepConformance):
    """The kit that third parties run."""

    expected_skips: ClassVar[Mapping[str, str]] = {
        "test_parse_reports_every_problem_at_once": "no file at all is the only mistake that the options don't find",
    }

    @pytest.fixture
    def poststep_type(self) -> PostStepType[Any]:
        return REPORT

    @pytest.fixture
    def table(self, tmp_path: Path) -> Mapping[str, object]:
        return {
            "html": str(tmp_path / "reports" / "{pipeline}.html"),
            "csv": str(tmp_path / "reports" / "t.csv"),
        }

    @pytest.fixture
    def other_table(self, tmp_path: Path) -> Mapping[str, object]:
        return {"html": str(tmp_path / "other.html")}

    @pytest.fixture
    def broken_table(self, tmp_path: Path) -> Mapping[str, object]:
        (tmp_path / "file").touch()
        return {"html": str(tmp_path / "file" / "report.html")}

    @pytest.fixture
    def effect(self, tmp_path: Path) -> Callable[[], object]:
        return lambda: sorted((one.name, one.read_bytes()) for one in (tmp_path / "reports").glob("*"))


def test_each_file_is_what_the_host_composes(tmp_path: Path) -> None:
    asked: list[str] = []

    def document(name: str) -> bytes:
        asked.append(name)
        return name.encode()

    files = {name: tmp_path / f"r.{name}" for name in ("html", "csv", "pdf", "json")}
    with REPORT.open(REPORT.parse({**files}), make_context(tmp_path)) as step:
        step.run(composing(make_run(), document))
    assert asked == ["html", "csv", "pdf", "json"]
    assert {name: path.read_bytes() for name, path in files.items()} == {
        name: name.encode() for name in asked
    }


def test_what_can_not_be_composed_leaves_the_last_report_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "r.html"
    path.write_bytes(b"yesterday's")

    def document(_name: str) -> bytes:
        raise PermanentError("a package is missing")

    config = REPORT.parse({"html": path, "csv": None, "pdf": None, "json": None})
    with (
        REPORT.open(config, make_context(tmp_path)) as step,
        pytest.raises(PermanentError, match="a package is missing"),
    ):
        step.run(composing(make_run(), document))
    assert path.read_bytes() == b"yesterday's"


@given(st.text(max_size=200))
def test_whatever_a_pipeline_is_called_its_report_lies_in_the_folder(name: str) -> None:
    now = datetime(2026, 11, 29, 23, 30, tzinfo=UTC)
    found = named(Path("/reports/{pipeline} {date}.html"), name, now)
    assert found.parent == Path("/reports")
    assert found.name.endswith(" 2026-11-30.html")
    assert found.name.isprintable()


def test_a_name_is_no_placeholder() -> None:
    assert named(Path("{pipeline}.html"), "{date}", datetime(2026, 1, 1, tzinfo=UTC)) == Path("{date}.html")
