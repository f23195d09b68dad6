"""The time-stamp protocol, RFC 3161: asks an authority for a token and tells whether a token is a good one.

A token is kept as the whole response, which `openssl ts -verify` reads. It is checked as of the time it states:
certificates of authorities expire, and what they stamped before stays stamped.
"""

from __future__ import annotations

import hashlib
import http.client
import math
import secrets
import ssl
import threading
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from asn1crypto import cms, core, parser, tsp, x509

from archipec.errors import IntegrityError, PermanentError, TransientError
from archipec.language import _, written
from archipec.pec.anchors import load_anchors
from archipec.pec.certification_path import InvalidPath, Strength, check_path, find_paths, validity
from archipec.pec.cms import SignerInfo, read_signed_data, split_certificates
from archipec.pec.signature import verifies

__all__ = ["check_token", "request_token"]

_TIMEOUT = 30.0  # seconds for one answer of the network
_LONGEST = 90.0  # seconds for all of them
_SKEW = timedelta(hours=1)  # by which clocks may differ
_LARGEST = 128 * 1024  # bytes of a response; real ones have 3 to 10 KB
_MOST_CERTIFICATES = 16
_TST_INFO = bytes.fromhex("2a864886f70d0109100104")  # id-ct-TSTInfo, encoded
_STRENGTH = Strength(digests=frozenset({"sha224", "sha256", "sha384", "sha512"}), rsa_bits=2048)
_GRANTED, _CHANGED = "granted", "granted_with_mods"


class _Response(core.Sequence):  # type: ignore[misc]  # asn1crypto has no types
    """TimeStampResp, whose token is missing in a refusal: `tsp.TimeStampResp` can't read that."""

    _fields = [  # noqa: RUF012
        ("status", tsp.PKIStatusInfo),
        ("time_stamp_token", cms.ContentInfo, {"optional": True}),
    ]


class _Token(NamedTuple):
    """A token as it is written: what it states, and who signed it."""

    status: str
    info: Any  # tsp.TSTInfo
    content: bytes
    signer: SignerInfo
    certificates: list[bytes]

    @property
    def at(self) -> datetime:
        time: datetime = self.info["gen_time"].native
        return time


def request_token(url: str, digest: bytes, ca: Path | None, policy: str = "") -> bytes:
    """Ask the authority at a URL for a time stamp on a SHA-256, and return its response after checking it.

    Args:
        ca: file with the certificates to trust, None for the system's roots.
        policy: object identifier of the policy that it must be made under, empty for any.

    Raises:
        TransientError: it can't be reached, or what it answered is no time stamp on that.
        PermanentError: it refuses, or is not trusted.
    """
    nonce = secrets.randbits(64)
    asked = {
        "version": "v1",
        "message_imprint": {"hash_algorithm": {"algorithm": "sha256"}, "hashed_message": digest},
        "nonce": nonce,
        "cert_req": True,
    }
    query = tsp.TimeStampReq(asked | ({"req_policy": policy} if policy else {}))
    response = _bounded_post(url, query.dump())
    try:
        token = _read(response)
        _check_answer(token, digest, nonce, policy)
    except IntegrityError as error:
        raise _trouble(url, error.message) from error
    try:
        _check_signature(token, ca)
    except IntegrityError as error:
        raise PermanentError(
            _("the time-stamping authority {url}: {reason}").format(url=url, reason=error.message),
            hint=error.hint or _("the option tsa names another authority"),
        ) from error
    return response


def check_token(response: bytes, digest: bytes, ca: Path | None) -> None:
    """Check a response that was kept.

    Args:
        digest: SHA-256 of what it is to stamp.
        ca: as for `request_token`.

    Raises:
        IntegrityError: it is damaged, stamps something else, or is not signed by a trusted authority.
    """
    token = _read(response)
    _check_signature(token, ca)
    _check_imprint(token, digest)
    if token.at > datetime.now(UTC) + _SKEW:
        raise IntegrityError(f"the time stamp states a time to come: {token.at:%Y-%m-%d %H:%M:%S} UTC")


def _check_answer(token: _Token, digest: bytes, nonce: int, policy: str) -> None:
    """Check that a token is the one asked for just now (RFC 3161 §2.4.2)."""
    _check_imprint(token, digest)
    if token.info["nonce"].native != nonce:
        raise IntegrityError(_("its time stamp has the wrong nonce: it answers another request"))
    if token.status != _GRANTED:
        raise IntegrityError(
            _("it granted another time stamp than was asked for ({status})").format(status=token.status)
        )
    if policy and token.info["policy"].dotted != policy:
        raise IntegrityError(
            _("its time stamp is made under policy {found}, not {policy}").format(
                found=token.info["policy"].dotted, policy=policy
            )
        )
    if abs(token.at - datetime.now(UTC)) > _SKEW:
        raise IntegrityError(
            f"its time stamp states {token.at:%Y-%m-%d %H:%M:%S} UTC, and this computer's clock says"
            f" {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC: one of them is wrong"
        )


def _trouble(url: str, what: str) -> TransientError:
    return TransientError(
        _("the time-stamping authority {url}: {what}").format(url=url, what=what),
        hint=_(
            "everything is stored; the next run asks for the time stamp again; option tsa names "
            "another authority"
        ),
        retry_after=math.inf,
    )


def _bounded_post(url: str, query: bytes) -> bytes:
    """Do as `_post`; also an authority that answers a byte at a time has so long and no longer."""
    answers: list[bytes | Exception] = []

    def ask() -> None:
        try:
            answers.append(_post(url, query))
        except Exception as error:  # noqa: BLE001  raised again by who waits
            answers.append(error)

    asking = threading.Thread(target=ask, name="time stamp", daemon=True)
    asking.start()
    asking.join(_LONGEST)
    if not answers:
        raise _trouble(url, _("it did not answer within {seconds} seconds").format(seconds=written(_LONGEST)))
    if isinstance(answers[0], Exception):
        raise answers[0]
    return answers[0]


def _post(url: str, query: bytes) -> bytes:
    """Return what the authority answers (RFC 3161 §3.4), bounded in size and time."""
    import certifi

    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    request = urllib.request.Request(  # noqa: S310  the option's converter takes http and https alone
        url, query, {"Content-Type": "application/timestamp-query", "Accept": "application/timestamp-reply"}
    )
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))
    response, end = b"", time.monotonic() + _LONGEST
    try:
        with opener.open(request, timeout=_TIMEOUT) as answer:
            while chunk := answer.read1(_LARGEST):
                response += chunk
                if len(response) > _LARGEST or time.monotonic() > end:
                    raise _trouble(
                        url,
                        _("its answer is no time stamp: {response} bytes and no end").format(
                            response=len(response)
                        ),
                    )
            if answer.length:
                raise _trouble(url, _("its answer was cut short"))
    except urllib.error.HTTPError as error:
        error.close()
        if error.code < 500 and error.code not in (408, 429):
            raise PermanentError(
                _("the time-stamping authority {url} answered with HTTP status {code}").format(
                    url=url, code=error.code
                ),
                hint=_("check the URL"),
            ) from error
        raise _trouble(url, _("it answered with HTTP status {code}").format(code=error.code)) from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise PermanentError(
                _("the time-stamping authority {url} can't be trusted: {reason}").format(
                    url=url, reason=reason.verify_message
                ),
                hint=_("check the URL, and the certificates of this system"),
            ) from error
        text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
        raise _trouble(url, _("it can't be reached: {line}").format(line=_line(text.lower()))) from error
    return response


def _line(text: str) -> str:
    """Return a text from outside as part of one line."""
    return " ".join(text.split())[:200]


def _second_field(response: bytes) -> bytes:
    """Return the token's very bytes: asn1crypto encodes one anew whose length is open, or ends in 0x80."""
    fields: bytes = parser.parse(response, strict=True)[4]
    return fields[parser.peek(fields) :]


def _read(response: bytes) -> _Token:
    # Whatever is wrong in a hostile structure shows when it is read: asn1crypto can raise almost anything then.
    try:
        parsed = _Response.load(response, strict=True)
        status = parsed["status"]["status"].native
        text = parsed["status"]["status_string"].native or parsed["status"]["fail_info"].native or ""
        token = parsed["time_stamp_token"]
        encoded = b"" if isinstance(token, core.Void) else _second_field(response)
    except Exception as error:
        raise IntegrityError(_("what it holds is no time stamp")) from error
    if status not in (_GRANTED, _CHANGED) or not encoded:
        said = "; ".join(sorted(map(str, text))) if isinstance(text, (list, set)) else str(text)
        raise IntegrityError(
            _("no time stamp was granted: {status}").format(status=status)
            + (f" ({_line(said)})" if said else "")
        )
    signed = read_signed_data(encoded)
    if signed.content_type != _TST_INFO or signed.content is None or len(signed.signers) != 1:
        raise IntegrityError(_("what it holds is no time stamp"))
    try:
        info = tsp.TSTInfo.load(signed.content, strict=True)
        _ignored = info.native, info["gen_time"].native.tzinfo
    except Exception as error:
        raise IntegrityError(_("the time stamp can't be read")) from error
    return _Token(
        status,
        info,
        signed.content,
        signed.signers[0],
        split_certificates(signed.certificates, _MOST_CERTIFICATES),
    )


def _check_imprint(token: _Token, digest: bytes) -> None:
    imprint = token.info["message_imprint"]
    if (
        imprint["hash_algorithm"]["algorithm"].native != "sha256"
        or imprint["hashed_message"].native != digest
    ):
        raise IntegrityError(f"the time stamp of {token.at:%Y-%m-%d %H:%M:%S} UTC is on something else")


def _check_signature(token: _Token, ca: Path | None) -> None:
    """Check that a trusted authority for time stamps signed a token (RFC 3161 §2.3, §2.4.2)."""
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    signer = token.signer
    if (
        signer.attributes is None
        or signer.content_type != _TST_INFO
        or not signer.digest
        or not signer.scheme
    ):
        raise IntegrityError(_("the time stamp is signed in a way that archipec does not know"))
    if hashlib.new(signer.digest, token.content, usedforsecurity=False).digest() != signer.message_digest:
        raise IntegrityError(_("the time stamp was altered"))
    try:
        certificate = x509.Certificate.load(_signing_certificate(token), strict=True)
        key = load_der_public_key(certificate.public_key.dump())
    except IntegrityError:
        raise
    except Exception as error:
        raise IntegrityError(_("the certificate of who signed the time stamp can't be read")) from error
    if not verifies(signer, key, signer.attributes, prehashed=False):
        raise IntegrityError(_("the time stamp was altered: its signature is not the one that was made"))
    _check_trust(certificate, token, ca)


def _signing_certificate(token: _Token) -> bytes:
    """Return the certificate that the signature itself names by its hash (RFC 5816), in DER."""
    for attribute in cms.CMSAttributes.load(token.signer.attributes):
        kind = attribute["type"].native
        if kind not in ("signing_certificate", "signing_certificate_v2"):
            continue
        named = attribute["values"][0]["certs"][0]
        algorithm = "sha1" if kind == "signing_certificate" else named["hash_algorithm"]["algorithm"].native
        for encoded in token.certificates:
            if hashlib.new(algorithm, encoded, usedforsecurity=False).digest() == named["cert_hash"].native:
                return encoded
    raise IntegrityError(_("the time stamp doesn't carry the certificate of who signed it"))


def _check_trust(certificate: x509.Certificate, token: _Token, ca: Path | None) -> None:
    roots = _roots(ca)
    try:
        name = _line(str(certificate.subject.native.get("common_name") or certificate.subject.human_friendly))
        usage = certificate.extended_key_usage_value
        is_critical = "extended_key_usage" in certificate.critical_extensions
        if usage is None or usage.native != ["time_stamping"] or not is_critical:
            raise IntegrityError(
                _(
                    'the certificate that the time stamp is signed with, "{name}", is not one for time '
                    "stamps (extendedKeyUsage timeStamping alone, critical)"
                ).format(name=name),
                hint=_("the option tsa names another authority"),
            )
        pool = [x509.Certificate.load(encoded) for encoded in token.certificates]
        paths = find_paths(certificate, pool, roots)
        if any(one.dump() == certificate.dump() for one in roots):
            paths.insert(0, [certificate])
        faults = [_fault(path, token.at) for path in paths]
    except IntegrityError:
        raise
    except Exception as error:
        raise IntegrityError(_("a certificate in the time stamp can't be read")) from error
    if not faults:
        raise IntegrityError(
            _('the certificate of the time-stamping authority is not trusted: "{name}"').format(name=name),
            hint=_("the option tsa_ca names a file with the authority's root certificate"),
        )
    if all(faults):
        raise IntegrityError(
            _(
                'the certificate that the time stamp is signed with, "{name}", was not valid then: {line}'
            ).format(name=name, line=_line(faults[0])),
            hint=_("the option tsa names another authority"),
        )


def _fault(path: list[x509.Certificate], at: datetime) -> str:
    """Why a path does not make a certificate one to trust at a time; empty when it does."""
    try:
        if len(path) > 1:
            check_path(path, _STRENGTH)
    except InvalidPath as error:
        return str(error)
    since, until = validity(path)
    if since <= at <= until:
        return ""
    return (
        f"it and the certificates above it are valid together from {since:%Y-%m-%d %H:%M:%S}"
        f" to {until:%Y-%m-%d %H:%M:%S} UTC"
        if since <= until
        else _("the certificates above it are valid at other times")
    )


def _roots(ca: Path | None) -> list[x509.Certificate]:
    if ca is not None:
        encoded = load_anchors([ca]).extra
    else:
        import certifi

        context = ssl.create_default_context()
        context.load_verify_locations(certifi.where())
        encoded = tuple(context.get_ca_certs(binary_form=True))
    return [x509.Certificate.load(one) for one in encoded]
