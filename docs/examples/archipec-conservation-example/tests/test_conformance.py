"""The rules for conservation providers, run against the double."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import pytest
from archipec_conservation_example import Example
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from double import running

from archipec.testing import ConservationConformance, ScriptedService

PASSWORD = "a-password-for-the-double"


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for 127.0.0.1, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "double")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "double.pem"
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(private + made.public_bytes(pem))
    return path


class TestExample(ConservationConformance):
    """All rules; what can't be tried here says why."""

    expected_skips: ClassVar = {
        "test_a_rehearsal_keeps_nothing": "the service has no dry run",
        "test_parse_reports_every_problem_at_once": "parse finds nothing that the options' converters do not",
    }

    @pytest.fixture
    def provider(self) -> type[Example]:
        return Example

    @pytest.fixture
    def service(self) -> ScriptedService:
        return ScriptedService(recognises=False)

    @pytest.fixture
    def table(self, service: ScriptedService, certificate: Path) -> Iterator[Mapping[str, object]]:
        with running(service, f"studio:{PASSWORD}", certificate) as port:
            yield {
                "host": "127.0.0.1",
                "port": port,
                "user": "studio",
                "password": PASSWORD,
                "ca_file": str(certificate),
            }

    @pytest.fixture
    def other_table(self, table: Mapping[str, object]) -> Mapping[str, object]:
        return {**table, "user": "other"}

    @pytest.fixture
    def broken_table(self, table: Mapping[str, object]) -> Mapping[str, object]:
        return {**table, "password": "not-the-password"}
