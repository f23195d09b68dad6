"""The index: what goes in is found, what goes out is not, and nothing in it is lost that can't be made again."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archipec.errors import ArchipecError, PermanentError
from archipec.index.database import PER_SECOND, IndexEntry, IndexFile, StaleIndex, open_index
from archipec.index.finding import Clause, Filters, Hit, find, snippet_pieces
from archipec.index.query import QueryError, parse_query
from archipec.index.record import AttachedFile, IndexedMessage, IndexedText, Invoice, Party, Place, Role
from archipec.message import ContentKey

INVOICE = Invoice(
    attachment=0, file_name="IT1.xml", supplier="Rossi srl", supplier_id="IT1", customer="Comune", customer_id="IT2",
    document_type="TD01", number="7", date="2026-01-02", amount="10.00", currency="EUR",
)  # fmt: skip


def key(name: str) -> ContentKey:
    return ContentKey(hashlib.sha256(name.encode()).hexdigest(), len(name))


def entry(name: str, date: int = 0, text: str = "", **facts: object) -> IndexEntry:
    shape = {
        "kind": "posta-certificata", "system": "pec", "seal": "valid", "certified": date or None, "dated": None,
        "subject": name, "texts": (IndexedText(Place.INNER, text or f"testo di {name}"),),
    }  # fmt: skip
    return IndexEntry(key(name), date, IndexedMessage(**(shape | facts)))  # type: ignore[arg-type]


@pytest.fixture(name="index")
def _index(tmp_path: Path) -> Iterator[IndexFile]:
    with open_index(tmp_path / "index.sqlite3") as index:
        yield index


def hits(index: IndexFile, text: str = "", *, by_rank: bool = False, **filters: Any) -> list[Hit]:
    return list(find(index, parse_query(text), Filters(**filters), by_rank=by_rank))


def subjects(index: IndexFile, text: str = "", **filters: Any) -> list[str]:
    return [one.subject for one in hits(index, text, **filters)]


EVERYWHERE = entry(
    "oggetto", 1_700_000_000,
    envelope_subject="POSTA CERTIFICATA: oggetto",
    identificativo="opec.1@pec.example.it", message_id="busta@pec.example.it", inner_message_id="interno@example.it",
    msgid="spedito@example.it",
    parties=(
        Party(Role.FROM, "mittente@pec.example.it", "Mario Mittente"), Party(Role.TO, "destinatario@pec.example.it"),
        Party(Role.CC, "conoscenza@pec.example.it", "Carla Conoscenza"), Party(Role.PROVIDER, "posta@gestore.example.it"),
    ),
    attachments=(AttachedFile(path="archivio.zip", media_type="application/zip", size=9),
                 AttachedFile(path="archivio.zip/nota.pdf.p7m", media_type="application/pkcs7-mime", size=5, depth=1,
                              signers=("Fausto Firmatario",)),),
    texts=(
        IndexedText(Place.INNER, "parola interna"), IndexedText(Place.ENVELOPE, "parola imbustata"),
        IndexedText(Place.ATTACHMENT, "parola allegata", 0),
    ),
    invoices=(INVOICE,),
)  # fmt: skip


@pytest.mark.parametrize(
    "word",
    [
        "oggetto", '"posta certificata"', "mittente@pec.example.it", "mario", "destinatario", "carla", "gestore",
        "archivio", "nota.pdf.p7m", "firmatario", "interna", "imbustata", "allegata",
    ],
)  # fmt: skip
def test_every_place_is_searched(index: IndexFile, word: str) -> None:
    index.add([EVERYWHERE, entry("altro")])
    assert [one.key for one in hits(index, word)] == [EVERYWHERE.key]


def test_a_hit_says_what_the_message_is(index: IndexFile) -> None:
    index.add([EVERYWHERE])
    (hit,) = hits(index, "allegata")
    assert hit == Hit(
        EVERYWHERE.key, 1_700_000_000, "posta-certificata", "pec", "valid", "mittente@pec.example.it",
        ("destinatario@pec.example.it", "conoscenza@pec.example.it"), "oggetto", 1, "parola \x02allegata\x03", 1_700_000_000 * PER_SECOND,
    )  # fmt: skip
    assert hits(index)[0].snippet == "parola interna parola imbustata parola allegata"


def test_what_was_put_in_is_given_back(index: IndexFile) -> None:
    index.add([EVERYWHERE])
    assert index.get(EVERYWHERE.key) == EVERYWHERE.record
    assert index.get(key("another")) is None


@pytest.mark.parametrize(
    "name",
    [
        EVERYWHERE.key.sha256, EVERYWHERE.key.sha256[:8].upper(), "<busta@pec.example.it>", "INTERNO@example.it",
        " spedito@example.it ", "opec.1@pec.example.it",
    ],
)  # fmt: skip
def test_a_message_has_names(index: IndexFile, name: str) -> None:
    index.add([entry("altro"), EVERYWHERE])
    assert index.resolve(name) == [EVERYWHERE.key]


@pytest.mark.parametrize("name", ["", "abc", "zz", "altro@pec.example.it", "<>", "%", "busta"])
def test_other_texts_name_none(index: IndexFile, name: str) -> None:
    index.add([EVERYWHERE])
    assert index.resolve(name) == []


def test_an_id_is_as_long_as_it_has_to_be(index: IndexFile) -> None:
    digests = ["aa" * 32, "aa" * 31 + "ab", "aaaaaaaabb" + "0" * 54, "b" * 64]
    index.add([IndexEntry(ContentKey(one, 1), 0, EVERYWHERE.record) for one in digests])
    assert [len(index.short_id(one)) for one in digests] == [64, 64, 9, 8]
    for one in digests:
        assert index.resolve(index.short_id(one)) == [ContentKey(one, 1)]
    assert len(index.resolve("aaaaaaaa")) == 3


def test_the_newest_come_first_whenever_they_were_put_in(index: IndexFile) -> None:
    dates = [500, 100, 0, 900, 100, 0, 300, 1]
    for number, date in enumerate(dates):
        index.add([entry(f"m{number}", date)])
    assert [one.date for one in hits(index, "testo")] == sorted(dates, reverse=True)
    assert [one.date for one in hits(index)] == sorted(dates, reverse=True)


def test_a_second_may_have_any_number_of_messages(index: IndexFile) -> None:
    index.add([entry(f"m{number}", 1000) for number in range(700)])
    index.add(
        [entry("later", 1001), entry("earlier", 999), *(entry(f"n{number}", 0) for number in range(300))]
    )
    assert index.count() == 1002
    assert len(hits(index, "testo", since=1000, until=1001)) == 700
    assert subjects(index, until=1000)[0] == "earlier"
    assert len(hits(index, since=1)) == 702


def test_what_is_put_in_again_takes_the_place_of_what_was_there(index: IndexFile) -> None:
    index.add([entry("nota", 100, "prima"), entry("nota", 200, "seconda")])
    index.add([entry("altra", 300), entry("nota", 400, "terza")])
    assert subjects(index, "prima OR seconda") == []
    assert [(one.subject, one.date) for one in hits(index)] == [("nota", 400), ("altra", 300)]
    assert subjects(index, "terza") == ["nota"]
    assert index.damage() == ""


def test_nothing_is_left_of_what_is_taken_out(index: IndexFile) -> None:
    index.add([EVERYWHERE, entry("resta", 5)])
    index.remove([EVERYWHERE.key, key("was never there")])
    assert subjects(index) == ["resta"]
    for word in ("oggetto", "interna", "allegata", "firmatario", "mittente"):
        assert subjects(index, word) == []
    assert index.resolve("opec.1@pec.example.it") == []
    assert index.missing([EVERYWHERE.key, key("resta")]) == [EVERYWHERE.key]
    with index.transaction() as db:  # FTS5 compares what it has with the texts of the view
        db.execute("INSERT INTO words (words, rank) VALUES ('integrity-check', 1)")


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"senders": ["rossi@"]}, {"a"}),
        ({"senders": ["verdi"]}, {"b"}),
        ({"senders": ["verdi", "rossi"]}, set()),
        ({"recipients": ["verd"]}, {"a"}),
        ({"parties": ["verdi"]}, {"a", "b"}),
        ({"parties": ["verdi", "mario ros"]}, {"a"}),
        ({"since": 200}, {"b", "c"}),
        ({"until": 200}, {"a"}),
        ({"since": 200, "until": 201}, {"b"}),
        ({"attachment": "*.PDF"}, {"b"}),
        ({"attachment": "citt?.pdf"}, {"b"}),
        ({"attachment": "citta.pdf"}, set()),
        ({"attachments": True}, {"b", "c"}),
        ({"invoices": True}, {"c"}),
        ({"clauses": (Clause("m.size = ? OR m.date = ?", (9, 300)),)}, {"c"}),
        ({"since": 200, "senders": ["verdi"], "attachments": True}, {"b"}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("words", ["", "testo", "testo -assente", "-assente"])
def test_filters_choose(index: IndexFile, filters: dict[str, object], found: set[str], words: str) -> None:
    pdf = AttachedFile(path="Citta\u0300.pdf", media_type="application/pdf", size=1)
    xml = AttachedFile(path="fattura.xml", media_type="text/xml", size=1)
    rossi, verdi = ("rossi@pec.it", "Mario Rossi"), ("verdi@pec.it", "")
    index.add(
        [
            entry("a", 100, parties=(Party(Role.FROM, *rossi), Party(Role.TO, *verdi))),
            entry(
                "b",
                200,
                kind="accettazione",
                seal="altered",
                parties=(Party(Role.FROM, *verdi),),
                attachments=(pdf,),
            ),
            entry("c", 300, system="rem", attachments=(xml,), invoices=(INVOICE,)),
        ]
    )
    assert set(subjects(index, words, **filters)) == found


def test_a_party_without_a_letter_is_refused(index: IndexFile) -> None:
    with pytest.raises(QueryError, match="no letter or digit in '@'"):
        hits(index, parties=["@"])


def test_by_rank_the_best_comes_first(index: IndexFile) -> None:
    index.add([entry("ricorso", 100), entry("altro", 200, "un ricorso " + "fra molte altre parole " * 40)])
    assert subjects(index, "ricorso") == ["altro", "ricorso"]
    assert subjects(index, "ricorso", by_rank=True) == ["ricorso", "altro"]


def test_by_rank_everything_is_found_once(index: IndexFile) -> None:
    index.add(entry(f"m{number}", 1000 + number, "ricorso " * (number % 7 + 1)) for number in range(130))
    ranked = hits(index, "ricorso", by_rank=True, since=1010)
    assert sorted(one.date for one in ranked) == list(range(1010, 1130))
    assert all("\x02ricorso\x03" in one.snippet for one in ranked)


def test_files_are_private(index: IndexFile, tmp_path: Path) -> None:
    index.add([EVERYWHERE])
    if os.name == "posix":
        modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
        assert len(modes) == 3
        assert set(modes.values()) == {0o600}


def test_where_another_database_is_asked_too_nothing_can_be_written(index: IndexFile, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "other.sqlite3")) as db:
        db.execute("CREATE TABLE known (sha256)")
        db.execute("INSERT INTO known VALUES (?)", (EVERYWHERE.key.sha256,))
        db.commit()
    index.add([EVERYWHERE, entry("altro")])
    index.attach(tmp_path / "other.sqlite3", "other")
    known = Clause("m.sha256 IN (SELECT sha256 FROM other.known)")
    assert subjects(index, clauses=[known]) == ["oggetto"]
    with pytest.raises(ArchipecError):
        index.remove([EVERYWHERE.key])
    with pytest.raises(ArchipecError), index.transaction() as db:
        db.execute("DELETE FROM other.known")


# -- files that are no good any more -----------------------------------------------------------------


def test_a_damaged_index_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite3"
    with open_index(path) as index:
        index.add([EVERYWHERE])
    data = bytearray(path.read_bytes())
    data[100:4000] = b"\xff" * 3900
    path.write_bytes(data)
    with pytest.raises(StaleIndex, match=r"can't be used: .*") as caught, IndexFile(path) as index:
        index.count()
    assert "archipec index" in caught.value.hint
    with open_index(path) as index:
        assert index.count() == 0


@pytest.mark.parametrize("table", ["record", "words_data"])
def test_damage_within_is_seen_where_it_matters(tmp_path: Path, table: str) -> None:
    path = tmp_path / "index.sqlite3"
    with open_index(path) as index:
        index.add([EVERYWHERE])
    with closing(sqlite3.connect(path)) as db:
        column = "facts" if table == "record" else "block"
        db.execute(f"UPDATE {table} SET {column} = x'ffff00ff' WHERE id > 10")
        db.commit()
    with IndexFile(path) as index, pytest.raises(StaleIndex):
        hits(index, "oggetto")


def test_an_older_index_is_made_anew_and_a_newer_one_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "index.sqlite3"
    with open_index(path) as index:
        index.add([EVERYWHERE])
    monkeypatch.setattr(IndexFile, "version", 2)
    with pytest.raises(StaleIndex, match="an older version of archipec wrote it"):
        IndexFile(path)
    with open_index(path) as index:
        assert index.count() == 0
    monkeypatch.setattr(IndexFile, "version", 1)
    with pytest.raises(PermanentError, match="newer archipec"):
        open_index(path)
    assert path.exists()


def test_what_is_no_index_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite3"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE mine (x)")
    with pytest.raises(PermanentError, match="another program"):
        open_index(path)
    assert path.stat().st_size


# -- whatever a message says ---------------------------------------------------------------------------

_TEXT = st.text(st.characters(exclude_categories=()), max_size=20)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    subject=_TEXT, address=_TEXT, path=_TEXT, text=_TEXT, name=_TEXT, date=st.integers(-(1 << 36), 1 << 37)
)
def test_any_text_goes_in_and_comes_out(
    index: IndexFile, subject: str, address: str, path: str, text: str, name: str, date: int
) -> None:
    record = entry(
        "any", date, text, subject=subject, message_id=name, parties=(Party(Role.FROM, address, name),),
        attachments=(AttachedFile(path=path, media_type="a/b", size=0),),
    ).record  # fmt: skip
    index.add([IndexEntry(key("any"), date, record)])
    assert index.get(key("any")) == record
    assert len(hits(index)) == 1
    index.remove([key("any")])
    with index.transaction() as db:
        db.execute("INSERT INTO words (words, rank) VALUES ('integrity-check', 1)")


@pytest.mark.parametrize("words", ["", "parola"])
def test_a_list_goes_on_behind_the_last_that_was_shown(index: IndexFile, words: str) -> None:
    # Several in the same second, and some without a date.
    dates = [0, 0, 1_700_000_000, 1_700_000_000, 1_700_000_000, 1_600_000_000]
    index.add(entry(f"parola {number}", date) for number, date in enumerate(dates))
    whole = [one.key for one in find(index, parse_query(words), Filters())]
    shown: list[object] = []
    before = None
    while page := list(islice(find(index, parse_query(words), Filters(before=before)), 2)):
        shown += [one.key for one in page]
        before = page[-1].number
    assert shown == whole
    assert len(whole) == len(dates)


def test_kinds_are_counted(index: IndexFile) -> None:
    index.add([EVERYWHERE, entry("una", 1, kind="accettazione"), entry("altra", 2, kind="accettazione")])
    assert index.kind_counts() == {"accettazione": 2, "posta-certificata": 1}
    assert index.kind_counts(("m.date > ?", (1,))) == {"accettazione": 1, "posta-certificata": 1}


@pytest.mark.parametrize(
    ("snippet", "pieces"),
    [
        ("", []),
        ("a b", [("a b", False)]),
        ("a \x02b\x03 c\x02d\x03", [("a ", False), ("b", True), (" c", False), ("d", True)]),
        ("a\x03 \x02b", [("a", False), (" ", False), ("b", True)]),
        ("\x02\x03a", [("a", False)]),
    ],
)
def test_a_snippet_is_taken_apart(snippet: str, pieces: list[tuple[str, bool]]) -> None:
    assert snippet_pieces(snippet) == pieces
