"""Who is behind an address: the user's own table. A PEC gives addresses, the law's metadata want names.

The file is TOML, a table for each address::

    ["studio@pec.example.it"]
    name = "Studio Bianchi e Rossi"
    tax_code = "01234567890"

    ["mario.rossi@pec.example.it"]
    first_name = "Mario"
    last_name = "Rossi"
    tax_code = "RSSMRA80A01H501U"

An address that is not in it is named by itself and marked as not identified. No tax code is ever made up.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

from archipec.conservation.terms import Terms
from archipec.durability import read_named
from archipec.errors import ConfigError, from_os_error

_LARGEST = 16 << 20  # bytes of a file of settings

UNIDENTIFIED: Final = "non identificato"
_ORGANISATION = re.compile(r"[0-9]{11}")
_PERSON = re.compile(
    r"[A-Z]{6}[0-9LMNPQRSTUV]{2}[A-Z][0-9LMNPQRSTUV]{2}[A-Z][0-9LMNPQRSTUV]{3}[A-Z]|[0-9]{11}"
)
_KEYS = frozenset({"name", "first_name", "last_name", "tax_code"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Who is behind an address.

    Attributes:
        name: of an organisation; of a person empty.
        tax_code: codice fiscale or partita IVA as the user gave it, empty when unknown.
    """

    address: str
    name: str = ""
    first_name: str = ""
    last_name: str = ""
    tax_code: str = ""

    @property
    def is_person(self) -> bool:
        """Whether it is a natural person."""
        return bool(self.last_name)

    @property
    def is_identified(self) -> bool:
        """Whether the user said who it is."""
        return bool(self.name or self.last_name)

    @property
    def formal_name(self) -> str:
        """The name, or the address marked as not identified."""
        if self.is_person:
            return f"{self.first_name} {self.last_name}"
        return self.name or f"{self.address or 'indirizzo sconosciuto'} ({UNIDENTIFIED})"


class Subjects:
    """The table. Addresses are compared without regard to case."""

    def __init__(self, subjects: Iterable[Subject] = ()) -> None:
        self._known = {one.address.casefold(): one for one in subjects}

    def of(self, address: str) -> Subject:
        """Return who is behind an address."""
        return self._known.get(address.strip().casefold()) or Subject(address=address.strip())


def load_subjects(path: Path | None) -> Subjects:
    """Read the table; an empty one when there is no path.

    Raises:
        ConfigError: with every problem of the file.
    """
    if path is None:
        return Subjects()
    problems: list[str] = []
    subjects = []
    for address, row in _read(path).items():
        what = f'{path}: "{address}"'
        if not isinstance(row, dict) or not all(isinstance(value, str) for value in row.values()):
            problems.append(f"{what} must be a table of texts")
            continue
        problems += [f'{what}: unknown key "{key}"' for key in row.keys() - _KEYS]
        subject = Subject(address=address, **{key: row[key].strip() for key in row.keys() & _KEYS})
        problems += [f"{what} {problem}" for problem in _problems(subject)]
        subjects.append(subject)
    if problems:
        raise ConfigError(
            sorted(problems), hint='["address"] with name, or first_name and last_name; and tax_code'
        )
    return Subjects(subjects)


def load_terms(path: Path | None, terms: Terms) -> Terms:
    """Return a provider's words with those replaced that the user's file gives.

    Raises:
        ConfigError: with every problem of the file.
    """
    if path is None:
        return terms
    known = {field.name for field in fields(Terms)}
    table = _read(path)
    problems = [f'{path}: unknown key "{key}"' for key in table.keys() - known]
    problems += [
        f'{path}: "{key}" must be text' for key, value in table.items() if not isinstance(value, str)
    ]
    if problems:
        raise ConfigError(sorted(problems), hint=f"the keys are {', '.join(sorted(known))}")
    return replace(terms, **table)


def _problems(subject: Subject) -> Iterable[str]:
    if bool(subject.name) == bool(subject.last_name):
        yield "needs either name, of an organisation, or first_name and last_name"
    elif subject.is_person and not subject.first_name:
        yield "needs first_name too"
    pattern = _PERSON if subject.is_person else _ORGANISATION
    if subject.tax_code and not pattern.fullmatch(subject.tax_code):
        wanted = "a codice fiscale" if subject.is_person else "11 digits"
        yield f"has a tax_code that is not {wanted}: {subject.tax_code!r}"


def _read(path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(read_named(path, _LARGEST).decode())
    except OSError as error:
        raise from_os_error(error, path) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is no TOML: {error}") from error
