"""Presets of providers: exact hosts, guesses, and what they fill in."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from archipec.cli.providers import providers as command
from archipec.config.providers import advised, expand, find, guess, of_host, providers
from archipec.errors import AuthError, ConfigError, TransientError


@pytest.mark.parametrize(
    ("name", "imap", "pop3"),
    [
        ("aruba", "imaps.pec.aruba.it:993", "pop3s.pec.aruba.it:995"),
        ("legalmail", "mbox.cert.legalmail.it:993", None),
        ("namirial", "imaps.sicurezzapostale.it:993", "pop3s.sicurezzapostale.it:995"),
        ("namirial-archive", "imaps-arch.sicurezzapostale.it:993", None),
        ("namirial-bulk", "send.sicurezzapostale.it:993", None),
        ("toscana", "imaps.postacert.toscana.it:993", "pops.postacert.toscana.it:995"),
        ("poste", "mail.postecert.it:993", "mail.postecert.it:995"),
        ("register", "imap.pec-email.com:993", "imap.pec-email.com:995"),
        ("itnet", "mail.postacert.it.net:993", None),
        ("intesi", "imap.ig-trustmail.com:993", None),
    ],
)
def test_servers_are_those_on_record(name: str, imap: str, pop3: str | None) -> None:
    provider = find(name)
    assert str(provider.server("imap")) == imap
    assert provider.server("pop3") is None if pop3 is None else str(provider.server("pop3")) == pop3


def test_namirial_has_two_names_for_pop3() -> None:
    assert [str(server) for server in find("namirial").pop3] == [
        "pop3s.sicurezzapostale.it:995",
        "pops.sicurezzapostale.it:995",
    ]


def test_every_provider_is_whole() -> None:
    for name, provider in providers().items():
        assert provider.name == name
        assert provider.imap, name
        assert provider.basis in ("tried", "stated", "weak"), name
        for text in (provider.title, provider.login_form, provider.refused, *provider.notes):
            assert text.strip() == text != "", name
            assert not text.endswith("."), name
        for server in (*provider.imap, *provider.pop3, *provider.smtp):
            assert server.host == server.host.lower(), name
            assert of_host(server.host) is provider, "a host belongs to one provider"
        for domain in provider.domains:
            assert guess(f"studio@{domain}") is provider


@pytest.mark.parametrize(
    ("name", "address", "login"),
    [
        ("aruba", "studio@pec.it", "studio@pec.it"),
        ("legalmail", "studio@legalmail.it", None),
        ("toscana", "test@postacert.toscana.it", "test@postacert.toscana.it"),
        (
            "namirial-archive",
            "studio@pec.example.it",
            "studio_pec.example.it@archivio.sicurezzapostale.localdomain",
        ),
    ],
)
def test_logins_are_made_of_addresses_where_they_can_be(name: str, address: str, login: str | None) -> None:
    assert find(name).login_of(address) == login


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("studio@arubapec.it", "aruba"),
        ("STUDIO@PEC.IT", "aruba"),
        ("ufficio@comune.postacert.toscana.it", "toscana"),
        ("mario/test@postacert.toscana.it", "toscana"),
        ("studio@pec.example.it", None),
        ("studio@notpec.it", None),
        ("", None),
    ],
)
def test_guesses_by_domain(address: str, name: str | None) -> None:
    found = guess(address)
    assert (found.name if found else None) == name


@pytest.mark.parametrize(
    ("table", "filled"),
    [
        (
            {"provider": "aruba", "user": "x@pec.example.it"},
            {"type": "imap", "host": "imaps.pec.aruba.it", "port": 993, "user": "x@pec.example.it"},
        ),
        (
            {"type": "pop3", "provider": "toscana", "port": 1995},
            {"type": "pop3", "host": "pops.postacert.toscana.it", "port": 1995},
        ),
        (
            {"type": "imap", "provider": "aruba", "host": "other.example.it"},
            {"type": "imap", "host": "other.example.it"},
        ),
        (
            {"type": "pop3", "user": "x@pec.it"},
            {"type": "pop3", "user": "x@pec.it", "host": "pop3s.pec.aruba.it", "port": 995},
        ),
        (
            {"type": "imap", "user": "x@pec.it", "host": "h"},
            {"type": "imap", "user": "x@pec.it", "host": "h"},
        ),
        ({"type": "imap", "user": "x@nowhere.it"}, {"type": "imap", "user": "x@nowhere.it"}),
        ({"type": "eml", "provider": "its own"}, {"type": "eml", "provider": "its own"}),
        ({"user": "x@pec.it"}, {"user": "x@pec.it"}),
    ],
)
def test_a_table_is_filled_where_nothing_is_given(table: dict[str, Any], filled: dict[str, Any]) -> None:
    before = dict(table)
    assert expand(table) == filled
    assert table == before


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({"provider": "arbua"}, 'unknown provider "arbua", did you mean "aruba"?'),
        ({"provider": 5}, "must be text"),
        ({"provider": "legalmail", "type": "pop3"}, 'no POP3 server of provider "legalmail"'),
    ],
)
def test_problems(table: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        expand(table)
    assert problem in str(caught.value)


def test_a_refused_login_gets_the_providers_advice() -> None:
    refused = AuthError("refused", hint="check the password")
    assert "password dedicata" in advised(refused, "imaps.pec.aruba.it").hint
    assert "PEC – Archivio" in advised(refused, "imaps-arch.sicurezzapostale.it").hint
    assert "only send" in advised(refused, "POP3S.sicurezzapostale.it").hint
    assert advised(refused, "mail.example.it") is refused
    assert advised(refused, None) is refused
    cut = TransientError("cut")
    assert advised(cut, "imaps.pec.aruba.it") is cut


def test_the_command() -> None:
    lines = CliRunner().invoke(command, ["--json"]).output.splitlines()
    objects = {one["name"]: one for one in map(json.loads, lines)}
    assert objects.keys() == providers().keys()
    assert objects["aruba"]["imap"] == [{"host": "imaps.pec.aruba.it", "port": 993}]
    assert objects["aruba"]["folders"]["sent"] == "INBOX.Inviata"
    text = CliRunner().invoke(command, []).output
    assert "imaps.postacert.toscana.it:993" in text
    assert "password dedicata" in CliRunner().invoke(command, ["aruba"]).output
    assert isinstance(CliRunner().invoke(command, ["arbua"]).exception, ConfigError)
