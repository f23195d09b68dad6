"""Every word that a person reads is there in Italian: what is marked is translated, and nothing is left unmarked.

`tests/support/catalogs.py` brings the catalogs up to date; docs/translating.md says how a sentence is added.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from gettext import GNUTranslations
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog

import catalogs
from catalogs import (
    DESCRIBING,
    ROOT,
    TRANSLATIONS,
    NotASentence,
    Sentence,
    as_mo,
    catalog_file,
    flaws,
    merged,
    places,
    read_catalog,
    sentences,
    updated,
)

# Packages and modules that say nothing which isn't translated.
TRANSLATED = (
    "core/archipec/cli/",
    "core/archipec/config/",
    "core/archipec/custody/archiving/",
    "core/archipec/custody/pruning/",
    "core/archipec/custody/attempts.py",
    "core/archipec/custody/attention.py",
    "core/archipec/custody/locks.py",
    "core/archipec/custody/marker.py",
    "core/archipec/custody/readback.py",
    "core/archipec/custody/status.py",
    "core/archipec/custody/verify.py",
    "core/archipec/durability.py",
    "core/archipec/errors.py",
    "core/archipec/index/facts.py",
    "core/archipec/index/query.py",
    "core/archipec/inventory.py",
    "core/archipec/language.py",
    "core/archipec/new_files.py",
    "core/archipec/options.py",
    "core/archipec/plugins/discovery.py",
    "core/archipec/plugins/registry.py",
    "core/archipec/report/",
    "core/archipec/sqlite_file.py",
    "core/archipec/supervision.py",
    "core/archipec/terminal.py",
    "core/archipec/view/",
    "plugins/archipec_plugins/dump/",
    "plugins/archipec_plugins/eml/",
    "plugins/archipec_plugins/maildir/",
    "plugins/archipec_plugins/mbox/",
    "plugins/archipec_plugins/net/",
    "plugins/archipec_plugins/pop3/",
    "plugins/archipec_plugins/quota.py",
    "plugins/archipec_plugins/report.py",
    "plugins/archipec_plugins/thunderbird/",
    "plugins/archipec_plugins/zip/",
    "thunderbird_profile_tool/",
)

# What looks like a sentence and is none, by its beginning.
NO_SENTENCES: dict[str, tuple[str, ...]] = {
    "core/archipec/config/keeper.py": ("import os",),
    "core/archipec/custody/marker.py": ("archipec ",),
    "core/archipec/custody/verify.py": ("judging ",),
    "core/archipec/index/query.py": ("(() NOT ())", "() AND "),
    "core/archipec/sqlite_file.py": (
        "malformed JSON",
        "no such column",
        "no such table",
    ),  # SQLite's own words
    "core/archipec/view/app.py": ("private, max-age", "attachment; filename"),
    "core/archipec/view/guard.py": (
        "body{font",
        "default-src",
        "text/html;",
        "no  here",
        "=; HttpOnly",
        "GET, HEAD",
    ),
    "core/archipec/view/html.py": (
        "align dir",
        "abbr address",
        "applet audio",
        "width height",
        "background ",
    ),
    "core/archipec/view/pages/messages.py": ("archipec  .zip",),
    "core/archipec/view/pages/overview.py": ("facts ",),
    "plugins/archipec_plugins/mbox/mboxrd.py": ("Thu Jan",),
    "plugins/archipec_plugins/mbox/separators.py": (
        "sender, and",
        "a date",
        "no date",
        "a header",
        "what may",
        "nothing, or",
    ),
    "plugins/archipec_plugins/pop3/delete.py": ("tuple[",),
    "plugins/archipec_plugins/pop3/fetch.py": ("tuple[",),
    "plugins/archipec_plugins/thunderbird/view.py": ("Mail/Local Folders",),
    "plugins/archipec_plugins/zip/sink.py": ("deflated mbox",),
    "thunderbird_profile_tool/archipec_thunderbird/nss/library.py": ("C:",),
    "thunderbird_profile_tool/archipec_thunderbird/nss/store.py": (" = ? AND",),
    "thunderbird_profile_tool/archipec_thunderbird/nss/worker.py": (" failed with error ",),  # among programs
    "thunderbird_profile_tool/archipec_thunderbird/prefs.py": ("// Mozilla",),
    "core/archipec/cli/invoices.py": (
        "not delivered",
        "no outcome",
        " SdI ",
    ),  # values in JSON; a system's name
    "core/archipec/errors.py": ("ies",),
    "core/archipec/report/charts.py": ("chart gauge",),  # classes in a style sheet
    "core/archipec/report/printed.py": ('font-family="Libertinus Serif"',),
    "core/archipec/report/page.py": ("pip install 'archipec[report]'",),
    "core/archipec/terminal.py": (" h  min", " min  s"),
}

UPDATE = "run .venv/bin/python tests/support/catalogs.py, and translate what it names"


@cache
def found() -> dict[Sentence, list[str]]:
    return catalogs.all_sentences()


def is_translated(place: str) -> bool:
    """Tell whether a place is in what must be translated; what click says always is."""
    return place.startswith(("click/", *TRANSLATED))


def translated_modules() -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each module that must be translated."""
    for file in catalogs.modules():
        name = file.relative_to(ROOT).as_posix()
        if is_translated(name):
            yield name, file.read_text("utf-8")


@pytest.mark.parametrize("code", TRANSLATIONS)
def test_every_sentence_is_translated(code: str) -> None:
    wanted = [one for one, where in found().items() if any(map(is_translated, where))]
    assert not (lacking := list(flaws(read_catalog(code), wanted))), (UPDATE, lacking)


@pytest.mark.parametrize("code", TRANSLATIONS)
def test_what_is_translated_is_translated_right(code: str) -> None:
    lacking = ("not translated", "not in the catalog")
    wrong = [one for one in flaws(read_catalog(code), found()) if not one.startswith(lacking)]
    assert not wrong


@pytest.mark.parametrize("code", TRANSLATIONS)
def test_a_catalog_has_no_sentence_that_is_gone(code: str) -> None:
    said = {(one.one, one.context) for one in found()} | {("", "")}
    there = {
        (one.id if isinstance(one.id, str) else one.id[0], one.context or "") for one in read_catalog(code)
    }
    assert not (gone := there - said), (UPDATE, gone)


@pytest.mark.parametrize("code", TRANSLATIONS)
def test_the_compiled_catalog_is_that_of_the_translations(code: str, tmp_path: Path) -> None:
    compiled = tmp_path / "archipec.mo"
    compiled.write_bytes(as_mo(read_catalog(code)))
    assert texts_of(catalog_file(code).with_suffix(".mo")) == texts_of(compiled), UPDATE


def texts_of(file: Path) -> dict[object, str]:
    with file.open("rb") as stream:
        texts: dict[object, str] = dict(GNUTranslations(stream)._catalog)  # type: ignore[attr-defined]
    del texts[""]
    return texts


def test_no_sentence_is_left_unmarked() -> None:
    left = [
        f"{name}:{line}: {text!r}"
        for name, source in translated_modules()
        for line, text in unmarked(source)
        if not text.lstrip("\n").startswith(NO_SENTENCES.get(name, ()))
    ]
    assert not left, "\n".join(left)


def test_nothing_is_translated_before_a_language_is_chosen() -> None:
    early = [f"{name}:{line}" for name, source in all_modules() for line in at_import(source)]
    assert not early, f'at the top of a module mark with N_("..."), and call _ where it is used: {early}'


def test_the_name_of_the_translator_is_not_taken_for_another_thing() -> None:
    taken = [f"{name}:{line}" for name, source in all_modules() for line in shadowed(source)]
    assert not taken, f"call what is not used something else than _ here: {taken}"


def all_modules() -> Iterator[tuple[str, str]]:
    for file in catalogs.modules():
        yield file.relative_to(ROOT).as_posix(), file.read_text("utf-8")


# -- what is left unmarked ---------------------------------------------------------------------------------

_WORDS = re.compile(r"[A-Za-z]{2,}[,;:]? [A-Za-z]{2,}")
_NEXT_TO_A_VALUE = re.compile(r"(?:^|\s)[A-Za-z]{3,}(?=[\s,;]|: |$)")
_CODE = re.compile(  # SQL, TOML, attributes of SVG, commands
    r"\b(?:SELECT|INSERT INTO|UPDATE \w+|CREATE|ALTER TABLE|DELETE FROM|PRAGMA|WHERE|ORDER BY|BEGIN IMMEDIATE|ATTACH)\b|^<!doctype|^pip install|^chmod |^\[\[\w+|^\w+ = |^[\w-]+=\""
)
_MARKING = frozenset({"_", "N_", "ngettext", "pgettext", "counted"})
_SILENT = frozenset({"debug", "info"})  # methods of a log that people see with -v alone
_PATTERNS = frozenset({"compile", "fullmatch", "search", "match", "sub", "findall", "split", "strptime"})


def unmarked(source: str) -> Iterator[tuple[int, str]]:
    """Yield the texts of a module that look like sentences and are not marked as such, with their lines."""
    tree = ast.parse(source)
    passed: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            passed.add(node.value)
        elif isinstance(node, ast.Call):
            passed.update(one for part in _not_for_people(node) for one in ast.walk(part))
        elif isinstance(node, ast.JoinedStr):
            passed.update(one for one in node.values if isinstance(one, ast.Constant))
    for node in ast.walk(tree):
        if node in passed:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if _WORDS.search(node.value) and not _CODE.search(node.value):
                yield node.lineno, node.value
        elif isinstance(node, ast.JoinedStr):
            parts = [one.value for one in node.values if isinstance(one, ast.Constant)]
            text = "".join(str(part) for part in parts)
            if any(_NEXT_TO_A_VALUE.search(str(part)) for part in parts) and not _CODE.search(text):
                yield node.lineno, text


def _not_for_people(node: ast.Call) -> Iterator[ast.AST]:
    """Yield the parts of a call whose texts are marked, or not for people."""
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    attribute = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    if name in _MARKING:
        yield from (one for one in node.args if isinstance(one, ast.Constant))
    if attribute in _SILENT | _PATTERNS:
        yield from node.args
    yield from (one.value for one in node.keywords if one.arg in DESCRIBING)


def at_import(source: str) -> Iterator[int]:
    """Yield the lines of calls of ``_`` and of others like it that run when a module is imported."""
    waiting: list[ast.AST] = list(ast.parse(source).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting += [*node.decorator_list, *node.args.defaults]
        elif not isinstance(node, ast.Lambda):
            called = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
            if called in _MARKING - {"N_"}:
                yield node.lineno  # type: ignore[attr-defined]
            waiting += ast.iter_child_nodes(node)


def shadowed(source: str) -> Iterator[int]:
    """Yield the lines of functions that call ``_`` and have a variable of that name, too."""
    for function in ast.walk(ast.parse(source)):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            nodes = list(ast.walk(function))
            calls = any(
                isinstance(one, ast.Call) and isinstance(one.func, ast.Name) and one.func.id == "_"
                for one in nodes
            )
            stores = any(
                isinstance(one, ast.Name) and one.id == "_" and isinstance(one.ctx, ast.Store)
                for one in nodes
            )
            takes = any(isinstance(one, ast.arg) and one.arg == "_" for one in nodes)
            if calls and (stores or takes):
                yield function.lineno


# -- the rules are worth what finds their breach ------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        'click.echo("nothing new")',
        'raise ConfigError(f"{path} is unreadable")',
        'raise ConfigError(_("no such file"), hint="look again")',
        'echo(f"{count} stored")',
        'echo(_("{n} of them").format(n=f"about {n}"))',
        'log.warning("the server is away")',
        'REASONS = {"gone": "it is gone"}',
    ],
)
def test_an_unmarked_sentence_is_found(source: str) -> None:
    assert list(unmarked(source))


@pytest.mark.parametrize(
    "source",
    [
        'click.echo(_("nothing new"))',
        'raise ConfigError(_("{path} is unreadable").format(path=path), hint=_("look again"))',
        'log.debug("asked the server for %s", name)',
        'click.option("--json", help="Print JSON, a line each.")',
        '"""A docstring of several words."""',
        'db.execute(f"SELECT number FROM copy WHERE {what}")',
        'counted(number, "archived message")',
        'name = f"{folder}/{number}.eml"',
        'KINDS = {"a": N_("it is gone")}',
    ],
)
def test_what_is_marked_or_not_for_people_is_let_be(source: str) -> None:
    assert not list(unmarked(source))


@pytest.mark.parametrize(
    ("source", "marked"),
    [
        ('_("one" " two")', ["one two"]),
        ('ngettext("one", "many", n)', [("one", "many")]),
        ('counted(n, "copy")', [("{number} copy", "{number} copies")]),
        ('X = {"a": N_("it is gone")}', ["it is gone"]),
        ('pgettext("copy", "altered")', [("altered", "", "copy")]),
        ('X = {"a": N_("altered", "copy")}', [("altered", "", "copy")]),
        ("_(reason)", []),
        ('pgettext("copy", verdict)', []),
        ('Option(name="x", help="its port")', ["its port"]),
        (
            '@click.command()\ndef f():\n    """Do it\n    now.\n\n    \\b\n    Or later:\n      archipec f\n    """',
            ["Do it now.", "Or later:"],
        ),
        ('def f():\n    """Do it."""', []),
    ],
)
def test_sentences_are_found(source: str, marked: list[str | tuple[str, ...]]) -> None:
    wanted = [Sentence(one) if isinstance(one, str) else Sentence(*one) for one in marked]
    assert [sentence for _line, sentence in sentences(source)] == wanted


@pytest.mark.parametrize("source", ['_(f"{x} is gone")', '_("a" + b)', '_("{x}".format(x=1))', "N_(reason)"])
def test_what_no_catalog_can_have_is_refused(source: str) -> None:
    with pytest.raises(NotASentence):
        list(sentences(source))


@pytest.mark.parametrize(
    ("string", "flaw"),
    [
        ("", "not translated"),
        ("è via", "other places"),
        ("{y} è via", "other places"),
        ("{x} è via ", "other spaces"),
        ("{x} è via", ""),
    ],
)
def test_a_wrong_translation_is_found(string: str, flaw: str) -> None:
    catalog = Catalog(locale="it")
    catalog.add("{x} is gone", string)
    assert [one.startswith(flaw) for one in flaws(catalog, [Sentence("{x} is gone")])] == (
        [True] if flaw else []
    )


def test_a_guess_a_plural_and_a_sentence_that_is_not_there_are_found() -> None:
    wanted = [Sentence("one thing"), Sentence("{number} box", "{number} boxes")]
    catalog = updated(Catalog(locale="it"), wanted)
    catalog["one thing"].string = "una cosa"
    catalog["one thing"].flags.add("fuzzy")
    catalog["{number} box"].string = ("{number} casella", "")
    assert [one.partition(":")[0] for one in flaws(catalog, [*wanted, Sentence("x")])] == [
        "only guessed (fuzzy)",
        "not translated",
        "not in the catalog",
    ]


def test_an_update_keeps_translations_and_drops_what_is_gone() -> None:
    catalog = updated(Catalog(locale="it"), [Sentence("stays"), Sentence("goes")])
    catalog["stays"].string, catalog["goes"].string = "resta", "va"
    later = updated(catalog, [Sentence("stays"), Sentence("comes"), Sentence("stays", context="copy")])
    assert {(one.id, one.context): one.string for one in later if one.id} == {
        ("stays", None): "resta",
        ("comes", None): None,
        ("stays", "copy"): None,
    }


def test_two_catalogs_become_one() -> None:
    ours = updated(
        Catalog(locale="it"), [Sentence("both"), Sentence("ours"), Sentence("{number} box", "{number} boxes")]
    )
    theirs = updated(Catalog(locale="it"), [Sentence("both"), Sentence("theirs"), Sentence("ours")])
    ours["both"].string, ours["ours"].string, ours["{number} box"].string = (
        "nostro",
        "noi",
        ("{number} cosa", "{number} cose"),
    )
    theirs["both"].string, theirs["theirs"].string = "loro", "essi"
    assert {one.id: one.string for one in merged(ours, theirs) if one.id} == {
        "both": "nostro",
        "ours": "noi",
        "theirs": "essi",
        ("{number} box", "{number} boxes"): ("{number} cosa", "{number} cose"),
    }


def test_places() -> None:
    assert places("{a} of {b.c} at 70 %") == {"a", "b.c"}
    assert places("%(n)s files, %s") == {"%(n)s", "%s"}
    assert places("{") == {"not to be filled in by format()"}


def test_what_is_too_early_or_shadowed_is_found() -> None:
    assert sorted(
        at_import('A = _("x")\n\ndef f(): return _("y")\n\nclass C:\n    b = [counted(1, "z")]')
    ) == [
        1,
        6,
    ]
    assert list(at_import('A = N_("x")')) == []
    assert list(shadowed('def f():\n    a, _ = g()\n    return _("x")')) == [1]
    assert list(shadowed('def f():\n    a, _b = g()\n    return _("x")')) == []
