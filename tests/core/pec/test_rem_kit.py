"""AgID's example kit, REM-Policy-IT 1.2: read and judged as its file names and its own XML say. It is not in this repository."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import pytest
from lxml import etree  # type: ignore[import-untyped]

from archipec.errors import IntegrityError
from archipec.pec.anchors import Anchors, load_anchors
from archipec.pec.inspection import describe, inspect_message
from archipec.pec.rem.evidence import read_evidence
from archipec.pec.rem.verify import is_original
from archipec.pec.seal import Status
from archipec.pec.structure import parse_structure
from archipec.pec.xades import check_signature, parse_document
from archipec.simulator import compose
from archipec.simulator.rem import RemProvider
from archipec.simulator.rem_evidence import evidence_xml

SHARED = Path(__file__).resolve().parents[3].parent / "shared" / "reference" / "rem"
KIT, SCHEMA = SHARED / "kit-agid", SHARED / "schemas" / "evidence-check" / "evidence.xsd"
MESSAGES = sorted(KIT.rglob("REM_*.eml"))
EVIDENCES = sorted((KIT / "standalone-evidence").glob("*.xml"))

pytestmark = pytest.mark.skipif(not KIT.exists(), reason="AgID's example kit is not here")


@pytest.fixture(scope="module")
def anchors() -> Anchors:
    return load_anchors([KIT / "certificates" / "REM-ROOT-CA.crt"])


def recipients(xml: bytes) -> tuple[list[str], list[int]]:
    """The recipients that an evidence lists, and the numbers that it refers to, by plain XPath."""
    root = etree.fromstring(xml)
    listed = root.xpath("*[local-name()='RecipientDetails']/*[local-name()='Identifier']/text()")
    numbers = root.xpath(
        "*[local-name()='EvidenceRefersToRecipient']/text() | .//*[local-name()='RelayEvidenceRefersTo']/text()"
    )
    return [str(one) for one in listed], [int(one) for one in numbers]


def test_every_message_is_valid_and_says_what_its_name_says(anchors: Anchors) -> None:
    assert len(MESSAGES) == 107
    for file in MESSAGES:
        raw = file.read_bytes()
        found = inspect_message(raw, anchors)
        assert found.seal.status is Status.VALID, (file, found.seal.reason)
        assert found.evidence is not None
        shape = describe(found)
        assert (shape["system"], shape["reason"]) == ("rem", file.name.split(".")[1])
        part = next(one for one in parse_structure(raw).parts if one.media_type == "application/xml")
        listed, numbers = recipients(part.content())
        assert [one["address"] for one in shape["destinatari"]] == listed  # type: ignore[union-attr, index, call-overload]
        concerned = [listed[number - 1] for number in numbers] or listed
        assert [one.address for one in found.evidence.concerned] == concerned, file
        assert found.date == found.evidence.event_time


def test_no_message_is_valid_without_its_root() -> None:
    assert {inspect_message(file.read_bytes(), Anchors()).seal.status for file in MESSAGES} == {
        Status.UNTRUSTED
    }


def test_the_hash_of_every_original(anchors: Anchors) -> None:
    dispatches = 0
    for file in MESSAGES:
        raw = file.read_bytes()
        original = next(filter(is_original, parse_structure(raw).parts), None)
        if original is None:
            continue
        evidence = inspect_message(raw, anchors).evidence
        assert evidence is not None
        digest = hashlib.sha256(raw[original.body : original.end]).digest()
        assert [one.digest for one in evidence.parts] == [digest], file
        dispatches += 1
    assert dispatches == 25
    for file in KIT.rglob("*.digest.txt"):
        content = file.with_name(
            file.name.replace(".digest.txt", ".eml").replace(".eml.eml", ".eml")
        ).read_bytes()
        text = file.read_text("utf-8", "replace")
        assert any(one in text for one in (hashlib.sha256(content).hexdigest(), _base64(content))), file


def _base64(content: bytes) -> str:
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


def test_the_evidences_that_stand_alone() -> None:
    assert len(EVIDENCES) == 42
    for file in EVIDENCES:
        xml = file.read_bytes()
        signature = check_signature(parse_document(xml, len(xml), "the evidence"))
        assert len(signature.stamps) == 1
        evidence = read_evidence(xml)
        assert evidence.reasons[0].code == file.name.split(".")[1]


@pytest.mark.skipif(not SCHEMA.exists(), reason="the schema is not here")
def test_what_the_schema_takes_and_refuses_so_do_we() -> None:
    schema = etree.XMLSchema(etree.parse(str(SCHEMA)))
    for file in EVIDENCES:
        assert schema.validate(etree.parse(str(file)))
    provider = RemProvider()
    sending = provider.accept(
        compose(to=["a@studio.example", "b@ufficio.example"]), external=["b@ufficio.example"]
    )
    for event in ("SubmissionAcceptance", "RelayRejection", "ContentConsignment", "RelayToNonERDS"):
        facts = provider.facts(sending, event, when=sending.when, refers_to=(1,), other="Altro")
        signed = provider.signed(facts)
        assert schema.validate(etree.fromstring(signed)), schema.error_log.last_error
        # Each element of the first two levels left out, or there twice.
        for way in ("removed", "twice"):
            for number in range(len(_elements(evidence_xml(facts)))):
                root = etree.fromstring(evidence_xml(facts))
                one = _elements_of(root)[number]
                if way == "removed":
                    one.getparent().remove(one)
                else:
                    one.addnext(etree.fromstring(etree.tostring(one, with_tail=False)))
                valid = schema.validate(root)
                try:
                    read_evidence(etree.tostring(root))
                except IntegrityError as error:
                    assert not valid or "refers to a recipient" in error.message, (event, way, one.tag, error)
                else:
                    assert valid, (event, way, one.tag, schema.error_log.last_error)


def _elements(xml: bytes) -> list[Any]:
    return _elements_of(etree.fromstring(xml))


def _elements_of(root: Any) -> list[Any]:
    inner = {"EventReasons", "EvidenceIssuerPolicyID", "UserContentInfo", "Extensions"}
    found = list(root)
    return found + [two for one in found for two in one if one.tag.rpartition("}")[2] in inner]
