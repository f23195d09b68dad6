"""Time stamps from a real authority on loopback (`openssl ts`), and from one that gets things wrong."""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest
from asn1crypto import cms, parser, pem
from asn1crypto import x509 as asn1
from asn1crypto.tsp import TimeStampReq, TimeStampResp
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from archipec.contract import SupportsCheck, SupportsFinish
from archipec.errors import ArchipecError, ConfigError, IntegrityError, PermanentError, TransientError
from archipec.pec.cms import read_signed_data
from archipec.testing import configure, make_context
from archipec.timestamp import protocol
from archipec.timestamp.protocol import check_token, request_token
from archipec_plugins.eml import EML_SINK
from archipec_plugins.maildir import MAILDIR_SINK
from testbed.certificates import self_signed
from testbed.requirements import require
from testbed.tsa import TimeStampAuthority

if TYPE_CHECKING:
    from tests.plugins.conftest import Archive

pytestmark = pytest.mark.real

FULL = os.environ.get("ARCHIPEC_DEPTH") == "full"
POLICY = "1.3.6.1.4.1.99999.1"
DIGEST = hashlib.sha256(b"some data").digest()
ONE, TWO = b"Subject: 1\r\n\r\n", b"Subject: 2\r\n\r\n"


@pytest.fixture(autouse=True)
def _tst_info_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """`asn1crypto.tsp` adds names of types, which can be read but not written where a CMS was written before."""
    for kinds in (cms.ContentType, cms.CMSAttributeType):
        monkeypatch.setattr(kinds, "_reverse_map", {name: number for number, name in kinds._map.items()})


@pytest.fixture(scope="module")
def tsa() -> Iterator[TimeStampAuthority]:
    require("openssl")
    with TimeStampAuthority() as authority:
        yield authority


@pytest.fixture(params=[EML_SINK, MAILDIR_SINK], ids=lambda record: record.name)
def stamped(
    request: pytest.FixtureRequest, archive: Callable[..., Archive], tsa: TimeStampAuthority
) -> Archive:
    return archive(request.param, tsa=tsa.url, tsa_ca=str(tsa.ca_file))


def question() -> bytes:
    """A request for a time stamp, as it is sent."""
    asked = {
        "version": "v1",
        "message_imprint": {"hash_algorithm": {"algorithm": "sha256"}, "hashed_message": DIGEST},
        "cert_req": True,
    }
    return bytes(TimeStampReq(asked).dump())


def run(archive: Archive, *messages: bytes) -> None:
    with archive.open() as sink:
        archive.keep(sink, *messages)
        assert isinstance(sink, SupportsFinish)
        sink.finish()


def problems(archive: Archive) -> list[ArchipecError]:
    with archive.open() as sink:
        assert isinstance(sink, SupportsCheck)
        return list(sink.check())


def tokens(archive: Archive) -> list[Path]:
    return sorted(archive.root.glob("SHA256SUMS.*.tsr"), key=lambda path: int(path.suffixes[-2][1:]))


class TestProtocol:
    def test_openssl_agrees_with_us(self, tsa: TimeStampAuthority, tmp_path: Path) -> None:
        token = tmp_path / "token"
        token.write_bytes(request_token(tsa.url, DIGEST, tsa.ca_file))
        assert tsa.accepts(token, b"some data")
        assert not tsa.accepts(token, b"other data")
        check_token(token.read_bytes(), DIGEST, tsa.ca_file)
        with pytest.raises(IntegrityError, match="on something else"):
            check_token(token.read_bytes(), hashlib.sha256(b"other data").digest(), tsa.ca_file)

    @pytest.mark.parametrize(
        ("path", "error", "says"),
        [
            ("/wrong-imprint", TransientError, "on something else"),
            ("/wrong-nonce", TransientError, "wrong nonce"),
            ("/truncated", TransientError, "no time stamp"),
            ("/cut", TransientError, "cut short|can't be reached"),
            ("/html", TransientError, "no time stamp"),
            ("/huge", TransientError, "no end"),
            ("/503", TransientError, "HTTP status 503"),
            ("/404", PermanentError, "HTTP status 404"),
            ("/refusing", TransientError, "no time stamp was granted: rejection"),
            ("/rogue", PermanentError, "is not trusted"),
            ("/broken-signature", PermanentError, "its signature is not the one that was made"),
            ("/mail", PermanentError, "is not one for time stamps"),
            ("/expired", PermanentError, "was not valid then"),
            ("/with-mods", TransientError, "another time stamp than was asked for"),
        ],
    )
    def test_an_answer_that_is_no_good(
        self, tsa: TimeStampAuthority, path: str, error: type[ArchipecError], says: str
    ) -> None:
        with pytest.raises(error, match=says) as caught:
            request_token(tsa.at(path), DIGEST, tsa.ca_file)
        assert tsa.at(path) in caught.value.message
        assert caught.value.hint and "\n" not in caught.value.message

    def test_a_root_of_the_same_name_and_another_key(self, tsa: TimeStampAuthority, tmp_path: Path) -> None:
        real = x509.load_pem_x509_certificate(tsa.ca_file.read_bytes())
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            x509.CertificateBuilder(issuer_name=real.subject, subject_name=real.subject)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(real.not_valid_before_utc)
            .not_valid_after(real.not_valid_after_utc)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        )
        other = tmp_path / "other.pem"
        other.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        with pytest.raises(PermanentError, match="did not sign the certificate of"):
            request_token(tsa.url, DIGEST, other)
        both = tmp_path / "both.pem"
        both.write_bytes(other.read_bytes() + tsa.ca_file.read_bytes())
        assert request_token(tsa.url, DIGEST, both)

    def test_the_certificate_itself_may_be_trusted(self, tsa: TimeStampAuthority) -> None:
        assert request_token(tsa.url, DIGEST, tsa.ca_file.with_name("tsa.crt"))

    def test_another_policy_than_asked_for(self, tsa: TimeStampAuthority) -> None:
        request_token(tsa.url, DIGEST, tsa.ca_file, POLICY)
        with pytest.raises(TransientError, match=r"no time stamp was granted|policy"):
            request_token(tsa.url, DIGEST, tsa.ca_file, "1.2.3.4")

    def test_a_policy_that_the_authority_did_not_heed(
        self, tsa: TimeStampAuthority, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        post = protocol._bounded_post

        def without_policy(url: str, query: bytes) -> bytes:
            asked = TimeStampReq.load(query)
            del asked["req_policy"]
            return post(url, asked.dump(force=True))

        monkeypatch.setattr(protocol, "_bounded_post", without_policy)
        with pytest.raises(TransientError, match=r"policy .*, not 1\.2\.3\.4"):
            request_token(tsa.url, DIGEST, tsa.ca_file, "1.2.3.4")

    def test_a_token_from_the_future(self, tsa: TimeStampAuthority, monkeypatch: pytest.MonkeyPatch) -> None:
        token = request_token(tsa.url, DIGEST, tsa.ca_file)
        check_token(token, DIGEST, tsa.ca_file)

        class Clock(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> Self:
                return cls.fromtimestamp(datetime.now(tz).timestamp() - 86_400, tz)

        monkeypatch.setattr(protocol, "datetime", Clock)
        with pytest.raises(IntegrityError, match="a time to come"):
            check_token(token, DIGEST, tsa.ca_file)

    @pytest.mark.parametrize("days", [-400, 1])
    def test_a_clock_that_is_wrong(
        self, tsa: TimeStampAuthority, monkeypatch: pytest.MonkeyPatch, days: int
    ) -> None:
        class Clock(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> Self:
                return cls.fromtimestamp(datetime.now(tz).timestamp() - days * 86_400, tz)

        monkeypatch.setattr(protocol, "datetime", Clock)
        with pytest.raises(TransientError, match="one of them is wrong"):
            request_token(tsa.url, DIGEST, tsa.ca_file)

    def test_an_answer_without_end(self, tsa: TimeStampAuthority, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(protocol, "_LONGEST", 0.5)
        with pytest.raises(TransientError, match="did not answer within"):
            request_token(tsa.at("/drip"), DIGEST, tsa.ca_file)

    def test_nobody_there(self) -> None:
        with pytest.raises(TransientError, match="can't be reached"):
            request_token("http://127.0.0.1:1/tsa", DIGEST, None)

    def test_a_server_that_is_not_trusted_is_told_nothing(self, tmp_path: Path) -> None:
        certificate = self_signed(tmp_path)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.cert_file, certificate.key_file)
        received: list[bytes] = []

        def serve(listener: socket.socket) -> None:
            client, _ = listener.accept()
            with client, suppress(OSError):
                received.append(context.wrap_socket(client, server_side=True).recv(10_000))

        with socket.create_server(("127.0.0.1", 0)) as listener:
            server = threading.Thread(target=serve, args=(listener,))
            server.start()
            with pytest.raises(PermanentError, match="can't be trusted"):
                request_token(f"https://127.0.0.1:{listener.getsockname()[1]}/", DIGEST, certificate.ca_file)
            server.join()
        assert not received

    def test_not_trusted_by_this_system(self, tsa: TimeStampAuthority) -> None:
        with pytest.raises(PermanentError, match="is not trusted") as caught:
            request_token(tsa.url, DIGEST, None)
        assert "tsa_ca" in caught.value.hint

    @pytest.mark.parametrize(
        ("signed_with", "beside", "says"),
        [
            ("tsa", "mail", None),
            ("tsa", "expired", None),
            ("mail", "tsa", "is not one for time stamps"),
            ("expired", "tsa", "was not valid then"),
        ],
    )
    def test_the_signature_says_whose_it_is(
        self, tsa: TimeStampAuthority, signed_with: str, beside: str, says: str | None
    ) -> None:
        """Of several certificates of one name and one key the one counts whose hash was signed (RFC 5816)."""
        response = TimeStampResp.load(protocol._bounded_post(tsa.at(f"/{signed_with}"), question()))
        added = asn1.Certificate.load(pem.unarmor((tsa.root / "good" / f"{beside}.crt").read_bytes())[2])
        response["time_stamp_token"]["content"]["certificates"].append(
            cms.CertificateChoices({"certificate": added})
        )
        if says is None:
            check_token(response.dump(force=True), DIGEST, tsa.ca_file)
        else:
            with pytest.raises(IntegrityError, match=says):
                check_token(response.dump(force=True), DIGEST, tsa.ca_file)

    def test_a_token_is_read_as_it_stands(
        self, tsa: TimeStampAuthority, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """asn1crypto encodes a token without a length anew, and can't where seals were read before time stamps."""
        fields = parser.parse(request_token(tsa.url, DIGEST, tsa.ca_file))[4]
        at = parser.peek(fields)
        loose = fields[:at] + b"\x30\x80" + parser.parse(fields[at:])[4] + b"\0\0"
        cms.ContentType.unmap("data")
        monkeypatch.delitem(cms.ContentType._reverse_map, "tst_info", raising=False)
        check_token(parser.emit(0, 1, 16, loose), DIGEST, tsa.ca_file)

    def test_a_certificate_that_is_not_there(self, tsa: TimeStampAuthority) -> None:
        """Another one of the same name and key is not taken for it."""
        response = TimeStampResp.load(request_token(tsa.url, DIGEST, tsa.ca_file))
        own, other = (
            asn1.Certificate.load(pem.unarmor((tsa.root / "good" / f"{name}.crt").read_bytes())[2])
            for name in ("tsa", "mail")
        )
        certificates = response["time_stamp_token"]["content"]["certificates"]
        (place,) = [at for at, one in enumerate(certificates) if one.chosen.dump() == own.dump()]
        certificates[place] = cms.CertificateChoices({"certificate": other})
        with pytest.raises(IntegrityError, match="doesn't carry the certificate of who signed it"):
            check_token(response.dump(force=True), DIGEST, tsa.ca_file)

    def test_no_byte_of_what_is_signed_can_be_changed(self, tsa: TimeStampAuthority) -> None:
        response = request_token(tsa.url, DIGEST, tsa.ca_file)
        token = read_signed_data(TimeStampResp.load(response)["time_stamp_token"].dump())
        signer = token.signers[0]
        assert token.content and signer.attributes
        covered: set[int] = set()
        for part in (token.content, signer.attributes[1:], signer.signature):
            start = response.index(part)
            covered |= set(range(start, start + len(part)))
        for at in range(0, len(response), 1 if FULL else 5):
            changed = response[:at] + bytes([response[at] ^ 0x41]) + response[at + 1 :]
            try:
                check_token(changed, DIGEST, tsa.ca_file)
            except IntegrityError:
                continue
            assert at not in covered, f"byte {at}"


class TestArchives:
    def test_each_run_that_stores_something_has_the_manifest_stamped(
        self, stamped: Archive, tsa: TimeStampAuthority
    ) -> None:
        run(stamped, ONE)
        (first,) = tokens(stamped)
        run(stamped, ONE)
        assert tokens(stamped) == [first]
        run(stamped, TWO)
        manifest = (stamped.root / "SHA256SUMS").read_bytes()
        assert tokens(stamped) == [first, stamped.root / f"SHA256SUMS.{len(manifest)}.tsr"]
        for token in tokens(stamped):
            assert tsa.accepts(token, manifest[: int(token.suffixes[-2][1:])])
        assert problems(stamped) == []

    def test_nothing_to_stamp(self, stamped: Archive) -> None:
        run(stamped)
        assert stamped.files() == {}

    def test_a_line_altered_where_it_was_stamped(self, stamped: Archive) -> None:
        run(stamped, ONE)
        run(stamped, TWO)
        manifest = stamped.root / "SHA256SUMS"
        lines = manifest.read_bytes().splitlines(keepends=True)
        manifest.write_bytes(b"".join(reversed(lines)))
        assert [type(error) for error in problems(stamped)] == [IntegrityError] * 2
        manifest.write_bytes(b"".join(lines))
        assert problems(stamped) == []

    def test_a_manifest_cut_short(self, stamped: Archive) -> None:
        run(stamped, ONE)
        run(stamped, TWO)
        manifest = stamped.root / "SHA256SUMS"
        manifest.write_bytes(manifest.read_bytes().splitlines(keepends=True)[0])
        found = "\n".join(map(str, problems(stamped)))
        assert "was cut short" in found
        assert "doesn't list" in found

    def test_a_bad_token_and_a_missing_one(self, stamped: Archive, tsa: TimeStampAuthority) -> None:
        run(stamped, ONE)
        (token,) = tokens(stamped)
        good = token.read_bytes()
        for bad in (b"", b"<html>", good[:-20], good[:200] + b"x" + good[201:]):
            token.write_bytes(bad)
            (problem,) = problems(stamped)
            assert isinstance(problem, IntegrityError) and token.name in problem.message
        token.unlink()
        (problem,) = problems(stamped)
        assert "has no time stamp from byte 0 on" in problem.message
        run(stamped)
        assert problems(stamped) == []

    def test_an_authority_out_of_reach_is_asked_again_by_the_next_run(
        self, archive: Callable[..., Archive], tsa: TimeStampAuthority
    ) -> None:
        options = {"tsa": tsa.at("/503"), "tsa_ca": str(tsa.ca_file)}
        kept = archive(EML_SINK, **options)
        with pytest.raises(TransientError, match="503"):
            run(kept, ONE)
        assert len(kept.files()) == 1
        kept._under_test = type(kept._under_test)(  # the same archive, another authority
            record=EML_SINK,
            config=configure(EML_SINK, {**options, "path": str(kept.root), "tsa": tsa.url}),
            context=make_context(kept.root.parent),
        )
        assert "no time stamp" in str(problems(kept))
        run(kept)
        assert problems(kept) == []

    def test_what_was_called_otherwise(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError) as caught:
            configure(EML_SINK, {"path": str(tmp_path), "timestamp": "https://x/", "timestamp_ca": "y"})
        said = " ".join(caught.value.problems)
        assert '"timestamp" has been renamed to "tsa"' in said
        assert '"timestamp_ca" has been renamed to "tsa_ca"' in said

    @pytest.mark.parametrize(
        "url", ["ftp://x/", "tsa", "http://", "https://user:secret@tsa.example/", "http://a b"]
    )
    def test_urls_that_are_none(self, url: str, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="tsa"):
            configure(EML_SINK, {"path": str(tmp_path), "tsa": url})
