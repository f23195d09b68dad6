"""A throwaway certification authority and server certificates, made afresh for each test bed."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LOOPBACK = ("localhost", "127.0.0.1")
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """PEM files of one server: what it presents, its key, and what a client must trust to accept it."""

    cert_file: Path
    key_file: Path
    ca_file: Path


class Authority:
    """A certification authority whose files live in `directory`; `ca_file` is its root in PEM."""

    def __init__(self, directory: Path, name: str = "Autorità di prova") -> None:
        self.directory = directory
        self.ca_file = directory / "ca.pem"
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = _name(name)
        start = datetime.now(UTC) - _DAY
        self._certificate = (
            _builder(self._subject, self._subject, self._key, start, start + 30 * _DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(ca=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        _write(self.ca_file, self._certificate.public_bytes(serialization.Encoding.PEM))

    def issue(
        self,
        name: str = "server",
        *,
        hosts: Sequence[str] = LOOPBACK,
        not_before: datetime | None = None,
        not_after: datetime | None = None,
    ) -> ServerCertificate:
        """A certificate for `hosts`, in files called `name`; valid now unless told otherwise."""
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        certificate = (
            _server_builder(self._subject, hosts, key, not_before, not_after)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        return _save(self.directory, name, certificate, key, self.ca_file)

    def expired(self, name: str = "expired", *, hosts: Sequence[str] = LOOPBACK) -> ServerCertificate:
        """A certificate that was good until yesterday."""
        now = datetime.now(UTC)
        return self.issue(name, hosts=hosts, not_before=now - 20 * _DAY, not_after=now - _DAY)

    def for_another_host(self, name: str = "elsewhere") -> ServerCertificate:
        """A valid certificate of a server that isn't the one on loopback."""
        return self.issue(name, hosts=("imap.example.it",))


def self_signed(
    directory: Path, name: str = "self-signed", *, hosts: Sequence[str] = LOOPBACK
) -> ServerCertificate:
    """A certificate that vouches for itself; its `ca_file` is the certificate itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _server_builder(_name(hosts[-1]), hosts, key, None, None).sign(key, hashes.SHA256())
    return _save(directory, name, certificate, key, directory / f"{name}.crt")


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    not_before: datetime,
    not_after: datetime,
) -> x509.CertificateBuilder:
    # Python 3.13 checks chains strictly: key identifiers and key usage are not optional there.
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _server_builder(
    issuer: x509.Name,
    hosts: Sequence[str],
    key: ec.EllipticCurvePrivateKey,
    not_before: datetime | None,
    not_after: datetime | None,
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    # The address is also the common name: isync compares names only, never address entries.
    return (
        _builder(_name(hosts[-1]), issuer, key, not_before or now - _DAY, not_after or now + 20 * _DAY)
        .add_extension(x509.SubjectAlternativeName([_alternative(host) for host in hosts]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    )


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _save(
    directory: Path, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey, ca_file: Path
) -> ServerCertificate:
    saved = ServerCertificate(directory / f"{name}.crt", directory / f"{name}.key", ca_file)
    _write(saved.cert_file, certificate.public_bytes(serialization.Encoding.PEM))
    _write(
        saved.key_file,
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )
    return saved


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
