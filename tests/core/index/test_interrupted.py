"""A search whose index was not brought up to date as asked does not pass for one that found all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from archipec.cli import index as command
from archipec.cli.pipelines import load_registry
from archipec.config.pipeline import endpoint
from archipec.custody.run import Cancellation
from archipec.errors import Interrupted
from archipec.index.alone import open_archive_index
from archipec.index.filling import IndexReport


def test_what_was_stopped_is_not_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(sink: Any, _index: Any, _trust: Any, stop: Cancellation, _observe: Any) -> IndexReport:
        stop.set()
        return IndexReport(sink.name)

    monkeypatch.setattr(command, "index_archive", stopped)
    sink = endpoint("sink", f"maildir:{tmp_path / 'PEC'}", load_registry())
    with open_archive_index(tmp_path, sink.where) as index, pytest.raises(Interrupted):
        command.bring_up_to_date(sink, index)
