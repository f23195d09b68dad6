"""The real Thunderbird agrees: with `check` on every cause, with `accounts` on what is safe, and shows what was added.

Two starts of Thunderbird tell the whole story: a profile as its own wizard makes it, then the same one after the
commands that the tool itself prints. A third, at full depth, is for the seals with SHA-1.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from archipec.simulator import ARUBA_2026, Authority, Provider, shared_authority
from archipec_thunderbird.lock import is_running
from archipec_thunderbird.message import find_seal
from archipec_thunderbird.prefs import read_prefs
from testbed.command import Archipec
from testbed.requirements import require
from testbed.seal_causes import ONE_CAUSE, SEVERAL_CAUSES, SHA1, WHEN, dated, good, resealed, special
from testbed.seals import signature, signed_entity, with_signature
from testbed.thunderbird import SUCCESS, VERIFY_UNTRUSTED, Thunderbird, drop_mbox, new_profile
from testbed.tool import Tool

FULL = os.environ.get("ARCHIPEC_DEPTH") == "full"


def resealed_without_certificates() -> bytes:
    """A seal by a signer that nobody has heard of."""
    signer = special(extended_key_usage=["email_protection"])
    return with_signature(good(), signature(signed_entity(good()), [signer], carried=[], when=WHEN))


# A seal without its intermediate comes first: Thunderbird keeps the one that a later seal carries.
MESSAGES: Mapping[str, bytes] = {
    "intermediate-missing": ONE_CAUSE["intermediate-missing"](),
    "good": good(),
    "root-untrusted": good(Provider(seed=3, authority=Authority(8))),
    **{name: make() for name, make in ONE_CAUSE.items() if name != "intermediate-missing"},
    **{"+".join(names): make() for names, make in SEVERAL_CAUSES.items() if FULL or len(names) == 4},
    "no-seal": b"From: a@b.it\r\nTo: c@d.it\r\nSubject: x\r\n\r\nFrom me to you\r\n",
    "no-address": resealed(signer=special(without="subject_alt_name")),
    "no-signing-time": resealed(when=None),
    "within-the-hour": dated(good(), minutes=-59),
    "bare-line-feeds": good().replace(b"\r\n", b"\n"),
    "micalg-by-number": good().replace(b"micalg=sha-256", b"micalg=2.16.840.1.101.3.4.2.1"),
    "micalg-old-name": good(style=SHA1).replace(b"micalg=sha1", b"micalg=rsa-sha1"),
    "micalg-another": good().replace(b"micalg=sha-256", b"micalg=sha-512"),
    "micalg-unknown": good().replace(b"micalg=sha-256", b"micalg=rsa-sha256"),
    "certificate-with-sha1": good(style=replace(ARUBA_2026, name="old", certificate_digest="sha1")),
    "another-signing-time": with_signature(good(), find_seal(good()).signature.replace(b"0830", b"0831")),
    "no-signer": resealed_without_certificates(),
    "no-cms": with_signature(good(), b"0\x03abc"),
    "micalg-missing": good().replace(b"micalg=sha-256;", b""),
}
# What Thunderbird's account wizard does with what a person types in.
WIZARD = """
const { AccountConfig } = ChromeUtils.importESModule("resource:///modules/accountcreation/AccountConfig.sys.mjs");
const { CreateInBackend } = ChromeUtils.importESModule("resource:///modules/accountcreation/CreateInBackend.sys.mjs");
for (const [type, hostname, port] of args) {
  const config = new AccountConfig();
  const login = { username: "studio@posta.example.it", password: "x", socketType: 3, auth: 3 };
  Object.assign(config.identity, { emailAddress: "studio@posta.example.it", realname: 'Studio "Rossi" \\\\ è' });
  Object.assign(config.incoming, login, { type, hostname, port });
  Object.assign(config.outgoing, login, { type: "smtp", hostname: "smtps.pec.aruba.it", port: 465, addThisServer: true });
  const account = await CreateInBackend.createAccountInBackend(config);
  // There is no server to log in to, and Thunderbird would ask for the password before it shows its window.
  account.incomingServer.loginAtStartUp = account.incomingServer.doBiff = false;
}
"""
POP3_SETTINGS = """
const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
const server = MailServices.accounts.allServers.find(one => one.type == "pop3");
return args.map(name => server.getBoolValue(name));
"""
SETTINGS = ("leave_on_server", "delete_by_age_from_server", "delete_mail_left_on_server")


class Story:
    """What was seen and done, in order."""

    def __init__(self, folder: Path) -> None:
        self.profile = new_profile(folder / "profile")
        self.tool = Tool(folder)
        self.ca = folder / "root.pem"
        self.ca.write_text(shared_authority().root_pem)
        self.files = {}
        (folder / "eml").mkdir()
        for name, raw in MESSAGES.items():
            self.files[name] = folder / "eml" / f"{name}.eml"
            self.files[name].write_bytes(raw)
        drop_mbox(self.profile, "Sigilli", list(MESSAGES.values()))
        with Thunderbird(self.profile) as thunderbird:
            thunderbird.run(WIZARD, ["pop3", "pop3s.pec.aruba.it", 995], ["imap", "imaps.pec.aruba.it", 993])
            self.while_running = self._refusals()
            self.before = [thunderbird.verdict("Sigilli", index).code for index in range(len(MESSAGES))]
        self.said_before = self.check()
        self.accounts_before = self.tool("accounts", "--profile", self.profile, "--json", expect=3).objects
        (self.printed,) = {self.said_before["good"]["command"]}
        self.run_printed(self.printed)
        self._run("accounts", "--leave-on-server")
        self._add_archive(folder)
        self.said_after = self.check()
        with Thunderbird(self.profile) as thunderbird:
            self.shown = thunderbird.messages("PEC")
            self.folders = {one.name: one.messages for one in thunderbird.folders()}
            places = {raw: index for index, raw in enumerate(self.shown)}
            self.after = {
                name: thunderbird.verdict("PEC", places[raw]).code
                for name, raw in MESSAGES.items()
                if raw in places
            }
            self.pop3 = thunderbird.run(POP3_SETTINGS, *SETTINGS)
        self.prefs = read_prefs(self.profile)

    def check(self) -> dict[str, dict[str, Any]]:
        """What `check` says of every message, by its name."""
        found = self.tool(
            "check", *self.files.values(), "--ca", self.ca, "--profile", self.profile, "--json", expect=7
        ).objects
        return dict(zip(self.files, found, strict=True))

    def run_printed(self, command: str) -> None:
        """Run a line that the tool printed, in a shell."""
        path = f"{self.tool.program.parent}{os.pathsep}{self.tool.env['PATH']}"
        subprocess.run(
            command, shell=True, env={**self.tool.env, "PATH": path}, check=True, capture_output=True
        )

    def _refusals(self) -> tuple[bool, int, int]:
        """What the lock says, and the exit codes of what wants Thunderbird closed."""
        mbox = self.profile / "Mail" / "Local Folders" / "Sigilli"
        changing = self._run("accounts", "--leave-on-server"), self._run("add-archive", mbox)
        return is_running(self.profile), *changing

    def _add_archive(self, folder: Path) -> None:
        Archipec(folder / "state")(
            "archive", "--from", f"eml:{folder / 'eml'}", "--to", f"mbox:{folder / 'PEC'}"
        )
        self._run("add-archive", folder / "PEC")

    def _run(self, *arguments: object) -> int:
        process = self.tool.start(*arguments, "--profile", self.profile)
        process.communicate()
        return process.returncode


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    require("thunderbird")
    return Story(tmp_path_factory.mktemp("story"))


def codes(said: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> dict[str, int]:
    return {name: said[name]["thunderbird"]["code"] for name in names}


def test_before_anything_is_trusted_the_codes_agree(story: Story) -> None:
    seen = dict(zip(MESSAGES, story.before, strict=True))
    assert seen["good"] == VERIFY_UNTRUSTED
    assert codes(story.said_before, list(seen)) == seen


def test_two_commands_mend_what_can_be_mended(story: Story) -> None:
    assert shlex.split(story.printed)[1:] == ["trust", "--profile", str(story.profile), "--ca", str(story.ca)]
    assert story.after["good"] == SUCCESS
    assert story.said_after["good"]["trusted"] is True


def test_every_cause_agrees_with_thunderbird(story: Story) -> None:
    assert codes(story.said_after, list(story.after)) == story.after
    assert len(set(story.after.values())) >= 7
    for name in ONE_CAUSE:
        assert name in {cause["name"] for cause in story.said_after[name]["causes"]}
    assert [cause["name"] for cause in story.said_after["root-untrusted"]["causes"]] == ["root-unknown"]


def test_thunderbird_shows_the_archive_byte_for_byte(story: Story) -> None:
    assert sorted(story.shown) == sorted(MESSAGES.values())
    assert story.folders["PEC"] == len(MESSAGES)


def test_the_wizard_s_account_is_told_and_made_safe(story: Story) -> None:
    pop3, imap = story.accounts_before
    assert [one["name"] for one in pop3["problems"]] == [
        "deleted-after-days",
        "deleting-here-deletes-there",
        "sent-only-here",
    ]
    assert "after 14 days" in pop3["problems"][0]["text"]
    assert (imap["type"], imap["problems"]) == ("imap", [])
    assert story.pop3 == [True, False, False]
    assert story.prefs["mail.identity.id1.fullName"] == 'Studio "Rossi" \\ è'
    # Thunderbird itself wrote the file since, and keeps no setting that is at its default.
    last = [name.rpartition(".")[2] for name in story.prefs]
    assert [name for name in last if name in SETTINGS] == ["leave_on_server"]


def test_what_wants_it_closed_is_refused_while_it_runs(story: Story) -> None:
    assert story.while_running == (True, 5, 5)


@pytest.mark.skipif(not FULL, reason="at full depth only: one more start of Thunderbird")
def test_sha1_is_accepted_after_the_command_that_check_prints(story: Story) -> None:
    story.run_printed(story.said_after["sha1"]["command"])
    said = story.check()
    with Thunderbird(story.profile) as thunderbird:
        shown = thunderbird.messages("PEC")
        seen = {name: thunderbird.verdict("PEC", shown.index(raw)).code for name, raw in MESSAGES.items()}
    assert seen["sha1"] == SUCCESS
    del (
        seen["intermediate-missing"],
        seen["intermediate-missing+sha1"],
    )  # Thunderbird has learnt the intermediate
    assert codes(said, list(seen)) == seen
