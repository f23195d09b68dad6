"""Where Thunderbird keeps the NSS it brings along, and in which order its parts must be loaded.

The order for Linux was found by experiment; the places and names of the other systems are from public sources.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

__all__ = ["find_libraries", "load_order"]

_PLACES: Final = {
    "linux": (
        "/usr/lib/thunderbird",
        "/usr/lib64/thunderbird",
        "/opt/thunderbird",
        "/snap/thunderbird/current/usr/lib/thunderbird",
    ),
    "darwin": ("/Applications/Thunderbird.app/Contents/MacOS",),
    "win32": (r"C:\Program Files\Mozilla Thunderbird",),
}
# Each needs those before it. Were the system's libnssutil3 or SQLite loaded, an old softoken would follow silently.
_ORDER: Final = {
    "linux": (
        "libnspr4.so",
        "libplc4.so",
        "libplds4.so",
        "libnssutil3.so",
        "libmozsqlite3.so",
        "libnss3.so",
    ),
    "darwin": ("libmozglue.dylib", "libnss3.dylib"),
    "win32": ("mozglue.dll", "nss3.dll"),
}


def find_libraries(named: Path | None, system: str = sys.platform) -> Path | None:
    """Return the folder with Thunderbird's NSS.

    Args:
        named: where the profile says that the Thunderbird is that used it last; looked at first.
    """
    places = [*([named] if named else []), *map(Path, _PLACES.get(system, ()))]
    return next((place for place in places if load_order(place, system)), None)


def load_order(folder: Path, system: str = sys.platform) -> list[Path]:
    """Return the libraries of a folder in the order to load them; empty when NSS is not there."""
    found = [folder / name for name in _ORDER.get(system, ()) if (folder / name).is_file()]
    return found if found and found[-1].name == _ORDER[system][-1] else []
