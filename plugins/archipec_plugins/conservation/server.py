"""The settings of a provider's server, the same for every protocol, and what goes wrong on the way to it."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from archipec.contract import Option, file_path, port_number, positive, text
from archipec.errors import ArchipecError, ConfigError, PermanentError, Scope, TransientError
from archipec.language import _

if TYPE_CHECKING:
    import ssl

MAX_NAMES: Final = 200_000
"""Entries of a folder that are listed: more is a mistake or an attack."""

_EXTRA: Final = "archipec[conservation]"

CA_FILE: Final = Option(
    name="ca_file",
    help="certificates of further authorities to trust, in PEM format",
    convert=file_path,
)


def server_options(port: int, path: str, *, default_path: str = "", timeout: int = 60) -> tuple[Option, ...]:
    """Return the options of a server.

    Args:
        port: the usual one.
        path: what the path on the server is, for help.
    """
    return (
        Option(name="user", help="the login", required=True, part="user"),
        Option(name="host", help="the server", required=True, part="host"),
        Option(name="port", help="its port", default=port, part="port", convert=port_number),
        Option(name="path", help=path, default=default_path, part="path", convert=text),
        Option(
            name="timeout",
            help="how long to wait for the server",
            default=timeout,
            unit="seconds",
            convert=positive,
        ),
    )


def check_server(values: Mapping[str, Any], *packages: str) -> Iterator[str]:
    """Yield what is wrong with a server's settings.

    Args:
        packages: of Python, that the provider needs and archipec alone does not bring along.
    """
    host, user, path = values["host"], values["user"], values["path"]
    if not re.fullmatch(r"[A-Za-z0-9._:-]+", host):
        yield _('option "host" must be the name of a server, not {host}').format(host=repr(host))
    if not user.isprintable():
        yield _('option "user" must be a login, not {user}').format(user=repr(user))
    if not path.isprintable() or ".." in path.split("/"):
        yield _('option "path" must be a path on the server, not {path}').format(path=repr(path))
    for package in packages:
        if importlib.util.find_spec(package) is None:
            yield _("this provider needs the Python package {package}: pip install '{extra}'").format(
                package=package, extra=_EXTRA
            )


def parse_with(
    parse: Callable[[Mapping[str, Any]], Any], values: Mapping[str, Any], problems: Iterable[str]
) -> Any:
    """Return what ``parse`` makes of the values.

    Raises:
        ConfigError: with ``problems`` and those ``parse`` finds.
    """
    found = list(problems)
    try:
        config = parse(values)
    except ConfigError as error:
        found += error.problems
    if found:
        raise ConfigError(found)
    return config


def address(values: Mapping[str, Any]) -> str:
    """Return host and port, as messages name the server."""
    return f"{_host(values)}:{values['port']}"


def server_url(scheme: str, values: Mapping[str, Any], usual_port: int) -> str:
    """Return the canonical URL of a place on a server."""
    from urllib.parse import quote

    port = "" if values["port"] == usual_port else f":{values['port']}"
    path = quote(values["path"].strip("/"), safe="/")
    root = "/" if values["path"].startswith("/") else ""
    return (
        f"conservation+{scheme}://{quote(values['user'], safe='')}@{_host(values).lower()}{port}/{root}{path}"
    )


def _host(values: Mapping[str, Any]) -> str:
    host: str = values["host"]
    return f"[{host}]" if ":" in host else host


def password_of(values: Mapping[str, Any], name: str = "password") -> str:
    """Fetch a secret of the settings.

    Raises:
        ConfigError: when the reference leads nowhere.
    """
    return str(values[name].reveal())


def bounded(names: Iterable[str], where: str) -> Iterator[str]:
    """Yield the names of a folder's listing.

    Raises:
        PermanentError: there are too many.
    """
    for number, name in enumerate(names):
        check_number(number, where)
        yield name


def check_number(number: int, where: str) -> None:
    """Refuse to go on listing after ``number`` names.

    Raises:
        PermanentError: there are too many.
    """
    if number >= MAX_NAMES:
        raise PermanentError(
            _("{where} lists more than {most} names").format(where=where, most=MAX_NAMES),
            hint=_("have old packages and reports moved away"),
        )


def of_this_file(error: ArchipecError) -> ArchipecError:
    """Say of an error that only a change removes that it reaches no further than the file that was to be read."""
    if isinstance(error, PermanentError):
        error.scope = Scope.MESSAGE
    return error


def tls_context(values: Mapping[str, Any]) -> ssl.SSLContext:
    """Return what TLS with the server trusts: the system's authorities and those of ``ca_file``."""
    from archipec_plugins.net.connection import tls_context as trusting

    return trusting(values["ca_file"])


def lost(error: Exception, where: str) -> ArchipecError:
    """Return the error for a connection that could not be made, or broke.

    Args:
        where: `address`.
    """
    import math
    import socket
    import ssl

    if isinstance(error, ssl.SSLCertVerificationError):
        return PermanentError(
            _("the certificate of {where} is not trusted: {reason}").format(
                where=where, reason=error.verify_message.lower().rstrip(".")
            ),
            hint=_("check the host's name; ca_file adds an authority that this computer does not know"),
        )
    if isinstance(error, TimeoutError):
        return TransientError(_("{where} has not answered in time").format(where=where))
    if isinstance(error, socket.gaierror) and error.errno != socket.EAI_AGAIN:
        return TransientError(
            _("the host of {where} is unknown").format(where=where),
            hint=_("check its spelling and the network"),
            retry_after=math.inf,
        )
    reason = (
        getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error) or _("cut short")
    )
    return TransientError(
        _("the connection to {where} broke: {reason}").format(
            where=where, reason=str(reason).lower().rstrip(".")
        )
    )
