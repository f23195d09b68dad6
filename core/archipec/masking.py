"""Keeps secrets out of what is printed and stored: who reveals one says so here, who shows text has it masked.

What can't be known can't be masked: a token that a server gives for the password is the plugin's to keep to itself.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from typing import Any, Final

MASK: Final = "***"

# Every text has an "x" in it: masking so short a secret would hide what is said, and show that it is one.
_SHORTEST = 4
# A shorter one is masked where it stands alone only: "1234" is a part of many numbers and hashes.
_ANYWHERE = 8
_SHORTEST_ENCODED = 6  # characters of base64 that are sure to be those of the secret
_BASE64: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_=")

_lock = threading.Lock()
_hidden: set[str] = set()
_forms: set[str] = set()
_encoded: set[str] = set()
_pattern: re.Pattern[str] | None = None


def hide(secret: str) -> None:
    """Have a secret masked from now on, as it is and as programs write it: quoted, escaped, in base64.

    One of less than 4 characters isn't: it would be masked in every word.
    """
    global _pattern
    with _lock:
        if len(secret) < _SHORTEST or secret in _hidden:
            return
        _hidden.add(secret)
        _forms.update(_as_written(secret))
        for raw in _as_bytes(secret):
            _encoded.update(_in_base64(raw))
        forms = sorted(_forms, key=len, reverse=True)
        choices = [_alone(one) if len(one) < _ANYWHERE else re.escape(one) for one in forms]
        codes = [re.escape(one) for one in sorted(_encoded, key=len, reverse=True)]
        _pattern = re.compile("|".join([*choices, *(f"(?P<code>{one})" for one in ["|".join(codes)] if one)]))


def mask(text: str) -> str:
    """Return a text with every known secret in it replaced by ``***``."""
    if _pattern is None:
        return text
    parts: list[str] = []
    done = 0
    for found in _pattern.finditer(text):
        start, end = found.span()
        if found.lastgroup == "code":
            # What stands around it in the same code has some of its bits.
            while start > done and text[start - 1] in _BASE64:
                start -= 1
            while end < len(text) and text[end] in _BASE64:
                end += 1
        if end > done:
            parts += (text[done : max(start, done)], MASK)
            done = end
    return "".join((*parts, text[done:])) if parts else text


def mask_json(value: Any) -> Any:
    """Return a JSON value with its texts masked: keys and numbers are as they were."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict):
        return {key: mask_json(one) for key, one in value.items()}
    if isinstance(value, list):
        return [mask_json(one) for one in value]
    return value


def _alone(form: str) -> str:
    """A pattern that finds a short form where no letter or digit goes on."""
    before = r"(?<![^\W_])" if form[:1].isalnum() else ""
    after = r"(?![^\W_])" if form[-1:].isalnum() else ""
    return f"{before}{re.escape(form)}{after}"


def _as_written(secret: str) -> Iterator[str]:
    # Not at every start: most commands have no secret.
    import html
    import json
    import shlex
    from urllib.parse import quote, quote_plus

    yield from (secret, " ".join(secret.split()), repr(secret)[1:-1], shlex.quote(secret))
    yield from (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1])
    yield secret.replace("\\", "\\\\").replace('"', '\\"')  # a quoted string of RFC 9051
    yield secret.encode("unicode_escape").decode("ascii")
    yield from (html.escape(secret), html.escape(secret, quote=False))
    for one in (quote(secret, safe=""), quote(secret), quote_plus(secret)):
        yield one
        yield re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), one)
    for raw in _as_bytes(secret):
        yield repr(raw)[2:-1]
        if len(raw) >= _SHORTEST:
            yield from (raw.hex(), raw.hex().upper())


def _as_bytes(secret: str) -> Iterator[bytes]:
    for charset in ("utf-8", "latin-1"):
        try:
            yield secret.encode(charset)
        except UnicodeEncodeError:
            continue


def _in_base64(raw: bytes) -> Iterator[str]:
    """Yield what base64 makes of it wherever it begins in what is encoded: ``user NUL password`` of RFC 4616."""
    import base64

    for offset in range(3):
        code = base64.b64encode(bytes(offset) + raw).decode("ascii")
        # Without the characters that have bits of what stands before or behind.
        sure = code[(0, 2, 3)[offset] : (offset + len(raw)) * 8 // 6]
        if len(sure) >= _SHORTEST_ENCODED:
            yield sure
            yield sure.replace("+", "-").replace("/", "_")
