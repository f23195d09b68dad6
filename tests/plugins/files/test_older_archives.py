"""Archives and exports written in November 2026 are read today as they were then: same copies, receipts and refs.

``data/archives-1.zip`` holds one archive of each form that a file sink can write, made in two runs, and beside them an
mbox and two zips as other programs write them. ``archives-1.json`` has what was held and listed then: ledgers keep
receipts and refs, so that others would mean messages stored or read twice.
"""

from __future__ import annotations

import json
import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archipec.contract import ContentKey, Receipt, State, SupportsIterate
from archipec.plugins.registry import Registry
from archipec.testing import configure, make_context, make_item
from testbed.command import Archipec

DATA = Path(__file__).parent / "data"
KNOWN: dict[str, dict[str, Any]] = json.loads((DATA / "archives-1.json").read_text("utf-8"))
ARCHIVES = [name for name, one in KNOWN.items() if "held" in one]
CHANGED = 1_700_000_000  # seconds since 1970; a zip has no time of change as exact as a ref has

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="names of a Maildir written on Linux have a colon"
)


@pytest.fixture
def unpacked(tmp_path: Path) -> Callable[[str], Path]:
    """Unpack one of them."""

    def unpack(name: str) -> Path:
        with zipfile.ZipFile(DATA / "archives-1.zip") as file:
            file.extractall(tmp_path, [one for one in file.namelist() if one.startswith(f"{name}/")])
        for path in (tmp_path / name).rglob("*"):
            os.utime(path, (CHANGED, CHANGED))
        return tmp_path / name

    return unpack


@pytest.fixture(scope="module")
def plugins() -> Registry:
    return Registry.load(strict=True)


@pytest.mark.parametrize("name", KNOWN)
def test_messages_are_listed_as_before(
    name: str, unpacked: Callable[[str], Path], plugins: Registry, tmp_path: Path
) -> None:
    record = plugins.source(KNOWN[name]["type"])
    config = configure(record, {"path": str(unpacked(name))})
    with record.open(config, make_context(tmp_path / "context")) as opened:
        source = opened
        listed = [one for folder in source.folders() for one in source.scan(folder.name, None)]
        got = {
            ContentKey.of(b"".join(fetched.chunks))
            for one in listed
            for fetched in source.fetch(one.folder, [one.ref])
        }
    assert [
        [
            one.folder,
            one.ref,
            one.size,
            one.received and one.received.isoformat(),
            list(one.flags),
            one.cursor,
        ]
        for one in listed
    ] == KNOWN[name]["listed"]
    if name != "export":  # an mbox of others doesn't say whether a line was quoted, or a last line ended
        assert {(key.sha256, key.size) for key in got} == {(one[0], one[1]) for one in KNOWN["eml"]["held"]}


@pytest.mark.parametrize("name", ARCHIVES)
def test_copies_are_found_read_and_joined_by_new_ones(
    name: str, unpacked: Callable[[str], Path], plugins: Registry, tmp_path: Path
) -> None:
    known = KNOWN[name]
    receipts = [
        Receipt(ContentKey(sha256, size), State[state], token) for sha256, size, state, token in known["held"]
    ]
    root = unpacked(name)
    record = plugins.sink(known["type"])
    config = configure(record, {"path": str(root), **known["options"]})
    with record.open(config, make_context(tmp_path / "context")) as opened:
        sink = opened
        assert isinstance(sink, SupportsIterate)
        assert sorted(sink.iterate(), key=lambda receipt: receipt.key.sha256) == receipts
        for receipt in receipts:
            assert sink.find(receipt.key) == receipt
            with sink.read(receipt) as stream:
                assert ContentKey.of(stream.read()) == receipt.key
        sink.put(make_item(b"Subject: new\r\n\r\nFrom now on\r\n"))
        sink.commit()
    mail = tmp_path / "mail"
    mail.mkdir()
    (mail / "one.eml").write_bytes(b"Subject: another\r\n\r\nbody\r\n")
    command = Archipec(tmp_path / "state")
    options = "&".join(f"{key}={value}" for key, value in known["options"].items())
    command("archive", "--from", f"eml:{mail}", "--to", f"{known['type']}:{root}?{options}")
    verified = command("verify", "--to", f"{known['type']}:{root}", "--json").object
    assert (verified["checked"], verified["ok"]) == (len(receipts) + 2, len(receipts) + 2)
