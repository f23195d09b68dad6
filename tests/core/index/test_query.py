"""What is typed to search, as expressions of FTS5. Any text is one, or is refused in plain words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from archipec.errors import USAGE
from archipec.index.query import Query, QueryError, parse_query, phrase

TEXTS = {
    1: "Il ricorso ai sensi dell'art. 21 del Comune di Sant'Agata è accolto",
    2: "comunicazione di avvio: accesso agli atti, studio@pec.example.it",
    3: "Perché la città non risponde alla PEC-2026/15 entro il 2026-09-15",
    4: "avviso di accesso al portale; atti agli uffici",
    5: "AND OR NOT NEAR (parentesi) del ricorso",
}


@pytest.fixture(scope="module", name="db")
def _db() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute("CREATE VIRTUAL TABLE words USING fts5(text, tokenize = 'unicode61 remove_diacritics 2')")
        db.executemany("INSERT INTO words (rowid, text) VALUES (?, ?)", TEXTS.items())
        yield db


def found(db: sqlite3.Connection, text: str) -> set[int]:
    query = parse_query(text)
    numbers = set(TEXTS)
    for expression, wanted in ((query.include, True), (query.exclude, False)):
        if expression:
            rows = {
                row for (row,) in db.execute("SELECT rowid FROM words WHERE words MATCH ?", (expression,))
            }
            numbers = numbers & rows if wanted else numbers - rows
    return numbers


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("ricorso", {1, 5}),
        ("ricorso comune", {1}),
        ("ricorso AND comune", {1}),
        ("RICORSO città", set()),
        ("CITTA", {3}),
        ("perche'", {3}),
        ("Perche\u0301", {3}),
        ("dell'art. 21", {1}),
        ("dell’art.", {1}),
        ("sant'agata", {1}),
        ("agata'sant", set()),
        ("comun*", {1, 2}),
        ("comune*", {1}),
        ("studio@pec.example.it", {2}),
        ("studio@pec.exam*", {2}),
        ("studio@example.it", set()),
        ("pec-2026/15", {3}),
        ("PEC-15", set()),
        ("2026-09-15", {3}),
        ('"accesso agli atti"', {2}),
        ("“accesso agli atti”", {2}),
        ("«accesso agli atti", {2}),
        ('"accesso agli at"*', {2}),
        ("accesso agli atti", {2, 4}),
        ("comune OR citta", {1, 3}),
        ("ricorso OR citta pec", {1, 3, 5}),
        ("(ricorso OR citta) pec", {3}),
        ("ricorso -comune", {5}),
        ("ricorso NOT comune", {5}),
        ("-comune ricorso", {5}),
        ('accesso -"agli atti"', {4}),
        ("accesso -(atti uffici)", {2}),
        ("accesso NOT (atti uffici)", {2}),
        ("-ricorso", {2, 3, 4}),
        ("-ricorso -accesso", {3}),
        ("NOT -ricorso", {1, 5}),
        ("(ricorso -comune) OR citta", {3, 5}),
        ('"AND" "OR"', {5}),
        ("and or", {5}),
        ("near", {5}),
        ("ricorso & comune", {1}),
        ("ricorso - comune", {1}),
        ("", set(TEXTS)),
        ("()  ricorso", {1, 5}),
    ],
)  # fmt: skip
def test_a_query_finds(db: sqlite3.Connection, text: str, numbers: set[int]) -> None:
    assert found(db, text) == numbers


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("--- &", "no letter or digit"),
        ('""', "no letter or digit"),
        ("OR ricorso", "OR stands between two words"),
        ("ricorso OR", "OR stands between two words"),
        ("AND", "AND stands between"),
        ("ricorso AND OR comune", "AND stands between"),
        ("ricorso NOT", "NOT stands before a word"),
        ("(ricorso", "a ( without its )"),
        ("ricorso)", "a ) without its ("),
        (")", "a ) without its ("),
        ("com*une", "a * can only stand at the end"),
        ("*.pdf", "a * can only stand at the end"),
        ("ricorso OR -comune", "can't stand beside OR"),
        ("a NOT (b NOT c)", "itself something left out"),
        ("(" * 30 + "a" + ")" * 30, "more than 20 parentheses"),
        ("a " * 300, "more than 200 words"),
    ],
)
def test_what_can_not_be_searched_for_is_said_plainly(text: str, words: str) -> None:
    with pytest.raises(
        QueryError, match=words.replace("(", r"\(").replace(")", r"\)").replace("*", r"\*")
    ) as caught:
        parse_query(text)
    assert caught.value.exit_code == USAGE
    assert caught.value.hint


# Everything that means something to the parser or to FTS5, between words and any other character.
_PIECES = st.one_of(
    st.sampled_from(
        [
            "AND",
            "OR",
            "NOT",
            "NEAR",
            "NEAR(a b, 2)",
            '"',
            "(",
            ")",
            "-",
            "*",
            "^",
            "+",
            ":",
            "{",
            "}",
            ",",
            " ",
            "'",
            "“",
        ]
    ),
    st.sampled_from(
        ["ricorso", "com*", "text:", "dell'art.", "-comune", "\0", "\ud800", "\u0301", "１", "\ue000"]
    ),
    st.text(max_size=4),
)


@given(st.lists(_PIECES, max_size=12).map("".join) | st.lists(_PIECES, max_size=12).map(" ".join))
@example("a" * 100_000)
@example("ricorso\ud800")
@example(" ".join("a" * 200))
@example(" OR ".join(f"(a{n} -b{n})" for n in range(90)))
def test_any_text_is_a_query_or_is_refused(db: sqlite3.Connection, text: str) -> None:
    try:
        query = parse_query(text)
    except QueryError:
        return
    for expression in filter(None, query):
        db.execute("SELECT rowid FROM words WHERE words MATCH ?", (expression,)).fetchall()


@given(st.text(max_size=30))
def test_any_text_in_a_column_is_no_error(db: sqlite3.Connection, text: str) -> None:
    if expression := phrase(text, prefix=True):
        query = Query("ricorso").within(("text",), expression)
        db.execute("SELECT rowid FROM words WHERE words MATCH ?", (query.include,)).fetchall()
