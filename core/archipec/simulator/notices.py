"""What tells one kind of system message from another: headers, Subject prefix, words for people (RFC 6109 §3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Notice:
    """One kind of system message.

    Attributes:
        tipo: of `daticert.xml`.
        headers: the header lines that mark it.
        prefix: of the Subject.
        italian, english: title, then the lines of the text. Fields: giorno, ora, zona, oggetto, mittente,
            destinatari, destinatario, identificativo, motivo.
    """

    tipo: str
    headers: tuple[str, ...]
    prefix: str
    italian: tuple[str, ...]
    english: tuple[str, ...]


_MESSAGE = (
    'Il giorno {giorno} alle ore {ora} ({zona}) il messaggio "{oggetto}"',
    'proveniente da "{mittente}"',
)
_MESSAGE_EN = ('On {giorno} at {ora} ({zona}) the message "{oggetto}"', 'sent by "{mittente}"')
_TO = ("ed indirizzato a:", "{destinatari}")
_TO_EN = ("and addressed to:", "{destinatari}")
_ID = ("Identificativo messaggio: {identificativo}",)
_ID_EN = ("Message identifier: {identificativo}",)
_VIRUS: Final = "X-VerificaSicurezza: errore"

ENVELOPE: Final = Notice(
    "posta-certificata",
    ("X-Trasporto: posta-certificata",),
    "POSTA CERTIFICATA: ",
    (
        "Messaggio di posta certificata", *_MESSAGE, "è stato inviato ed è indirizzato a:", "{destinatari}",
        "Il messaggio originale è incluso in allegato.", *_ID,
    ),
    (
        "Certified email message", *_MESSAGE_EN, "was sent and is addressed to:", "{destinatari}",
        "The original message is attached.", *_ID_EN,
    ),
)  # fmt: skip
ANOMALY: Final = Notice(
    "",
    ("X-Trasporto: errore",),
    "ANOMALIA MESSAGGIO: ",
    (
        "Anomalia nel messaggio", *_MESSAGE, "è stato ricevuto.",
        "I dati non sono stati certificati per il seguente errore: {motivo}",
        "Il messaggio originale è incluso in allegato.",
    ),
    (
        "Message anomaly", *_MESSAGE_EN, "was received.",
        "Its data could not be certified because of this error: {motivo}",
        "The original message is attached.",
    ),
)  # fmt: skip
ACCEPTANCE: Final = Notice(
    "accettazione",
    ("X-Ricevuta: accettazione",),
    "ACCETTAZIONE: ",
    ("Ricevuta di accettazione", *_MESSAGE, *_TO, "è stato accettato dal sistema ed inoltrato.", *_ID),
    ("Acceptance receipt", *_MESSAGE_EN, *_TO_EN, "was accepted by the system and forwarded.", *_ID_EN),
)
NON_ACCEPTANCE: Final = Notice(
    "non-accettazione",
    ("X-Ricevuta: non-accettazione",),
    "AVVISO DI NON ACCETTAZIONE: ",
    (
        "Avviso di non accettazione", *_MESSAGE, *_TO,
        "è stato rilevato un problema che ne impedisce l'accettazione: {motivo}",
        "Il messaggio non è stato accettato.", *_ID,
    ),
    (
        "Notice of non-acceptance", *_MESSAGE_EN, *_TO_EN,
        "had a problem that prevents its acceptance: {motivo}", "The message was not accepted.", *_ID_EN,
    ),
)  # fmt: skip
VIRUS_NON_ACCEPTANCE: Final = Notice(
    "non-accettazione",
    ("X-Ricevuta: non-accettazione", _VIRUS),
    "AVVISO DI NON ACCETTAZIONE PER VIRUS: ",
    (
        "Avviso di non accettazione per virus informatico", *_MESSAGE, *_TO,
        "è stato rilevato un problema di sicurezza: {motivo}", "Il messaggio non è stato accettato.", *_ID,
    ),
    (
        "Notice of non-acceptance because of a virus", *_MESSAGE_EN, *_TO_EN,
        "had a security problem: {motivo}", "The message was not accepted.", *_ID_EN,
    ),
)  # fmt: skip
TAKEN_IN_CHARGE: Final = Notice(
    "presa-in-carico",
    ("X-Ricevuta: presa-in-carico",),
    "PRESA IN CARICO: ",
    ("Ricevuta di presa in carico", *_MESSAGE, *_TO, "è stato accettato dal sistema.", *_ID),
    ("Receipt of taking in charge", *_MESSAGE_EN, *_TO_EN, "was accepted by the system.", *_ID_EN),
)
VIRUS_DETECTED: Final = Notice(
    "rilevazione-virus",
    ("X-Ricevuta: rilevazione-virus",),
    "PROBLEMA DI SICUREZZA: ",
    (
        "Avviso di rilevazione virus informatico", *_MESSAGE, *_TO,
        "è stato rilevato un problema di sicurezza: {motivo}", *_ID,
    ),
    (
        "Notice of virus detection", *_MESSAGE_EN, *_TO_EN,
        "had a security problem: {motivo}", *_ID_EN,
    ),
)  # fmt: skip
DELIVERY: Final = Notice(
    "avvenuta-consegna",
    ("X-Ricevuta: avvenuta-consegna",),
    "CONSEGNA: ",
    (
        "Ricevuta di avvenuta consegna", *_MESSAGE, 'ed indirizzato a "{destinatario}"',
        "è stato consegnato nella casella di destinazione.", *_ID,
    ),
    (
        "Delivery receipt", *_MESSAGE_EN, 'and addressed to "{destinatario}"',
        "was placed in the destination mailbox.", *_ID_EN,
    ),
)  # fmt: skip
FAILURE: Final = Notice(
    "errore-consegna",
    ("X-Ricevuta: errore-consegna",),
    "AVVISO DI MANCATA CONSEGNA: ",
    (
        "Avviso di mancata consegna", *_MESSAGE, 'e destinato all\'utente "{destinatario}"',
        "è stato rilevato un errore: {motivo}", "Il messaggio è stato rifiutato dal sistema.", *_ID,
    ),
    (
        "Notice of failed delivery", *_MESSAGE_EN, 'and addressed to "{destinatario}"',
        "had an error: {motivo}", "The message was refused by the system.", *_ID_EN,
    ),
)  # fmt: skip
VIRUS_FAILURE: Final = Notice(
    "errore-consegna",
    ("X-Ricevuta: errore-consegna", _VIRUS),
    "AVVISO DI MANCATA CONSEGNA PER VIRUS: ",
    (
        "Avviso di mancata consegna per virus informatico", *_MESSAGE,
        'e destinato all\'utente "{destinatario}"', "è stato rilevato un problema di sicurezza: {motivo}",
        "Il messaggio non è stato consegnato.", *_ID,
    ),
    (
        "Notice of failed delivery because of a virus", *_MESSAGE_EN, 'and addressed to "{destinatario}"',
        "had a security problem: {motivo}", "The message was not delivered.", *_ID_EN,
    ),
)  # fmt: skip
# The notices after 12 and after 24 hours differ in their words alone.
TIMEOUT: Final = Notice(
    "preavviso-errore-consegna",
    ("X-Ricevuta: preavviso-errore-consegna",),
    "AVVISO DI MANCATA CONSEGNA PER SUP. TEMPO MASSIMO: ",
    (
        "Avviso di mancata consegna per superamento dei tempi massimi", *_MESSAGE,
        'e destinato all\'utente "{destinatario}"', "{motivo}", *_ID,
    ),
    (
        "Notice of failed delivery because of elapsed time", *_MESSAGE_EN, 'and addressed to "{destinatario}"',
        "{motivo}", *_ID_EN,
    ),
)  # fmt: skip
