"""`archipec_plugins.files.records`: ledgers know archives and sources by these URLs, so they never change."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

import pytest

from archipec_plugins.files.records import PathConfig, directory_url

NAMES = ("plain", "due parole", "a%20b#c?d", "città", "a~b:c'd(e)&f=g", "日本", "x\n\ty", "-._")


@pytest.mark.parametrize("name", NAMES)
def test_an_archive_s_url_is_ascii(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    url = directory_url("mbox", ascii_only=True)(PathConfig(path))
    assert url == f"mbox:{quote(path.resolve().as_posix(), safe='/:')}"


@pytest.mark.parametrize("name", NAMES)
def test_a_source_s_url_can_be_read_and_turned_back(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    url = directory_url("mbox")(PathConfig(path))
    assert url.isprintable() and not set("?# ") & set(url)
    assert Path(os.fsdecode(unquote_to_bytes(url.removeprefix("mbox:")))) == path.resolve()


@pytest.mark.skipif(sys.platform == "win32", reason="names are text there")
@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_name_that_is_no_utf_8(tmp_path: Path, ascii_only: bool) -> None:
    url = directory_url("mbox", ascii_only=ascii_only)(PathConfig(tmp_path / os.fsdecode(b"a\xff")))
    assert url.endswith("/a%FF")


@pytest.mark.skipif(sys.platform == "win32", reason="links take privileges there")
def test_one_url_for_all_ways_to_a_directory(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    where = directory_url("mbox")
    assert len({where(PathConfig(tmp_path / way)) for way in ("real", "link", "x/../real")}) == 1
