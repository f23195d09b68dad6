"""The language that people are spoken to in: English or Italian, by gettext.

Sentences are English in the code and go through ``_``; ``locale/it`` has what they are in Italian (docs/translating.md).
A program chooses once, at its start (`choose`); who doesn't, a library or a test, gets English. What is a document in a
language of its own, an index for a court for example, is made inside `speaking`.
"""

from __future__ import annotations

import gettext as catalogs
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Final

__all__ = [
    "LANGUAGES",
    "N_",
    "_",
    "choose",
    "current",
    "ngettext",
    "pgettext",
    "preferred",
    "speaking",
    "translation",
    "written",
]

LANGUAGES: Final = ("en", "it")
VARIABLE: Final = "ARCHIPEC_LANG"

_DOMAIN: Final = "archipec"
_FOLDER: Final = Path(__file__).with_name("locale")
_SEPARATORS: Final = {"it": str.maketrans(",.", ".,")}
_ITALIAN: Final = 0x10  # LANG_ITALIAN, the primary language of a Windows LANGID

_chosen = "en"
_speaking: ContextVar[str | None] = ContextVar("_speaking", default=None)


def choose(code: str | None = None) -> None:
    """Choose the language of this process, and of those that it starts from now on.

    Args:
        code: one of `LANGUAGES`; None takes what the user prefers.
    """
    global _chosen
    _chosen = preferred(os.environ) if code is None else code
    os.environ[VARIABLE] = _chosen
    # click has its own sentences translated by gettext's domain of the process, in the language of this variable.
    os.environ["LANGUAGE"] = _chosen
    catalogs.bindtextdomain(_DOMAIN, str(_FOLDER))
    catalogs.textdomain(_DOMAIN)


def current() -> str:
    """Return the language that is spoken here and now, one of `LANGUAGES`."""
    return _speaking.get() or _chosen


@contextmanager
def speaking(code: str) -> Iterator[None]:
    """Speak another language than the program's for a while, in this thread alone.

    Args:
        code: one of `LANGUAGES`.
    """
    token = _speaking.set(code)
    try:
        yield
    finally:
        _speaking.reset(token)


@cache
def translation(code: str) -> catalogs.NullTranslations:
    """Return the sentences of one of `LANGUAGES`, for what takes its translations as an object.

    Those that have no translation are English, and so are all where the catalog is not there.
    """
    return catalogs.translation(_DOMAIN, _FOLDER, [code], fallback=True)


def _(sentence: str) -> str:
    """Return a sentence in the language that is spoken; the empty one is empty in each."""
    code = _speaking.get() or _chosen
    # gettext keeps a catalog's header under the empty sentence.
    return sentence if code == "en" or not sentence else translation(code).gettext(sentence)


def ngettext(one: str, many: str, number: int) -> str:
    """Return the first sentence for one thing and the second for several, in the language that is spoken."""
    return translation(current()).ngettext(one, many, number)


def pgettext(context: str, word: str) -> str:
    """Return a word in the language that is spoken, where it says that of a certain thing: others have a gender."""
    return translation(current()).pgettext(context, word)


def N_(sentence: str, context: str = "") -> str:  # noqa: ARG001, N802  the name that gettext's tools know
    """Mark a sentence that stands where no language is chosen yet, at the top of a module.

    Where it is used ``_`` is called with it, or `pgettext` with the same context.
    """
    return sentence


def written(value: float, digits: int = 0) -> str:
    """Return a number as the language writes it: "2,500.0" or "2.500,0".

    Args:
        digits: how many after the decimal point.
    """
    return f"{value:,.{digits}f}".translate(_SEPARATORS.get(current(), {}))


def preferred(environ: Mapping[str, str]) -> str:
    """Return which of `LANGUAGES` a user prefers: by ARCHIPEC_LANG, else by the locale, else by the system; English by default.

    As with other programs, LANGUAGE is a list that comes before the locale, but for the locale "C".
    """
    if asked := environ.get(VARIABLE):
        return _first_known([asked])
    locale = next((value for name in ("LC_ALL", "LC_MESSAGES", "LANG") if (value := environ.get(name))), "")
    if locale.partition(".")[0] in ("C", "POSIX"):
        return "en"
    wanted = [one for one in environ.get("LANGUAGE", "").split(":") if one] + ([locale] if locale else [])
    return _first_known(wanted or _of_the_system())


def _first_known(locales: list[str]) -> str:
    """Return the first language that there is, of names such as "it_IT.UTF-8", "it-CH" and "it"."""
    codes = [re.split(r"[-_.@]", one)[0].lower() for one in locales]
    return next((code for code in codes if code in LANGUAGES), "en")


def _of_the_system() -> list[str]:
    """Return the languages of the user's desktop, the first one first, where the system has such a setting."""
    if sys.platform == "win32":
        import ctypes

        language = ctypes.windll.kernel32.GetUserDefaultUILanguage() & 0x3FF
        return ["it"] if language == _ITALIAN else []
    if sys.platform == "darwin":
        return _of_macos()
    return []


def _of_macos() -> list[str]:
    import subprocess

    try:
        told = subprocess.run(
            ["/usr/bin/defaults", "read", "-g", "AppleLanguages"],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return re.findall(r"[A-Za-z]{2,3}(?:-\w+)*", told.stdout)
