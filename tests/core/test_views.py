"""Sinks that are for looking at: never required, and no archive."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from archipec.config.pipeline import ad_hoc, load
from archipec.contract import SinkType, SourceType
from archipec.errors import ConfigError
from archipec.plugins.discovery import Plugin, PluginRecord, RecordKind
from archipec.plugins.registry import Registry


def never(*_: object) -> Any:
    raise AssertionError("nothing is opened by a configuration")


SOURCE = SourceType(
    api=1, name="post", summary="s", schemes=("post",), parse=dict, where=lambda _: "post:x", open=never
)
ARCHIVE = SinkType(
    api=1, name="box", summary="s", schemes=("box",), parse=dict, where=lambda _: "box:x", open=never
)
VIEW = SinkType(
    api=1,
    name="glass",
    summary="s",
    schemes=("glass",),
    parse=dict,
    where=lambda _: "glass:x",
    open=never,
    view=True,
)


@pytest.fixture
def registry() -> Registry:
    kinds: list[tuple[RecordKind, PluginRecord]] = [("source", SOURCE), ("sink", ARCHIVE), ("sink", VIEW)]
    return Registry(Plugin("archipec-test", "1", record.name, kind, record) for kind, record in kinds)


def test_a_view_is_not_required_unless_told_and_never_may_be(registry: Registry, tmp_path: Path) -> None:
    config = tmp_path / "archipec.toml"
    text = '[[pipeline]]\nname = "a"\n[pipeline.source]\ntype = "post"\n' + "".join(
        f'[[pipeline.sink]]\ntype = "{name}"\n' for name in ("box", "glass")
    )
    config.write_text(text)
    (pipeline,) = load(config, registry)
    assert [(sink.name, sink.required) for sink in pipeline.sinks] == [("box", True), ("glass", False)]
    assert [sink.name for sink in pipeline.archives] == ["box"]
    config.write_text(f"{text}required = false\n")
    assert [sink.required for sink in load(config, registry)[0].sinks] == [True, False]
    config.write_text(f"{text}required = true\n")
    with pytest.raises(ConfigError, match='"required" can\'t be true: these copies are for looking at'):
        load(config, registry)


def test_a_view_by_url(registry: Registry) -> None:
    pipeline = ad_hoc("post:", ["glass:", "box:"], [], registry)
    assert [sink.required for sink in pipeline.sinks] == [False, True]
    with pytest.raises(ConfigError, match="for looking at"):
        ad_hoc("post:", ["glass:?required=yes"], [], registry)
