"""`archipec.pec.sentences`: what was said in English of a seal or a sending, in Italian."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archipec.language import speaking, translation
from archipec.pec.sentences import TEMPLATES, translated

CORE = Path(__file__).resolve().parents[3] / "core" / "archipec"
SAYING = [
    *(
        CORE / "pec" / f"{name}.py"
        for name in ("seal", "trust", "cms", "linking", "breve", "inspection", "recall", "rem/verify")
    ),
    *(CORE / "custody" / "receipts" / f"{name}.py" for name in ("query", "export")),
    CORE / "custody" / "ledger" / "unsealed.py",
]


@pytest.mark.parametrize(
    ("said", "in_italian"),
    [
        (
            'sealed by "X" on 3 May 2018 and unchanged since; the root "R" is historical: it certifies no longer',
            'firmato da "X" in data 3 maggio 2018 e da allora integro; la radice "R" è storica: non certifica più',
        ),
        (
            "the certificates were valid then and expired on 1 May 2019: that the seal is older than that, this message alone does not prove",
            "i certificati erano validi in quel momento e sono scaduti in data 1 maggio 2019: che la firma sia anteriore, questo messaggio da solo non lo prova",
        ),
        (
            'sealed on 1 March 2024, but the certificate of "X {y}" was revoked on 2 February 2024 (key compromise)',
            'firmato in data 1 marzo 2024, ma il certificato di "X {y}" era stato revocato in data 2 febbraio 2024 (key compromise)',
        ),
        (
            "the receipt is not proven: the message carries no provider's seal",
            "la ricevuta non è provata: il messaggio non reca la firma di un gestore",
        ),
        (
            "comune@pec.example: not delivered: 5.1.1 - ARUBA - indirizzo non valido",
            "comune@pec.example: mancata consegna: 5.1.1 - ARUBA - indirizzo non valido",
        ),
        (
            'a@b.it: a complete delivery receipt (the delivery receipt is "breve": not enough for judicial deposit)',
            'a@b.it: una ricevuta di avvenuta consegna completa (la ricevuta di avvenuta consegna è "breve": non basta per il deposito in giudizio)',
        ),
        ("no delivery receipt 24 hours after the message was accepted", "nessuna ricevuta di avvenuta consegna a 24 ore dall'accettazione"),
        ("what nobody wrote: at all", "what nobody wrote: at all"),
    ],
)  # fmt: skip
def test_what_is_known_is_said_in_italian(said: str, in_italian: str) -> None:
    with speaking("it"):
        assert translated(said) == in_italian
    assert translated(said) == said  # English


@given(st.text(st.characters(exclude_characters=" ")))
def test_what_is_no_sentence_stays(text: str) -> None:
    with speaking("it"):
        assert translated(text) == text


@given(st.sampled_from(TEMPLATES), st.text(st.characters(exclude_characters=";")))
def test_what_stands_in_a_sentence_never_breaks_it(template: str, text: str) -> None:
    said = re.sub(r"\{\w+\}", lambda _hole: text, template)
    with speaking("it"):
        assert translated(said)


def test_each_template_is_what_the_code_says() -> None:
    said = " ".join(
        node.value
        for path in SAYING
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    strange = {}
    for template in TEMPLATES:
        for piece in re.split(r"\{\w+\}", template):
            words = piece.strip(' ":;,()').split()
            threes = [" ".join(words[at : at + 3]) for at in range(len(words) - 2)]
            strange[piece] = [one for one in threes if one not in said]
    # A sentence may be put together of two, at a place or two.
    assert {piece: missing for piece, missing in strange.items() if len(missing) > 3} == {}


def test_each_template_has_a_translation() -> None:
    catalog = translation("it")
    assert [one for one in TEMPLATES if one != "not delivered" and catalog.gettext(one) == one] == []
