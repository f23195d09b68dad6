"""Finds the directory in which a profile keeps its local folders."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from archipec.errors import PermanentError, Unsupported, from_os_error

__all__ = ["local_folders"]

_PREFERENCE: Final = re.compile(rb'^user_pref\("([^"\\\n]+)", "((?:[^"\\\n]|\\.)*)"\);\r?$', re.MULTILINE)
_ESCAPED: Final = re.compile(r"\\(.)")
_MAX_PREFERENCES: Final = 16 * 1024 * 1024
_USUAL: Final = "Mail/Local Folders"


def local_folders(profile: Path) -> Path:
    """Return the directory of the local folders.

    Raises:
        PermanentError: this is no profile, or one without local folders.
        Unsupported: they are kept as Maildirs.
    """
    try:
        with (profile / "prefs.js").open("rb") as file:
            text = file.read(_MAX_PREFERENCES)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise PermanentError(
            f"there is no profile of Thunderbird at {profile}",
            hint='Thunderbird shows where it is: Help > Troubleshooting Information > "Profile Directory"',
        ) from error
    except OSError as error:
        raise from_os_error(error, profile / "prefs.js") from error
    preferences = {
        name.decode("ascii", "replace"): _ESCAPED.sub(r"\1", value.decode("utf-8", "replace"))
        for name, value in _PREFERENCE.findall(text)
    }
    server = f"mail.server.{preferences.get('mail.accountmanager.localfoldersserver', '')}"
    if "maildir" in preferences.get(f"{server}.storeContractID", ""):
        raise Unsupported(f"the profile {profile} keeps its local folders as a file for each message")
    below, marker, rest = preferences.get(f"{server}.directory-rel", "").partition("[ProfD]")
    directory = profile / rest if marker and not below else profile / _USUAL
    if not directory.is_dir():
        raise PermanentError(
            f"the profile {profile} has no local folders yet", hint="start Thunderbird with it once"
        )
    return directory
