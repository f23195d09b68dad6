"""What accounts do to the mail on the server is told, and can be made safe. Layouts are as the real wizard wrote them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from archipec.errors import ConfigError
from archipec_thunderbird.accounts import MailAccount, leave_on_server, read_accounts
from archipec_thunderbird.lock import ProfileLock
from archipec_thunderbird.prefs import Value, read_prefs, write_prefs
from archipec_thunderbird.undo import undo
from testbed.tool import Tool

# As Thunderbird's wizard leaves a POP3 account, less what does not matter.
POP3: Mapping[str, Value] = {
    "mail.account.account1.identities": "id1",
    "mail.account.account1.server": "server1",
    "mail.account.account2.server": "server2",
    "mail.accountmanager.accounts": "account1,account2",
    "mail.accountmanager.localfoldersserver": "server2",
    "mail.identity.id1.fcc_folder": "mailbox://studio%40posta.example.it@pop3s.pec.aruba.it/Sent",
    "mail.identity.id1.smtpServer": "smtp1",
    "mail.identity.id1.useremail": "studio@posta.example.it",
    "mail.server.server1.delete_by_age_from_server": True,
    "mail.server.server1.delete_mail_left_on_server": True,
    "mail.server.server1.hostname": "pop3s.pec.aruba.it",
    "mail.server.server1.leave_on_server": True,
    "mail.server.server1.name": "studio@posta.example.it",
    "mail.server.server1.num_days_to_leave_on_server": 14,
    "mail.server.server1.port": 995,
    "mail.server.server1.socketType": 3,
    "mail.server.server1.type": "pop3",
    "mail.server.server1.userName": "studio@posta.example.it",
    "mail.server.server2.hostname": "Local Folders",
    "mail.server.server2.type": "none",
    "mail.smtpserver.smtp1.hostname": "smtps.pec.aruba.it",
    "mail.smtpserver.smtp1.port": 465,
    "mail.smtpserver.smtp1.try_ssl": 3,
}
IMAP: Mapping[str, Value] = {
    "mail.account.account1.identities": "id1",
    "mail.account.account1.server": "server1",
    "mail.accountmanager.accounts": "account1",
    "mail.identity.id1.fcc_folder": "imap://M123@mbox.cert.legalmail.it/Spedite",
    "mail.identity.id1.useremail": "studio@legalmail.it",
    "mail.server.server1.hostname": "mbox.cert.legalmail.it",
    "mail.server.server1.port": 993,
    "mail.server.server1.socketType": 3,
    "mail.server.server1.type": "imap",
    "mail.server.server1.userName": "M123",
}
SAFE: Mapping[str, Value | None] = {
    "mail.server.server1.delete_by_age_from_server": None,
    "mail.server.server1.delete_mail_left_on_server": None,
}


def read(profile: Path, prefs: Mapping[str, Value], **changes: Value | None) -> MailAccount:
    """The one account of a profile with these settings, those of its server changed."""
    write_prefs(
        profile, {**prefs, **{f"mail.server.server1.{name}": value for name, value in changes.items()}}
    )
    (account,) = read_accounts(profile)
    return account


def names(account: MailAccount) -> list[str]:
    return [problem.name for problem in account.problems]


def test_the_wizard_deletes_after_14_days(tmp_path: Path) -> None:
    account = read(tmp_path, POP3)
    assert names(account) == ["deleted-after-days", "deleting-here-deletes-there", "sent-only-here"]
    assert account.problems[0].text == "messages are deleted on the server after 14 days"
    assert (account.provider.name, account.host, account.port, account.tls) == (
        "aruba",
        "pop3s.pec.aruba.it",
        995,
        "TLS",
    )


@pytest.mark.parametrize(
    ("changes", "problems"),
    [
        ({"leave_on_server": None}, ["download-deletes", "deleting-here-deletes-there"]),
        (SAFE, []),
        ({"delete_mail_left_on_server": None}, ["deleted-after-days"]),
        ({**SAFE, "retainBy": 2}, ["retention"]),
        ({**SAFE, "retainBy": 3}, ["retention"]),
        ({**SAFE, "socketType": None, "port": None}, ["other-server", "no-tls"]),
        ({**SAFE, "hostname": "pop3.pec.aruba.it"}, ["other-server"]),
        ({**SAFE, "port": 110}, ["other-server"]),
    ],
)
def test_pop3(tmp_path: Path, changes: Mapping[str, Value | None], problems: list[str]) -> None:
    # An address that can only be this provider's tells the account where its server does not.
    known = {**POP3, "mail.identity.id1.useremail": "studio@arubapec.it"}
    plain = {name.rpartition(".")[2]: value for name, value in changes.items()}
    assert sorted(names(read(tmp_path, known, **plain))) == sorted([*problems, "sent-only-here"])


def test_days_that_are_not_written_are_the_default(tmp_path: Path) -> None:
    account = read(tmp_path, POP3, num_days_to_leave_on_server=None)
    assert account.problems[0].text == "messages are deleted on the server after 7 days"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "moves it to the bin on the server"),
        ({"empty_trash_on_exit": True}, "which is emptied when Thunderbird ends"),
        ({"delete_model": 0}, "compacting the folder removes it there"),
        ({"delete_model": 2}, "removes it on the server at once"),
    ],
)
def test_imap(tmp_path: Path, changes: Mapping[str, Value], words: str) -> None:
    account = read(tmp_path, IMAP, **changes)
    assert words in account.deletion
    assert (names(account), account.sent) == ([], "server")


@pytest.mark.parametrize(
    ("prefs", "sent"),
    [
        ({"mail.identity.id1.fcc_folder": "mailbox://nobody@Local%20Folders/Sent"}, "profile"),
        ({"mail.identity.id1.fcc": False}, "nowhere"),
        ({"mail.identity.id1.fcc_folder": ""}, "server"),
        (
            {
                "mail.account.account1.identities": "id1,id2",
                "mail.identity.id2.fcc_folder": "mailbox://nobody@Local%20Folders/Sent",
            },
            "profile",
        ),
    ],
)
def test_where_sent_mail_is_kept(tmp_path: Path, prefs: Mapping[str, Value], sent: str) -> None:
    assert read(tmp_path, {**IMAP, **prefs}).sent == sent


def test_smtp_is_looked_at_too(tmp_path: Path) -> None:
    wrong: dict[str, Value] = {
        "mail.smtpserver.smtp1.hostname": "smtp.example.it",
        "mail.smtpserver.smtp1.try_ssl": 0,
    }
    account = read(tmp_path, {**POP3, **wrong})
    assert names(account)[-2:] == ["other-server", "no-tls"]


def test_other_accounts_are_left_out(tmp_path: Path) -> None:
    write_prefs(
        tmp_path,
        {**IMAP, "mail.server.server1.hostname": "imap.example.com", "mail.identity.id1.useremail": "a@b.it"},
    )
    assert read_accounts(tmp_path) == []


def test_odd_settings_are_passed_over(tmp_path: Path) -> None:
    write_prefs(
        tmp_path,
        {
            **POP3,
            "mail.server.server1.port": "x",
            "mail.accountmanager.accounts": ",account9,account1,,account1",
        },
    )
    (account,) = read_accounts(tmp_path)
    assert account.port == 995


def test_making_it_safe_changes_three_lines(tmp_path: Path) -> None:
    write_prefs(tmp_path, {**POP3, "mail.server.server1.retainBy": 2})
    before = (tmp_path / "prefs.js").read_bytes()
    safety = leave_on_server(tmp_path)
    assert safety.accounts == ("studio@posta.example.it",)
    gone = (b"delete_by_age_from_server", b"delete_mail_left_on_server", b"retainBy")
    kept = [line for line in before.splitlines(keepends=True) if not any(word in line for word in gone)]
    assert (tmp_path / "prefs.js").read_bytes() == b"".join(kept)
    assert safety.backup is not None
    assert (safety.backup / "prefs.js").read_bytes() == before
    assert leave_on_server(tmp_path).backup is None
    undo(tmp_path, lambda: "")
    assert (tmp_path / "prefs.js").read_bytes() == before


def test_a_default_that_was_changed_is_overruled(tmp_path: Path) -> None:
    write_prefs(tmp_path, {**POP3, "mail.server.default.delete_by_age_from_server": True})
    leave_on_server(tmp_path)
    assert read_prefs(tmp_path)["mail.server.server1.delete_by_age_from_server"] is False


def test_user_js_would_undo_it(tmp_path: Path) -> None:
    write_prefs(tmp_path, POP3)
    (tmp_path / "user.js").write_text('user_pref("mail.server.server1.delete_by_age_from_server", true);')
    before = (tmp_path / "prefs.js").read_bytes()
    with pytest.raises(ConfigError, match=r"user\.js sets"):
        leave_on_server(tmp_path)
    assert (tmp_path / "prefs.js").read_bytes() == before


def test_the_command(tmp_path: Path) -> None:
    tool, profile = Tool(tmp_path / "home"), tmp_path / "profile"
    profile.mkdir()
    write_prefs(profile, POP3)
    found = tool("accounts", "--profile", profile, "--json", expect=3).object
    assert (found["type"], found["provider"], found["sent"]) == ("pop3", "aruba", "profile")
    assert [one["fixable"] for one in found["problems"]] == [True, True, False]
    shown = tool("accounts", "--profile", profile, expect=3).out
    assert f"run: {tool.program} accounts --profile {profile} --leave-on-server" in shown
    before = (profile / "prefs.js").read_bytes()
    dry = tool("accounts", "--profile", profile, "--leave-on-server", "--dry-run", expect=3)
    assert "mail of studio@posta.example.it would be left on the server" in dry.err
    with ProfileLock(profile):
        assert (
            "close Thunderbird" in tool("accounts", "--profile", profile, "--leave-on-server", expect=5).err
        )
    assert (profile / "prefs.js").read_bytes() == before
    done = tool("accounts", "--profile", profile, "--leave-on-server", "--json", expect=3)
    assert "mail of studio@posta.example.it is now left on the server" in done.err
    assert [one["name"] for one in done.object["problems"]] == ["sent-only-here"]
    assert "--dry-run goes with" in tool("accounts", "--profile", profile, "--dry-run", expect=2).err
