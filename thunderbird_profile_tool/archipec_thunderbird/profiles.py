"""Finds Thunderbird's profiles on this machine: packages of Linux, snap, flatpak, macOS, Windows and its Store.

Places and file formats: https://support.mozilla.org/kb/profiles-where-thunderbird-stores-user-data and what a real
Thunderbird on Linux wrote. The layouts of the other systems are from documentation.
"""

from __future__ import annotations

import configparser
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from archipec.errors import ConfigError
from archipec.language import _

__all__ = ["Profile", "choose", "find_profiles", "open_profile"]

_MOST: Final = 1 << 20  # bytes of an ini file; real ones have a few hundred
_LINUX: Final = (
    ("package", ".thunderbird"),
    ("snap", "snap/thunderbird/common/.thunderbird"),
    ("flatpak", ".var/app/org.mozilla.Thunderbird/.thunderbird"),
    ("flatpak", ".var/app/org.mozilla.thunderbird/.thunderbird"),
)
_STORE: Final = "Packages/*Thunderbird*/LocalCache/Roaming/Thunderbird"


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A profile.

    Attributes:
        name: as Thunderbird's profile manager shows it.
        path: its folder.
        origin: how Thunderbird was installed: "package", "snap", "flatpak", "macos", "windows" or "store"; "folder"
            when the path was given.
        default: that installation of Thunderbird opens it by itself.
        version: of the Thunderbird that used it last, None when none has.
        platform: where that Thunderbird keeps its libraries, None when it does not say.
    """

    name: str
    path: Path
    origin: str
    default: bool
    version: str | None
    platform: Path | None

    @property
    def used(self) -> bool:
        """Whether Thunderbird has ever run in it: it makes empty ones too."""
        return (self.path / "prefs.js").is_file()


def find_profiles(
    *, system: str = sys.platform, home: Path | None = None, environ: Mapping[str, str] = os.environ
) -> list[Profile]:
    """Return every profile that an installation of Thunderbird lists and that is there, the default ones first."""
    found: dict[Path, Profile] = {}
    for origin, root in _roots(system, home or Path.home(), environ):
        for profile in _listed(origin, root):
            found.setdefault(profile.path, profile)
    return sorted(found.values(), key=lambda one: (not one.default, not one.used))


def open_profile(path: Path) -> Profile:
    """Return the profile in a folder, wherever it lies.

    Raises:
        ConfigError: it is not a profile.
    """
    path = path.expanduser().absolute()
    if not any((path / name).is_file() for name in ("prefs.js", "cert9.db")):
        raise ConfigError(
            _("{path}: no profile of Thunderbird").format(path=path),
            hint=_("`thunderbird-profile-tool profiles` shows those there are"),
        )
    return _profile(path.name, path, "folder", default=False)


def choose(wanted: str | None) -> Profile:
    """Return the profile a person means.

    Args:
        wanted: a folder, the name of a profile or of its folder; None for the one that Thunderbird opens.

    Raises:
        ConfigError: there is none, or more than one.
    """
    profiles = find_profiles()
    if wanted is None:
        fitting = [one for one in profiles if one.used and one.default] or [
            one for one in profiles if one.used
        ]
    else:
        fitting = [one for one in profiles if wanted in (one.name, one.path.name)]
        if not fitting:
            return open_profile(Path(wanted))
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise ConfigError(
            _("Thunderbird has no profile on this machine"),
            hint=_("--profile DIR names one that lies elsewhere"),
        )
    raise ConfigError(
        _("several profiles: {fitting}").format(fitting=", ".join(str(one.path) for one in fitting)),
        hint=_("choose one with --profile DIR, or all with --all-profiles"),
    )


def _roots(system: str, home: Path, environ: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
    """Yield how Thunderbird may have been installed, and the folder where it then keeps profiles.ini."""
    if system == "win32":
        if roaming := environ.get("APPDATA"):
            yield "windows", Path(roaming) / "Thunderbird"
        if local := environ.get("LOCALAPPDATA"):
            yield from (("store", path) for path in sorted(Path(local).glob(_STORE)))
    elif system == "darwin":
        yield "macos", home / "Library" / "Thunderbird"
    else:
        yield from ((origin, home / place) for origin, place in _LINUX)


def _listed(origin: str, root: Path) -> Iterator[Profile]:
    """Yield the profiles of one profiles.ini.

    An installation's own section says which profile it opens; ``Default=1`` in a profile's section is older, and
    often points to an empty one.
    """
    sections = _ini(root / "profiles.ini")
    installs = {name: values for name, values in sections.items() if name.startswith("Install")}
    installs |= _ini(root / "installs.ini")
    opened = [values["default"] for values in installs.values() if values.get("default")]
    listed = [
        values for name, values in sections.items() if name.startswith("Profile") and values.get("path")
    ]
    if not opened:
        opened = [values["path"] for values in listed if values.get("default") == "1" or len(listed) == 1]
    names = {values["path"]: values.get("name", "") for values in listed}
    relative = {values["path"]: values.get("isrelative", "1") != "0" for values in listed}
    for place in dict.fromkeys((*opened, *names)):
        path = root / place if relative.get(place, True) else Path(place)
        if path.is_dir():
            yield _profile(names.get(place) or path.name, path, origin, default=place in opened)


def _profile(name: str, path: Path, origin: str, *, default: bool) -> Profile:
    compatibility = _ini(path / "compatibility.ini").get("Compatibility", {})
    platform = compatibility.get("lastplatformdir")
    return Profile(
        name=name,
        path=path,
        origin=origin,
        default=default,
        # "153.7.0_20261110162734/20261110162734": the version, then the build of program and platform.
        version=compatibility.get("lastversion", "").partition("_")[0] or None,
        platform=Path(platform) if platform else None,
    )


def _ini(path: Path) -> dict[str, dict[str, str]]:
    """Return the sections of an ini file, keys in lower case; nothing of one that is missing or damaged."""
    parser = configparser.ConfigParser(strict=False, interpolation=None, default_section="")
    try:
        with path.open("rb") as file:
            parser.read_string(file.read(_MOST).decode("utf-8-sig", "replace"))
    except (OSError, configparser.Error):
        return {}
    return {name: dict(parser[name]) for name in parser.sections()}
