"""Finds the entry points of the group ``archipec`` in what is installed.

``importlib.metadata`` knows how, and importing it takes longer than all the rest of finding them. It is asked where it
could know of more than archipec's own: where another distribution declares plugins, or something else than a folder
may hold distributions.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from archipec.language import _

OWN: Final = "archipec"
"""The distribution whose plugins are the built-ins."""

_GROUP: Final = "archipec"


class EntryPoint(Protocol):
    """Of it what is used: see `importlib.metadata.EntryPoint`."""

    @property
    def name(self) -> str: ...
    @property
    def value(self) -> str: ...
    @property
    def load(self) -> Callable[[], Any]: ...


class Installed(NamedTuple):
    """An entry point, and the distribution that declares it."""

    distribution: str
    version: str
    point: EntryPoint


class _Module(NamedTuple):
    """An entry point that is a module, as archipec's own are."""

    name: str
    value: str

    def load(self) -> Any:
        return import_module(self.value)


def installed(unreadable: Callable[[str, str, str, Exception], None]) -> list[Installed]:
    """Return the entry points of the group: own ones first, then by distribution and name.

    Args:
        unreadable: gets distribution, version, what can't be read of it, and why.
    """
    found = _own_alone()
    if found is None:
        found = list(_as_metadata_has_them(unreadable))
    return sorted(found, key=lambda item: (item.distribution != OWN, item.distribution, item.point.name))


def _own_alone() -> list[Installed] | None:
    """Return archipec's own entry points; None where there may be others, or anything is unusual."""
    if any(hasattr(finder, "find_distributions") and not _is_of_path(finder) for finder in sys.meta_path):
        return None
    declaring: list[Path] = []
    for place in sys.path:
        try:
            declaring += _declaring(Path(place or "."))
        except FileNotFoundError:
            continue
        except (OSError, ValueError):  # a zip, or what is no text
            return None
    if len(declaring) != 1 or declaring[0].suffix != ".dist-info":
        return None
    try:
        points = (declaring[0] / "entry_points.txt").read_text("utf-8").splitlines()
        metadata = (declaring[0] / "METADATA").read_text("utf-8").partition("\n\n")[0].splitlines()
    except (OSError, ValueError):
        return None
    head = dict(line.split(": ", 1) for line in metadata if line.startswith(("Name: ", "Version: ")))
    if head.get("Name") != OWN or "Version" not in head:
        return None
    begin = points.index(f"[{_GROUP}]") + 1 if f"[{_GROUP}]" in points else len(points)
    section = points[
        begin : next((at for at, line in enumerate(points) if at >= begin and "[" in line), None)
    ]
    return [
        Installed(OWN, head["Version"], _Module(name.strip(), module.strip()))
        for name, equals, module in (line.partition("=") for line in section)
        if equals
    ]


def _is_of_path(finder: object) -> bool:
    """Tell whether a finder is the usual one, which looks into the places of ``sys.path``."""
    return getattr(finder, "__module__", "") == "_frozen_importlib_external"


def _declaring(place: Path) -> Iterator[Path]:
    """Yield the metadata folders in a place of ``sys.path`` that may declare plugins.

    Raises:
        OSError, ValueError: it is no folder, or not all of it can be read.
    """
    if place.suffix.lower() == ".egg":
        raise NotADirectoryError(place)
    for name in os.listdir(place):  # noqa: PTH208  a Path for each takes three times as long
        if name.lower().endswith((".dist-info", ".egg-info")):
            try:
                with open(os.path.join(place, name, "entry_points.txt"), encoding="utf-8") as file:  # noqa: PTH118
                    declared = file.read()
            except (FileNotFoundError, NotADirectoryError):
                continue
            if f"[{_GROUP}]" in declared:
                yield place / name


def _as_metadata_has_them(unreadable: Callable[[str, str, str, Exception], None]) -> Iterator[Installed]:
    """Yield the entry points of the group.

    ``importlib.metadata.entry_points`` is not used: it parses the entry points of everything installed, and one
    distribution that wrote nonsense into its own breaks the lot.
    """
    import importlib.metadata

    names: set[str] = set()
    for distribution in importlib.metadata.distributions():
        try:
            declared = distribution.read_text("entry_points.txt") or ""
            if f"[{_GROUP}]" in declared:
                names.add(_canonical(distribution.metadata["Name"]))
        except Exception as error:  # noqa: BLE001 - a plugin's
            where = str(getattr(distribution, "_path", distribution))
            unreadable(where, "?", _("its metadata"), error)
    for name in names:
        version = "?"
        try:
            # Asked for by name, because a distribution hides those of the same name further down the path.
            distribution = importlib.metadata.distribution(name)
            metadata = distribution.metadata
            version = metadata["Version"] or version
            for point in distribution.entry_points:
                if point.group == _GROUP:
                    yield Installed(metadata["Name"], version, point)
        except Exception as error:  # noqa: BLE001 - a plugin's
            unreadable(name, version, _("its entry points"), error)


def _canonical(name: str) -> str:
    """A distribution's name as packaging tools compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()
