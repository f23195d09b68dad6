"""Finds the directory in which a profile keeps its local folders."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from archipec.errors import PermanentError, Unsupported, from_os_error
from archipec_thunderbird.prefs import PREFS, read_prefs

__all__ = ["local_folders"]

_USUAL: Final = "Mail/Local Folders"


def local_folders(profile: Path) -> Path:
    """Return the directory of the local folders.

    Raises:
        PermanentError: this is no profile, or one without local folders.
        Unsupported: they are kept as Maildirs.
    """
    try:
        (profile / PREFS).stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise PermanentError(
            f"there is no profile of Thunderbird at {profile}",
            hint='Thunderbird shows where it is: Help > Troubleshooting Information > "Profile Directory"',
        ) from error
    except OSError as error:
        raise from_os_error(error, profile / PREFS) from error
    settings = read_prefs(profile)
    preferences = {name: value for name, value in settings.items() if isinstance(value, str)}
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
