"""Certificate databases as an NSS of before 3.114 makes them (Debian's certutil), and what older ones left in them."""

from __future__ import annotations

import hashlib
import hmac
import os
import sqlite3
import subprocess
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from asn1crypto import algos, core

from .requirements import find

NEW_COLUMNS = ("a8c", "a62c", "a62d", "a62e", "a62f", "a635")
"""Columns that an NSS of 3.114 or later adds when it opens the databases."""


def make_databases(profile: Path, password: str = "") -> None:
    """Make cert9.db and key4.db with this primary password."""
    _certutil(profile, password, "-N", *([] if password else ["--empty-password"]))


def add_trust(profile: Path, der: bytes, flags: str, password: str = "") -> None:
    """Add a certificate with trust as certutil writes it, for example "C,," for the web alone."""
    name = hashlib.sha256(der).hexdigest()[:8]
    _certutil(profile, password, "-A", "-n", name, "-t", flags, stdin=der)


def change_password(profile: Path, old: str, new: str) -> None:
    """Set another primary password: NSS signs every row anew."""
    secret = profile / ".new-password-for-certutil"
    secret.write_text(f"{new}\n")
    try:
        _certutil(profile, old, "-W", "-@", str(secret))
    finally:
        secret.unlink()


def listed_trust(profile: Path, password: str = "") -> Mapping[str, str]:
    """Return what certutil shows: trust flags by nickname."""
    lines = _certutil(profile, password, "-L").splitlines()
    rows = (line.rsplit(None, 1) for line in lines if line.count(",") == 2 and "SSL,S/MIME" not in line)
    return {name.strip(): flags for name, flags in rows}


def add_new_columns(profile: Path) -> None:
    """Widen the table as a newer NSS does."""
    with closing(sqlite3.connect(profile / "cert9.db")) as database, database:
        for column in NEW_COLUMNS:
            database.execute(f"ALTER TABLE nssPublic ADD COLUMN {column}")


def age_password_record(profile: Path, password: str = "") -> None:
    """Replace the password record by one of before 2019: PKCS#12 with SHA-1 and triple DES."""
    with closing(sqlite3.connect(profile / "key4.db")) as database, database:
        (salt,) = database.execute("SELECT item1 FROM metaData WHERE id = 'password'").fetchone()
        assert len(salt) == 20, "only a salt that old came with such a record"
        secret = hashlib.sha1(salt + password.encode()).digest()
        database.execute(
            "UPDATE metaData SET item2 = ? WHERE id = 'password'", (_old_record(secret, os.urandom(20)),)
        )


def _old_record(secret: bytes, salt: bytes) -> bytes:
    """Encrypt the check text as NSS's lowpbe.c did (nsspkcs5_PKCS12PBE with its own padding of the salt)."""
    from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
    from cryptography.hazmat.primitives.ciphers import Cipher, modes

    inner = hashlib.sha1(secret + salt).digest()
    first = hmac.digest(inner, salt + salt, "sha1")
    second = hmac.digest(inner, hmac.digest(inner, salt, "sha1") + salt, "sha1")
    material = first + second
    encryptor = Cipher(TripleDES(material[:24]), modes.CBC(material[-8:])).encryptor()
    text = b"password-check" + b"\x02\x02"
    encrypted = encryptor.update(text) + encryptor.finalize()
    oid = core.ObjectIdentifier("1.2.840.113549.1.12.5.1.3")
    parameters = algos.Pbes1Params({"salt": salt, "iterations": 1})
    algorithm = _sequence(oid.dump(), parameters.dump())
    return _sequence(algorithm, core.OctetString(encrypted).dump())


def _sequence(*members: bytes) -> bytes:
    content = b"".join(members)
    assert len(content) < 128
    return bytes((0x30, len(content))) + content


def _certutil(profile: Path, password: str, *arguments: str, stdin: bytes = b"") -> str:
    program = find("certutil")
    assert program is not None
    secret = profile / ".password-for-certutil"
    secret.write_text(f"{password}\n")
    try:
        done = subprocess.run(
            [
                program,
                "-d",
                f"sql:{profile}",
                *([] if "--empty-password" in arguments else ["-f", str(secret)]),
                *arguments,
            ],
            input=stdin,
            capture_output=True,
            check=False,
        )
    finally:
        secret.unlink()
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()
