"""Brings the catalogs of translations up to date with the code, and says what is missing in them.

    .venv/bin/python tests/support/catalogs.py

A sentence is what the code gives to ``_``, ``N_``, ``ngettext`` or ``counted``, what it says of a command, an option or a
plugin (``help=``, ``summary=``, ``metavar=`` and the docstring of a command), what templates mark, and what click itself says.
New ones come into the catalogs without a translation, those that are gone go, and the compiled catalogs are written anew.
``--merge`` resolves a conflict of git in them first, by taking the translations of both sides.
"""

from __future__ import annotations

import ast
import importlib.util
import io
import re
import string
import subprocess
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from archipec.errors import numbered
from archipec.language import LANGUAGES
from archipec.terminal import map_help

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGES: Final = (
    ROOT / "core" / "archipec",
    ROOT / "plugins" / "archipec_plugins",
    ROOT / "thunderbird_profile_tool" / "archipec_thunderbird",
)
LOCALE: Final = ROOT / "core" / "archipec" / "locale"
TRANSLATIONS: Final = tuple(code for code in LANGUAGES if code != "en")
# Of whole numbers: what Unicode has besides is for "un milione di".
PLURAL_FORMS: Final = {"it": "nplurals=2; plural=(n != 1);"}
_SOME_DAY: Final = datetime(2026, 1, 1, tzinfo=UTC)  # else a compiled catalog is another one each time
TEMPLATES: Final = (".html", ".j2", ".typ", ".svg")

DESCRIBING: Final = frozenset({"help", "summary", "metavar"})


class Sentence(NamedTuple):
    """What is looked up: a sentence, or one for one thing and one for several; and of what it is said, where that matters."""

    one: str
    many: str = ""
    context: str = ""


class NotASentence(ValueError):
    """What is marked can't be looked up in a catalog, because it is put together before it is."""


# -- what the code says ------------------------------------------------------------------------------------


def sentences(source: str) -> Iterator[tuple[int, Sentence]]:
    """Yield the sentences that the text of a module marks, with their lines.

    Raises:
        NotASentence: one is no constant.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            yield from ((node.lineno, one) for one in _of_call(node) if one.one)
        elif isinstance(node, ast.FunctionDef) and _is_command(node):
            yield from ((node.lineno, Sentence(one)) for one in _of_help(ast.get_docstring(node) or ""))


def _of_help(text: str) -> list[str]:
    found: list[str] = []

    def keep(sentence: str) -> str:
        found.append(sentence)
        return sentence

    map_help(text, keep)
    return [one for one in found if one]


def _of_call(node: ast.Call) -> Iterator[Sentence]:
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    if name == "N_":
        yield Sentence(_constant(node.args[0]), context=_constant(node.args[1]) if node.args[1:] else "")
    elif name == "_" and _is_put_together(node.args[0]):
        yield Sentence(_constant(node.args[0]))
    elif name == "pgettext" and _is_put_together(node.args[1]):
        yield Sentence(_constant(node.args[1]), context=_constant(node.args[0]))
    elif name == "ngettext" and _is_put_together(node.args[0]):
        yield Sentence(_constant(node.args[0]), _constant(node.args[1]))
    elif name == "counted" and len(node.args) > 1:
        yield Sentence(*numbered(_constant(node.args[1])))
    for keyword in node.keywords:
        value = keyword.value
        if (
            keyword.arg in DESCRIBING
            and isinstance(value, ast.Constant)
            and isinstance(value.value, str)
            and (keyword.arg != "metavar" or value.value)
        ):
            yield Sentence(value.value)


def _is_put_together(node: ast.expr) -> bool:
    """Tell whether an expression is a text itself, and no name of one that is marked where it stands."""
    makes = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format"
    return makes or isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp)


def _constant(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    raise NotASentence(
        f'line {node.lineno}: {ast.unparse(node)}: mark a constant, and fill it in afterwards: _("...").format(...)'
    )


def _is_command(node: ast.FunctionDef) -> bool:
    """Tell whether a function is a command of click, whose docstring is its help."""
    called = (one.func for one in node.decorator_list if isinstance(one, ast.Call))
    return any(isinstance(one, ast.Attribute) and one.attr in ("command", "group") for one in called)


# -- everything that is said -------------------------------------------------------------------------------


def all_sentences() -> dict[Sentence, list[str]]:
    """Return every sentence that a catalog must have, with the places where it stands."""
    found: dict[Sentence, list[str]] = {}
    for place, sentence in (*_in_packages(), *_in_templates(), *_in_click()):
        found.setdefault(sentence, []).append(place)
    return found


def modules() -> Iterator[Path]:
    """Yield the modules of the three packages."""
    for package in PACKAGES:
        yield from sorted(package.rglob("*.py"))


def _in_packages() -> Iterator[tuple[str, Sentence]]:
    for file in modules():
        name = file.relative_to(ROOT).as_posix()
        try:
            for line, sentence in sentences(file.read_text("utf-8")):
                yield f"{name}:{line}", sentence
        except NotASentence as error:
            raise NotASentence(f"{name}: {error}") from None


def _in_templates() -> Iterator[tuple[str, Sentence]]:
    files = [
        one for package in PACKAGES for one in package.rglob("templates/**/*") if one.suffix in TEMPLATES
    ]
    for file in sorted(files):
        with file.open("rb") as stream:
            for line, marked, _comments, context in extract("jinja2.ext:babel_extract", stream):
                yield f"{file.relative_to(ROOT).as_posix()}:{line}", _as_sentence(marked, context)


def _in_click() -> Iterator[tuple[str, Sentence]]:
    spec = importlib.util.find_spec("click")
    assert spec is not None
    assert spec.submodule_search_locations
    for file in sorted(Path(spec.submodule_search_locations[0]).glob("*.py")):
        with file.open("rb") as stream:
            for line, marked, _comments, context in extract("python", stream):
                yield f"click/{file.name}:{line}", _as_sentence(marked, context)


def _as_sentence(marked: str | tuple[str, ...], context: str | None) -> Sentence:
    one, many = (marked, "") if isinstance(marked, str) else marked[:2]
    return Sentence(one, many, context or "")


# -- catalogs ----------------------------------------------------------------------------------------------


def catalog_file(code: str) -> Path:
    """Return the catalog of a language; the compiled one beside it ends in ``.mo``."""
    return LOCALE / code / "LC_MESSAGES" / "archipec.po"


def read_catalog(code: str) -> Catalog:
    """Return a catalog; an empty one where there is none yet."""
    path = catalog_file(code)
    if not path.exists():
        return Catalog(locale=code)
    with path.open("rb") as stream:
        return read_po(stream, locale=code)


def updated(catalog: Catalog, found: Iterable[Sentence]) -> Catalog:
    """Return a catalog of these sentences, with the translations that there are. Nothing is guessed from a similar one."""
    made = Catalog(
        locale=catalog.locale, fuzzy=False, charset="utf-8", creation_date=_SOME_DAY, revision_date=_SOME_DAY
    )
    made.mime_headers = [("Plural-Forms", PLURAL_FORMS[str(catalog.locale)])]
    for sentence in found:
        old = _translation(catalog, sentence)
        made.add(
            (sentence.one, sentence.many) if sentence.many else sentence.one,
            string=None if old is None else old.string,
            flags=() if old is None else old.flags & {"fuzzy"},
            user_comments=() if old is None else old.user_comments,
            context=sentence.context or None,
        )
    for message in made:
        # Sentences have {names}, and a % is one.
        message.flags.difference_update({"python-format", "python-brace-format"})
    return made


def merged(ours: Catalog, theirs: Catalog) -> Catalog:
    """Return a catalog with the sentences of two; where both have a translation, the first one's."""
    sentences = dict.fromkeys(_sentence(one) for catalog in (theirs, ours) for one in catalog if one.id)
    made = updated(theirs, sentences)
    for message in updated(ours, sentences):
        if message.id and _is_translated(message):
            there = made.get(_sentence(message).one, message.context)
            assert there is not None
            there.string = message.string
    return made


def _sentence(message: Message) -> Sentence:
    one, many = (message.id, "") if isinstance(message.id, str) else message.id[:2]
    return Sentence(one, many, message.context or "")


def _is_translated(message: Message) -> bool:
    return bool(message.string if isinstance(message.string, str) else message.string and all(message.string))


def _sides(code: str) -> list[Catalog]:
    """Return the two sides of a catalog that git could not merge; none where it could."""
    path = catalog_file(code).relative_to(ROOT).as_posix()
    sides = [
        subprocess.run(["git", "show", f":{stage}:{path}"], cwd=ROOT, capture_output=True, check=False)
        for stage in (2, 3)
    ]
    if any(side.returncode for side in sides):
        return []
    return [read_po(io.BytesIO(side.stdout), locale=code) for side in sides]


def _translation(catalog: Catalog, sentence: Sentence) -> Message | None:
    """Return what a catalog has of a sentence, with as many forms as it needs."""
    message = catalog.get(sentence.one, sentence.context or None)
    return message if message is not None and isinstance(message.id, str) == (not sentence.many) else None


def as_po(catalog: Catalog) -> bytes:
    """Return a catalog as its file has it: in the order of the sentences, without lines and dates, which change with all."""
    stream = io.BytesIO()
    write_po(stream, catalog, no_location=True, omit_header=True, sort_output=True, width=110)
    return _HEADER.format(language=catalog.locale, plural=catalog.plural_forms).encode() + stream.getvalue()


_HEADER: Final = """\
# What archipec says; tests/support/catalogs.py keeps it in step with the code, docs/translating.md says which words to use.
msgid ""
msgstr ""
"Language: {language}\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"
"Plural-Forms: {plural}\\n"

"""


def as_mo(catalog: Catalog) -> bytes:
    """Return a compiled catalog: what has no translation is not in it."""
    stream = io.BytesIO()
    write_mo(stream, catalog)
    return stream.getvalue()


def flaws(catalog: Catalog, found: Iterable[Sentence]) -> Iterator[str]:
    """Yield what is wrong with a catalog: a sentence that is missing, not translated, guessed, or has other places to fill in."""
    for sentence in found:
        message = _translation(catalog, sentence)
        if message is None:
            yield f"not in the catalog: {sentence.one!r}"
        else:
            yield from _flaws_of(message, catalog.num_plurals)


def _flaws_of(message: Message, plurals: int) -> Iterator[str]:
    originals = (message.id,) if isinstance(message.id, str) else message.id
    strings = (message.string,) if isinstance(message.string, str) else tuple(message.string or ("",))
    if not all(strings) or (not isinstance(message.id, str) and len(strings) != plurals):
        yield f"not translated: {originals[0]!r}"
        return
    if message.fuzzy:
        yield f"only guessed (fuzzy): {originals[0]!r}"
    for text, original in zip(strings, originals, strict=True):
        if places(text) != places(original):
            yield f"other places to fill in: {text!r} for {original!r}"
        if _spaces_around(text) != _spaces_around(original):
            yield f"other spaces around it: {text!r} for {original!r}"


def _spaces_around(text: str) -> tuple[str, str]:
    return text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]


def places(text: str) -> set[str]:
    """Return what is filled into a sentence: the names in braces, those of templates (``%(name)s``), and ``%s`` of log lines."""
    try:
        names = {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
    except ValueError:
        names = {"not to be filled in by format()"}
    return names | set(re.findall(r"%\(\w+\)s|%[sdr]\b", text))


def main() -> int:
    """Write the catalogs anew, say what they lack, and return the exit code."""
    found = all_sentences()
    lacking = 0
    for code in TRANSLATIONS:
        sides = _sides(code) if "--merge" in sys.argv else []
        catalog = updated(merged(*sides) if sides else read_catalog(code), found)
        file = catalog_file(code)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(as_po(catalog))
        file.with_suffix(".mo").write_bytes(as_mo(catalog))
        for flaw in flaws(catalog, found):
            lacking += 1
            print(f"{code}: {flaw}")
    print(
        f"{len(found)} sentences; {lacking} to be translated"
        if lacking
        else f"{len(found)} sentences, all translated"
    )
    return 1 if lacking else 0


if __name__ == "__main__":
    sys.exit(main())
