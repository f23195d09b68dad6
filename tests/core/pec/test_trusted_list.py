"""`archipec.pec.trusted_list` and `archipec.pec.revocation`: whom lists make a provider, and when no more."""

from __future__ import annotations

import base64
import pickle
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from archipec.errors import ConfigError, IntegrityError
from archipec.pec.anchors import Anchors, TrustFiles
from archipec.pec.inspection import describe, inspect_message
from archipec.pec.revocation import load_crls
from archipec.pec.seal import Seal, Status
from archipec.pec.trusted_list import TrustedList, load_trusted_list, read_trusted_list
from archipec.simulator import ARUBA_2018, LEGALMAIL_2018, Authority, Provider, compose, shared_authority
from archipec.simulator.rem import RemProvider
from archipec.simulator.rem_list import ListedService, trusted_list

PROVIDER = RemProvider()
MESSAGE = PROVIDER.dispatch(compose())  # of 15 September 2026
ROOT = shared_authority().root


def day(year: int, month: int = 1) -> datetime:
    return datetime(year, month, 1, tzinfo=UTC)


def by(*states: tuple[str, datetime], **options: str) -> ListedService:
    return ListedService(PROVIDER.name, PROVIDER.certificate, states or (("granted", day(2022)),), **options)


def seal(*services: ListedService, anchors: Anchors = Anchors(), **options: datetime) -> Seal:  # noqa: B008
    read = read_trusted_list(trusted_list(services, **options))  # type: ignore[arg-type]
    return inspect_message(MESSAGE, replace(anchors, lists=(read,)), now=day(2027)).seal


class TestServices:
    @pytest.mark.parametrize("kind", ["EDS/REM", "EDS/REM/Q"])
    def test_a_provider_that_is_listed(self, kind: str) -> None:
        found = seal(by(type=kind))
        assert found.status is Status.VALID
        assert "on the trusted list IT no. 42 of 2026-09-01" in found.reason

    def test_what_the_verdict_rests_on_is_kept(self) -> None:
        data = trusted_list([by()])
        read = read_trusted_list(data)
        shown = describe(inspect_message(MESSAGE, Anchors(lists=(read,))))["seal"]
        assert isinstance(shown, dict)
        (basis,) = shown["basis"]
        assert basis == {
            "trust_list": read.sha256,
            "territory": "IT",
            "sequence": 42,
            "issued": "2026-09-01T00:00:00+00:00",
            "signer": "Test Supervisor",
        }

    @pytest.mark.parametrize("kind", ["CA/QC", "TSA/QTST", "EDS", "EDS/REMX", "EDS/Q"])
    def test_services_of_other_types_don_t_count(self, kind: str) -> None:
        found = seal(by(type=kind))
        assert found.status is Status.UNTRUSTED
        assert "on no list that you gave" in found.reason

    @pytest.mark.parametrize(
        ("states", "status", "said"),
        [
            ([("withdrawn", day(2026, 12)), ("granted", day(2022))], Status.VALID, ""),
            ([("granted", day(2026, 8)), ("withdrawn", day(2024)), ("granted", day(2022))], Status.VALID, ""),
            ([("recognisedatnationallevel", day(2022))], Status.VALID, ""),
            ([("withdrawn", day(2026, 1)), ("granted", day(2022))], Status.UNTRUSTED, "is granted until 1 January 2026"),
            ([("granted", day(2026, 11))], Status.UNTRUSTED, "is granted only from 1 November 2026"),
            ([("withdrawn", day(2022))], Status.UNTRUSTED, "its service never was granted"),
        ],
    )  # fmt: skip
    def test_the_status_at_the_time_of_the_seal_counts(
        self, states: list[tuple[str, datetime]], status: Status, said: str
    ) -> None:
        found = seal(by(*states))
        assert found.status is status
        assert said in found.reason

    def test_a_list_that_was_to_be_replaced_before_the_seal_knows_nothing_of_it(self) -> None:
        found = seal(by(), issued=day(2026, 1), due=day(2026, 7))
        assert found.status is Status.UNTRUSTED
        assert "a list newer than the one given was due by 1 July 2026" in found.reason
        assert seal(by(), issued=day(2026, 1), due=day(2026, 10)).status is Status.VALID

    def test_another_provider(self) -> None:
        other = RemProvider(number=1)
        assert seal(ListedService(other.name, other.certificate)).status is Status.UNTRUSTED

    def test_the_key_is_what_counts_not_the_certificate(self) -> None:
        again = PROVIDER.authority.issue(
            organization=PROVIDER.name, address=PROVIDER.address, valid=(day(2021), day(2040))
        )
        assert again != PROVIDER.certificate
        assert seal(ListedService(PROVIDER.name, again)).status is Status.VALID

    def test_an_authority_that_is_listed_makes_providers_of_whom_it_certified(self) -> None:
        assert seal(ListedService("CA", PROVIDER.authority.ca)).status is Status.VALID
        assert seal(ListedService("CA", Authority(5).ca)).status is Status.UNTRUSTED

    def test_pec_is_not_trusted_by_a_list_of_rem(self) -> None:
        pec = Provider(style=ARUBA_2018)
        read = read_trusted_list(trusted_list([ListedService("x", pec.certificate)]))
        assert (
            inspect_message(pec.acceptance(compose()), Anchors(lists=(read,))).seal.status is Status.UNTRUSTED
        )

    def test_authorities_for_time_stamps(self) -> None:
        assert PROVIDER.stamps is not None
        found = seal(by(), ListedService("TSA", PROVIDER.stamps.certificate, type="TSA/QTST"))
        assert "did not say to trust" not in found.reason
        assert "did not say to trust" in seal(by()).reason


class TestList:
    DATA = trusted_list([by()])

    @pytest.mark.parametrize(
        ("name", "forge"),
        [
            ("status", lambda xml: xml.replace(b"Svcstatus/granted", b"Svcstatus/withdrawn")),
            ("number", lambda xml: xml.replace(b"Number>42<", b"Number>43<")),
            ("a service more", lambda xml: re.sub(rb"(<TrustServiceProvider>.*?</TrustServiceProvider>)", rb"\1\1", xml, flags=re.DOTALL)),
            ("no signature", lambda xml: re.sub(rb"<ds:Signature .*</ds:Signature>", b"", xml)),
            ("cut short", lambda xml: xml[:-40]),
            ("something else", lambda _: b"<x/>"),
            ("no XML", lambda _: b"PK\x03\x04"),
            ("a document type", lambda xml: xml.replace(b"?>", b"?><!DOCTYPE x>", 1)),
            ("wrapped", lambda xml: xml.replace(b"<TrustServiceStatusList ", b'<TrustServiceStatusList xmlns="http://uri.etsi.org/02231/v2#"><TrustServiceStatusList ').replace(b"</TrustServiceStatusList>", b"</TrustServiceStatusList></TrustServiceStatusList>")),
        ],
    )  # fmt: skip
    def test_a_list_that_is_not_whole_counts_for_nothing(
        self, name: str, forge: Callable[[bytes], bytes], tmp_path: Path
    ) -> None:
        file = tmp_path / "tl.xml"
        file.write_bytes(forge(self.DATA))
        with pytest.raises(ConfigError) as caught:
            load_trusted_list(file)
        assert str(file) in caught.value.message
        assert caught.value.hint, name

    def test_a_document_type(self) -> None:
        with pytest.raises(IntegrityError, match="has a document type"):
            read_trusted_list(self.DATA.replace(b"?>", b"?><!DOCTYPE x>", 1))

    def test_what_it_says(self) -> None:
        read = read_trusted_list(self.DATA)
        assert (read.territory, read.sequence, read.signer) == ("IT", 42, "Test Supervisor")
        assert (read.issued, read.next_update) == (day(2026, 9), day(2027, 3))
        assert [one.name for one in read.services] == [PROVIDER.name]
        assert isinstance(read, TrustedList)
        assert pickle.loads(pickle.dumps(read)) == read
        assert (
            len({read, read_trusted_list(self.DATA), read_trusted_list(trusted_list([by()], sequence=43))})
            == 2
        )

    def test_a_service_without_a_readable_certificate(self) -> None:
        with pytest.raises(IntegrityError, match="a certificate of the trusted list can't be read"):
            read_trusted_list(trusted_list([ListedService("x", b"no certificate")]))

    def test_a_file_that_is_missing(self, tmp_path: Path) -> None:
        with pytest.raises(Exception, match=r"tl\.xml"):
            load_trusted_list(tmp_path / "tl.xml")


class TestRevocation:
    """For PEC and REM alike."""

    AUTHORITY = shared_authority()
    PEC = Provider()

    def seal(self, crl: bytes, message: bytes | None = None) -> Seal:
        message = message or self.PEC.acceptance(compose())
        return inspect_message(message, Anchors((ROOT,), crls=(crl,)), now=day(2027)).seal

    def test_a_certificate_that_was_revoked_before_it_sealed(self) -> None:
        crl = self.AUTHORITY.revoke({self.PEC.certificate: day(2026, 9)}, day(2026, 10))
        found = self.seal(crl)
        assert found.status is Status.UNTRUSTED
        assert (
            'sealed on 15 September 2026, but the certificate of "Esempio PEC S.p.A." was revoked on 1 September 2026'
            in found.reason
        )

    def test_one_that_was_revoked_after(self) -> None:
        crl = self.AUTHORITY.revoke({self.PEC.certificate: day(2026, 10)}, day(2026, 11))
        found = self.seal(crl)
        assert found.status is Status.VALID
        assert "was revoked on 1 October 2026, after it sealed" in found.reason
        assert "this message alone does not prove" in found.reason

    def test_one_that_was_not(self) -> None:
        found = self.seal(
            self.AUTHORITY.revoke({Provider(style=LEGALMAIL_2018).certificate: day(2026)}, day(2026, 10))
        )
        assert found.status is Status.VALID
        assert "revoked" not in found.reason
        (basis,) = found.basis
        assert basis["issued"] == "2026-10-01T00:00:00+00:00"

    def test_of_rem(self) -> None:
        crl = PROVIDER.authority.revoke({PROVIDER.certificate: day(2026, 9)}, day(2026, 10))
        assert self.seal(crl, MESSAGE).status is Status.UNTRUSTED
        listed = seal(by(), anchors=Anchors(crls=(crl,)))
        assert listed.status is Status.UNTRUSTED
        assert "was revoked on 1 September 2026" in listed.reason
        assert {key for one in listed.basis for key in one} >= {"crl", "trust_list"}

    def test_a_list_by_another_authority_counts_for_nothing(self) -> None:
        stranger = Authority(3)
        forged = stranger.revoke({self.PEC.certificate: day(2026)}, day(2026, 10))
        assert self.seal(forged).status is Status.VALID
        # The same, in the name of the right one.
        name = x509.load_der_x509_certificate(self.AUTHORITY.ca).subject.public_bytes()
        own = x509.load_der_x509_certificate(stranger.ca).subject.public_bytes()
        assert len(name) == len(own)
        found = self.seal(forged.replace(own, name))
        assert found.status is Status.VALID
        assert found.basis == ()

    def test_files(self, tmp_path: Path) -> None:
        der = self.AUTHORITY.revoke({}, day(2026, 10))
        pem = x509.load_der_x509_crl(der).public_bytes(Encoding.PEM)
        (tmp_path / "a.crl").write_bytes(der)
        (tmp_path / "b.pem").write_bytes(pem)
        assert load_crls([tmp_path / "a.crl", tmp_path / "b.pem"]) == (der,)
        for content in (b"", b"x", base64.b64encode(der), ROOT):
            (tmp_path / "c.crl").write_bytes(content)
            with pytest.raises(ConfigError, match=re.escape("c.crl: holds no list of revoked certificates")):
                load_crls([tmp_path / "c.crl"])
        with pytest.raises(Exception, match="none"):
            load_crls([tmp_path / "none"])


def test_all_files_together(tmp_path: Path) -> None:
    (tmp_path / "root.der").write_bytes(ROOT)
    (tmp_path / "tl.xml").write_bytes(TestList.DATA)
    (tmp_path / "a.crl").write_bytes(shared_authority().revoke({}, day(2026)))
    files = TrustFiles(certificates=(tmp_path / "root.der",)) + TrustFiles(
        lists=(tmp_path / "tl.xml", tmp_path / "tl.xml"), crls=(tmp_path / "a.crl",)
    )
    anchors = files.load()
    assert (anchors.extra, len(anchors.lists), len(anchors.crls)) == ((ROOT,), 1, 1)
    assert TrustFiles().load() == Anchors()
