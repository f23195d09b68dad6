"""What a plugin gives is looked at before the host works with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from archipec.contract import SinkType
from archipec.errors import PluginBug
from archipec.message import ContentKey
from archipec.plugins import boundary as isolation
from archipec.plugins.boundary import behind_the_boundary
from archipec.testing import make_context


class Confused:
    def find(self, _key: ContentKey) -> Any:
        return 1

    def commit(self) -> Any:
        return ["stored"]

    def iterate(self) -> Any:
        yield None


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [("find", (ContentKey.of(b""),), "an int"), ("commit", (), "a str"), ("iterate", (), "a NoneType")],
)
def test_what_is_no_receipt_is_the_plugin_s_bug(
    tmp_path: Path, name: str, given: tuple[Any, ...], words: str
) -> None:
    @contextmanager
    def open_sink(_config: object, _context: object) -> Iterator[Any]:
        yield Confused()

    record = SinkType(
        api=1, name="confused", summary="", parse=dict, where=lambda _: "confused:", open=open_sink
    )
    guarded = behind_the_boundary(record, "archipec-confused 1.0")
    with (
        guarded.open({}, make_context(tmp_path)) as sink,
        pytest.raises(
            PluginBug,
            match=rf'"confused" \(archipec-confused 1.0\).* in {name}: it gave {words}, not a Receipt',
        ),
    ):
        list(getattr(sink, name)(*given))


def test_a_secret_in_a_plugin_s_exception_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "mask", lambda text: text.replace("s3cret-word", "***"))
    assert isolation.misdeed(ValueError("bad login: s3cret-word")) == "ValueError: bad login: ***"
