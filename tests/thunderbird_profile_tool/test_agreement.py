"""``archipec inspect`` and ``thunderbird-profile-tool check`` say the same of every seal, or why Thunderbird differs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archipec.simulator import STYLES, Provider, compose, shared_authority
from testbed.forged import FORGED, around
from testbed.seal_causes import ONE_CAUSE, SEVERAL_CAUSES, altered
from testbed.seals import EVERY_KIND, certificate, indefinite, signature, signed_entity, with_signature
from testbed.tool import Tool

PROVIDER = Provider(seed=3)
MESSAGE = PROVIDER.acceptance(compose())
ENTITY = signed_entity(MESSAGE)


def resealed(*signers: bytes, **how: Any) -> bytes:
    return with_signature(MESSAGE, signature(ENTITY, signers or [PROVIDER.certificate], **how))


FAULTS: dict[str, Callable[[], bytes]] = {
    **ONE_CAUSE,
    **{"+".join(names): make for names, make in SEVERAL_CAUSES.items()},
    "wrapped": lambda: around(MESSAGE, FORGED),
    "announced otherwise": lambda: MESSAGE.replace(b"micalg=sha-256", b"micalg=sha-512"),
    "not announced": lambda: MESSAGE.replace(b"micalg=sha-256;", b""),
    "two signers": lambda: resealed(PROVIDER.certificate, certificate(PROVIDER, without="key_usage")),
    "no purpose": lambda: resealed(certificate(PROVIDER, without="extended_key_usage")),
    "no address": lambda: resealed(certificate(PROVIDER, without="subject_alt_name")),
    "no attributes": lambda: resealed(attributes=False),
    "no signing time": lambda: resealed(when=None),
    "indefinite lengths": lambda: with_signature(
        MESSAGE, indefinite(signature(ENTITY, [PROVIDER.certificate]))
    ),
    "opaque": lambda: resealed(opaque=True),
    "damaged seal": lambda: with_signature(MESSAGE, b"0\x03abc"),
    "three parts": lambda: MESSAGE.rstrip(b"\r\n").removesuffix(b"--") + b"\r\n\r\nx\r\n",
    "two senders": lambda: MESSAGE.replace(b"\r\nFrom: ", b"\r\nFrom: a@b.it\r\nFrom: "),
    "sender in another case": lambda: MESSAGE.replace(b"<posta-certificata@", b"<Posta-Certificata@"),
    "line ends": lambda: MESSAGE.replace(b"\r\n", b"\n"),
    "line ends and altered": lambda: altered(MESSAGE).replace(b"\r\n", b"\n"),
    "plain": compose,
}
KINDS = {
    f"{style.name} {name}": (lambda style=style, make=make: make(Provider(style=style), Provider(style=style).accept(compose())))
    for style in STYLES
    for name, make in EVERY_KIND.items()
}  # fmt: skip


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """What both programs say of every message, each in one run."""
    folder = tmp_path_factory.mktemp("messages")
    root = folder / "root.pem"
    root.write_text(shared_authority().root_pem)
    files: dict[str, Path] = {}
    for number, (name, make) in enumerate((FAULTS | KINDS).items()):
        files[name] = folder / f"{number:03}.eml"
        files[name].write_bytes(make())
    done = subprocess.run(
        [sys.executable, "-m", "archipec", "inspect", "--json", "--trust", root, *files.values()],
        capture_output=True,
        check=False,
    )
    ours = [json.loads(line) for line in done.stdout.splitlines()]
    theirs = Tool(folder)("check", *files.values(), "--ca", root, "--json", expect=done.returncode).objects
    return {name: (one, other) for name, one, other in zip(files, ours, theirs, strict=True)}


@pytest.mark.parametrize("name", [*FAULTS, *KINDS])
def test_both_say_the_same(said: dict[str, tuple[dict[str, Any], dict[str, Any]]], name: str) -> None:
    ours, theirs = said[name]
    assert theirs["archipec"]["status"] == ours["seal"]["status"]
    assert theirs["archipec"]["reason"] == ours["seal"]["reason"]
    valid = ours["seal"]["status"] == "valid"
    positive = "keeps the value it had" in theirs["worth"] or "the seal is valid" in theirs["worth"]
    assert positive == valid, theirs["worth"]
    # Where Thunderbird does not trust what is valid, a cause of its own says why.
    assert theirs["trusted"] or theirs["causes"]
