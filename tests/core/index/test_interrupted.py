"""A search whose index was not brought up to date as asked does not pass for one that found all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from archipec.cli import Settings
from archipec.cli import index as command
from archipec.cli.pipelines import sinks_at
from archipec.custody.run import Cancellation
from archipec.errors import Interrupted
from archipec.index.filling import IndexReport


def test_what_was_stopped_is_not_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(sink: Any, _index: Any, _trust: Any, stop: Cancellation, _observe: Any) -> IndexReport:
        stop.set()
        return IndexReport(sink.name)

    monkeypatch.setattr(command, "index_archive", stopped)
    (sink,) = sinks_at([f"maildir:{tmp_path / 'PEC'}"])
    settings = Settings(None, tmp_path, verbose=False)
    with pytest.raises(Interrupted), command.up_to_date_index(settings, sink):
        pytest.fail("it is not to be searched")
