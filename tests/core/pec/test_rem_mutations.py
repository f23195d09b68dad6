"""Messages of REM with one thing changed, by the hundred: none is valid, none breaks anything, each reason names the thing.

What nobody sealed, and what changes nothing of what is sealed (a blank more in the base64 of a signature), is left alone.
"""

from __future__ import annotations

import base64
import os
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from archipec.pec.anchors import Anchors, load_anchors
from archipec.pec.inspection import inspect_message
from archipec.pec.mime import Part
from archipec.pec.rem.verify import is_evidence, is_original
from archipec.pec.seal import Status
from archipec.pec.structure import parse_structure
from archipec.simulator import compose, shared_authority
from archipec.simulator.rem import RemProvider

FULL = os.environ.get("ARCHIPEC_DEPTH") == "full"
COUNT = 2_000 if FULL else 250
KIT = Path(__file__).resolve().parents[3].parent / "shared" / "reference" / "rem" / "kit-agid"
SIGNATURE = re.compile(rb"<ds:Signature .*</ds:Signature>", re.DOTALL)
STAMP = re.compile(rb"(<xades:EncapsulatedTimeStamp [^>]*>)([^<]*)")


class Message(NamedTuple):
    """A message, its parts, and its evidence as it stands there."""

    raw: bytes
    evidence: Part
    original: Part | None
    xml: bytes

    @classmethod
    def of(cls, raw: bytes) -> Message:
        parts = parse_structure(raw).parts
        evidence = next(filter(is_evidence, parts))
        return cls(raw, evidence, next(filter(is_original, parts), None), evidence.content())

    def with_evidence(self, xml: bytes) -> bytes:
        """The message with another evidence in its place, its seal as it was."""
        lines = b"\r\n".join(re.findall(rb".{1,64}", base64.b64encode(xml))) + b"\r\n"
        return self.raw[: self.evidence.body] + lines + self.raw[self.evidence.end :]


def simulated() -> list[bytes]:
    one, other = RemProvider(), RemProvider(number=1)
    found = []
    for number in range(4):
        sending = one.accept(
            compose(subject=f"Perché {number}", to=["a@studio.example", "b@ufficio.example"])
        )
        found += [one.dispatch(sending), one.receipt(sending, "SubmissionAcceptance")]
        found += [
            other.receipt(sending, event)
            for event in ("ContentConsignment", "RelayFailure", "RelayAcceptance")
        ]
    return found


def one_byte(data: bytes, chance: random.Random) -> bytes:
    """A byte changed, removed or added."""
    at = chance.randrange(len(data))
    way = chance.choice(("changed", "removed", "added"))
    if way == "changed":
        return data[:at] + bytes((data[at] ^ chance.randrange(1, 256),)) + data[at + 1 :]
    if way == "removed":
        return data[:at] + data[at + 1 :]
    return data[:at] + bytes((chance.randrange(256),)) + data[at:]


def in_signed(message: Message, others: list[Message], chance: random.Random) -> tuple[bytes, str]:
    signed = parse_structure(message.raw).signed
    assert signed is not None
    changed = one_byte(message.raw[signed.start : signed.end], chance)
    return message.raw[: signed.start] + changed + message.raw[signed.end :], ""


def in_evidence(message: Message, others: list[Message], chance: random.Random) -> tuple[bytes, str]:
    return message.with_evidence(one_byte(message.xml, chance)), "evidence|time stamp|signature"


def in_stamp(message: Message, others: list[Message], chance: random.Random) -> tuple[bytes, str]:
    found = STAMP.search(message.xml)
    assert found is not None
    token = one_byte(base64.b64decode(found[2]), chance)
    xml = message.xml.replace(found[2], base64.b64encode(token))
    # Of a token also the certificates are covered by the seal alone, which says that something was changed.
    return message.with_evidence(xml), "time stamp|the evidence is whole|evidence and original are whole"


def in_original(message: Message, others: list[Message], chance: random.Random) -> tuple[bytes, str]:
    part = message.original
    if part is None:
        return in_stamp(message, others, chance)
    changed = one_byte(message.raw[part.body : part.end], chance)
    return message.raw[: part.body] + changed + message.raw[part.end :], "original|line ends|the seal covers"


def other_evidence(message: Message, others: list[Message], chance: random.Random) -> tuple[bytes, str]:
    other = chance.choice([one for one in others if one.xml != message.xml])
    return message.with_evidence(other.xml), "changed after it was sealed"


def other_signature(message: Message, others: list[Message], chance: random.Random) -> tuple[bytes, str]:
    taken = SIGNATURE.search(chance.choice([one for one in others if one.xml != message.xml]).xml)
    assert taken is not None
    return message.with_evidence(SIGNATURE.sub(lambda _: taken[0], message.xml)), "the evidence"


def other_stamp(message: Message, others: list[Message], chance: random.Random) -> tuple[bytes, str]:
    taken = STAMP.search(chance.choice([one for one in others if one.xml != message.xml]).xml)
    assert taken is not None
    return message.with_evidence(STAMP.sub(lambda m: m[1] + taken[2], message.xml)), "the time stamp"


def wrapped(message: Message, others: list[Message], chance: random.Random) -> tuple[bytes, str]:
    start = message.xml.index(b"<tns:Evidence")
    root = message.xml[start:]
    signature = SIGNATURE.search(root)
    assert signature is not None
    bare = root.replace(signature[0], b"").replace(b"SubmissionAcceptance", b"ContentConsignment")
    end = bare.rindex(b"</tns:Evidence>")
    forged = chance.choice(
        (
            bare[:end] + root + bare[end:],
            bare[:end] + b"<tns:Extensions><tns:Extension>" + root + b"</tns:Extension></tns:Extensions>" + bare[end:],
            bare[:end] + signature[0].replace(b"<ds:Object>", b"<ds:Object>" + root + b"</ds:Object><ds:Object>") + bare[end:],
            bare[:end] + signature[0] + signature[0] + bare[end:],
            b"<tns:Evidence" + bare[13:end].replace(b"version=", b'Id="x" version=', 1) + signature[0].replace(b'URI=""', b'URI="#x"') + bare[end:],
            root.replace(b"<ds:SignedInfo>", b"<ds:SignedInfo/><ds:SignedInfo>"),
            root.replace(b"xmlns:tns=", b"xmlns:z=", 1).replace(b"tns:", b"z:"),
        )
    )  # fmt: skip
    return message.with_evidence(message.xml[:start] + forged), "the evidence"


def swapped_header(message: Message, others: list[Message], chance: random.Random) -> tuple[bytes, str]:
    different = [one for one in others if event(one.raw) != event(message.raw)]
    other = chance.choice(different)
    head, blank, body = message.raw.partition(b"\r\n\r\n")
    foreign = re.search(rb"REM-MessageType.*?\r\n(?=REM-MD08)", other.raw, re.DOTALL)
    assert foreign is not None
    head = re.sub(rb"REM-MessageType.*?\r\n(?=REM-MD08)", lambda _: foreign[0], head, flags=re.DOTALL)
    return head + blank + body, "the header field"


def event(raw: bytes) -> bytes:
    found = re.search(rb"\r\nREM-MessageType: (\S+)", raw)
    name = re.search(rb"\r\nREM-EventIdentifier: (\S+)", raw)
    assert found is not None and name is not None
    return found[1] + name[1]


CHANGES: tuple[Callable[[Message, list[Message], random.Random], tuple[bytes, str]], ...] = (
    in_signed, in_signed, in_evidence, in_evidence, in_stamp, in_original, in_original,
    other_evidence, other_signature, other_stamp, wrapped, wrapped, swapped_header,
)  # fmt: skip


def check(messages: list[bytes], anchors: Anchors, seed: int) -> None:
    known = [Message.of(raw) for raw in messages]
    assert all(inspect_message(one.raw, anchors).seal.status is Status.VALID for one in known)
    chance = random.Random(seed)
    for number in range(COUNT):
        message = chance.choice(known)
        change = chance.choice(CHANGES)
        raw, words = change(message, known, chance)
        if raw == message.raw:
            continue
        seal = inspect_message(raw, anchors).seal
        assert seal.status is not Status.VALID, (seed, number, change.__name__, seal.reason)
        assert seal.reason
        if words:
            assert re.search(words, seal.reason), (seed, number, change.__name__, seal.reason)


def test_none_is_valid() -> None:
    check(simulated(), Anchors((shared_authority().root,)), seed=5)


@pytest.mark.skipif(not KIT.exists(), reason="AgID's example kit is not here")
def test_none_of_agids_kit_is_valid() -> None:
    files = sorted(KIT.glob("Intra-REM-flow/REM_*.eml"))
    check(
        [file.read_bytes() for file in files],
        load_anchors([KIT / "certificates" / "REM-ROOT-CA.crt"]),
        seed=6,
    )
