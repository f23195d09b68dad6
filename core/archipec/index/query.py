"""What a person types to search, and the expression of SQLite's FTS5 that finds it.

Words must all occur, in any place of a message; ``"a phrase"`` as it stands; ``AND``, ``OR``, ``NOT`` in capitals, ``-word`` for
``NOT word``; ``comun*`` for every word that begins so; parentheses. Case and accents count for nothing. What a word holds
besides letters and digits (``dell'art.``, ``studio@pec.it``, ``2026-09``) makes a phrase of it, so it is found as it is typed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final, NamedTuple

from archipec.errors import USAGE, ArchipecError
from archipec.language import _

__all__ = ["Query", "QueryError", "parse_query", "phrase"]

_MAX_WORDS = 200
_MAX_DEPTH = 20
# Quotes of every form; and what SQLite takes in no text: NUL, and a half of a surrogate pair.
_PLAIN: Final = str.maketrans(
    dict.fromkeys("“”„‟«»", '"') | {"\0": " "} | dict.fromkeys(map(chr, range(0xD800, 0xE000)), " ")
)
_TOKEN = re.compile(r'(?P<open>-?\()|(?P<close>\))|(?P<phrase>-?"[^"]*(?:"|$)\*?)|(?P<word>[^\s()"]+)')
_OPERATORS = ("AND", "OR", "NOT")


class QueryError(ArchipecError):
    """What was typed can't be searched for."""

    exit_code = USAGE


class Query(NamedTuple):
    """Which messages: those that ``include`` finds and ``exclude`` does not, both expressions of FTS5.

    An empty ``include`` is every message, an empty ``exclude`` none.
    """

    include: str = ""
    exclude: str = ""

    def within(self, columns: Sequence[str], text: str) -> Query:
        """Return this query for messages that also have a text in one of these columns (`phrase`)."""
        found = f"{{{' '.join(columns)}}} : {text}"
        return Query(
            f"({self.include}) AND {found}" if self.include else found,
            self.exclude,
        )


def phrase(text: str, *, prefix: bool = False) -> str:
    """Return the expression for a text as it stands; empty when no letter or digit is in it.

    Args:
        prefix: its last word may go on.
    """
    text = text.translate(_PLAIN).replace('"', " ")
    if not any(map(_is_searched, text)):
        return ""
    return f'"{text}"{" *" if prefix else ""}'


def parse_query(text: str) -> Query:
    """Return the query that a text means; an empty text means every message.

    Raises:
        QueryError: it is incomplete, or asks for what can't be searched for; the message says what, and the hint how to
            write it.
    """
    tokens = _tokens(text.translate(_PLAIN))
    parser = _Parser(tokens)
    query = parser.alternatives()
    if parser.left:
        raise QueryError(
            _("there is a ) without its ("), hint=_("put a text with parentheses in double quotes")
        )
    if tokens and not (query.include or query.exclude):
        raise QueryError(
            _("there is no letter or digit in {text}").format(text=repr(text.strip())),
            hint=_("give a word to search for"),
        )
    return query


class _Token(NamedTuple):
    kind: str  # ( ) text AND OR NOT
    text: str = ""


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    for match in _TOKEN.finditer(text):
        whole = match[0]
        if whole in _OPERATORS:
            found.append(_Token(whole))
            continue
        if whole.startswith("-") and (match.lastgroup != "word" or any(map(_is_searched, whole))):
            found.append(_Token("NOT"))
            whole = whole[1:]
        if match.lastgroup in ("open", "close"):
            found.append(_Token(whole))
        else:
            found.append(_Token("text", _expression(whole, quoted=match.lastgroup == "phrase")))
    if sum(one.kind == "text" for one in found) > _MAX_WORDS:
        raise QueryError(
            _("that is more than {max_words} words").format(max_words=_MAX_WORDS),
            hint=_("search for fewer of them"),
        )
    return found


def _expression(text: str, *, quoted: bool) -> str:
    prefix = text.endswith("*")
    stem = text.rstrip("*")
    if not quoted and "*" in stem and any(map(_is_searched, stem)):
        raise QueryError(
            _("a * can only stand at the end of a word, not as in {text}").format(text=repr(text)),
            hint=_("the names of attachments are searched by --attachment GLOB"),
        )
    return phrase(stem, prefix=prefix)


def _is_searched(letter: str) -> bool:
    """Tell whether the index takes a character for part of a word (``unicode61``)."""
    category = unicodedata.category(letter)
    return category[0] in "LN" or category == "Co"


class _Parser:
    """Recursive descent; ``OR`` binds less than ``AND``, which need not be written, and that less than ``NOT``."""

    def __init__(self, tokens: Sequence[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    @property
    def left(self) -> bool:
        return self._at < len(self._tokens)

    def alternatives(self) -> Query:
        found = [self._together()]
        while self._next() == "OR":
            self._operator()
            found.append(self._together())
        found = [one for one in found if one.include or one.exclude]
        if len(found) < 2:
            return found[0] if found else Query()
        if not all(one.include for one in found):
            raise QueryError(
                _("what is left out can't stand beside OR"),
                hint=_("write it behind what is searched for: (a OR b) -c"),
            )
        return Query(" OR ".join(map(_closed, found)))

    def _together(self) -> Query:
        found: list[Query] = []
        while self._next() in ("text", "(", "NOT", "AND"):
            if self._next() == "AND":
                if not found:
                    self._misplaced("AND")
                self._operator()
            found.append(self._one())
        if not found:
            self._misplaced(self._next() if self._next() == "OR" else "")
        include = " AND ".join(f"({one.include})" for one in found if one.include)
        exclude = " OR ".join(f"({one.exclude})" for one in found if one.exclude)
        return Query(include, exclude)

    def _one(self) -> Query:
        match self._next():
            case "NOT":
                self._operator()
                found = self._one()
                if found.include and found.exclude:
                    raise QueryError(
                        _("what is left out has itself something left out"),
                        hint=_("write it without the inner NOT or -"),
                    )
                return Query(found.exclude, found.include)
            case "(":
                return self._group()
            case "text":
                found = Query(self._tokens[self._at].text)
                self._at += 1
                return found
            case other:
                self._misplaced(other)
                raise AssertionError

    def _group(self) -> Query:
        self._at += 1
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise QueryError(
                _("there are more than {max_depth} parentheses in each other").format(max_depth=_MAX_DEPTH),
                hint=_("use fewer"),
            )
        found = Query() if self._next() == ")" else self.alternatives()
        if self._next() != ")":
            raise QueryError(
                _("there is a ( without its )"), hint=_("put a text with parentheses in double quotes")
            )
        self._at += 1
        self._depth -= 1
        return found

    def _operator(self) -> None:
        """Step over an operator; something must follow."""
        name = self._next()
        self._at += 1
        if self._next() not in ("text", "(", "NOT"):
            self._misplaced(name)

    def _next(self) -> str:
        return self._tokens[self._at].kind if self.left else ""

    def _misplaced(self, name: str) -> None:
        if name in _OPERATORS:
            stands = _("stands before a word") if name == "NOT" else _("stands between two words")
            raise QueryError(
                f"{name} {stands}",
                hint=_('to search for the word itself, write "{name}" in quotes').format(name=name),
            )
        if self.left:
            raise QueryError(
                _("there is a ) without its ("), hint=_("put a text with parentheses in double quotes")
            )


def _closed(query: Query) -> str:
    return f"(({query.include}) NOT ({query.exclude}))" if query.exclude else f"({query.include})"
