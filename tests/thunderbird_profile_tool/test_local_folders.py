"""An archive is copied under Local Folders, never handed over itself, and never over what is there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from archipec.errors import ConfigError, PermanentError, TransientError
from archipec_thunderbird.local_folders import add_archive
from archipec_thunderbird.lock import ProfileLock
from testbed.thunderbird import new_profile
from testbed.tool import Tool

MBOX = b"From archipec@localhost Thu Jan  1 00:00:00 1970\nFrom: a@b.it\r\n\r\n>From me\r\n\n"


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    return new_profile(tmp_path / "profile")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "PEC"
    path.mkdir()
    (path / "2024.mbox").write_bytes(MBOX)
    (path / "2025.mbox").write_bytes(MBOX * 2)
    (path / "2025.mbox.toc").write_bytes(b"V 1")
    (path / "archipec.json").write_bytes(b"{}")
    return path


def tree(place: Path) -> dict[str, bytes]:
    return {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file()}


def test_one_file_becomes_a_folder(profile: Path, archive: Path) -> None:
    (archive / "2025.mbox").unlink()
    (added,) = add_archive(profile, archive)
    place = profile / "Mail" / "Local Folders"
    assert tree(place) == {"PEC": MBOX}
    assert (added.folder, added.source, added.bytes) == ("PEC", archive / "2024.mbox", len(MBOX))
    assert (place / "PEC").stat().st_mode & 0o777 == 0o600
    assert not (place / "PEC").samefile(archive / "2024.mbox")


def test_several_become_subfolders(profile: Path, archive: Path) -> None:
    assert [one.folder for one in add_archive(profile, archive, "Archivio è")] == [
        "Archivio è/2024",
        "Archivio è/2025",
    ]
    assert tree(profile / "Mail" / "Local Folders") == {
        "Archivio è": b"",
        "Archivio è.sbd/2024": MBOX,
        "Archivio è.sbd/2025": MBOX * 2,
    }


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/passwd", "_.._etc_passwd"),
        ("a:b*c?", "a_b_c_"),
        ("con", "_con"),
        ("posta.msf", "_posta.msf"),
        (" . ", "_"),
        ("x" * 80, "x" * 55),
        ("a\x1bb\nc", "a_b_c"),
    ],
)
def test_names_are_made_safe(profile: Path, archive: Path, name: str, safe: str) -> None:
    (archive / "2025.mbox").unlink()
    assert add_archive(profile, archive, name)[0].folder == safe
    assert tree(profile / "Mail" / "Local Folders") == {safe: MBOX}


def test_names_that_become_the_same_are_told_apart(profile: Path, archive: Path) -> None:
    (archive / "A:.mbox").write_bytes(MBOX)
    (archive / "a*.mbox").write_bytes(MBOX)
    folders = {one.folder for one in add_archive(profile, archive)}
    assert folders == {"PEC/2024", "PEC/2025", "PEC/A_", "PEC/a_ 2"}


@pytest.mark.parametrize("there", ["PEC", "pec", "PEC.sbd"])
def test_what_is_there_is_never_replaced(profile: Path, archive: Path, there: str) -> None:
    place = profile / "Mail" / "Local Folders"
    (place / there).write_bytes(b"mine")
    with pytest.raises(ConfigError, match="already"):
        add_archive(profile, archive)
    assert tree(place) == {there: b"mine"}


@pytest.mark.parametrize("content", [b"", b"From: a@b.it\r\n\r\nno mbox", b"PK\x03\x04"])
def test_what_is_no_mbox_is_refused(profile: Path, archive: Path, content: bytes) -> None:
    (archive / "2025.mbox").write_bytes(content)
    with pytest.raises(ConfigError, match="does not begin like an MBOX"):
        add_archive(profile, archive)
    assert tree(profile / "Mail") == {}


def test_places_that_do_not_fit(profile: Path, archive: Path, tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="no such file"):
        add_archive(profile, tmp_path / "gone")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"no \.mbox file"):
        add_archive(profile, tmp_path / "empty")
    add_archive(profile, archive)
    with pytest.raises(ConfigError, match="lies in the profile itself"):
        add_archive(profile, profile / "Mail" / "Local Folders" / "PEC.sbd" / "2024", "again")
    prefs = profile / "prefs.js"
    maildir = prefs.read_text().replace("berkeleystore", "maildirstore")
    prefs.write_text(maildir)
    with pytest.raises(ConfigError, match="as Maildir"):
        add_archive(profile, archive, "other")
    prefs.write_text("")
    with pytest.raises(ConfigError, match="no Local Folders yet"):
        add_archive(profile, archive, "other")


def test_an_archive_that_is_being_written_is_left_alone(
    profile: Path, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync

    def grow(descriptor: int) -> None:
        with (archive / "2025.mbox").open("ab") as file:
            file.write(MBOX)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", grow)
    with pytest.raises(TransientError, match="being written"):
        add_archive(profile, archive)
    assert tree(profile / "Mail") == {}
    assert not any((profile / "Mail" / "Local Folders").iterdir())


def test_the_command(profile: Path, archive: Path, tmp_path: Path) -> None:
    tool = Tool(tmp_path)
    with ProfileLock(profile):
        assert "running" in tool("add-archive", archive, "--profile", profile, expect=5).err
    assert tree(profile / "Mail") == {}
    first, second = tool("add-archive", archive, "--profile", profile, "--json").objects
    assert first == {
        "profile": str(profile),
        "folder": "PEC/2024",
        "source": str(archive / "2024.mbox"),
        "bytes": len(MBOX),
    }
    assert second["folder"] == "PEC/2025"
    said = tool("add-archive", archive / "2024.mbox", "--name", "Altro", "--profile", profile).out
    assert said == f'added "Altro" to Local Folders of {profile}: a copy of {archive / "2024.mbox"}\n'
