"""Hides secrets in what servers say: some repeat what they were sent."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

_MASKED = b"***"
# One of fewer characters occurs within words by chance: it is hidden where it stands by itself.
_SHORT = 6


class Mask:
    """Replaces a password in all the forms it is sent in or may be repeated in.

    Args:
        user: the login, which goes with the password into AUTHENTICATE.
        password: empty for none.
    """

    def __init__(self, user: str, password: str) -> None:
        forms = sorted(set(_forms(user, password)), key=len, reverse=True) if password else []
        self._expression = re.compile(b"|".join(map(_pattern, forms)), re.IGNORECASE) if forms else None

    def __call__(self, data: bytes) -> bytes:
        """Return what may be shown of ``data``."""
        return data if self._expression is None else self._expression.sub(_MASKED, data)


def _pattern(form: bytes) -> bytes:
    pattern = re.escape(form)
    if len(form) >= _SHORT:
        return pattern
    return rb"(?<![A-Za-z0-9])" + pattern + rb"(?![A-Za-z0-9])"


def _forms(user: str, password: str) -> Iterator[bytes]:
    for encoding in ("utf-8", "latin-1"):
        raw = password.encode(encoding, "replace")
        yield raw
        # As it stands in a quoted string, and as programs show strings.
        yield raw.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
        yield ascii(raw.decode("latin-1"))[1:-1].encode()
        yield quote(raw, safe="").encode()
        yield quote(raw).encode()
        yield quote_plus(raw).encode()
        yield "".join(f"%{byte:02X}" for byte in raw).encode()
        yield raw.hex().encode()
        logins = (user, user.partition("@")[0])
        yield from _in_base64([raw, *(_plain(login.encode(encoding, "replace"), raw) for login in logins)])
        yield from _in_base64([_plain(user.encode(), raw, user.encode())])


def _plain(user: bytes, password: bytes, authorised: bytes = b"") -> bytes:
    """The answer to AUTHENTICATE PLAIN (RFC 4616)."""
    return authorised + b"\0" + user + b"\0" + password


def _in_base64(texts: Iterable[bytes]) -> Iterator[bytes]:
    for text in texts:
        for encoded in (base64.b64encode(text), base64.urlsafe_b64encode(text)):
            yield encoded
            yield encoded.rstrip(b"=")
