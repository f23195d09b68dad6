"""Folders: their names in modified UTF-7, what LIST and STATUS say, which of them are read."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archipec_plugins.imap.folders import (
    Counts,
    FolderFilter,
    ImapMailbox,
    decode_name,
    encode_name,
    parse_counts,
    parse_list,
    parse_quota,
)
from archipec_plugins.imap.grammar import quoted

NAME = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)


def listed(name: str, attributes: Sequence[str] = (), delimiter: str = "/") -> ImapMailbox:
    line = f'* LIST ({" ".join(attributes)}) "{delimiter}" '.encode() + quoted(encode_name(name)) + b"\r\n"
    mailbox = parse_list(line)
    assert mailbox is not None
    return mailbox


def read(
    mailboxes: Sequence[ImapMailbox], include: Sequence[str] = ("*",), exclude: Sequence[str] = ()
) -> list[str]:
    chosen, _ = FolderFilter(include, exclude).of(mailboxes)
    return [mailbox.name for mailbox, _ in chosen]


@given(NAME)
def test_a_name_survives_the_wire(name: str) -> None:
    assert decode_name(encode_name(name)) == name


@pytest.mark.parametrize(
    ("name", "encoded_name"),
    [
        ("Posta inviata", b"Posta inviata"),
        ('Città & "Co"', b'Citt&AOA- &- "Co"'),
        ("台北", b"&U,BTFw-"),
        ("a~b", b"a~b"),
        ("💌", b"&2D3cjA-"),
    ],
)
def test_names_are_spelt_as_the_rfc_says(name: str, encoded_name: bytes) -> None:
    assert encode_name(name) == encoded_name
    assert decode_name(encoded_name) == name


@given(st.binary(min_size=1, max_size=40))
def test_any_bytes_have_a_name(encoded_name: bytes) -> None:
    assert decode_name(encoded_name).encode("utf-8")


@pytest.mark.parametrize(
    ("encoded_name", "name"),
    [
        (b"Citt\xc3\xa0", "Città"),
        (b"Citt\xe0", "Città"),
        (b"R&D", "R&D"),
        (b"&AOA", "&AOA"),
        (b"&2D0-", "&2D0-"),
        (b"&AGE-", "&AGE-"),
    ],
)
def test_names_that_break_the_rules_are_shown_as_they_are(encoded_name: bytes, name: str) -> None:
    assert decode_name(encoded_name) == name


@given(NAME, st.sampled_from(["/", ".", "\\", '"']), st.booleans())
def test_list_lines_are_read_whatever_the_name(name: str, delimiter: str, as_literal: bool) -> None:
    encoded_name = encode_name(name)
    spelt = b"{%d}\r\n%b" % (len(encoded_name), encoded_name) if as_literal else quoted(encoded_name)
    mailbox = parse_list(b"* LIST (\\HasNoChildren) " + quoted(delimiter.encode()) + b" " + spelt + b"\r\n")
    assert mailbox == ImapMailbox(encoded_name, name, tuple(name.split(delimiter)), frozenset(), True)


@pytest.mark.parametrize(
    ("line", "name", "selectable"),
    [
        (b'* LIST (\\Noselect) "/" "[Gmail]"\r\n', "[Gmail]", False),
        (b'* LIST (\\NonExistent \\HasChildren) "/" a\r\n', "a", False),
        (b"* list () NIL INBOX\r\n", "INBOX", True),
        (b'* LIST () "." INBOX.Inviata\r\n', "INBOX.Inviata", True),
        (b'* LIST () "/" {3}\r\na b\r\n', "a b", True),
        (b'* LIST () "/" "a" (CHILDINFO ("SUBSCRIBED"))\r\n', "a", True),
    ],
)
def test_list_lines(line: bytes, name: str, selectable: bool) -> None:
    mailbox = parse_list(line)
    assert mailbox is not None
    assert (mailbox.name, mailbox.selectable) == (name, selectable)


@pytest.mark.parametrize(
    "line",
    [
        b'* LSUB () "/" a\r\n',
        b'* LIST "/" a\r\n',
        b"* LIST ()\r\n",
        b'* LIST () "/" "a\r\n',
        b"* 5 EXISTS\r\n",
        b'* LIST () "/" {5}\r\na\r\nA1\r\n',
        b'* LIST () "/" {3}\r\na\0b\r\n',
        b'* LIST () "/" ""\r\n',
    ],
)
def test_what_names_no_usable_folder(line: bytes) -> None:
    assert parse_list(line) is None


def test_counts() -> None:
    line = b'* STATUS "Posta inviata" (UIDNEXT 8 MESSAGES 3 UIDVALIDITY 17)\r\n'
    assert parse_counts(line) == (b"Posta inviata", Counts(3, 8, 17))
    assert parse_counts(line.replace(b"UIDNEXT 8 ", b"")) is None
    assert parse_counts(line.replace(b"8", b"x")) is None
    assert parse_counts(b"* STATUS a\r\n") is None


def test_quota() -> None:
    line = b'* QUOTA "User quota" (STORAGE 10 512 MESSAGE 3 100)\r\n'
    assert parse_quota(line) == [("storage", 10, 512), ("message", 3, 100)]
    assert parse_quota(b'* QUOTA "" ()\r\n') == []
    assert parse_quota(b"* QUOTA x (STORAGE a b)\r\n") == []
    assert parse_quota(b"* QUOTAROOT INBOX x\r\n") == []


ITALIAN = [
    *(listed(name) for name in ("INBOX", "Archivio", "2026", "2026/11", "Posta inviata")),
    *(
        listed(name)
        for name in ("Cestino", "INBOX/Bozze", "Posta indesiderata", "Contratti/Bozze", "inbox/SPAM")
    ),
]


def test_trash_drafts_and_junk_are_left_out_by_name() -> None:
    assert read(ITALIAN) == ["INBOX", "2026", "2026/11", "Archivio", "Contratti/Bozze", "Posta inviata"]


def test_special_use_decides_where_the_server_tells_it() -> None:
    mailboxes = [
        listed("INBOX"),
        listed("Rifiuti", ["\\Trash", "\\HasNoChildren"]),
        listed("Trash"),
        listed("Bozze"),
        listed("Tutti", ["\\All"]),
        listed("Speciali", ["\\Flagged"]),
        listed("Fuori", ["\\Archive", "\\sent"]),
    ]
    assert read(mailboxes) == ["INBOX", "Fuori", "Trash"]
    chosen, left_out = FolderFilter(["*"], []).of(mailboxes)
    assert {mailbox.name: use for mailbox, use in chosen} == {
        "INBOX": None,
        "Fuori": "Archive",
        "Trash": None,
    }
    assert {mailbox.name: reason for mailbox, reason in left_out} == {
        "Rifiuti": "it is the trash",
        "Bozze": "it holds drafts",
        "Tutti": "it shows again what other folders hold",
        "Speciali": "it shows again what other folders hold",
    }


@pytest.mark.parametrize(
    ("delimiter", "name", "use"),
    [
        (".", "INBOX.Inviata", "Sent"),
        ("/", "INBOX/Spedite", "Sent"),
        ("/", "Posta inviata", "Sent"),
        ("/", "Archivio/Inviata", None),
        (".", "Inviata/2026", None),
    ],
)
def test_the_sent_folder_is_known_by_name(delimiter: str, name: str, use: str | None) -> None:
    chosen, _ = FolderFilter(["*"], []).of([listed(name, delimiter=delimiter)])
    assert [found for _, found in chosen] == [use]


@pytest.mark.parametrize(
    "name", ["INBOX.Trash", "INBOX.bozze", "Trash", "DELETED ITEMS", "INBOX.Posta Indesiderata"]
)
def test_providers_names_are_known(name: str) -> None:
    assert read([listed(name, delimiter=".")]) == []


def test_a_folder_that_is_named_is_read_whatever_it_holds() -> None:
    assert read(ITALIAN, ["Cestino", "INBOX"]) == ["INBOX", "Cestino"]
    assert read(ITALIAN, ["C*"]) == ["Contratti/Bozze"]
    assert read([listed("a", ["\\Noselect"])], ["a"]) == []


def test_globs_cross_levels_and_exclusion_wins() -> None:
    assert read(ITALIAN, ["2026*"]) == ["2026", "2026/11"]
    assert read(ITALIAN, ["2026?11"]) == ["2026/11"]
    assert read(ITALIAN, ["*"], ["2026*", "A*", "inbox"]) == ["Contratti/Bozze", "Posta inviata"]
    assert read(ITALIAN, ["Cestino"], ["Cest*"]) == []


def test_a_name_with_the_signs_of_a_glob_names_itself() -> None:
    mailboxes = [listed("[Gmail]/Spam", ["\\Junk"]), listed("a*"), listed("ab"), listed("G/Spam")]
    assert read(mailboxes, ["[Gmail]/Spam"]) == ["[Gmail]/Spam"]
    assert read(mailboxes, ["[Gmail]*"]) == []
    assert read(mailboxes, ["a*"]) == ["a*", "ab"]


def test_an_accent_is_the_same_however_it_is_typed() -> None:
    typed = unicodedata.normalize("NFD", "Città")
    assert read([listed("Città")], [typed]) == ["Città"]
    assert read([listed(typed)], ["Citt*"], []) == [typed]


def test_the_inbox_has_one_name_in_any_case() -> None:
    assert read([listed("Inbox"), listed("A")]) == ["Inbox", "A"]
    assert read([listed("Inbox"), listed("A")], ["INBOX"]) == ["Inbox"]


def test_patterns_that_no_folder_answers_to_are_told() -> None:
    choice = FolderFilter(["INBOX", "Archvio", "2025*", "2026*", "Cestino"], [])
    assert list(choice.missing(ITALIAN)) == [("Archvio", False), ("2025*", True)]
