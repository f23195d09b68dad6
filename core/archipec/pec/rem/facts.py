"""What a message of REM says, as JSON: its own facts, and those that PEC has too under the names that PEC gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archipec.message import Json

if TYPE_CHECKING:
    from archipec.pec.rem.detect import Rem
    from archipec.pec.rem.evidence import Evidence
    from archipec.pec.rem.headers import RemHeader
    from archipec.pec.rem.reasons import Reason
    from archipec.pec.rem.verify import RemVerdict

__all__ = ["evidence_facts", "failure_of", "rem_facts"]

_FAILED = ("Failure", "Rejection", "Expiry")


def evidence_facts(evidence: Evidence, header: RemHeader | None) -> dict[str, Json]:
    """What an evidence states, by the names of PEC's certification data.

    `destinatari` are all recipients of the message; ``tipo`` is `esterno` for one whose address the sender's provider
    could not find to be one of REM. `consegna` is the one that the event concerns, null where that is more than one.
    """
    concerned = evidence.concerned
    reference = header.ua_message_id if header is not None else ""
    return {
        "identificativo": evidence.message_id or None,
        "msgid": f"<{evidence.ua_message_id}>" if evidence.ua_message_id else None,
        "riferimento": f"<{reference}>" if reference else None,
        "gestore": evidence.issuer or None,
        "mittente": evidence.sender or None,
        "destinatari": [
            {"address": one.address, "tipo": "esterno" if one.untrusted else "certificato"}
            for one in evidence.recipients
        ],
        "oggetto": evidence.subject or None,
        "data": evidence.event_time.isoformat(),
        "consegna": concerned[0].address if evidence.refers_to and len(concerned) == 1 else None,
    }


def rem_facts(rem: Rem | None, verdict: RemVerdict | None, reasons: tuple[Reason, ...]) -> dict[str, Json]:
    """What only REM has: the object ``rem`` of ``inspect --json``."""
    evidence = verdict.evidence if verdict is not None else None
    stamp = verdict.stamp if verdict is not None else None
    facts: dict[str, Json] = {
        "evidence": list(rem.evidence) if rem is not None else [],
        "original": rem is not None and rem.original,
        "verified": verdict is not None and verdict.seal.status == "valid",
        "reasons": [{"code": one.code, "name": one.name, "meaning": one.meaning} for one in reasons],
    }
    if evidence is not None:
        facts |= {
            "identifier": evidence.identifier,
            "concerned": [one.address for one in evidence.concerned],
            "submitted": evidence.submission_time.isoformat() if evidence.submission_time else None,
            "policies": list(evidence.policies),
            "other_provider": evidence.external_provider or None,
            "forwarded_to": evidence.forwarded_to or None,
            "digests": [
                {"type": one.media_type, "algorithm": one.algorithm, "digest": one.digest.hex()}
                for one in evidence.parts
            ],
        }
    if stamp is not None:
        facts["stamp"] = {"at": stamp.at.isoformat(), "authority": stamp.authority, "root": stamp.root}
    return facts


def failure_of(reasons: tuple[Reason, ...], event: str) -> str | None:
    """Why an event that is a failure or a refusal happened, for a person; None for another."""
    if not event.endswith(_FAILED) or not reasons:
        return None
    return "; ".join(f"{one.code}: {one.meaning}" if one.meaning else one.code for one in reasons)
