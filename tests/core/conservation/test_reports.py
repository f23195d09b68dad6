"""What a report proves, and reports of any vocabulary."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from archipec.conservation.proof import check_report, same_digest
from archipec.conservation.provider import (
    Conserved,
    Outcome,
    Package,
    Partial,
    Pending,
    Rejected,
    Report,
    Ticket,
)
from archipec.conservation.report_parser import NotUnderstood, read_report
from testbed.seals import signature

Pack = Callable[..., Package]
OTHER = "0" * 64


@pytest.fixture
def package(pack: Pack) -> Package:
    return pack()


def doubts(package: Package, outcome: Conserved | Partial, ticket: Ticket = Ticket()) -> list[str]:  # noqa: B008
    return [one.doubt for one in check_report(package, ticket, outcome)]


def hashes(package: Package, how: Callable[[str], str] = str) -> dict[str, str]:
    return {one.id: how(one.key.sha256) for one in package.documents}


@pytest.mark.parametrize(
    "how", [str, str.upper, lambda hexa: base64.b64encode(bytes.fromhex(hexa)).decode(), " {}\n".format]
)
def test_a_hash_counts_however_it_is_written(package: Package, how: Callable[[str], str]) -> None:
    report = Report(raw=b"x", about=package.id, documents=hashes(package, how))
    assert doubts(package, Conserved(report=report)) == [""] * 5


def test_what_is_no_proof(package: Package) -> None:
    good = hashes(package)
    first = package.documents[0].id
    index = hashlib.sha256(package.index).hexdigest()
    cases: list[tuple[dict[str, Any], str]] = [
        ({"raw": b"", "about": package.id, "documents": good}, "there is no report"),
        ({"raw": b"x", "documents": good}, "names nothing that was deposited"),
        ({"raw": b"x", "about": "other", "documents": good}, 'names "other"'),
        ({"raw": b"x", "about": package.id}, "states no hash of it"),
        ({"raw": b"x", "about": package.id, "documents": good | {first: OTHER}}, "states another hash"),
        # A document's own hash comes before that of the whole.
        (
            {"raw": b"x", "about": package.id, "documents": good | {first: OTHER}, "digest": index},
            "states another hash",
        ),
        ({"raw": b"x", "about": package.id, "digest": OTHER}, "states another hash"),
        ({"raw": b"x", "about": package.id, "documents": good | {first: ""}}, "states another hash"),
        ({"raw": b"x", "about": package.id, "documents": good | {first: OTHER[:40]}}, "states another hash"),
    ]
    for fields, words in cases:
        assert words in doubts(package, Conserved(report=Report(**fields)))[0]


def test_the_whole_may_be_proven_by_its_index_or_its_one_file(package: Package) -> None:
    index = hashlib.sha256(package.index).hexdigest()
    report = Report(raw=b"x", about=package.id, digest=index.upper())
    assert doubts(package, Conserved(report=report)) == [""] * 5
    report = Report(raw=b"x", about=package.id, digest=OTHER)
    assert doubts(package, Conserved(report=report), Ticket(sha256=OTHER)) == [""] * 5


def test_a_report_about_a_unit_proves_that_unit_alone(package: Package) -> None:
    report = Report(raw=b"x", about=package.units[1].id, documents=hashes(package))
    assert [bool(doubt) for doubt in doubts(package, Conserved(report=report))] == [True] * 4 + [False]


def test_what_is_not_called_conserved_is_not_judged(package: Package) -> None:
    report = Report(raw=b"x", about=package.id, documents=hashes(package))
    names = frozenset([package.documents[2].id])
    assert [
        one.document.id for one in check_report(package, Ticket(), Partial(report=report, conserved=names))
    ] == list(names)


@pytest.mark.parametrize("stated", ["", " ", "=", "a" * 43, "é" * 64, "\ud800"])
def test_no_text_breaks_the_comparison(stated: str) -> None:
    assert not same_digest(stated, OTHER)


# -- reports of any vocabulary -------------------------------------------------------------------------------


def xml(package: Package, *, outcome: str = "POSITIVO", entry: str = "POSITIVO", **other: str) -> bytes:
    entries = "".join(
        f"<d:Doc n='{number}'><d:Id>{one.id}</d:Id><d:Impronta>{other.get(one.id, one.key.sha256).upper()}</d:Impronta>"
        f"<d:Oggetto>{other.get('subject', '')}</d:Oggetto>"
        f"<d:CodiceEsito>{other.get(f'entry{number}', entry)}</d:CodiceEsito>"
        f"<d:Messaggio>{other.get('message', '')}</d:Messaggio></d:Doc>"
        for number, one in enumerate(package.documents)
    )
    return (
        f'<?xml version="1.0"?><d:RdV xmlns:d="urn:x"><d:Pacchetto>{package.id}</d:Pacchetto>'
        f"<d:EsitoGenerale>{outcome}</d:EsitoGenerale>{entries}</d:RdV>"
    ).encode()


def read(package: Package, raw: bytes, **options: Any) -> Outcome:
    return read_report(raw, ".xml", package, options.pop("ticket", Ticket()), **options)


def test_xml_by_document(package: Package) -> None:
    outcome = read(package, xml(package))
    assert isinstance(outcome, Conserved)
    assert doubts(package, outcome) == [""] * 5
    refused = read(package, xml(package, outcome="NEGATIVO", entry="NEGATIVO", message="FIRMA-003"))
    assert isinstance(refused, Rejected)
    assert "FIRMA-003" in refused.reason


def test_xml_in_part(package: Package) -> None:
    raw = xml(package, outcome="PARZIALE", entry1="NEGATIVO", entry2="IN CORSO", message="F-1")
    outcome = read(package, raw)
    assert isinstance(outcome, Partial)
    ids = [one.id for one in package.documents]
    assert list(outcome.rejected) == [ids[1]]
    assert outcome.rejected[ids[1]].reason == "F-1"
    assert outcome.conserved == {ids[0], ids[3], ids[4]}


def test_a_hash_that_differs_is_passed_on_as_it_is(package: Package) -> None:
    first = package.documents[0].id
    outcome = read(package, xml(package, **{first: OTHER}))
    assert isinstance(outcome, Conserved)
    assert doubts(package, outcome)[0] == "the report states another hash"
    assert doubts(package, outcome)[1:] == [""] * 4


@pytest.mark.parametrize("subject", ["POSITIVO", "Esito=POSITIVO", "NEGATIVO", "CodiceEsito=KO"])
def test_the_words_of_a_subject_decide_nothing(package: Package, subject: str) -> None:
    assert isinstance(read(package, xml(package, subject=subject)), Conserved)
    assert isinstance(read(package, xml(package, outcome="X", entry="IN CORSO", subject=subject)), Pending)


def test_a_negative_whole_is_never_outvoted(package: Package) -> None:
    outcome = read(package, xml(package, outcome="NEGATIVO", entry="POSITIVO"))
    assert isinstance(outcome, Pending)


def test_json_and_one_outcome_for_all(package: Package) -> None:
    index = base64.b64encode(hashlib.sha256(package.index).digest()).decode()
    outcome = read(package, json.dumps({"pdv": package.id, "status": "CONSERVED", "hash": index}).encode())
    assert isinstance(outcome, Conserved)
    assert doubts(package, outcome) == [""] * 5
    outcome = read(package, json.dumps([{"status": "rejected", "reason": "too\n late"}]).encode())
    assert isinstance(outcome, Rejected)
    assert outcome.reason == "too late"


def test_a_signed_report_is_read(package: Package) -> None:
    from archipec.simulator import Provider

    raw = signature(xml(package), [Provider(1).certificate], opaque=True)
    outcome = read(package, raw)
    assert isinstance(outcome, Conserved)
    assert outcome.report.raw == raw


@pytest.mark.parametrize(
    "spoil",
    [
        lambda raw: raw[:-20],
        lambda raw: raw[: len(raw) // 2],
        lambda _: b"",
        lambda _: b"<!DOCTYPE html><html><body>502</body></html>",
        lambda _: b"<html><body>Esito=OK</body></html>",
        lambda raw: b'<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + raw[21:],
        lambda _: b"<a>" * 100_000,
        lambda _: b"[" * 100_000,
        lambda _: b'{"esito": "OK"',
        lambda _: b"\x30\x82\xff\xff",
        lambda _: b"PDV OK",
        lambda _: b"\xff\xfe<\x00",
    ],
)
def test_what_is_no_report_is_not_understood(package: Package, spoil: Callable[[bytes], bytes]) -> None:
    with pytest.raises(NotUnderstood):
        read(package, spoil(xml(package)))
