"""Certificates: read from files, and told who leads to whom."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from archipec.errors import ConfigError, PermanentError
from archipec.pec.anchors import ROOTS
from archipec.simulator import Provider, shared_authority, to_pem
from archipec_thunderbird import certificates
from archipec_thunderbird.certificates import (
    ACTALIS,
    AGID_KEY,
    Certificate,
    actalis_root,
    chained,
    is_public,
    read_authorities,
)

ROOT, CA = (Certificate(der) for der in (shared_authority(3).root, shared_authority(3).ca))
OTHER_ROOT, OTHER_CA = (Certificate(der) for der in (shared_authority(4).root, shared_authority(4).ca))
LEAF = Certificate(Provider(seed=3, authority=shared_authority(3)).certificate)


def test_what_is_pinned_is_what_archipec_pins() -> None:
    """The tool imports nothing of archipec, so it has these facts a second time."""
    actalis = ROOTS[0]
    assert actalis.sha256 == ACTALIS
    assert actalis.authority_keys == {AGID_KEY}


def test_the_actalis_root_comes_from_certifi(monkeypatch: pytest.MonkeyPatch) -> None:
    assert actalis_root().sha256 == ACTALIS
    assert is_public(actalis_root())
    assert not is_public(ROOT)
    monkeypatch.setattr(certificates, "_public_roots", dict)
    with pytest.raises(PermanentError, match="certifi"):
        actalis_root()


def test_authorities_are_read_from_pem_and_der_each_once(tmp_path: Path) -> None:
    (tmp_path / "many.pem").write_text(f"words\n{to_pem(ROOT.der)}more\n{to_pem(OTHER_ROOT.der)}")
    (tmp_path / "one.der").write_bytes(ROOT.der)
    assert read_authorities([tmp_path / "many.pem", tmp_path / "one.der"]) == [ROOT, OTHER_ROOT]


@pytest.mark.parametrize("data", [b"", b"words", ROOT.der[:-1], ROOT.der + b"\0", to_pem(LEAF.der).encode()])
def test_what_is_no_authority_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=str(path)):
        read_authorities([path])


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="no such file"):
        read_authorities([tmp_path / "gone"])


def test_an_intermediate_below_an_authority() -> None:
    assert chained([LEAF, CA, OTHER_CA, CA], [ROOT]) == [CA]
    assert chained([CA, OTHER_CA], [OTHER_ROOT, ROOT]) == [OTHER_CA, CA]
    assert chained([ROOT], [ROOT]) == []


def test_an_intermediate_must_be_valid_now() -> None:
    assert chained([CA], [ROOT], datetime(2051, 1, 1, tzinfo=UTC)) == []


def test_below_actalis_only_agids_key_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "ACTALIS", ROOT.sha256)
    assert chained([CA], [ROOT]) == []
    monkeypatch.setattr(certificates, "AGID_KEY", CA.key_sha256)
    assert chained([CA], [ROOT]) == [CA]


def test_a_name_is_not_enough() -> None:
    """The issuer's name fits and its key does not."""
    forged = Certificate(CA.der[:-8] + bytes(8))
    assert forged.issuer == ROOT.subject
    assert not forged.is_issued_by(ROOT)
    assert CA.is_issued_by(ROOT)
    assert not CA.is_issued_by(OTHER_ROOT)
