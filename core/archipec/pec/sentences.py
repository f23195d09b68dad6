"""What was said in English of a seal or a sending, in the language that is spoken.

A verdict and its reason are recorded when a message is judged, in English, whoever reads them later and in whatever language. So a
sentence is known again by the template that it was made of. What is not known stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Final

from archipec.language import N_, _, current, pgettext

__all__ = ["TEMPLATES", "translated"]

TEMPLATES: Final = (
    # of seals (`archipec.pec.seal`, `archipec.pec.trust`)
    N_('sealed by "{signer}" on {day} and unchanged since'),
    N_("the certificates were valid then and expired on {day}: {rest}"),
    N_("that the seal is older than that, this message alone does not prove"),
    N_('the certificate of "{signer}" was revoked on {day}{why}, after it sealed: {rest}'),
    N_('the certificate of "{signer}" was revoked on {day}{why}, after it sealed'),
    N_('the root "{root}" is historical: it certifies no longer'),
    N_('sealed on {day}, but the certificate of "{signer}" was revoked on {other_day}{why}'),
    N_("sealed on {day} with a certificate that had expired on {other_day}"),
    N_("sealed on {day} with a certificate that was valid only from {other_day}"),
    N_(
        "sealed on {day}, but the certificates of the authorities above the signer were valid only from {other_day}"
    ),
    N_(
        "sealed on {day}, but the certificates of the authorities above the signer were valid until {other_day}"
    ),
    N_('the message is from "{senders}" but the seal is that of "{signer}"'),
    N_("the message carries no provider's seal"),
    N_("the message says that it is certified mail but carries no provider's seal"),
    N_("the seal (smime.p7s) is missing: it was removed from the message on its way"),
    N_("what the seal covers was changed after it was sealed"),
    N_("the seal itself was changed, or another key made it than the certificate's"),
    N_("the seal is damaged: it can't be read as a CMS signature"),
    N_("the seal is damaged: its certificates can't be read"),
    N_("the seal was made with a method that archipec does not know"),
    N_("the seal does not carry the certificate of who signed"),
    N_("the envelope is missing: download the message itself"),
    N_('the signer "{signer}" was certified below "{root}", a root that this machine does not have'),
    N_(
        'the signer "{signer}" was certified by "{root}", whose own certificate is neither in the message nor trusted'
    ),
    N_('the signer "{signer}" was certified below "{root}", which is not trusted for certified mail'),
    N_('the signer "{signer}" was certified by "{root}", which is no authority for certified mail'),
    N_('the signer "{signer}" has a certificate that is not for mail'),
    N_('the signer "{signer}" has a certificate that is not for signing'),
    N_("its certification data can't be read"),
    N_("the certification data had to be mended to be read: {what}"),
    N_("not covered by the seal, so anyone may have written it: {names}"),
    # of REM (`archipec.pec.rem.verify`)
    N_('evidence time-stamped by "{signer}" on {time}, an authority that you did not say to trust'),
    N_('evidence time-stamped by "{signer}" on {time}'),
    # of sendings (`archipec.pec.linking`, `archipec.pec.breve`)
    N_("the envelope is not proven: {rest}"),
    N_("a delivery receipt does not say for which recipient it is, and counts for none"),
    N_("what was sent is not in the archive: neither its copy nor a complete receipt"),
    N_("the copy of what was sent was found by sender, subject and time, not by an identifier"),
    N_("a refusal of the same message is recorded too"),
    N_("the message was refused"),
    N_("the acceptance is not proven: {rest}"),
    N_("there is no acceptance in the archive"),
    N_("not among the recipients that were certified"),
    N_("not delivered within 24 hours"),
    N_("accepted, ordinary mail, no legal delivery"),
    N_("the receipt is not proven: {rest}"),
    N_("not delivered in the first 12 hours"),
    N_("the recipient's provider refused it"),
    N_("no delivery receipt"),
    N_("no delivery receipt 24 hours after the message was accepted"),
    N_("a notice of failure contradicts the delivery receipt"),
    N_("delivered although a notice had said that 24 hours went by without delivery"),
    N_("the delivery receipt does not hold the original: not enough for judicial deposit"),
    N_('the delivery receipt is "{kind}": not enough for judicial deposit'),
    N_("{number} delivery receipts are recorded"),
    N_('the message with the sealed "{kind}" holds more than its seal covers, which proves nothing: {names}'),
    N_('the certification data of the "{kind}" had to be mended to be read: {what}'),
    N_("not delivered because of a virus"),
    N_("not delivered", "sending"),
    N_("its hashes can't be checked without the original"),
    N_("its hashes were not checked: {what}"),
    N_("the delivery receipt does not fit the original: {what}"),
    # of exports (`archipec.custody.receipts.export`)
    N_("the sent message"),
    N_("the acceptance"),
    N_("no delivery receipt yet"),
    N_("a complete delivery receipt ({rest})"),
    N_("a certified recipient: there is no legal delivery"),
    N_('a message that calls itself "{kind}" is left out, because it is not proven: {rest}'),
    N_(
        "the copy of the sent message is not what the delivery receipt certifies: the original inside it is given"
    ),
    N_("the copy of the sent message has the hash that the receipts state"),
    N_("the sent message as it is certified: its copy does not have the hash that the receipts state"),
    N_("the sent message was not compared with the delivery receipt: {what}"),
)
"""The sentences, with what differs in braces; ``{rest}`` is a sentence itself."""

_MONTHS: Final[Mapping[str, str]] = {
    "January": N_("January"),
    "February": N_("February"),
    "March": N_("March"),
    "April": N_("April"),
    "May": N_("May"),
    "June": N_("June"),
    "July": N_("July"),
    "August": N_("August"),
    "September": N_("September"),
    "October": N_("October"),
    "November": N_("November"),
    "December": N_("December"),
}
_HOLE: Final = re.compile(r"\{(\w+)\}")
_ADDRESS: Final = re.compile(r"[^\s:]+@[^\s:]+: ")
_LONGEST: Final = 4000  # characters: what is longer is no sentence of ours


def translated(said: str) -> str:
    """Return what was said in English in the language that is spoken, as far as it is known."""
    if current() == "en" or len(said) > _LONGEST:
        return said
    return "; ".join(map(_sentence, said.split("; ")))


def _sentence(said: str) -> str:
    for pattern, template in _patterns():
        if (found := pattern.fullmatch(said)) is not None:
            given = {name: _CHANGED.get(name, str)(text) for name, text in found.groupdict().items()}
            # An adjective, which others say of other things.
            own = pgettext("sending", template) if template == "not delivered" else _(template)
            return own.format(**given)
    if (address := _ADDRESS.match(said)) is not None:
        return address[0] + _sentence(said[address.end() :])
    # What a provider says stands behind: it is in whatever language.
    before, colon, behind = said.partition(": ")
    known = _sentence(before) if colon else before
    return said if known == before else f"{known}: {behind}"


def _date(day: str) -> str:
    number, month, year = day.split(" ")
    return f"{number} {_(_MONTHS[month])} {year}" if month in _MONTHS else day


_CHANGED: Final[Mapping[str, Callable[[str], str]]] = {
    "day": _date,
    "other_day": _date,
    "rest": lambda said: _sentence(said),
}
_DAY: Final = "[0-9]{1,2} [A-Z][a-z]+ [0-9]{4}"
_FORMS: Final[Mapping[str, str]] = {
    "day": _DAY,
    "other_day": _DAY,
    "number": "[0-9]+",
    "kind": '[^"]*',
    "why": r"(?: \(.*\))?",
}


def _pattern(template: str) -> str:
    """Return a regular expression for the sentences that are made of a template."""
    pieces = _HOLE.split(template)
    return "".join(
        f"(?P<{piece}>{_FORMS.get(piece, '.*')})" if number % 2 else re.escape(piece)
        for number, piece in enumerate(pieces)
    )


@cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    """The templates as patterns, those with most text first."""
    return [
        (re.compile(_pattern(template), re.DOTALL), template)
        for template in sorted(TEMPLATES, key=len, reverse=True)
    ]
