"""What was archived, looked at in a real Thunderbird, and what it does there touches no archive."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from archipec.simulator import mailbox
from archipec_thunderbird.lock import ProfileLock
from testbed.command import Archipec, imap_url
from testbed.dovecot import PASSWORD, Dovecot
from testbed.requirements import require
from testbed.thunderbird import Thunderbird, ThunderbirdFailed, new_profile

pytestmark = pytest.mark.real

MESSAGES = 24
# Names on the server, and how Thunderbird shows them where that is different.
FOLDERS = {
    "INBOX": "INBOX",
    "Posta inviata": "Posta inviata",
    "2026/11": "2026/11",
    "Città & co": "Città & co",
    "CON": "_CON~",
    "a:b*c": "a_b_c~",
    "#1": "1~",
    "fattura.dat": "fattura.dat~",
    "x" * 70: "x" * 41 + "~",
}
# Lets Thunderbird write a folder of its own.
_COPY = """
const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
const root = MailServices.accounts.localFoldersServer.rootFolder;
const [from, to] = args;
const source = from.split("/").reduce((folder, name) => folder.getChildNamed(name), root);
root.createSubfolder(to, null);
const target = root.getChildNamed(to);
await new Promise((resolve, reject) => {
  MailServices.copy.copyMessages(source, [...source.messages], target, false, {
    QueryInterface: ChromeUtils.generateQI(["nsIMsgCopyServiceListener"]),
    onStartCopy() {}, onProgress() {}, setMessageKey() {}, getMessageId() {},
    onStopCopy(status) { Components.isSuccessCode(status) ? resolve() : reject(new Error(status)); },
  }, null, false);
});
"""
_OWN_LINES = re.compile(rb"(?:X-Mozilla-(?:Status2?|Keys):[^\n]*\n|X-Account-Key:[^\n]*\n)+")


@pytest.fixture(scope="module")
def server() -> Iterator[Dovecot]:
    require("dovecot", "thunderbird")
    with Dovecot() as running:
        samples = [sample.raw for sample in mailbox(MESSAGES, seed=8, size=2000)]
        samples[0] += b"From here\r\n>From there\r\n"
        for number, name in enumerate(FOLDERS):
            running.fill(name, samples[number :: len(FOLDERS)], ("\\Seen",) if number == 1 else ())
        yield running


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    return new_profile(tmp_path / "profile")


@pytest.fixture
def archipec(tmp_path: Path) -> Archipec:
    return Archipec(tmp_path / "state", {"PEC_PASSWORD": PASSWORD})


def url(server: Dovecot) -> str:
    return imap_url(server, port=server.port, ca_file=server.ca_file)


def on_server(server: Dovecot) -> Counter[bytes]:
    return Counter(raw for name in server.folders() for raw in server.raw_fetch(name).values())


def shown(thunderbird: Thunderbird) -> Counter[bytes]:
    """The messages below our folder as Thunderbird shows them, its own lines taken off."""
    found: Counter[bytes] = Counter()
    for folder in thunderbird.folders():
        if folder.name.startswith("archipec/") and folder.messages:
            found.update(_OWN_LINES.sub(b"", raw, count=1) for raw in thunderbird.messages(folder.name))
    return found


def counts(thunderbird: Thunderbird) -> dict[str, tuple[int, int]]:
    return {
        folder.name: (folder.messages, folder.unread)
        for folder in thunderbird.folders()
        if folder.name.startswith("archipec")
    }


def files(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file()
    }


def test_a_view_in_a_real_thunderbird(
    server: Dovecot, profile: Path, archipec: Archipec, tmp_path: Path
) -> None:
    archive = tmp_path / "archive"
    view = ("--to", f"thunderbird:{profile}")
    arguments = ("--from", url(server), "--to", f"maildir:{archive}", *view)
    report = archipec("archive", *arguments, "--json").object
    assert report["sinks"]["thunderbird"]["stored"] == report["stored"] == MESSAGES
    assert (archive / "SHA256SUMS").exists()
    kept = files(archive)

    with Thunderbird(profile) as thunderbird:
        seen = {re.sub("~[0-9a-f]{8}$", "~", name): number for name, number in counts(thunderbird).items()}
        for number, name in enumerate(FOLDERS.values()):
            messages = len(range(number, MESSAGES, len(FOLDERS)))
            assert seen.pop(f"archipec/{name}") == (messages, 0 if number == 1 else messages)
        assert seen == {"archipec": (0, 0), "archipec/2026": (0, 0)}
        assert shown(thunderbird) == on_server(server)
        thunderbird.mark_read("archipec/INBOX")
        removed = _OWN_LINES.sub(b"", thunderbird.messages("archipec/INBOX")[1], count=1)
        thunderbird.delete("archipec/INBOX", 1)
        thunderbird.compact("archipec/INBOX")
        thunderbird.run(_COPY, "archipec/Posta inviata", "Scritta qui")
        running = archipec("archive", *arguments, "--full", "--json", expect=5)
        assert "Thunderbird is running" in running.err
        assert "close Thunderbird" in running.err

    assert files(archive) == kept
    verified = archipec("verify", *arguments, "--json").object
    assert (verified["checked"], verified["ok"], verified["views"]) == (MESSAGES, MESSAGES, ["thunderbird"])
    assert "for looking at" in archipec("verify", *view, expect=4).err

    new = b"Subject: new\r\n\r\nnew\r\n"
    uid = server.append("INBOX", new)
    try:
        report = archipec("archive", *arguments, "--full", "--json").object
        assert (report["stored"], report["failed"]) == (1, 0)
    finally:
        server.expunge("INBOX", [uid])
    with Thunderbird(profile) as thunderbird:
        assert shown(thunderbird) == on_server(server) - Counter([removed]) + Counter([new])
        assert counts(thunderbird)["archipec/INBOX"] == (3, 1)

    saved = tmp_path / "saved"
    archipec("archive", "--from", f"thunderbird:{profile}", "--to", f"maildir:{saved}")
    imported = Counter(path.read_bytes() for path in saved.rglob("cur/*"))
    assert imported == on_server(server) - Counter([removed]) + Counter([new])


def test_what_thunderbird_itself_wrote_is_imported_byte_for_byte(
    server: Dovecot, profile: Path, archipec: Archipec, tmp_path: Path
) -> None:
    archipec("archive", "--from", url(server), "--to", f"thunderbird:{profile}")
    with Thunderbird(profile) as thunderbird:
        names = [name for name, (messages, _) in counts(thunderbird).items() if messages]
        for number, name in enumerate(names):
            thunderbird.run(_COPY, name, f"Scritta {number}")
    local = profile / "Mail" / "Local Folders"
    (local / "archipec.sbd").rename(tmp_path / "view")
    assert len(list(local.glob("Scritta ?"))) == len(FOLDERS)
    for url_of_it in (f"thunderbird:{profile}", f"dump:{local}"):
        saved = tmp_path / url_of_it.partition(":")[0]
        archipec("archive", "--from", url_of_it, "--to", f"maildir:{saved}")
        assert Counter(path.read_bytes() for path in saved.rglob("cur/*")) == on_server(server)


def test_thunderbird_does_not_start_while_we_write(profile: Path) -> None:
    require("thunderbird")
    with (
        ProfileLock(profile),
        pytest.raises(ThunderbirdFailed, match="did not start"),
        Thunderbird(profile),
    ):
        pass
