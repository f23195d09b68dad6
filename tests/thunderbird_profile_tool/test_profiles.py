"""Profiles are found where each system keeps them. The layouts of macOS and Windows are those of the documentation."""

from __future__ import annotations

from pathlib import Path

import pytest

from archipec.errors import ConfigError
from archipec_thunderbird.lock import ProfileLock
from archipec_thunderbird.profiles import choose, find_profiles, open_profile
from testbed.tool import Tool

# What a first run of Thunderbird 153 wrote: what it opens is in its installation's section, and the profile that is
# called the default one is empty.
FIRST_RUN = """[InstallFDC34C9F024745EB]
Default=ke1zghpf.default-default
Locked=1

[Profile1]
Name=default
IsRelative=1
Path=abcdefgh.default
Default=1

[Profile0]
Name=default-default
IsRelative=1
Path=ke1zghpf.default-default

[General]
StartWithLastProfile=1
Version=2
"""
COMPATIBILITY = """[Compatibility]
LastVersion=153.7.0_20261110162734/20261110162734
LastOSABI=Linux_x86_64-gcc3
LastPlatformDir=/usr/lib/thunderbird
LastAppDir=/usr/lib/thunderbird
"""


def put(root: Path, ini: str = FIRST_RUN, used: str = "ke1zghpf.default-default", *others: str) -> Path:
    """Lay out a folder with profiles.ini; return the profile that Thunderbird has used."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "profiles.ini").write_text(ini, "utf-8")
    for name in (used, *others):
        (root / name).mkdir(parents=True, exist_ok=True)
        (root / name / "times.json").write_text("{}")
    (root / used / "prefs.js").touch()
    (root / used / "compatibility.ini").write_text(COMPATIBILITY)
    return root / used


def test_the_installation_says_which_profile_it_opens(tmp_path: Path) -> None:
    used = put(tmp_path / ".thunderbird", FIRST_RUN, "ke1zghpf.default-default", "abcdefgh.default")
    first, second = find_profiles(system="linux", home=tmp_path, environ={})
    assert (first.path, first.name, first.default, first.used) == (used, "default-default", True, True)
    assert (first.version, first.platform, first.origin) == (
        "153.7.0",
        Path("/usr/lib/thunderbird"),
        "package",
    )
    assert (second.name, second.default, second.used, second.version) == ("default", False, False, None)


@pytest.mark.parametrize(
    ("system", "place", "origin"),
    [
        ("linux", ".thunderbird", "package"),
        ("linux", "snap/thunderbird/common/.thunderbird", "snap"),
        ("linux", ".var/app/org.mozilla.Thunderbird/.thunderbird", "flatpak"),
        ("linux", ".var/app/org.mozilla.thunderbird/.thunderbird", "flatpak"),
        ("darwin", "Library/Thunderbird", "macos"),
        ("win32", "AppData/Roaming/Thunderbird", "windows"),
        (
            "win32",
            "AppData/Local/Packages/MozillaThunderbird.MozillaThunderbird_jag0gd4e3s9p2/LocalCache/Roaming/Thunderbird",
            "store",
        ),
    ],
)
def test_each_system_has_its_place(tmp_path: Path, system: str, place: str, origin: str) -> None:
    ini = "[Install1]\nDefault=Profiles/x.default-release\n[Profile0]\nName=mio\nIsRelative=1\nPath=Profiles/x.default-release\n"
    used = put(tmp_path / place, ini, "Profiles/x.default-release")
    environ = {
        "APPDATA": str(tmp_path / "AppData" / "Roaming"),
        "LOCALAPPDATA": str(tmp_path / "AppData" / "Local"),
    }
    (found,) = find_profiles(system=system, home=tmp_path, environ=environ)
    assert (found.path, found.origin, found.default, found.name) == (used, origin, True, "mio")


def test_several_installations_are_all_shown(tmp_path: Path) -> None:
    one, other = put(tmp_path / ".thunderbird"), put(tmp_path / "snap/thunderbird/common/.thunderbird")
    assert {profile.path for profile in find_profiles(system="linux", home=tmp_path, environ={})} == {
        one,
        other,
    }


@pytest.mark.parametrize(
    ("ini", "default"),
    [
        ("[Profile0]\nName=a\nIsRelative=1\nPath=p\nDefault=1\n", True),
        ("[Profile0]\nName=a\nPath=p\n", True),
        ("[Profile0]\nName=a\nPath=p\n[Profile1]\nName=b\nPath=q\nDefault=1\n", False),
        ("\ufeff[Install9]\r\nDefault=p\r\n", True),
    ],
)
def test_profiles_of_older_versions(tmp_path: Path, ini: str, default: bool) -> None:
    used = put(tmp_path / ".thunderbird", ini, "p")
    (found,) = (one for one in find_profiles(system="linux", home=tmp_path, environ={}) if one.path == used)
    assert found.default is default


def test_a_profile_may_lie_anywhere(tmp_path: Path) -> None:
    elsewhere = put(tmp_path / "disk", "", "portable")
    put(tmp_path / ".thunderbird", f"[Profile0]\nName=a\nIsRelative=0\nPath={elsewhere}\n")
    (found,) = find_profiles(system="linux", home=tmp_path, environ={})
    assert found.path == elsewhere
    assert open_profile(elsewhere).origin == "folder"


@pytest.mark.parametrize(
    "ini", ["", "[", "no section\n", "[Profile0]\nPath=gone\n", "\0\xff" * 99, "[Profile0]\nName=%(x)s\n"]
)
def test_a_damaged_list_is_no_list(tmp_path: Path, ini: str) -> None:
    put(tmp_path / ".thunderbird", ini)
    assert find_profiles(system="linux", home=tmp_path, environ={}) == []


def test_a_profile_is_chosen_by_name_or_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="no profile on this machine"):
        choose(None)
    used = put(tmp_path / ".thunderbird", FIRST_RUN, "ke1zghpf.default-default", "abcdefgh.default")
    for wanted in (None, "default-default", "ke1zghpf.default-default", str(used)):
        assert choose(wanted).path == used
    with pytest.raises(ConfigError, match="no profile of Thunderbird"):
        choose("nobody's")
    put(tmp_path / "snap/thunderbird/common/.thunderbird")
    with pytest.raises(ConfigError, match="several profiles"):
        choose(None)


def test_profiles_says_which_is_running(tmp_path: Path) -> None:
    tool = Tool(tmp_path)
    assert "no profile" in tool("profiles", expect=3).err
    used = put(tmp_path / ".thunderbird", FIRST_RUN, "ke1zghpf.default-default", "abcdefgh.default")
    shape = {
        "name": "default-default",
        "path": str(used),
        "origin": "package",
        "default": True,
        "used": True,
        "running": False,
        "version": "153.7.0",
    }
    assert tool("profiles", "--json").objects[0] == shape
    # What Thunderbird leaves behind when it ends says nothing.
    (used / ".parentlock").touch()
    (used / "lock").symlink_to("127.0.0.1:+99999999")
    assert tool("profiles", "--json").objects[0] == shape
    with ProfileLock(used):
        assert tool("profiles", "--json").objects[0] == {**shape, "running": True}
        assert "default-default: Thunderbird 153.7.0, package, default, running" in tool("profiles").out
