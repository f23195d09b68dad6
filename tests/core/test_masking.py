"""Secrets are masked in every form that programs write them in, and nothing else is."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Callable, Iterator
from urllib.parse import quote, quote_plus

import pytest

from archipec import masking
from archipec.masking import MASK, hide, mask, mask_json

SECRET = 'Tr0ub"dor&3 è/+'


@pytest.fixture(autouse=True)
def nothing_hidden(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test hides is hidden in that test alone."""
    for name, value in (("_hidden", set()), ("_forms", set()), ("_encoded", set()), ("_pattern", None)):
        monkeypatch.setattr(masking, name, value)
    yield


def test_without_a_secret_nothing_is_masked() -> None:
    assert mask("anything") == "anything"


@pytest.mark.parametrize(
    "written",
    [
        SECRET,
        repr(SECRET)[1:-1],
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
        shlex.quote(SECRET),
        quote(SECRET),
        quote(SECRET, safe=""),
        quote(SECRET, safe="").lower().replace("tr0ub", "Tr0ub"),
        quote_plus(SECRET),
        repr(SECRET.encode())[2:-1],
        repr(SECRET.encode("latin-1"))[2:-1],
        SECRET.encode().hex(),
        SECRET.encode().hex().upper(),
        SECRET.replace('"', '\\"'),
    ],
)
def test_every_form_is_masked_and_what_stands_around_it_stays(written: str) -> None:
    hide(SECRET)
    assert mask(f"login as me with {written} refused") == f"login as me with {MASK} refused"


@pytest.mark.parametrize("user", ["", "m", "me", "you", "someone@pec.example.it"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_base64_of_it_wherever_it_begins(user: str, encode: Callable[[bytes], bytes]) -> None:
    """A login by RFC 4616 is base64 of user, NUL and password: the code is masked to its ends."""
    hide(SECRET)
    code = encode(f"{user}\0{SECRET}".encode()).decode()
    assert mask(f"AUTH PLAIN {code} refused") == f"AUTH PLAIN {MASK} refused"


def test_the_longer_of_two_secrets_is_masked_whole() -> None:
    hide("secret-one")
    hide("secret-one-and-more")
    assert mask("secret-one-and-more, secret-one") == f"{MASK}, {MASK}"


@pytest.mark.parametrize(("text", "shown"), [("1234", MASK), ("a 1234.", f"a {MASK}."), ("812345", "812345")])
def test_a_short_one_is_masked_where_it_stands_alone(text: str, shown: str) -> None:
    hide("1234")
    assert mask(text) == shown


def test_one_too_short_to_be_a_secret_spoils_nothing() -> None:
    hide("abc")
    assert mask("abc and the abc") == "abc and the abc"


def test_of_json_texts_alone_are_masked() -> None:
    hide("messages")
    value = {"messages": 5, "error": ["no messages", {"said": "messages"}], "none": None, "good": True}
    assert mask_json(value) == {
        "messages": 5,
        "error": [f"no {MASK}", {"said": MASK}],
        "none": None,
        "good": True,
    }
