"""What a plugin gives is looked at before the host works with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from archipec.contract import SinkType
from archipec.errors import Interrupted, PluginBug, TransientError
from archipec.message import ContentKey
from archipec.plugins import boundary as isolation
from archipec.plugins.boundary import behind_the_boundary
from archipec.testing import make_context


def sink_type(name: str, open_sink: Callable[..., Any]) -> SinkType[Any]:
    record = SinkType(api=1, name=name, summary="", parse=dict, where=lambda _: f"{name}:", open=open_sink)
    return behind_the_boundary(record, f"archipec-{name} 1.0")


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

    with (
        sink_type("confused", open_sink).open({}, make_context(tmp_path)) as sink,
        pytest.raises(
            PluginBug,
            match=rf'"confused" \(archipec-confused 1.0\).* in {name}: it gave {words}, not a Receipt',
        ),
    ):
        list(getattr(sink, name)(*given))


@pytest.mark.parametrize(
    "error", [Interrupted("stopped"), TransientError("gone"), ValueError("a bug of the host's")]
)
@pytest.mark.parametrize("how", ["suppress", "return True", "raise another"])
def test_a_plugin_that_swallows_the_host_s_error_keeps_it_from_nobody(
    tmp_path: Path, error: Exception, how: str
) -> None:
    """The host's error goes through the plugin's ``with`` block: to the plugin it says "clean up", and no more."""
    left: list[type[BaseException] | None] = []

    @contextmanager
    def suppressing(_config: object, _context: object) -> Iterator[Any]:
        try:
            yield Confused()
        except Exception as seen:  # noqa: BLE001
            left.append(type(seen))

    class Swallowing:
        def __enter__(self) -> Confused:
            return Confused()

        def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
            left.append(kind)
            if how == "raise another":
                raise KeyError("in cleaning up")
            return True

    def swallowing(_config: object, _context: object) -> Swallowing:
        return Swallowing()

    guarded = sink_type("greedy", suppressing if how == "suppress" else swallowing)
    expected = PluginBug if how == "raise another" else type(error)
    with pytest.raises(expected) as caught, guarded.open({}, make_context(tmp_path)):
        raise error
    assert left == [type(error)]
    assert how == "raise another" or caught.value is error


def test_a_secret_in_a_plugin_s_exception_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "mask", lambda text: text.replace("s3cret-word", "***"))
    assert isolation.misbehaviour(ValueError("bad login: s3cret-word")) == "ValueError: bad login: ***"
