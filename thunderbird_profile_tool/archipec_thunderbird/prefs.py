"""Reads and writes a profile's settings: prefs.js, and user.js, which Thunderbird applies over it at every start.

Syntax: modules/libpref/parser/src/lib.rs, Mozilla. Everything in prefs.js that is not asked to change stays byte for
byte as it is. Thunderbird writes the file anew when it ends, so whoever writes holds the profile's lock.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from archipec.durability import write_file
from archipec.errors import PermanentError, from_os_error
from archipec.language import _

__all__ = ["PREFS", "USER", "Value", "read_prefs", "read_prefs_file", "write_prefs"]

PREFS: Final = "prefs.js"
USER: Final = "user.js"

Value = bool | int | str
"""What a setting can be: a boolean, a number of 32 bits, or text."""

_MOST: Final = 32 << 20  # bytes; large ones have some hundred thousand
_STRING: Final = r"""(?:"(?:[^"\\]|\\.)*(?:"|\Z)|'(?:[^'\\]|\\.)*(?:'|\Z))"""
# Comments and strings are passed over whole: what looks like a setting inside them is none.
_TOKEN = re.compile(
    rf"""//[^\n]* | \#[^\n]* | /\*.*?(?:\*/|\Z)
    | \b(?:user_|sticky_)?pref\s{{0,99}}\(\s{{0,99}}(?P<name>{_STRING})\s{{0,99}},\s{{0,99}}
      (?P<value>{_STRING}|[+-]?\d{{1,10}}|true|false)\s{{0,99}}\)\s{{0,99}};
    | {_STRING}""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"""\\(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|(.))""", re.DOTALL)
_ESCAPED: Final = {"n": "\n", "r": "\r"}
_HEADER: Final = "// Mozilla User Preferences\n\n"


def read_prefs(profile: Path) -> dict[str, Value]:
    """Return the settings in force at Thunderbird's next start: those of prefs.js, user.js over them.

    Raises:
        ArchipecError: a file can't be read.
    """
    return {**read_prefs_file(profile / PREFS), **read_prefs_file(profile / USER)}


def read_prefs_file(path: Path) -> dict[str, Value]:
    """Return the settings of one file; none of one that is not there. What can't be understood is passed over.

    Raises:
        ArchipecError: it can't be read.
    """
    return {_text(match["name"]): _value(match["value"]) for match in _settings(_read(path))}


def write_prefs(profile: Path, changes: Mapping[str, Value | None]) -> None:
    """Change settings in prefs.js, as Thunderbird would write them: sorted by name; None removes one.

    Thunderbird keeps a setting only while it differs from the default: one that goes back to it is removed.

    Raises:
        ArchipecError: it can't be read or written; it is then as it was.
    """
    path = profile / PREFS
    text = _read(path) or _HEADER
    for name, value in changes.items():
        text = _changed(text, name, value)
    try:
        write_file(path, text.encode("utf-8", "surrogateescape"), keep_mode=True)
    except OSError as error:
        raise from_os_error(error, path) from error


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST + 1)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise from_os_error(error, path) from error
    if len(data) > _MOST:
        raise PermanentError(
            _("{path}: longer than any file of settings").format(path=path), hint=_("is it Thunderbird's?")
        )
    return data.decode("utf-8", "surrogateescape")


def _settings(text: str) -> Iterator[re.Match[str]]:
    return (match for match in _TOKEN.finditer(text) if match["name"])


def _changed(text: str, name: str, value: Value | None) -> str:
    """Return a file's text with one setting changed, wherever it stands, or put where its name sorts."""
    new_line = "\r\n" if "\r\n" in text else "\n"
    line = "" if value is None else f"user_pref({_literal(name)}, {_literal(value)});"
    pieces, end, place = [], 0, None
    found = False
    for match in _settings(text):
        known = _text(match["name"])
        if known == name:
            found = True
            pieces += [text[end : match.start()], line]
            end = match.end()
            if not line:
                end += len(new_line) if text.startswith(new_line, end) else 0
        elif place is None and known.encode("utf-8", "replace") > name.encode("utf-8", "replace"):
            place = match.start()
    if found or not line:
        return "".join((*pieces, text[end:]))
    if place is None:
        return text + ("" if text.endswith(("\n", "\r")) else new_line) + line + new_line
    return text[:place] + line + new_line + text[place:]


def _value(literal: str) -> Value:
    if literal in ("true", "false"):
        return literal == "true"
    return _text(literal) if literal[0] in "\"'" else int(literal)


def _text(literal: str) -> str:
    return _ESCAPE.sub(
        lambda match: (
            chr(int(match[1] or match[2], 16)) if match[3] is None else _ESCAPED.get(match[3], match[3])
        ),
        literal[1:-1],
    )


def _literal(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'
