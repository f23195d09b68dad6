"""Originals saved without their envelope: what a webmail's "download all attachments" makes of certified messages.

The envelope's attachments are ``postacert.eml``, the original message, and ``daticert.xml``; the seal is lost with
the envelope. https://www.rfc-editor.org/rfc/rfc6109#section-4.3
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from archipec.contract import Option, boolean
from archipec.errors import PermanentError, Scope
from archipec.language import _

_ORIGINAL: Final = "postacert.eml"
_CERTIFICATION: Final = "daticert.xml"

LOOSE = Option(
    name="loose",
    help="also take messages that were saved without their envelope (postacert.eml): they bear no seal",
    default=False,
    convert=boolean,
)


def is_loose(name: str, beside: Callable[[], Iterable[str]]) -> bool:
    """Return whether a file is such a message.

    Args:
        name: the file's.
        beside: gives the names in the same folder; asked only where it matters.
    """
    return name.lower() == _ORIGINAL and any(other.lower() == _CERTIFICATION for other in beside())


def envelope_is_missing(what: str) -> PermanentError:
    """Return the error for such a message, when it isn't wanted."""
    return PermanentError(
        _("{what}: the envelope is missing: download the message itself").format(what=what),
        hint=_("--loose takes it as it is, without a seal"),
        scope=Scope.MESSAGE,
    )
