"""`archipec.index.document`: what is searched of a message, from its bytes."""

from __future__ import annotations

from archipec.index.record import Party, Place, Role
from archipec.simulator import Attachment, Provider, compose
from archipec.simulator.files import pdf
from testbed.indexing import indexed, text_in, text_of


def test_an_envelope_gives_what_the_provider_and_what_the_sender_wrote() -> None:
    provider = Provider(seed=3)
    original = compose(
        subject="Diffida è giunta",
        text="Ai sensi dell'art. 1454 c.c.\nperché si adempia\n" + "sollecitazione " * 20,
        attachments=[Attachment("contratto.pdf", pdf("Clausola è risolutiva"))],
        message_id="<uno@client.example>",
        headers=["In-Reply-To: <prima@client.example>"],
    )
    sending = provider.accept(original)
    message = indexed(provider.envelope(sending))
    assert (message.kind, message.system, message.seal) == ("posta-certificata", "pec", "valid")
    assert message.subject == "Diffida è giunta"
    assert message.envelope_subject == "POSTA CERTIFICATA: Diffida è giunta"
    assert (message.certified, message.dated) == (int(sending.when.timestamp()) + 1, None)
    assert message.msgid == "uno@client.example"
    assert message.identificativo == message.inner_message_id == sending.identificativo
    assert message.references == ("prima@client.example",)
    assert message.parties[:3] == (
        Party(Role.PROVIDER, provider.address, provider.style.organization),
        Party(Role.FROM, "studio@posta.example.it"),
        Party(Role.TO, "ufficio@avvocati.example"),
    )
    assert [one.path for one in message.attachments] == ["contratto.pdf"]
    assert "Messaggio di posta certificata" in text_of(message, Place.ENVELOPE)
    inner = text_of(message, Place.INNER)
    assert "dell'art. 1454" in inner and "perché" in inner
    assert inner.split().count("sollecitazione") == 20  # quoted-printable broke some of them
    assert text_in(message, "contratto.pdf") == "Clausola è risolutiva"
    assert not message.problems


def words(text: str) -> set[str]:
    return set(text.split())
