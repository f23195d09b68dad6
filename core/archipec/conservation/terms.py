"""The fixed words of AgID Allegato 5, which providers spell differently: a table for each, never a string in the code."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The words of one provider. The defaults are those of the schema AgID published, blanks included.

    Attributes:
        root: ``DocumentoInformatico`` (private parties) or ``DocumentoAmministrativoInformatico`` (administrations).
        acquired, created: ModalitaDiFormazione of what a provider sealed (letter b), and of one's own message (a).
        typology: TipologiaDocumentale of certified mail; ``typology_ordinary``: of a message without a seal.
        register: CodiceRegistro, ``[A-Za-z0-9_.-]{1,16}``.
        format: IdentificativoDelFormato, and the index's format, of a message.
        classification, classification_text: IndiceDiClassificazione and Descrizione.
        aggregation: TipoAggregazione of the series a message belongs to, ``<register>-<year>``.
        schema: what the index calls the form of the metadata.
        relevant_document: the document by which holder and submitter act: the manual of conservation, a contract.
    """

    root: str = "DocumentoInformatico"
    acquired: str = (
        "acquisizione di un documento informatico per via telematica o su supporto informatico,  acquisizione della "
        "copia per immagine su supporto informatico di un documento analogico, acquisizione della copia informatica "
        "di un documento  analogico"
    )
    created: str = (
        "creazione tramite utilizzo di strumenti software che assicurino la produzione di documenti  nei formati "
        "previsti in allegato 2"
    )
    typology: str = "Messaggio di posta elettronica certificata"
    typology_ordinary: str = "Messaggio di posta elettronica"
    register: str = "PEC"
    format: str = "message/rfc822"
    classification: str = "1"
    classification_text: str = "Corrispondenza"
    aggregation: str = "Serie Documentale"
    schema: str = "AgID Linee Guida, Allegato 5"
    relevant_document: str = "non indicato"
