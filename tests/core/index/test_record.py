"""`archipec.index.record`: what is kept of a message survives its way between processes."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archipec.index.record import (
    AttachedFile,
    Filing,
    IndexedMessage,
    IndexedText,
    Invoice,
    Party,
    Place,
    Role,
    SdiMessage,
)

words = st.text(max_size=12)
number = st.integers(0, 1 << 40)
seconds = st.none() | st.integers(-(1 << 40), 1 << 40)


def tuples(one: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(one, max_size=3).map(tuple)


def of_words(record: type, **others: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    named = {one.name: words for one in fields(record)}
    return st.builds(record, **(named | others))


messages = st.builds(
    IndexedMessage,
    kind=words,
    system=words,
    seal=words,
    certified=seconds,
    dated=seconds,
    subject=words,
    envelope_subject=words,
    identificativo=words,
    message_id=words,
    inner_message_id=words,
    msgid=words,
    references=tuples(words),
    parties=tuples(of_words(Party, role=st.sampled_from(Role))),
    attachments=tuples(of_words(AttachedFile, size=number, signers=tuples(words))),
    texts=tuples(of_words(IndexedText, place=st.sampled_from(Place), attachment=st.none() | number)),
    invoices=tuples(of_words(Invoice, attachment=number)),
    sdi_messages=tuples(of_words(SdiMessage, attachment=number)),
    filings=tuples(of_words(Filing, attachment=st.none() | number)),
    problems=tuples(words),
)


@given(messages)
@settings(max_examples=50)
def test_it_comes_back_as_it_was(message: IndexedMessage) -> None:
    again = IndexedMessage.from_json(json.loads(json.dumps(message.as_json())))
    assert again == message
    assert all(type(party.role) is Role for party in again.parties)
    assert all(type(text.place) is Place for text in again.texts)


def test_another_shape_is_refused() -> None:
    shape = IndexedMessage(kind="", system="", seal="", certified=None, dated=None, subject="").as_json()
    with pytest.raises(ValueError, match="zip"):
        IndexedMessage.from_json(shape | {"parties": [["from"]]})
    with pytest.raises(ValueError, match="nobody"):
        IndexedMessage.from_json(shape | {"parties": [["nobody", "", ""]]})
    with pytest.raises(KeyError):
        IndexedMessage.from_json({})


def test_a_file_in_files_has_a_name_of_its_own() -> None:
    assert AttachedFile(path="a.zip/b.xml.p7m/b.xml", media_type="", size=0).name == "b.xml"
    assert AttachedFile(path="b.xml", media_type="", size=0).name == "b.xml"
