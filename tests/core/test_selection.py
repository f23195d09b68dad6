"""`archipec.config.selection`: which messages a pipeline takes."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archipec.config.selection import MessageFacts, Selection, read_selection
from archipec.errors import ConfigError
from archipec.pec.kind import GROUPS, KINDS, in_group, kind_of


def answer(table: dict[str, object], **known: Any) -> bool | None:
    return read_selection(table).answer(MessageFacts(**({"folder": "INBOX"} | known)))


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_the_default_takes_everything_without_looking() -> None:
    assert read_selection({}) == Selection()
    assert Selection().answer(MessageFacts("anything")) is True
    assert Selection().wants_folder("anything")


# -- kinds ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("kind", [*KINDS, "x-new", "nuovo-tipo"])
def test_groups(group: str, kind: str) -> None:
    assert answer({"only": [group]}, kind=kind) is in_group(kind, group)
    if group != "all":
        assert answer({"except": [group]}, kind=kind) is not in_group(kind, group)


def test_kinds_and_groups_together() -> None:
    table: dict[str, object] = {"only": ["receipts", "anomalia"], "except": ["acceptances"]}
    taken = {kind for kind in KINDS if answer(table, kind=kind)}
    assert taken == (GROUPS["receipts"] | {"anomalia"}) - {"accettazione"}
    assert answer(table) is None


def test_one_word_needs_no_list() -> None:
    assert answer({"only": "accettazione"}, kind="accettazione") is True
    assert answer({"only": "accettazione"}, kind="avvenuta-consegna") is False


@pytest.mark.parametrize("group", GROUPS)
def test_a_header_can_not_name_a_group(group: str) -> None:
    """The sender chooses this text; a kind of its own must not be taken for a group of kinds."""
    kind = kind_of(f"X-Ricevuta: {group}\r\n\r\n".encode())
    assert kind == group
    assert answer({"only": [group]}, kind=kind) is (group in ("all", "certified"))
    assert answer({"except": ["receipts"]}, kind=kind) is True


@pytest.mark.parametrize(
    ("table", "certificato", "esterno", "both"),
    [
        ({"only": ["sent-certified"]}, True, False, True),
        ({"only": ["sent-ordinary"]}, False, True, True),
        ({"only": ["sent-certified", "sent-ordinary"]}, True, True, True),
        ({"except": ["sent-certified"]}, False, True, True),
        ({"except": ["sent-certified", "sent-ordinary"]}, False, False, False),
        ({"only": ["uncertified"], "except": ["sent-ordinary"]}, True, False, True),
        ({"only": ["sent-certified"], "except": ["sent-ordinary"]}, True, False, True),
    ],
)
def test_what_was_sent_is_told_by_its_acceptance(
    table: dict[str, object], certificato: bool, esterno: bool, both: bool
) -> None:
    def sent(*kinds: str) -> bool | None:
        return answer(table, kind="ordinaria", sent=frozenset(kinds))

    assert (sent("certificato"), sent("esterno"), sent("certificato", "esterno")) == (
        certificato,
        esterno,
        both,
    )
    assert sent() is True, "what nobody knows is taken"
    assert answer(table, kind="ordinaria") is None
    assert read_selection(table).asks_message_id


def test_received_mail_was_not_sent() -> None:
    assert answer({"only": ["sent-certified"]}, kind="accettazione", sent=frozenset()) is False
    assert answer({"except": ["sent-certified"]}, kind="accettazione") is True
    assert answer({"only": ["sent-certified", "uncertified"]}, kind="ordinaria") is True
    assert not read_selection({"only": ["uncertified"]}).asks_message_id
    table: dict[str, object] = {"only": ["sent-certified", "receipts"], "except": ["ordinaria"]}
    assert answer(table, kind="ordinaria") is False


def test_one_message() -> None:
    table: dict[str, object] = {"message_id": ["<A.1@Pec.example.it>", "2@pec.example.it"]}
    assert answer(table, message_id="a.1@pec.example.it") is True
    assert answer(table, message_id="2@PEC.example.it") is True
    assert answer(table, message_id="12@pec.example.it") is False
    assert answer(table, message_id="") is False
    assert answer(table) is None
    assert read_selection(table).asks_message_id


# -- period -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("since", "until", "first", "last"),
    [
        ("2024-02-29", "2024-02-29", date(2024, 2, 29), date(2024, 2, 29)),
        ("2024-02", "2024-02", date(2024, 2, 1), date(2024, 2, 29)),
        ("2023-12", "2023-12", date(2023, 12, 1), date(2023, 12, 31)),
        ("2024", "2024", date(2024, 1, 1), date(2024, 12, 31)),
        (2024, 2024, date(2024, 1, 1), date(2024, 12, 31)),
        (date(2024, 5, 6), date(2024, 5, 7), date(2024, 5, 6), date(2024, 5, 7)),
        ("1970", "1970-01-01", date(1970, 1, 1), date(1970, 1, 1)),
        (" 2024-05 ", "2200", date(2024, 5, 1), date(2200, 12, 31)),
    ],
)
def test_days_months_and_years(since: object, until: object, first: date, last: date) -> None:
    selection = read_selection({"since": since, "until": until})
    assert (selection.since, selection.until) == (first, last)


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2024-03-30T22:59:59+00:00", False),  # winter time: midnight is 23:00 UTC
        ("2024-03-30T23:00:00+00:00", True),
        ("2024-03-31T00:00:00+01:00", True),
        ("2024-03-31T21:59:59+00:00", True),  # summer time from that morning: midnight is 22:00 UTC
        ("2024-03-31T22:00:00+00:00", False),
    ],
)
def test_days_begin_and_end_in_italy(moment: str, expected: bool) -> None:
    assert answer({"since": "2024-03-31", "until": "2024-03-31"}, date=at(moment)) is expected


def test_half_open_periods() -> None:
    assert answer({"since": "2024"}, date=at("2031-01-01T00:00:00+00:00")) is True
    assert answer({"until": "2024"}, date=0) is True
    assert answer({"until": "2024"}, date=datetime(2025, 6, 1, tzinfo=UTC).timestamp()) is False
    assert answer({"until": "2024"}) is None


# -- size and folders -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "expected"), [(999, False), (1000, True), (2000, True), (2001, False), (None, None)]
)
def test_size(size: int | None, expected: bool | None) -> None:
    assert answer({"min_size": "1 KB", "max_size": 2000}, size=size) is expected


def test_one_bound_of_size() -> None:
    assert answer({"max_size": 0}, size=0) is True
    assert answer({"max_size": 0}, size=1) is False
    assert answer({"min_size": 1}, size=0) is False


@pytest.mark.parametrize(
    ("glob", "folder", "expected"),
    [
        ("INBOX", "INBOX", True),
        ("inbox", "INBOX", True),
        ("INBOX", "INBOX/2024", False),
        ("INBOX*", "INBOX/2024", True),
        ("2026/??", "2026/11", True),
        ("2026/??", "2026/1", False),
        ("posta *", "Posta inviata", True),
        ("CITTÀ*", 'Citta\u0300 & "Co"', True),
        ("[Gmail]/Sent", "[Gmail]/Sent", True),
        ("a[bc]", "ab", True),
        ("[z-a]", "z", False),
        ("line*", "line\nbreak", True),
    ],
)
def test_folders(glob: str, folder: str, expected: bool) -> None:
    selection = read_selection({"folders": ["nothing", glob]})
    assert selection.wants_folder(folder) is expected
    assert selection.answer(MessageFacts(folder)) is expected


# -- stages -----------------------------------------------------------------------------------------------------

EVERYTHING: dict[str, object] = {
    "only": ["receipts"], "since": "2024", "until": "2024", "min_size": 10, "folders": ["INBOX"],
}  # fmt: skip
GOOD = {"folder": "INBOX", "size": 10, "date": at("2024-06-01T00:00:00+00:00"), "kind": "accettazione"}
BAD = {"folder": "Spam", "size": 9, "date": at("2025-06-01T00:00:00+00:00"), "kind": "ordinaria"}


def test_one_no_is_enough() -> None:
    assert answer(EVERYTHING, **GOOD) is True
    for name, value in BAD.items():
        assert answer(EVERYTHING, **(GOOD | {name: value})) is False
        assert answer(EVERYTHING, **({"folder": "INBOX"} | {name: value})) is False
    for name in ("size", "date", "kind"):
        assert answer(EVERYTHING, **(GOOD | {name: None})) is None


@given(
    st.fixed_dictionaries({}, optional={"only": st.sampled_from([["receipts"], ["all"]]), "except": st.just(["anomalia"]), "since": st.just("2024"), "until": st.just("2024"), "min_size": st.just(10), "max_size": st.just(20)}),
    st.fixed_dictionaries({"size": st.integers(0, 30), "date": st.sampled_from([0.0, GOOD["date"], BAD["date"]]), "kind": st.sampled_from(KINDS)}),
    st.sets(st.sampled_from(["size", "date", "kind"])),
)  # fmt: skip
def test_a_later_stage_never_contradicts_an_earlier_one(
    table: dict[str, object], message: dict[str, Any], known: set[str]
) -> None:
    early = answer(table, **{name: value for name, value in message.items() if name in known})
    late = answer(table, **message)
    assert late is not None
    assert early in (None, late)


# -- configuration ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({"ony": ["all"]}, 'selection: unknown option "ony", did you mean "only"?'),
        ({"only": ["recepits"]}, '"recepits" is not one, did you mean "receipts"?'),
        ({"only": ["accetazione"]}, '"accetazione" is not one, did you mean "accettazione"?'),
        ({"except": "x-new"}, '"x-new" is not one'),
        ({"only": []}, "none is given"),
        ({"only": 5}, 'option "only" must be a list of texts'),
        ({"only": ["receipts"], "except": ["certified"]}, '"only" and "except" leave no kind of message'),
        ({"except": ["all"]}, '"only" and "except" leave no kind of message'),
        ({"since": "2024-13"}, 'option "since" must be a date that exists'),
        ({"since": "2023-02-29"}, 'option "since" must be a date that exists'),
        ({"since": "31/12/2024"}, "must be a date such as 2024-03-31, 2024-03 or 2024"),
        ({"since": True}, "must be a date such as"),
        ({"since": datetime(2024, 1, 1)}, "must be a date such as"),  # noqa: DTZ001 - as TOML gives it
        ({"until": "1969-12-31"}, "must be a date between 1970 and 2200"),
        ({"since": "2201"}, "must be a date between 1970 and 2200"),
        ({"until": "0001"}, "must be a date between 1970 and 2200"),
        ({"until": "9999-12-31"}, "must be a date between 1970 and 2200"),
        ({"since": "2025", "until": "2024"}, '"since" 2025-01-01 is after "until" 2024-12-31'),
        ({"min_size": "3 KB", "max_size": "2 KB"}, '"min_size" 3000 is above "max_size" 2000'),
        ({"max_size": "huge"}, 'option "max_size" must be a size'),
        ({"folders": []}, "must name at least one folder"),
        ({"message_id": ["<>"]}, "must be a Message-ID such as"),
        ({"message_id": 3}, "must be a list of texts"),
    ],
)
def test_problems(table: dict[str, object], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_selection(table)
    (found,) = caught.value.problems
    assert found.startswith("selection: ")
    assert problem in found


def test_all_problems_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        read_selection({"only": ["x"], "since": "x", "max_size": "x", "x": 1}, "pipeline: select")
    assert len(caught.value.problems) == 4
    assert all(problem.startswith("pipeline: select: ") for problem in caught.value.problems)


def test_it_is_cheap() -> None:
    """50,000 rows take 0.03 s on the machine this was written on."""
    selection = read_selection(EVERYTHING)
    start = time.process_time()
    for _ in range(50_000):
        selection.answer(MessageFacts(**GOOD))  # type: ignore[arg-type]
    assert time.process_time() - start < 0.5


# -- ids --------------------------------------------------------------------------------------------------------

HASH = "3fa9" + "0" * 60


@pytest.mark.parametrize(
    ("ids", "known", "expected"),
    [
        ([HASH], {}, None),
        ([HASH], {"message_id": "a@b.it"}, None),
        ([HASH], {"sha256": HASH}, True),
        (["3FA9"], {"sha256": HASH}, True),
        (["3fa90"], {"sha256": "3fa91" + "0" * 59}, False),
        (["<A@b.it>"], {}, None),
        (["<A@b.it>"], {"message_id": "a@B.it"}, True),
        (["<A@b.it>"], {"message_id": "c@b.it"}, False),
        (["a@b.it", "ffff"], {"message_id": "a@b.it"}, True),
        (["a@b.it", "ffff"], {"message_id": "c@b.it", "sha256": HASH}, False),
        (["a@b.it", "ffff"], {"sha256": HASH}, None),
    ],
)
def test_ids_are_hashes_and_message_ids(ids: list[str], known: dict[str, Any], expected: bool | None) -> None:
    assert answer({"ids": ids}, **known) is expected


@pytest.mark.parametrize(
    ("age", "days"), [("0d", 0), ("30d", 30), ("2 weeks", 14), ("1 day", 1), ("90D", 90)]
)
def test_an_age_is_the_day_that_is_so_long_ago(age: str, days: int) -> None:
    before = datetime.now(ZoneInfo("Europe/Rome")).date()
    selection = read_selection({"since": age, "until": age})
    after = datetime.now(ZoneInfo("Europe/Rome")).date()
    assert before - timedelta(days=days) <= selection.since <= after - timedelta(days=days)  # type: ignore[operator]
    assert selection.since == selection.until


@given(st.text(max_size=20))
def test_any_text_is_a_day_or_is_refused(text: str) -> None:
    try:
        selection = read_selection({"since": text})
    except ConfigError:
        return
    assert selection.since is not None


def test_an_age_beyond_a_hundred_years_is_refused() -> None:
    with pytest.raises(ConfigError, match="100 years"):
        read_selection({"since": "101y"})
