"""`archipec.pec.certification_path` beside `openssl verify`: both accept a path, or both refuse it."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import parser
from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa

from archipec.pec.certification_path import (
    InvalidPath,
    NameNotPermitted,
    Strength,
    check_path,
    find_paths,
    validity,
)
from archipec.simulator import STYLES, Authority, Provider, Style, shared_authority, to_pem
from archipec.simulator.keys import rsa_key
from testbed.requirements import require

FULL = os.environ.get("ARCHIPEC_DEPTH") == "full"
AT = datetime(2026, 9, 15, tzinfo=UTC)
DAY = timedelta(days=1)
OLD = Strength(digests=frozenset({"sha1", "sha256", "sha384", "sha512"}), rsa_bits=1024)
STRICT = Strength(digests=frozenset({"sha256", "sha384", "sha512"}), rsa_bits=2048)
POLICY, OTHER_POLICY, ANY_POLICY = "1.3.6.1.4.1.99999.1", "1.3.6.1.4.1.99999.2", "2.5.29.32.0"
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.9"), b"\x05\x00")

Key = Any  # a private key of `cryptography`


@lru_cache(maxsize=16)
def ec_key(number: int) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def name(common_name: str, organization: str = "") -> x509.Name:
    parts = [x509.NameAttribute(x509.NameOID.COUNTRY_NAME, "IT")]
    if organization:
        parts.append(x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, organization))
    return x509.Name([*parts, x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])


def within(organization: str) -> x509.DirectoryName:
    """The names of an organization's certificates, whatever follows in them."""
    return x509.DirectoryName(x509.Name(list(name("any", organization))[:2]))


def usage(*names: str) -> x509.KeyUsage:
    every = (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
        *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    )
    return x509.KeyUsage(**{one: one in names for one in every})


def permitted(*names: x509.GeneralName) -> x509.NameConstraints:
    return x509.NameConstraints(permitted_subtrees=names, excluded_subtrees=None)


def excluded(*names: x509.GeneralName) -> x509.NameConstraints:
    return x509.NameConstraints(permitted_subtrees=None, excluded_subtrees=names)


def mail(text: str) -> x509.RFC822Name:
    return x509.RFC822Name(text)


def policies(*oids: str) -> x509.CertificatePolicies:
    return x509.CertificatePolicies(
        [x509.PolicyInformation(x509.ObjectIdentifier(one), None) for one in oids]
    )


@dataclass(frozen=True, slots=True)
class Certified:
    """A certificate, and the key of its holder."""

    der: bytes
    key: Key
    subject: x509.Name


CA = x509.BasicConstraints(ca=True, path_length=None)
CERTIFIES = usage("key_cert_sign", "crl_sign")


def certify(
    subject: str | x509.Name,
    issuer: Certified | None,
    *extensions: x509.ExtensionType,
    key: Key = None,
    signed_with: Key = None,
    valid: tuple[datetime, datetime] = (AT - 1000 * DAY, AT + 1000 * DAY),
    digest: Any = hashes.SHA256(),  # noqa: B008
    pss: padding.PSS | None = None,
    critical: bool | None = None,
) -> Certified:
    """A certificate; without an issuer, a self-signed one.

    Critical are the extensions that RFC 5280 wants so, unless told otherwise. Key identifiers are there because openssl
    takes the first issuer of a name and tries no other.
    """
    subject = name(subject) if isinstance(subject, str) else subject
    key = key or ec_key(sum(subject.public_bytes()) % 11)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(valid[0])
        .not_valid_after(valid[1])
    )
    important = (x509.BasicConstraints, x509.KeyUsage, x509.NameConstraints, x509.UnrecognizedExtension)
    for extension in extensions:
        is_critical = isinstance(extension, important) if critical is None else critical
        builder = builder.add_extension(extension, critical=is_critical)
    builder = builder.add_extension(
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
    )
    if issuer is not None:
        issued_by = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
        builder = builder.add_extension(issued_by, critical=False)
    signer = signed_with or (issuer.key if issuer else key)
    made = builder.sign(signer, digest, rsa_padding=pss)
    return Certified(made.public_bytes(serialization.Encoding.DER), key, subject)


def root(*extensions: x509.ExtensionType, **how: Any) -> Certified:
    return certify(how.pop("subject", "Root"), None, *(extensions or (CA, CERTIFIES)), **how)


def authority(
    issuer: Certified, subject: str = "CA", *extensions: x509.ExtensionType, **how: Any
) -> Certified:
    return certify(subject, issuer, *(extensions or (CA, CERTIFIES)), **how)


def leaf(
    issuer: Certified, *extensions: x509.ExtensionType, address: str = "a@pec.example.it", **how: Any
) -> Certified:
    subject = how.pop("subject", name("Posta Certificata", "Esempio PEC S.p.A."))
    alternative = x509.SubjectAlternativeName(how.pop("names", None) or [mail(address)])
    return certify(subject, issuer, alternative, usage("digital_signature"), *extensions, **how)


def ours(
    certificate: bytes, pool: Sequence[bytes], anchors: Sequence[bytes], strength: Strength = OLD
) -> list[str]:
    """Why each path that archipec finds is refused, empty for one that is accepted; no path, no reason."""
    load = asn1.Certificate.load
    reasons = []
    for path in find_paths(load(certificate), list(map(load, pool)), list(map(load, anchors))):
        try:
            check_path(path, strength)
        except InvalidPath as error:
            reasons.append(f"{type(error).__name__}: {error}")
            continue
        since, until = validity(path)
        reasons.append("" if since <= AT <= until else "not valid at that time")
    return reasons


def theirs(certificate: bytes, pool: Sequence[bytes], anchors: Sequence[bytes], folder: Path) -> str:
    """Why openssl refuses; empty when it accepts."""
    (folder / "leaf").write_text(to_pem(certificate), "ascii")
    (folder / "pool").write_text("".join(map(to_pem, pool)), "ascii")
    (folder / "anchors").write_text("".join(map(to_pem, anchors)), "ascii")
    command = [
        "openssl",
        "verify",
        "-partial_chain",
        "-policy",
        ANY_POLICY,
        "-attime",
        str(int(AT.timestamp())),
    ]
    command += ["-trusted", str(folder / "anchors")]
    command += ["-untrusted", str(folder / "pool")] if pool else []
    done = subprocess.run([*command, str(folder / "leaf")], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stderr or "refused"


@dataclass(frozen=True, slots=True)
class Case:
    """A certificate, what is carried beside it, what is trusted, and what is to be said: empty for accepted."""

    leaf: Certified
    pool: tuple[Certified, ...]
    anchors: tuple[Certified, ...]
    says: str = ""


def below(*chain: Certified, says: str = "") -> Case:
    """The case of a chain from the root to the leaf."""
    return Case(chain[-1], chain[1:-1], chain[:1], says)


def limited(length: int) -> x509.BasicConstraints:
    return x509.BasicConstraints(ca=True, path_length=length)


def with_leaf(*authorities: Certified, says: str = "", **how: Any) -> Case:
    return below(*authorities, leaf(authorities[-1], *how.pop("extensions", ()), **how), says=says)


def constrained(constraints: x509.NameConstraints, says: str = "", **how: Any) -> Case:
    top = root()
    return with_leaf(top, authority(top, "CA", CA, CERTIFIES, constraints), says=says, **how)


def cases() -> dict[str, Case]:
    """One case for each thing that a path can be refused for, and the nearest one that is accepted."""
    top = root()
    ca = authority(top)
    low = authority(ca, "Lower CA")
    short = authority(top, "CA", limited(0), CERTIFIES)
    itself = certify(name("CA"), short, CA, CERTIFIES, key=ec_key(5))
    past, future = (AT - 20 * DAY, AT - DAY), (AT + DAY, AT + 20 * DAY)
    plain = {
        "one authority": with_leaf(top, ca),
        "no authority between": with_leaf(top),
        "two authorities": with_leaf(top, ca, low),
        "an authority as anchor": Case(leaf(ca), (), (ca,)),
        "another root of that name": Case(leaf(ca), (ca,), (root(key=ec_key(12)),), "did not sign"),
        "no root": Case(leaf(ca), (ca,), (root(subject="Another"),), "no path"),
        "wrong signature on the leaf": with_leaf(top, ca, signed_with=ec_key(13), says="did not sign"),
        "wrong signature on the authority": with_leaf(
            top, authority(top, signed_with=ec_key(13)), says="did not sign"
        ),
        "expired": with_leaf(top, ca, valid=past, says="not valid at that time"),
        "not yet valid": with_leaf(top, ca, valid=future, says="not valid at that time"),
        "expired authority": with_leaf(top, authority(top, valid=past), says="not valid at that time"),
        "expired root": with_leaf(old := root(valid=past), authority(old), says="not valid at that time"),
    }
    no_ca = x509.BasicConstraints(ca=False, path_length=None)
    authorities = {
        "not an authority": with_leaf(top, authority(top, "CA", no_ca, CERTIFIES), says="no certification authority"),
        "no basic constraints": with_leaf(top, authority(top, "CA", CERTIFIES), says="no certification authority"),
        "below a leaf": with_leaf(top, ca, leaf(ca), says="not for certifying"),
        "key usage without keyCertSign": with_leaf(
            top, authority(top, "CA", CA, usage("digital_signature", "crl_sign")), says="not for certifying"
        ),
        "no key usage": with_leaf(top, authority(top, "CA", CA)),
        "root that may not certify": with_leaf(bad := root(CA, usage("crl_sign")), authority(bad), says="not for cert"),
        "root that is no authority": with_leaf(bad := root(no_ca), authority(bad), says="no certification authority"),
        "root by its key usage": with_leaf(bad := root(CERTIFIES), authority(bad)),
        "root that says nothing": with_leaf(bad := root(UNKNOWN, critical=False), says="no certification authority"),
        "path length kept": with_leaf(top, short),
        "path length exceeded": with_leaf(top, short, authority(short, "Lower CA"), says="one authority more"),
        "path length of two": with_leaf(top, long_ca := authority(top, "CA", limited(1), CERTIFIES), authority(long_ca, "Lower CA")),
        "path length of the root": with_leaf(bad := root(limited(0), CERTIFIES), authority(bad), says="one authority more"),
        "path length and a self-issued authority": with_leaf(top, short, itself),
        "path length not raised below": with_leaf(
            top, short, second := authority(short, "B", limited(5), CERTIFIES), authority(second, "C"), says="one authority more"
        ),
        "unknown critical extension of the leaf": with_leaf(top, ca, extensions=[UNKNOWN], says="does not know: 1.3.6.1.4.1.99999.9"),
        "unknown critical extension of an authority": with_leaf(
            top, authority(top, "CA", CA, CERTIFIES, UNKNOWN), says="does not know"
        ),
        "unknown critical extension of the root": with_leaf(bad := root(CA, CERTIFIES, UNKNOWN), authority(bad), says="does not know"),
        "unknown extension": with_leaf(top, ca, extensions=[UNKNOWN], critical=False),
    }  # fmt: skip
    return plain | authorities | _cases_of_names() | _cases_of_policies() | _cases_of_several()


def _cases_of_names() -> dict[str, Case]:
    top = root()
    organization = within("ESEMPIO  PEC s.p.a.")  # case and blanks don't count (RFC 5280 §7.1)
    elsewhere = within("Un Altro Gestore S.p.A.")
    in_subject = x509.Name(
        [*name("Posta"), x509.NameAttribute(x509.NameOID.EMAIL_ADDRESS, "a@altrove.example")]
    )
    no = "may not certify the names"
    first = authority(top, "CA", CA, CERTIFIES, permitted(mail("pec.example.it"), mail("pec.example.com")))
    dns = x509.DNSName
    narrower = authority(first, "Lower CA", CA, CERTIFIES, permitted(mail("pec.example.com")))
    self_issued = certify(name("CA"), first, CA, CERTIFIES, key=ec_key(5))
    anchored = root(CA, CERTIFIES, permitted(mail("pec.example.it")))
    return {
        "permitted host": constrained(permitted(mail("PEC.example.it"))),
        "another host": constrained(permitted(mail("example.it")), no),
        "one of several hosts": constrained(permitted(mail("example.com"), mail("pec.example.it"))),
        "permitted domain": constrained(permitted(mail(".example.it"))),
        "the domain itself": constrained(permitted(mail(".pec.example.it")), no),
        "permitted mailbox": constrained(permitted(mail("a@pec.example.it"))),
        "another mailbox": constrained(permitted(mail("A@pec.example.it")), no),
        "excluded host": constrained(excluded(mail("pec.example.it")), no),
        "excluded domain": constrained(excluded(mail(".example.it")), no),
        "another host excluded": constrained(excluded(mail("example.it"))),
        "address in the subject": constrained(permitted(mail("pec.example.it")), no, subject=in_subject),
        "permitted organization": constrained(permitted(organization)),
        "another organization": constrained(permitted(elsewhere), no),
        "excluded organization": constrained(excluded(organization), no),
        "host and organization": constrained(permitted(mail("pec.example.it"), organization)),
        "host and another organization": constrained(permitted(mail("pec.example.it"), elsewhere), no),
        "constraint of another type": constrained(permitted(dns("pec.example.it"))),
        "hosts of servers": constrained(permitted(dns("example.it")), names=[mail("a@b.it"), dns("www.example.it")]),
        "another host of servers": constrained(permitted(dns("example.it")), no, names=[dns("www.example.com")]),
        "not a part of a label": constrained(permitted(dns("example.it")), no, names=[dns("notexample.it")]),
        "no host of servers": constrained(excluded(dns("")), no, names=[dns("example.it")]),
        "no host of servers, for a mailbox": constrained(excluded(dns(""))),
        "narrowed below": with_leaf(top, first, narrower, says=no),
        "permitted by both": with_leaf(top, first, narrower, address="a@pec.example.com"),
        "not widened below": with_leaf(
            top, first, authority(first, "Lower CA", CA, CERTIFIES, permitted(mail("x.it"))), address="a@x.it", says=no
        ),
        "a self-issued authority between": with_leaf(top, first, self_issued),
        "names of the root": with_leaf(anchored, authority(anchored), address="a@b.it", says=no),
        "permitted by the root": with_leaf(anchored, authority(anchored)),
    }  # fmt: skip


def _cases_of_policies() -> dict[str, Case]:
    top = root()
    must = x509.PolicyConstraints(require_explicit_policy=0, inhibit_policy_mapping=None)

    def chain(
        upper: Sequence[x509.ExtensionType], lower: Sequence[x509.ExtensionType], says: str = ""
    ) -> Case:
        return with_leaf(top, authority(top, "CA", CA, CERTIFIES, *upper), extensions=lower, says=says)

    no = "under a policy that is required"
    later = x509.PolicyConstraints(require_explicit_policy=1, inhibit_policy_mapping=None)
    return {
        "no policy is required": chain([policies(POLICY)], []),
        "a policy is required": chain([must, policies(POLICY)], [policies(POLICY)]),
        "another policy": chain([must, policies(POLICY)], [policies(OTHER_POLICY)], no),
        "a policy is required and there is none": chain([must, policies(POLICY)], [], no),
        "any policy above": chain([must, policies(ANY_POLICY)], [policies(OTHER_POLICY)]),
        "any policy below": chain([must, policies(POLICY)], [policies(ANY_POLICY)]),
        "any policy is inhibited": chain(
            [must, policies(POLICY), x509.InhibitAnyPolicy(0)], [policies(ANY_POLICY)], no
        ),
        "the leaf requires one": chain([policies(POLICY)], [must], no),
        "one is required later": chain([later, policies(POLICY)], [], no),
        "critical policies": with_leaf(
            top, authority(top, "CA", CA, CERTIFIES, must, policies(POLICY), critical=True), extensions=[policies(POLICY)]
        ),
    }  # fmt: skip


def _cases_of_several() -> dict[str, Case]:
    """Several certificates of one name; first the one that openssl is to take, which does not go back."""
    top, other = root(), root(subject="Other Root")
    ca = authority(top)
    crossed = certify(ca.subject, other, CA, CERTIFIES, key=ca.key)
    expired = certify(ca.subject, top, CA, CERTIFIES, key=ca.key, valid=(AT - 20 * DAY, AT - DAY))

    one, two = (certify("Twins", top, CA, CERTIFIES, key=ec_key(number)) for number in (7, 8))
    a = certify("A", name_only("B", 9), CA, CERTIFIES, key=ec_key(1))
    b = certify("B", a, CA, CERTIFIES, key=ec_key(9))
    return {
        "cross-signed, one root": Case(leaf(ca), (ca, crossed), (top,)),
        "cross-signed, the other root": Case(leaf(ca), (crossed, ca), (other,)),
        "certified anew": Case(leaf(ca), (expired, ca), (top,)),
        "two issuers of one name": Case(leaf(two), (one, two), (top,)),
        "a circle": Case(leaf(a), (a, b), (top,), "no path"),
        "a circle and a way out": Case(leaf(a), (a, b, certify("A", top, CA, CERTIFIES, key=ec_key(1))), (top,)),
        "strangers": Case(leaf(ca), (one, two, other, ca, top), (top,)),
        "the same twice": Case(leaf(ca), (ca, ca), (top,)),
    }  # fmt: skip


def name_only(subject: str, key: int) -> Certified:
    """An issuer of whom nothing but name and key are needed."""
    return Certified(b"", ec_key(key), name(subject))


@lru_cache(maxsize=1)
def every_case() -> dict[str, Case]:
    return cases()


@pytest.fixture(scope="module")
def _openssl() -> None:
    require("openssl")


NAMES = tuple(cases())


@pytest.mark.real
@pytest.mark.usefixtures("_openssl")
@pytest.mark.parametrize("title", NAMES)
def test_what_openssl_says(title: str, tmp_path: Path) -> None:
    case = every_case()[title]
    pool, anchors = [one.der for one in case.pool], [one.der for one in case.anchors]
    refused = theirs(case.leaf.der, pool, anchors, tmp_path)
    assert bool(refused) is bool(case.says), refused
    for order in (pool, pool[::-1]):
        reasons = ours(case.leaf.der, order, anchors) or ["no path"]
        if case.says:
            assert all(case.says in reason for reason in reasons), reasons
        else:
            assert "" in reasons, reasons


def test_names_are_told_from_other_faults() -> None:
    """For whoever says of a seal that its authority may not certify that domain."""
    case = every_case()["another host"]
    (reason,) = ours(case.leaf.der, [one.der for one in case.pool], [one.der for one in case.anchors])
    assert reason == f'{NameNotPermitted.__name__}: "CA" may not certify the names of "Posta Certificata"'


@pytest.mark.real
@pytest.mark.usefixtures("_openssl")
def test_chains_with_one_or_two_oddities(tmp_path: Path) -> None:
    """Chains of up to four certificates, odd in some way that may or may not matter."""
    chance = random.Random(20261129)
    seen: Counter[bool] = Counter()
    for number in range(3_000 if FULL else 250):
        chain = [root(*_odd_extensions(chance, is_leaf=False, odds=0.05))]
        for depth in range(chance.choice((0, 1, 1, 2, 3))):
            subject = chain[-1].subject if chance.random() < 0.1 else name(f"CA {depth}")
            chain.append(_odd(chance, subject, chain[-1], is_leaf=False))
        chain.append(_odd(chance, name("Posta", "Esempio"), chain[-1], is_leaf=True))
        pool, anchors = [one.der for one in chain[1:-1]], [chain[0].der]
        refused = theirs(chain[-1].der, pool, anchors, tmp_path)
        reasons = ours(chain[-1].der, pool, anchors)
        assert ("" in reasons) is not bool(refused), (number, reasons, refused)
        seen[bool(refused)] += 1
    assert min(seen[True], seen[False]) > sum(seen.values()) // 5


def _odd(chance: random.Random, subject: x509.Name, issuer: Certified, *, is_leaf: bool) -> Certified:
    start = AT + DAY if chance.random() < 0.05 else AT - 100 * DAY
    wrong = ec_key(14) if chance.random() < 0.05 else None
    extensions = _odd_extensions(chance, is_leaf=is_leaf, odds=0.12)
    return certify(
        subject, issuer, *extensions, key=ec_key(chance.randrange(11)), signed_with=wrong, valid=(start, AT + 90 * DAY)
    )  # fmt: skip


def _odd_extensions(chance: random.Random, *, is_leaf: bool, odds: float) -> list[x509.ExtensionType]:
    def odd(*choices: Any, usual: Any) -> Any:
        return chance.choice(choices) if chance.random() < odds else usual

    hosts = ("pec.example.it", ".example.it", "example.it", "a@pec.example.it", "altro.example")
    tree = mail(chance.choice(hosts))
    same = within(chance.choice(("Esempio", "Altro")))
    requires = x509.PolicyConstraints(
        require_explicit_policy=chance.randrange(3), inhibit_policy_mapping=None
    )
    stated = odd(None, policies(OTHER_POLICY), policies(ANY_POLICY), usual=policies(POLICY, OTHER_POLICY))
    found = [odd(UNKNOWN, usual=None), stated, odd(requires, usual=None)]
    if is_leaf:
        address = chance.choice(("a@pec.example.it", "a@pec.example.it", "b@altro.example"))
        found += [x509.SubjectAlternativeName([mail(address)]), odd(None, usual=usage("digital_signature"))]
    else:
        no_ca = x509.BasicConstraints(ca=False, path_length=None)
        found += [
            odd(no_ca, limited(0), limited(0), limited(1), usual=CA),
            odd(usage("digital_signature"), None, usual=CERTIFIES),
            odd(
                permitted(tree),
                excluded(tree),
                permitted(same),
                excluded(same),
                permitted(tree, same),
                usual=None,
            ),
            odd(x509.InhibitAnyPolicy(chance.randrange(2)), usual=None),
        ]
    return [one for one in found if one is not None]


@pytest.mark.real
@pytest.mark.usefixtures("_openssl")
@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
def test_certificates_of_the_simulator(style: Style, tmp_path: Path) -> None:
    pec = shared_authority()
    for address in (f"posta-certificata@{style.domain}", "posta-certificata@altrove.example"):
        der = Provider(style=style, address=address).certificate
        refused = theirs(der, [pec.ca], [pec.root], tmp_path)
        assert ("" in ours(der, [pec.ca], [pec.root])) is not bool(refused)
    der = Provider(style=style).certificate
    assert ours(der, [pec.ca, Authority(1).ca], [pec.root]) == [""]


class TestSignatures:
    def test_every_kind(self, tmp_path: Path) -> None:
        require("openssl")
        sha = hashes.SHA256()
        pss = padding.PSS(padding.MGF1(sha), 32)
        big = rsa_key(2048, "certification path", 0)
        for key, how in (
            (big, {}),
            (big, {"digest": hashes.SHA384()}),
            (big, {"pss": pss}),
            (ec.generate_private_key(ec.SECP384R1()), {"digest": hashes.SHA512()}),
            (ed25519.Ed25519PrivateKey.generate(), {"digest": None}),
            (ed448.Ed448PrivateKey.generate(), {"digest": None}),
        ):
            top = root(key=key, **how)
            good, forged = leaf(top, **how), bytearray(leaf(top, **how).der)
            forged[-1] ^= 1
            for der in (good.der, bytes(forged)):
                refused = theirs(der, [], [top.der], tmp_path)
                assert bool(refused) is (der is not good.der)
                assert (ours(der, [], [top.der], STRICT) == [""]) is not bool(refused)

    def test_the_salt_of_rsa_pss_is_as_long_as_it_says(self, tmp_path: Path) -> None:
        """The length in the parameters is signed with the rest; a signature made with another is not the stated one."""
        require("openssl")
        key = rsa_key(2048, "certification path", 0)
        top = root(key=key)
        der = leaf(top, pss=padding.PSS(padding.MGF1(hashes.SHA256()), 32)).der
        made = asn1.Certificate.load(der).copy()
        signed = made["tbs_certificate"].dump()
        other = key.sign(signed, padding.PSS(padding.MGF1(hashes.SHA256()), 20), hashes.SHA256())
        made["signature_value"] = other
        assert theirs(made.dump(force=True), [], [top.der], tmp_path)
        assert "did not sign" in ours(made.dump(force=True), [], [top.der])[0]

    def test_two_methods_of_signature(self, tmp_path: Path) -> None:
        require("openssl")
        top = root()
        made = asn1.Certificate.load(leaf(top).der).copy()
        made["signature_algorithm"] = {"algorithm": "sha384_ecdsa"}
        made["signature_value"] = top.key.sign(made["tbs_certificate"].dump(), ec.ECDSA(hashes.SHA384()))
        der = made.dump(force=True)
        assert theirs(der, [], [top.der], tmp_path)
        assert "names two methods" in ours(der, [], [top.der])[0]

    def test_a_method_for_another_key(self) -> None:
        top = root(key=rsa_key(2048, "certification path", 0))
        der = leaf(top, signed_with=ec_key(3)).der
        assert 'the key of "Root" is not one for ecdsa' in ours(der, [], [top.der])[0]

    def test_weak_methods(self) -> None:
        """SHA-1 and RSA with 1024 bits count for certified mail, MD5 and shorter keys for nothing."""
        old = Provider(style=STYLES[0])
        assert asn1.Certificate.load(old.certificate).hash_algo == "sha1"
        pec = shared_authority()
        assert ours(old.certificate, [pec.ca], [pec.root]) == [""]
        assert "sha1, which is too weak" in ours(old.certificate, [pec.ca], [pec.root], STRICT)[0]
        few = Strength(digests=OLD.digests, rsa_bits=3072)
        assert "a key of 2048 bits, which is too short" in ours(old.certificate, [pec.ca], [pec.root], few)[0]
        assert all("md5" not in one.digests for one in (OLD, STRICT))
        top = root(key=rsa.generate_private_key(65537, 1024))
        assert ours(leaf(top).der, [], [top.der]) == [""]
        assert "1024 bits" in ours(leaf(top).der, [], [top.der], STRICT)[0]


class TestWhereOpensslGoesFurther:
    """What openssl accepts and archipec refuses, because no authority for mail does it."""

    @pytest.mark.parametrize(
        ("constraints", "alternative"),
        [
            (permitted(x509.UniformResourceIdentifier("example.it")), x509.UniformResourceIdentifier("http://example.it/")),
            (
                permitted(x509.IPAddress(__import__("ipaddress").ip_network("10.0.0.0/8"))),
                x509.IPAddress(__import__("ipaddress").ip_address("10.0.0.1")),
            ),
        ],
    )  # fmt: skip
    def test_other_types_of_names(
        self, constraints: x509.NameConstraints, alternative: x509.GeneralName, tmp_path: Path
    ) -> None:
        require("openssl")
        case = constrained(constraints, names=[alternative])
        pool, anchors = [one.der for one in case.pool], [one.der for one in case.anchors]
        assert theirs(case.leaf.der, pool, anchors, tmp_path) == ""
        assert "may not certify" in ours(case.leaf.der, pool, anchors)[0]
        plain = constrained(constraints)
        assert ours(plain.leaf.der, [one.der for one in plain.pool], [one.der for one in plain.anchors]) == [
            ""
        ]

    def test_mapped_policies_where_one_is_required(self, tmp_path: Path) -> None:
        require("openssl")
        one, other = (bytes.fromhex(f"060a2b06010401868d1f{last}") for last in ("01", "02"))
        pair = b"\x30" + bytes((len(one + other),)) + one + other
        mapped = x509.UnrecognizedExtension(
            x509.ObjectIdentifier("2.5.29.33"), b"\x30" + bytes((len(pair),)) + pair
        )
        must = x509.PolicyConstraints(require_explicit_policy=0, inhibit_policy_mapping=None)
        top = root()
        for extensions, accepted in ((mapped,), True), ((mapped, must), False):
            ca = authority(top, "CA", CA, CERTIFIES, policies(POLICY), *extensions, critical=False)
            der = leaf(ca, policies(OTHER_POLICY)).der
            assert (ours(der, [ca.der], [top.der]) == [""]) is accepted


def test_an_extension_twice(tmp_path: Path) -> None:
    require("openssl")
    top = root()
    made = asn1.Certificate.load(leaf(top).der).copy()
    extensions = made["tbs_certificate"]["extensions"]
    made["tbs_certificate"]["extensions"] = [*extensions, extensions[0]]
    made["signature_value"] = top.key.sign(
        made["tbs_certificate"].dump(force=True), ec.ECDSA(hashes.SHA256())
    )
    der = made.dump(force=True)
    assert theirs(der, [], [top.der], tmp_path)
    assert "an extension twice" in ours(der, [], [top.der])[0]


def test_the_work_is_bounded() -> None:
    """Authorities that certify each other in every way, and hundreds of names to compare with hundreds."""
    names = [name(f"CA {number}") for number in range(6)]
    pool = [
        certify(subject, name_only_of(issuer, 4), CA, CERTIFIES, key=ec_key(4)).der
        for subject in names
        for issuer in names
    ]
    top = root()
    start = time.process_time()
    assert ours(leaf(name_only_of(names[0], 4)).der, pool, [top.der]) == []
    assert len(ours(leaf(name_only_of(names[0], 4)).der, pool, [root(subject=one).der for one in names])) <= 8
    many = permitted(*(mail(f"h{number}.example") for number in range(1500)))
    ca = authority(top, "CA", CA, CERTIFIES, many)
    addresses = [mail(f"a@h{number}.example") for number in range(1500)]
    assert "may not certify" in ours(leaf(ca, names=addresses).der, [ca.der], [top.der])[0]
    assert ours(leaf(ca, names=addresses[:20]).der, [ca.der], [top.der]) == [""]
    assert time.process_time() - start < 20


def name_only_of(subject: x509.Name, key: int) -> Certified:
    return Certified(b"", ec_key(key), subject)


def test_a_path_has_at_most_five_certificates_below_its_root() -> None:
    chain = [root()]
    for number in range(4):
        chain.append(authority(chain[-1], f"CA {number}"))
    for extra, found in ((0, [""]), (1, [])):
        for number in range(extra):
            chain.append(authority(chain[-1], f"Lower CA {number}"))
        der = leaf(chain[-1]).der
        assert ours(der, [one.der for one in chain[1:]], [chain[0].der]) == found


def spelled_out(issuer: Certified) -> bytes:
    """A certificate that says ``critical`` FALSE, as some authorities write, and whose signed part has n * 256 + 128 bytes."""

    def sequence(content: bytes) -> bytes:
        return bytes(parser.emit(0, 1, 16, content))

    unknown = x509.ObjectIdentifier("1.3.6.1.4.1.99999.9")
    for length in range(300):
        extension = x509.UnrecognizedExtension(unknown, b"\x04" * length)
        made = x509.load_der_x509_certificate(leaf(issuer, extension, critical=False).der)
        content = parser.parse(made.tbs_certificate_bytes)[4]
        fields = []
        while content:
            fields.append(content[: parser.peek(content)])
            content = content[len(fields[-1]) :]
        rest = parser.parse(parser.parse(fields.pop())[4])[4]
        extensions = []
        while rest:
            one = parser.parse(rest)[4]
            rest = rest[parser.peek(rest) :]
            at = parser.peek(one)
            named = one[:at] == bytes.fromhex("06092b06010401868d1f09")
            extensions.append(sequence(one[:at] + b"\x01\x01\x00" + one[at:] if named else one))
        fields.append(bytes(parser.emit(2, 1, 3, sequence(b"".join(extensions)))))
        signed = sequence(b"".join(fields))
        if signed[3:4] == b"\x80":
            signature = issuer.key.sign(signed, ec.ECDSA(hashes.SHA256()))
            algorithm = fields[2]
            return sequence(signed + algorithm + bytes(parser.emit(0, 0, 3, b"\0" + signature)))
    raise AssertionError("no length fits")


def test_what_was_signed_is_taken_as_it_stands(tmp_path: Path) -> None:
    """asn1crypto encodes a structure anew whose header ends in 0x80."""
    anchor = root()
    certificate = spelled_out(anchor)
    assert ours(certificate, [], [anchor.der]) == [""]
    assert theirs(certificate, [], [anchor.der], tmp_path) == ""
