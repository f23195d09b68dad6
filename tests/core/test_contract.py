"""`archipec.contract`: what it gives to plugins beyond types."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest

from archipec.contract import Context, deferred
from archipec.testing import make_context


def test_what_is_deferred_is_imported_when_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening = deferred("archipec_attic.sink:open_sink")
    assert opening.__module__ == __name__
    context = make_context(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="archipec_attic"):
        opening({}, context)

    @contextmanager
    def open_sink(config: dict[str, str], given: Context) -> Iterator[tuple[dict[str, str], Context]]:
        yield config, given

    module = ModuleType("archipec_attic.sink")
    module.open_sink = open_sink  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "archipec_attic", ModuleType("archipec_attic"))
    monkeypatch.setitem(sys.modules, "archipec_attic.sink", module)
    with opening({"path": "x"}, context) as opened:
        assert opened == ({"path": "x"}, context)
