"""The simulator's seals against the openssl program: an independent judge of what a mail client would accept."""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from archipec.pec.kind import kind_of
from archipec.simulator import (
    ARUBA_2026,
    NAMIRIAL_2024,
    STYLES,
    Attachment,
    Authority,
    Provider,
    Sending,
    Style,
    compose,
    mailbox,
    shared_authority,
)
from testbed.requirements import find, require

pytestmark = pytest.mark.real

ORIGINAL = compose(
    subject="Perché è così: osservazioni",
    cc=["protocollo@imprese.example"],
    attachments=[Attachment("contratto.pdf", b"%PDF-1.7 " + bytes(range(256)) * 4)],
)
KINDS: dict[str, tuple[str, Callable[[Provider, Sending], bytes]]] = {
    "envelope": ("posta-certificata", lambda p, s: p.envelope(s)),
    "anomaly": ("anomalia", lambda p, s: p.anomaly(s)),
    "acceptance": ("accettazione", lambda p, s: p.acceptance(s)),
    "non-acceptance": ("non-accettazione", lambda p, s: p.non_acceptance(s)),
    "non-acceptance-virus": ("non-accettazione", lambda p, s: p.virus_non_acceptance(s)),
    "taken-in-charge": ("presa-in-carico", lambda p, s: p.taken_in_charge(s)),
    "virus-detected": ("rilevazione-virus", lambda p, s: p.virus_detected(s)),
    "delivery": ("avvenuta-consegna", lambda p, s: p.delivery(s)),
    "delivery-breve": ("avvenuta-consegna", lambda p, s: p.delivery(s, receipt="breve")),
    "delivery-sintetica": ("avvenuta-consegna", lambda p, s: p.delivery(s, receipt="sintetica")),
    "failure": ("errore-consegna", lambda p, s: p.failure(s)),
    "failure-virus": ("errore-consegna", lambda p, s: p.virus_failure(s)),
    "timeout-12": ("preavviso-errore-consegna", lambda p, s: p.timeout_notice(s)),
    "timeout-24": ("preavviso-errore-consegna", lambda p, s: p.timeout_notice(s, hours=24)),
}


@pytest.fixture(scope="module", autouse=True)
def _openssl() -> None:
    require("openssl")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("root") / "root.pem"
    path.write_text(shared_authority().root_pem, encoding="ascii")
    return path


def verify(message: bytes, root: Path, *options: str) -> subprocess.CompletedProcess[bytes]:
    """`openssl cms -verify` on a whole message; stdout is the signed entity."""
    program = find("openssl")
    assert program is not None
    command = [program, "cms", "-verify", "-CAfile", str(root), *options]
    return subprocess.run(command, input=message, capture_output=True, check=False)


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
@pytest.mark.parametrize("name", KINDS)
def test_openssl_accepts_every_kind_in_every_style(name: str, style: Style, root: Path) -> None:
    provider = Provider(seed=3, style=style)
    kind, make = KINDS[name]
    message = make(provider, provider.accept(ORIGINAL))
    assert kind_of(message) == kind
    done = verify(message, root)
    assert done.returncode == 0, done.stderr
    assert verify(message, root, "-purpose", "any").returncode == 0


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
def test_the_seal_covers_the_raw_bytes_between_the_boundaries(
    style: Style, root: Path, tmp_path: Path
) -> None:
    """Without canonicalisation: the detached signature over the sliced part, as an archive checks it."""
    message = Provider(style=style).delivery(ORIGINAL)
    entity, signature = sliced(message)
    (tmp_path / "p7s").write_bytes(signature)
    (tmp_path / "entity").write_bytes(entity)
    options = (
        "-binary",
        "-inform",
        "DER",
        "-in",
        str(tmp_path / "p7s"),
        "-content",
        str(tmp_path / "entity"),
    )
    done = verify(b"", root, *options)
    assert done.returncode == 0, done.stderr
    assert done.stdout == entity
    (tmp_path / "entity").write_bytes(entity.replace(b"\r\n", b"\n"))
    assert verify(b"", root, *options).returncode != 0


def sliced(message: bytes) -> tuple[bytes, bytes]:
    """The signed entity and the DER of the signature, cut out by the outer boundary."""
    import base64

    match = re.search(rb'boundary="([^"]+)"', message)
    assert match is not None
    _, entity, part, _ = message.split(b"--" + match[1])
    return entity[2:-2], base64.b64decode(part.partition(b"\r\n\r\n")[2])


@pytest.mark.parametrize("position", [0, 1, 2, 3])
def test_one_changed_byte_is_refused(position: int, root: Path) -> None:
    message = Provider().envelope(ORIGINAL)
    entity, _ = sliced(message)
    # A letter in the header of the entity, in the text, in the original and in its attachment.
    places = [b"mixed", b"Messaggio di", b"Buongiorno", b"JVBERi0"]
    at = message.index(entity) + entity.index(places[position])
    changed = message[:at] + bytes([message[at] ^ 0x01]) + message[at + 1 :]
    done = verify(changed, root)
    assert done.returncode != 0
    assert b"verification fail" in done.stderr.lower()


def test_another_authority_is_not_trusted(root: Path) -> None:
    provider = Provider(authority=Authority(1))
    assert verify(provider.acceptance(ORIGINAL), root).returncode != 0
    assert provider.root_pem != shared_authority().root_pem


def test_an_address_outside_the_name_constraints_is_refused(root: Path) -> None:
    provider = Provider(address="posta-certificata@altrove.example")
    done = verify(provider.acceptance(ORIGINAL), root)
    assert done.returncode != 0
    assert b"permitted subtree violation" in done.stderr


def test_an_expired_certificate_was_valid_when_it_signed(root: Path) -> None:
    valid = (datetime(2017, 6, 1, tzinfo=UTC), datetime(2020, 6, 1, tzinfo=UTC))
    signed = datetime(2018, 12, 14, 11, 30, tzinfo=UTC)
    provider = Provider(valid=valid, style=NAMIRIAL_2024)
    message = provider.acceptance(provider.accept(ORIGINAL, signed))
    assert b"certificate has expired" in verify(message, root).stderr
    assert verify(message, root, "-attime", str(int(signed.timestamp()))).returncode == 0


def test_every_message_of_a_mailbox_verifies(root: Path) -> None:
    for sample in mailbox(60, seed=5, size=12_000):
        if sample.kind != "ordinaria":
            done = verify(sample.raw, root)
            assert done.returncode == 0, (sample.kind, done.stderr)


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
def test_the_signature_holds_what_real_seals_hold(style: Style) -> None:
    from asn1crypto import cms

    provider = Provider(style=style)
    sending = provider.accept(ORIGINAL)
    entity, der = sliced(provider.acceptance(sending))
    content = cms.ContentInfo.load(der, strict=True)["content"]
    (signer,) = content["signer_infos"]
    attributes = {
        attribute["type"].native: attribute["values"].native[0] for attribute in signer["signed_attrs"]
    }
    assert attributes["message_digest"] == hashlib.new(style.digest, entity).digest()
    assert (attributes["signing_time"] - sending.when).total_seconds() == 1
    expected = {"content_type", "signing_time", "message_digest"}
    if style.signed_attribute != "none":
        expected.add(
            {"capabilities": "smime_capabilities"}.get(style.signed_attribute, "cms_algorithm_protection")
        )
    assert set(attributes) == expected
    assert not signer["unsigned_attrs"].native
    certificates = [choice.chosen for choice in content["certificates"]]
    assert {certificate.dump() for certificate in certificates} == {
        provider.certificate,
        provider.authority.ca,
    }
    leaf = next(certificate for certificate in certificates if certificate.dump() == provider.certificate)
    assert leaf.subject_alt_name_value.native == [f"posta-certificata@{style.domain}"]
    assert leaf.public_key.bit_size == style.key_bits
    assert leaf.basic_constraints_value is None
    encoded = signer["signed_attrs"].untag().dump(force=True)
    assert encoded == signer["signed_attrs"].untag().dump()


def test_the_default_style_is_the_newest() -> None:
    assert Provider().style is ARUBA_2026
