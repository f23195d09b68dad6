"""What a real Thunderbird makes of a profile before `trust`, after it, and after `undo`; through the installed command."""

from __future__ import annotations

import base64
import itertools
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from archipec.simulator import Provider, shared_authority, to_pem
from archipec_thunderbird.certificates import ACTALIS, Certificate, actalis_root
from testbed.answering import answering_program
from testbed.nss import add_trust, age_password_record, make_databases
from testbed.requirements import require
from testbed.seal_causes import SHA1, good, resealed
from testbed.thunderbird import (
    GENERAL_ERROR,
    SUCCESS,
    VERIFY_UNTRUSTED,
    Thunderbird,
    drop_mbox,
    new_profile,
)
from testbed.tool import Tool

FULL = os.environ.get("ARCHIPEC_DEPTH") == "full"
RESTARTS = 3 if FULL else 1
PASSWORD = "una parola ‹è›"

_SET_TRUST = """
const database = Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB);
const certificate = database.constructX509FromBase64(args[0]);
database.setCertTrust(certificate, Ci.nsIX509Cert.CA_CERT, args[1]);
"""
_SET_PASSWORD = """
const token = Cc["@mozilla.org/security/internalkeytoken;1"].createInstance(Ci.nsIPKCS11Token);
token.changePassword("", args[0]);
"""
# As mozilla::pkix sees it, which decides on seals: error codes, 0 for valid.
_VERDICTS = """
const database = Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB);
const certificate = database.constructX509FromBase64(args[0]);
const token = Cc["@mozilla.org/security/internalkeytoken;1"].createInstance(Ci.nsIPKCS11Token);
const verdict = usage => new Promise(resolve => database.asyncVerifyCertAtTime(
  certificate, usage, Ci.nsIX509CertDB.FLAG_LOCAL_ONLY, null, Date.now() / 1000, [],
  { verifyCertFinished: error => resolve(error) }));
return {
  web: database.isCertTrusted(certificate, Ci.nsIX509Cert.CA_CERT, Ci.nsIX509CertDB.TRUSTED_SSL),
  mail: database.isCertTrusted(certificate, Ci.nsIX509Cert.CA_CERT, Ci.nsIX509CertDB.TRUSTED_EMAIL),
  pkix: [await verdict(Ci.nsIX509CertDB.verifyUsageTLSServerCA), await verdict(Ci.nsIX509CertDB.verifyUsageEmailCA)],
  open: !token.hasPassword || token.isLoggedIn,
};
"""

# A root that Thunderbird brings along for the web and not for mail: what a row of ours says of the web matters most.
_WEB_ONLY = """
const database = Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB);
const isTrusted = (one, bit) => database.isCertTrusted(one, Ci.nsIX509Cert.CA_CERT, bit);
const found = database.getCerts().find(one => isTrusted(one, database.TRUSTED_SSL) && !isTrusted(one, database.TRUSTED_EMAIL));
return found.getBase64DERString();
"""
_UNKNOWN_ISSUER = -8179


@dataclass(frozen=True)
class Cell:
    """A starting state of the Actalis root in a profile.

    Attributes:
        state: what was done to the built-in root.
        password: the primary password.
        old_record: whether the password record is of before 2019.
        web, mail: what Thunderbird trusts then.
    """

    state: str
    password: str
    old_record: bool

    @property
    def web(self) -> bool:
        return self.state != "all removed"

    @property
    def mail(self) -> bool:
        return self.state == "clean"

    def __str__(self) -> str:
        record = "3DES" if self.old_record else "AES"
        return f"{self.state}-{'password' if self.password else 'no password'}-{record}"


STATES = ("clean", "mail removed", "all removed", "old-style row")
CELLS = (
    [Cell(*values) for values in itertools.product(STATES, ("", PASSWORD), (False, True))]
    if FULL
    else [  # the clean state is in the next test, too
        Cell("mail removed", PASSWORD, False),
        Cell("all removed", "", True),
        Cell("old-style row", PASSWORD, True),
    ]
)


@pytest.fixture(scope="module")
def answering(tmp_path_factory: pytest.TempPathFactory) -> str:
    require("thunderbird", "certutil")
    return answering_program(tmp_path_factory.mktemp("program") / "thunderbird", PASSWORD)


@pytest.fixture
def tool(tmp_path: Path) -> Tool:
    return Tool(tmp_path)


def prepare(cell: Cell, profile: Path, answering: str) -> dict[str, object]:
    """Bring a profile into a starting state, and return Thunderbird's verdicts on it."""
    der = actalis_root().der
    # A newer password record, and what is signed with it, no old certutil understands: then it comes first.
    early = cell.password if cell.old_record else ""
    if cell.old_record or cell.state == "old-style row":
        make_databases(profile, early)
    if cell.state == "old-style row":
        add_trust(profile, der, "C,,", early)
    if cell.old_record:
        age_password_record(profile, early)
    # Quitting may ask for a password that was just set.
    with Thunderbird(profile, program=answering if cell.password else None) as thunderbird:
        encoded = base64.b64encode(der).decode()
        if cell.state in ("mail removed", "all removed"):
            thunderbird.run(_SET_TRUST, encoded, 1 if cell.web else 0)
        if cell.password and not early:
            thunderbird.run(_SET_PASSWORD, cell.password)
        return verdicts(thunderbird)


def verdicts(thunderbird: Thunderbird) -> dict[str, object]:
    found = thunderbird.run(_VERDICTS, base64.b64encode(actalis_root().der).decode())
    assert isinstance(found, dict)
    assert found.pop("open"), "Thunderbird did not get its primary password"
    return found


def expected(*, web: bool, mail: bool) -> dict[str, object]:
    return {"web": web, "mail": mail, "pkix": [0 if one else _UNKNOWN_ISSUER for one in (web, mail)]}


@pytest.mark.real
@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_the_actalis_root_from_every_starting_state(
    tmp_path: Path, tool: Tool, answering: str, cell: Cell
) -> None:
    profile = new_profile(tmp_path / "profile")
    before = expected(web=cell.web, mail=cell.mail)
    assert prepare(cell, profile, answering) == before

    arguments = ("--profile", profile, "--json", "--password-fd", 0)
    outcome = tool("trust", *arguments, stdin=f"{cell.password}\n").object
    assert [one["change"] for one in outcome["changes"]] == ([] if cell.mail else ["mail-trust"])
    program = answering if cell.password else None
    for _ in range(RESTARTS):
        with Thunderbird(profile, program=program) as thunderbird:
            assert verdicts(thunderbird) == expected(web=cell.web, mail=True)
    status = tool("status", "--profile", profile, "--json").object
    assert (status["authorities"][0]["web"], status["authorities"][0]["mail"]) == (cell.web, True)
    assert tool("trust", *arguments).object["changes"] == []

    undone = tool("undo", *arguments, stdin=f"{cell.password}\n").object
    assert undone["left"] == 0
    if not cell.mail:
        with Thunderbird(profile, program=program) as thunderbird:
            assert verdicts(thunderbird) == before


@pytest.mark.real
def test_seals_are_trusted_after_trust_and_not_before_nor_after_undo(tmp_path: Path, tool: Tool) -> None:
    require("thunderbird")
    one, other = Provider(seed=3), Provider(seed=3, authority=shared_authority(1))
    root, complete = tmp_path / "roots.pem", tmp_path / "complete.eml"
    root.write_text(to_pem(one.authority.root) + to_pem(other.authority.root))
    complete.write_bytes(good(other))
    profile = new_profile(tmp_path / "profile")
    drop_mbox(
        profile, "Posta", [good(one), resealed(other, issuer=False), good(Provider(seed=3, style=SHA1))]
    )

    def codes() -> list[int]:
        # The first last: once it is found valid, Thunderbird remembers the intermediate that it carries.
        return [thunderbird.verdict("Posta", index).code for index in (2, 1, 0)]

    with Thunderbird(profile) as thunderbird:
        assert codes() == [GENERAL_ERROR, VERIFY_UNTRUSTED, VERIFY_UNTRUSTED]
        web_only = Certificate(base64.b64decode(thunderbird.run(_WEB_ONLY)))
        with root.open("a") as file:
            file.write(to_pem(web_only.der))
        before = {name: (profile / name).read_bytes() for name in ("cert9.db", "key4.db")}
        tool("status", "--ca", root, "--profile", profile, expect=3)
        tool("trust", "--ca", root, "--profile", profile, "--dry-run")
        for command in (("trust", "--ca", root, "--accept-sha1"), ("undo",)):
            refused = tool(*command, "--profile", profile, expect=5)
            assert "Thunderbird is running" in refused.err
        assert {name: (profile / name).read_bytes() for name in before} == before
        assert b"sha1" not in (profile / "prefs.js").read_bytes()  # which Thunderbird itself writes meanwhile
        assert not (profile / "thunderbird-profile-tool-backup").exists()

    line = tool("trust", "--ca", root, "--profile", profile).out
    assert line.count("\n") == 1, "one line tells what changed"
    with Thunderbird(profile) as thunderbird:
        assert codes() == [GENERAL_ERROR, VERIFY_UNTRUSTED, SUCCESS]
        assert thunderbird.trust(web_only.sha256) == (True, True)
    tool("trust", "--ca", root, "--intermediate", complete, "--accept-sha1", "--profile", profile)
    for _ in range(RESTARTS):
        with Thunderbird(profile) as thunderbird:
            assert codes() == [SUCCESS, SUCCESS, SUCCESS]
            assert thunderbird.trust(ACTALIS) == (True, True)
    undone = tool("undo", "--profile", profile, "--json").object
    assert (undone["runs"], undone["left"]) == (2, 0)
    with Thunderbird(profile) as thunderbird:
        assert codes() == [GENERAL_ERROR, VERIFY_UNTRUSTED, VERIFY_UNTRUSTED]
        assert thunderbird.trust(web_only.sha256) == (True, False)


@pytest.mark.real
@pytest.mark.skipif(not FULL, reason="at full depth: three more starts of Thunderbird")
def test_undo_after_a_primary_password_was_set(tmp_path: Path, tool: Tool, answering: str) -> None:
    """Thunderbird signed every row anew then, and what is put back must be signed likewise."""
    profile = new_profile(tmp_path / "profile")
    before = prepare(Cell("mail removed", "", False), profile, answering)
    tool("trust", "--profile", profile)
    with Thunderbird(profile, program=answering) as thunderbird:
        thunderbird.run(_SET_PASSWORD, PASSWORD)
    tool("undo", "--profile", profile, expect=6)
    undone = tool("undo", "--profile", profile, "--json", "--password-fd", 0, stdin=f"{PASSWORD}\n").object
    assert (undone["restored"], undone["left"]) == (1, 0)
    with Thunderbird(profile, program=answering) as thunderbird:
        assert verdicts(thunderbird) == before
