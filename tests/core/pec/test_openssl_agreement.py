"""The verdicts against the openssl program, so that simulator and verifier can't share a mistake."""

from __future__ import annotations

import os
import random
import re
from collections import Counter
from pathlib import Path

import pytest

from archipec.pec.anchors import Anchors
from archipec.pec.inspection import inspect_message
from archipec.pec.mime import children, entity, unbase64
from archipec.pec.seal import Seal, Status
from archipec.simulator import STYLES, Provider, Style, compose, mailbox, shared_authority
from testbed.mutations import mutated
from testbed.requirements import require
from testbed.seals import (
    EVERY_KIND,
    indefinite,
    openssl_opinion,
    openssl_opinion_on_slices,
    signature,
    signed_entity,
    with_signature,
)

pytestmark = pytest.mark.real

FULL = os.environ.get("ARCHIPEC_DEPTH") == "full"
ANCHORS = Anchors((shared_authority().root,))
NOT_WHOLE = (Status.ALTERED, Status.MALFORMED, Status.UNSIGNED)


@pytest.fixture(scope="module", autouse=True)
def _openssl() -> None:
    require("openssl")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("root") / "root.pem"
    path.write_text(shared_authority().root_pem, encoding="ascii")
    return str(path)


def sealed(message: bytes) -> Seal:
    return inspect_message(message, ANCHORS).seal


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
@pytest.mark.parametrize("name", EVERY_KIND)
def test_every_kind_in_every_style(name: str, style: Style, root: str) -> None:
    provider = Provider(seed=8, style=style)
    message = EVERY_KIND[name](provider, provider.accept(compose(subject="Perché no")))
    assert openssl_opinion(message, "-CAfile", root).good
    assert sealed(message).status is Status.VALID


def test_every_message_of_a_mailbox(root: str) -> None:
    for sample in mailbox(400 if FULL else 60, seed=12, size=12_000):
        good = openssl_opinion(sample.raw, "-CAfile", root).good
        assert (sealed(sample.raw).status is Status.VALID) is good is (sample.kind != "ordinaria")


def test_seals_of_other_shapes(root: str) -> None:
    provider = Provider()
    message = provider.acceptance(compose())
    covered = signed_entity(message)
    for digest in ("sha1", "sha256"):
        for attributes in (True, False):
            der = signature(covered, [provider.certificate], digest=digest, attributes=attributes)
            for encoded in (der, indefinite(der)):
                one = with_signature(message, encoded)
                assert openssl_opinion(one, "-CAfile", root).good
                assert sealed(one).status is Status.VALID
    for missing in ("content_type", "message_digest"):
        one = with_signature(message, signature(covered, [provider.certificate], leave_out=missing))
        assert not openssl_opinion(one, "-CAfile", root).good
        assert sealed(one).status is Status.MALFORMED


def samples() -> list[bytes]:
    found = [one.raw for one in mailbox(80, seed=5, size=9000) if one.kind != "ordinaria"]
    return found[:24] + [Provider(style=style).anomaly(compose()) for style in STYLES]


def test_changes_to_what_is_sealed_and_to_the_seal(root: str, tmp_path: Path) -> None:
    """Both accept or both refuse; where openssl can't read what archipec can, it is asked about the slices alone.

    On the signature they never differ; on what is too broken to be read they may, either way, and seldom do.
    """
    chance = random.Random(20260915)
    originals = samples()
    seen: Counter[tuple[str, str]] = Counter()
    unread = stricter = 0
    for number in range(12_000 if FULL else 500):
        original = chance.choice(originals)
        boundary = re.search(rb'micalg=[^;]+; boundary="([^"]+)"', original)
        assert boundary is not None
        pieces = original.split(b"--" + boundary[1])
        which = chance.choice((1, 2))
        pieces[which] = b"\r\n" + mutated(pieces[which][2:-2], chance) + b"\r\n"
        message = (b"--" + boundary[1]).join(pieces)
        if message.count(b"\n--" + boundary[1]) != 3:
            continue  # one boundary more or less makes another message
        ours, theirs = sealed(message), openssl_opinion(message, "-CAfile", root)
        note = (number, ours, theirs)
        if theirs.good and ours.status in (Status.MALFORMED, Status.UNSIGNED):
            stricter += 1
        elif theirs.good:
            assert ours.status is Status.VALID, note
        elif ours.status is Status.VALID:
            assert not theirs.is_about_the_signature, note
            part, p7s = children(entity(message))
            canonical = re.sub(rb"\r*\n", b"\r\n", part.octets)
            der = p7s.content()
            # A seal is base64 whatever its header says.
            der = der if der.startswith(b"\x30") else unbase64(der)
            apart = openssl_opinion_on_slices(der, canonical, tmp_path)
            assert not apart.is_about_the_signature, note
            unread += not apart.good
        elif ours.status is Status.ALTERED:
            assert not openssl_opinion(message, "-noverify").good, note
        if theirs.is_about_the_signature:
            assert ours.status is not Status.VALID, note
        seen[ours.status, "accepted" if theirs.good else "refused"] += 1
    # Values in fields that nobody signed and nothing depends on, of which openssl wants to know every one.
    assert unread <= sum(seen.values()) // 200
    # A header cut in two by an empty line: openssl skips what is no base64.
    assert stricter <= sum(seen.values()) // 200
    assert seen[Status.VALID, "accepted"]
    assert seen[Status.ALTERED, "refused"] and seen[Status.MALFORMED, "refused"]


def test_changes_anywhere(root: str) -> None:
    """What openssl finds altered is never valid, and what it finds whole is never altered."""
    chance = random.Random(7)
    originals = samples()
    seen: Counter[str] = Counter()
    for number in range(8_000 if FULL else 300):
        message = mutated(chance.choice(originals), chance)
        ours, theirs = sealed(message), openssl_opinion(message, "-CAfile", root)
        if ours.status is Status.VALID:
            assert not theirs.is_about_the_signature, (number, ours, theirs)
        if theirs.good:
            assert ours.status is not Status.ALTERED, (number, ours, theirs)
        seen[ours.status] += 1
    assert set(NOT_WHOLE) | {Status.VALID} <= set(seen)
