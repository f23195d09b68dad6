"""Known words in every place of many messages: each is found by what is in it, and by nothing else."""

from __future__ import annotations

import hashlib
import os
import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from archipec.index.search import SearchRequest, open_index_and_ledger, search_ledger
from archipec.simulator import ARUBA_2018, Attachment, Provider, compose
from archipec.simulator.files import docx, odt, pdf, signed, xlsx, zipped
from archipec.simulator.sending import DEFAULT_WHEN
from testbed.command import Archipec

FULL = os.environ.get("ARCHIPEC_DEPTH") == "full"
MESSAGES = 2000 if FULL else 160

OWN = Provider(style=ARUBA_2018)
STUDIO, OFFICE = "studio@posta.example.it", "ufficio@avvocati.example"


class Truth:
    """Messages, and by each word the SHA-256 of those that it is in."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._taken: set[str] = set()
        self.messages: list[bytes] = []
        self.words: dict[str, set[str]] = defaultdict(set)

    def word(self) -> str:
        """Make up a word that is in no message yet: of some syllables, some with accents."""
        while True:
            syllables = [
                self._random.choice("bcdfglmnprstvz") + self._random.choice("aeiouàèéìòù")
                for _ in range(self._random.randint(4, 6))
            ]
            word = "".join(syllables)
            if plain(word) not in self._taken:
                self._taken.add(plain(word))
                return word

    def add(self, raw: bytes, words: list[str]) -> None:
        """Take a message in which these words are."""
        self.messages.append(raw)
        for word in words:
            self.words[word].add(hashlib.sha256(raw).hexdigest())

    def make(self, number: int) -> None:
        """Make what was received or sent, with a word of its own in each place."""
        place, words = PLACES[number % len(PLACES)], [self.word() for _ in range(6)]
        subject, body, deep, file, name, *_ = words
        text = f"{'riempitivo ' * (number % 12)}il {body} dell'{deep} {'e altro ' * 9}\n"
        attachments = [attached(place, name, file)] if place else []
        when = DEFAULT_WHEN + timedelta(hours=number)
        shared = [subject, body, deep, f'"dell\'{deep}"', *([file, name] if place else [])]
        if number % 3:
            original = compose(
                OFFICE, [STUDIO], f"Oggetto {subject}", text, when=when, attachments=attachments
            )
            self.add(OWN.envelope(OWN.accept(original, when)), shared)
            return
        original = compose(STUDIO, [OFFICE], f"Oggetto {subject}", text, when=when, attachments=attachments)
        accepted = OWN.accept(original, when)
        self.add(OWN.delivery(accepted), shared)
        self.add(OWN.acceptance(accepted), [subject])
        self.add(original, shared)


PLACES = ("", "pdf", "p7m", "p7m in p7m", "zip", "docx", "xlsx", "odt", "txt", "eml", "html")


def attached(place: str, name: str, word: str) -> Attachment:
    """Return a file with a word in its text and one in its name, in ASCII."""
    text, stem = f"La parola {word} compare", plain(name)
    files: dict[str, tuple[str, Callable[[], bytes]]] = {
        "pdf": ("pdf", lambda: pdf(text)),
        "p7m": ("txt.p7m", lambda: signed(text.encode())),
        "p7m in p7m": ("pdf.p7m.p7m", lambda: signed(signed(pdf(text)))),
        "zip": ("zip", lambda: zipped({"nota.txt": text.encode()})),
        "docx": ("docx", lambda: docx(text)),
        "xlsx": ("xlsx", lambda: xlsx([text, 7])),
        "odt": ("odt", lambda: odt(text)),
        "txt": ("txt", lambda: text.encode()),
        "eml": ("eml", lambda: compose(subject="Inoltro", text=text)),
        "html": ("html", lambda: f"<p>La parola <b>{word}</b> compare</p>".encode()),
    }
    ending, make = files[place]
    return Attachment(f"{stem}.{ending}", make(), "application/octet-stream")


def plain(word: str) -> str:
    return word.translate(str.maketrans("àèéìòù", "aeeiou"))


@pytest.fixture(name="truth", scope="module")
def _truth() -> Truth:
    truth = Truth(seed=11)
    number = 0
    while len(truth.messages) < MESSAGES:
        truth.make(number)
        number += 1
    return truth


@pytest.fixture(name="state", scope="module")
def _state(truth: Truth, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("truth")
    (root / "mail").mkdir()
    for number, raw in enumerate(truth.messages):
        (root / "mail" / f"{number:05}.eml").write_bytes(raw)
    archived = Archipec(root / "state")(
        "archive", "--from", f"eml:{root / 'mail'}", "--to", f"maildir:{root / 'PEC'}", "--json", timeout=600
    )
    assert (archived.object["stored"], archived.err) == (len(truth.messages), "")
    yield root / "state"


@pytest.mark.parametrize(
    "written", [str, plain, str.upper], ids=["as it is", "without accents", "in capitals"]
)
def test_every_message_is_found_by_its_words_and_by_no_other(
    truth: Truth, state: Path, written: object
) -> None:
    assert len(truth.words) > MESSAGES
    with open_index_and_ledger(state) as (index, ledger):
        for word, messages in truth.words.items():
            words = written(word)  # type: ignore[operator]
            found = [one.hit for one in search_ledger(index, ledger, SearchRequest(words=words))]
            assert {hit.key.sha256 for hit in found} == messages, words
            assert len(found) == len(messages), words
            marked = "".join(found[0].snippet.split())
            assert "\x02" in marked and "\x03" in marked, (words, found[0].snippet)


def test_no_word_finds_what_it_is_only_a_part_of(truth: Truth, state: Path) -> None:
    with open_index_and_ledger(state) as (index, ledger):
        for word, messages in truth.words.items():
            if word.isalpha():
                assert not list(search_ledger(index, ledger, SearchRequest(words=f"{word[:-1]} OR x{word}")))
                begun = {
                    one.hit.key.sha256
                    for one in search_ledger(index, ledger, SearchRequest(words=f"{word[:-1]}*"))
                }
                assert messages <= begun
