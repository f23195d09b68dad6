"""The URL shorthand of sources, sinks and post-steps: it says what a TOML table says, on one line.

::

    imaps://user@host:993/FOLDER?connections=2&password=env:NAME     a server
    maildir:DIR                                                       a place on this machine

Differences from RFC 3986, for people's sake: the user may hold ``@`` and ``/`` as logins do (it ends at the last
``@`` before the path, and the path begins at the first ``/`` after the first ``@``); a backslash, a space or a ``#``
stands for itself; ``+`` is no space. Anything else is written as ``%XX``.

Errors don't repeat the text: a password may be in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from archipec.errors import ConfigError
from archipec.language import N_, _
from archipec.options import Option

# From two letters up: one letter and a colon are a Windows drive.
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(.*)", re.DOTALL)
_BEGINNING = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+(?:%25[^\]]+)?\]|[^\[\]:]*)(?::([0-9]*))?")
_DRIVE = re.compile(r"/[A-Za-z]:(?![^/\\])")
_NOT_HERE: Final = N_(
    "a password does not belong into an address: give a reference, as in ?password=env:NAME, "
    'and write ":" in a user name as %3A and "@" in a folder as %40'
)


def is_url(text: str) -> bool:
    """Tell whether a text begins as a URL does: no address and no drive has a scheme and a colon."""
    return _BEGINNING.match(text) is not None


@dataclass(frozen=True, slots=True)
class Shorthand:
    """A URL in pieces, decoded.

    Attributes:
        scheme: in lower case.
        parts: user, host, port and path, as far as they are there. An IPv6 host has no brackets, a path after a host no leading slash.
        parameters: of the query, in order; a repeated one has several values.
    """

    scheme: str
    parts: Mapping[str, str]
    parameters: Mapping[str, tuple[str, ...]]


def split_url(url: str) -> Shorthand:
    """Take a URL apart.

    Raises:
        ConfigError: it is not a URL. Neither message nor hint repeats more of it than the scheme.
    """
    match = _URL.fullmatch(url)
    if match is None:
        raise ConfigError(
            _("an address begins with what it is"), hint=_("for example maildir:DIR or imaps://user@host")
        )
    scheme, rest = match[1].lower(), match[2]
    place, _ignored, query = rest.partition("?")
    parts = _authority_and_path(scheme, place[2:]) if place.startswith("//") else _path(scheme, place)
    return Shorthand(scheme, parts, _parameters(scheme, query))


def as_table(url: Shorthand, options: Iterable[Option]) -> tuple[dict[str, object], list[str]]:
    """Return the table of options that a URL stands for.

    Returns:
        the table, and what is wrong: a part that no option takes, or that is given again as a parameter.
    """
    table: dict[str, object] = {
        name: values[0] if len(values) == 1 else list(values) for name, values in url.parameters.items()
    }
    takers: dict[str, str] = {option.part: option.name for option in options if option.part}
    given = dict(url.parts)
    if "scheme" in takers:
        given["scheme"] = url.scheme
    problems = []
    for part, value in given.items():
        name = takers.get(part)
        if name is None:
            here = (
                _(": write {scheme}:DIR").format(scheme=url.scheme)
                if part == "host" and "path" in takers
                else ""
            )
            problems.append(_("takes no {part}").format(part=part) + here)
        elif name in table:
            problems.append(
                _('option "{name}" is given twice, as the {part} and as a parameter').format(
                    name=name, part=part
                )
            )
        else:
            table[name] = value
    return table, problems


def _authority_and_path(scheme: str, text: str) -> dict[str, str]:
    """Take apart what follows ``//``."""
    slash = text.find("/", text.find("@") + 1)
    authority, path = (text, "") if slash < 0 else (text[:slash], text[slash + 1 :])
    parts: dict[str, str] = {}
    userinfo, at, address = authority.rpartition("@")
    if ":" in userinfo:
        raise ConfigError(_(_NOT_HERE))
    if at:
        parts["user"] = _decoded(userinfo, scheme)
    match = _HOST_PORT.fullmatch(address)
    if match is None:
        # "user:secret/…@host" with an encoded "@" ends up here.
        raise ConfigError(_("what follows the host must be a port number; {hint}").format(hint=_(_NOT_HERE)))
    host, port = match[1], match[2]
    if host:
        parts["host"] = _decoded(host.strip("[]"), scheme)
    if port:
        parts["port"] = port
    if not authority and slash >= 0:
        # scheme:///DIR, as in file URLs: there the slash belongs to the path, save before a Windows drive.
        path = "/" + path
        path = path[1:] if _DRIVE.match(path) else path
    return parts | _path(scheme, path)


def _path(scheme: str, text: str) -> dict[str, str]:
    return {"path": _decoded(text, scheme)} if text else {}


def _parameters(scheme: str, query: str) -> dict[str, tuple[str, ...]]:
    parameters: dict[str, tuple[str, ...]] = {}
    for item in query.split("&"):
        name, equals, value = item.partition("=")
        if not item:
            continue
        if not equals or not name:
            raise ConfigError(_('a parameter after "?" is written name=value, and a "?" in a path as %3F'))
        name = _decoded(name, scheme)
        parameters[name] = (*parameters.get(name, ()), _decoded(value, scheme))
    return parameters


def _decoded(text: str, scheme: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        problem = _("a %XX in this {scheme} address is not UTF-8").format(scheme=scheme)
    # Not inside: the exception carries the text along.
    raise ConfigError(problem)
