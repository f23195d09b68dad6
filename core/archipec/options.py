"""A plugin's settings, declared as data: one list drives validation, help, the wizard and the URL shorthand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from archipec.errors import ConfigError
from archipec.language import _

__all__ = [
    "Option",
    "Secret",
    "boolean",
    "byte_size",
    "choice",
    "file_path",
    "nearest",
    "port_number",
    "positive",
    "read_options",
    "strings",
    "text",
]

UrlPart = Literal["", "scheme", "user", "host", "port", "path"]
OptionKind = Literal["", "path"]


class Secret(Protocol):
    """A password that is fetched when it is needed and never shown: its ``repr`` is ``***``."""

    def reveal(self) -> str:
        """Return the secret.

        Raises:
            ConfigError: when the reference leads nowhere.
        """
        ...


def text(value: object) -> str:
    """Accept any non-empty string."""
    if not isinstance(value, str) or not value:
        raise ValueError(_("must be text"))
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One setting of a plugin.

    Attributes:
        name: the key in a TOML table and the parameter in a URL. Not "type", "name" or "required", which
            mean something in every table.
        help: one line for the user.
        required: must be given.
        default: the value when it is not given, already converted.
        secret: holds a reference to a secret; the plugin always receives a `Secret`, which without a reference
            asks the keyring and then the person. When also ``required``, it is fetched before the run begins.
        unit: of the value, for help texts ("bytes", "seconds").
        part: the part of a URL that fills it.
        kind: "path" for a file or folder on this machine: the host then gives ``convert`` a whole path, in which a
            relative one begins beside the TOML file (of a URL: at the current folder) and ``~`` is the user's home.
            It is that by itself where ``convert`` is `file_path`.
        convert: turns a TOML value, or the text from a URL, into the value the plugin wants;
            raises ValueError with what it must be ("must be a number").
        formerly: names it had: for a table that has one of them the error gives the new name.
    """

    name: str
    help: str
    required: bool = False
    default: object = None
    secret: bool = False
    unit: str = ""
    part: UrlPart = ""
    convert: Callable[[object], object] = text
    kind: OptionKind = ""

    def __post_init__(self) -> None:
        if self.convert is file_path and not self.kind:
            object.__setattr__(self, "kind", "path")

    formerly: tuple[str, ...] = ()


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ``', did you mean "x"?'`` for the known word closest to ``word``, or an empty string."""
    import difflib

    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return _(', did you mean "{close}"?').format(close=close[0]) if close else ""


def read_options(options: Sequence[Option], table: Mapping[str, object], what: str) -> dict[str, object]:
    """Return the value of every option, converted, defaults filled in.

    Args:
        table: what was configured.
        what: names the table in problems ('sink "maildir"').

    Raises:
        ConfigError: naming every unknown key, missing value and wrong value at once.
    """
    known = {option.name: option for option in options}
    renamed = {old: option.name for option in options for old in option.formerly}
    problems = [
        _('{what}: option "{key}" has been renamed to "{renamed}"').format(
            what=what, key=key, renamed=renamed[key]
        )
        if key in renamed
        else _('{what}: unknown option "{key}"{nearest}').format(
            what=what, key=key, nearest=nearest(key, known)
        )
        for key in table
        if key not in known
    ]
    values: dict[str, object] = {}
    for option in options:
        given = table.get(option.name)
        if given is None:
            if option.required and not option.secret:
                problems.append(
                    _('{what}: option "{name}" is missing ({help})').format(
                        what=what, name=option.name, help=_(option.help)
                    )
                )
            values[option.name] = option.default
            continue
        try:
            values[option.name] = given if option.secret else option.convert(given)
        except ValueError as error:
            problems.append(
                _('{what}: option "{name}" {error}, not {given}').format(
                    what=what, name=option.name, error=error, given=repr(given)
                )
            )
    if problems:
        raise ConfigError(problems)
    return values


def positive(value: object) -> int:
    """Accept a whole number above zero, also as text."""
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, str))
        or not str(value).isdecimal()
        or not int(value)
    ):
        raise ValueError(_("must be a whole number above 0"))
    return int(value)


def port_number(value: object) -> int:
    """Accept a TCP port."""
    number = positive(value)
    if number > 65535:
        raise ValueError(_("must be a port, 1 to 65535"))
    return number


def boolean(value: object) -> bool:
    """Accept true or false, and in a URL also yes, no, 1, 0, on, off."""
    if isinstance(value, bool):
        return value
    word = str(value).lower()
    if word in {"true", "yes", "1", "on"}:
        return True
    if word in {"false", "no", "0", "off"}:
        return False
    raise ValueError(_("must be true or false"))


def choice(*words: str) -> Callable[[object], str]:
    """Accept one of ``words``."""

    def convert(value: object) -> str:
        if value not in words:
            raise ValueError(
                _("must be one of {words}{nearest}").format(
                    words=", ".join(words), nearest=nearest(str(value), words)
                )
            )
        return str(value)

    return convert


def file_path(value: object) -> Path:
    """Accept a path; ``~`` is the user's home, and the result is absolute."""
    if not isinstance(value, Path):
        if not isinstance(value, str) or not value or "\0" in value:
            raise ValueError(_("must be a path"))
        value = Path(value)
    try:
        return value.expanduser().absolute()
    except RuntimeError as error:
        raise ValueError(_("must be a path below the home of a user there is")) from error


def strings(value: object) -> tuple[str, ...]:
    """Accept a list of texts, or one text."""
    items = (value,) if isinstance(value, str) else value
    if not isinstance(items, (list, tuple)) or not all(isinstance(item, str) and item for item in items):
        raise ValueError(_("must be a list of texts"))
    return tuple(items)


_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


def byte_size(value: object) -> int:
    """Accept a number of bytes: 1500000, "20 MB", "2GiB"."""
    word = str(value).strip().upper()
    number = word.rstrip("BIKMGT ")
    unit = word[len(number) :].strip()
    if isinstance(value, bool) or not number.isdecimal() or unit not in _UNITS:
        raise ValueError(_('must be a size such as "2 GB"'))
    return int(number) * _UNITS[unit]
