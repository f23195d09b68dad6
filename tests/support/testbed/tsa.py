"""A real time-stamping authority on loopback: `openssl ts` behind a small HTTP server, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from testbed.process import ServerProcess

__all__ = ["TimeStampAuthority"]

_SERVER = Path(__file__).with_name("tsa_server.py")
_CONFIG = """
[tsa]
default_tsa = here
[here]
serial = {folder}/serial
signer_cert = {folder}/tsa.crt
signer_key = {folder}/tsa.key
certs = {folder}/ca.pem
signer_digest = sha256
default_policy = 1.3.6.1.4.1.99999.1
digests = {digests}
ess_cert_id_alg = sha256
"""
_DAY = timedelta(days=1)


class TimeStampAuthority(ServerProcess):
    """Use in a `with` block.

    Attributes:
        url: where it answers as it should. Other paths of that server do not: see `tsa_server`.
    """

    name = "tsa"

    @property
    def url(self) -> str:
        """Where good time stamps are to be had."""
        return self.at("/tsa")

    def at(self, path: str) -> str:
        """Return the URL of another path, ``/wrong-nonce`` for one."""
        return f"http://{self.host}:{self.port}{path}"

    @property
    def ca_file(self) -> Path:
        """The root certificate, in PEM."""
        return self.root / "good" / "ca.pem"

    def lay_out(self) -> None:
        """Make two authorities, of which nobody trusts the second, and one that takes no SHA-256."""
        for name in ("good", "rogue"):
            _make_authority(self.root / name)
        for name, digests in (("good", "sha256"), ("rogue", "sha256")):
            self._config(name).write_text(_CONFIG.format(folder=self.root / name, digests=digests))
        self._config("refusing").write_text(_CONFIG.format(folder=self.root / "good", digests="sha512"))

    def _config(self, name: str) -> Path:
        return self.root / f"{name}.cnf"

    def command(self, port: int) -> Sequence[str]:
        """Return the command line of the server."""
        paths = {"/tsa": "good", "/rogue": "rogue", "/refusing": "refusing"}
        configs = [f"{path}={self._config(name)}" for path, name in paths.items()]
        return [sys.executable, "-I", str(_SERVER), str(port), *configs]

    def accepts(self, token: Path, data: bytes) -> bool:
        """Tell whether `openssl ts -verify` takes a token for one on some data."""
        asked = self.root / "data"
        asked.write_bytes(data)
        files = ["-in", str(token), "-data", str(asked), "-CAfile", str(self.ca_file)]
        verified = subprocess.run(["openssl", "ts", "-verify", *files], capture_output=True, check=False)
        return verified.returncode == 0


def _make_authority(folder: Path) -> None:
    folder.mkdir()
    (folder / "serial").write_text("01\n")
    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root_name, name = (
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{what} of the {folder.name} time-stamping authority")])
        for what in ("Root", "Clock")
    )  # fmt: skip
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().not_valid_before(now - _DAY).not_valid_after(now + 30 * _DAY)
    root = (
        builder.subject_name(root_name)
        .issuer_name(root_name)
        .public_key(root_key.public_key())
        .serial_number(x509.random_serial_number())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(certifies=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(root_key.public_key()), critical=False)
        .sign(root_key, hashes.SHA256())
    )
    (folder / "ca.pem").write_bytes(root.public_bytes(serialization.Encoding.PEM))
    # One that is not for time stamps, and one that was.
    expired = x509.CertificateBuilder().not_valid_before(now - 2 * _DAY).not_valid_after(now - _DAY)
    for what, usage, dated in (
        ("tsa", ExtendedKeyUsageOID.TIME_STAMPING, builder),
        ("mail", ExtendedKeyUsageOID.EMAIL_PROTECTION, builder),
        ("expired", ExtendedKeyUsageOID.TIME_STAMPING, expired),
    ):
        leaf = (
            dated.subject_name(name)
            .issuer_name(root_name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(certifies=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False
            )
            .sign(root_key, hashes.SHA256())
        )
        (folder / f"{what}.crt").write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
        (folder / f"{what}.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )


def _usage(*, certifies: bool) -> x509.KeyUsage:
    others = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only"),
        False,
    )  # fmt: skip
    return x509.KeyUsage(
        digital_signature=not certifies, key_cert_sign=certifies, crl_sign=certifies, **others
    )
