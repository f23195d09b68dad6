"""An office that archives its mailbox: a pipeline over a folder of mail, what is put there, and messages of every kind."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from archipec.simulator import ARUBA_2018, Attachment, Provider, compose, shared_authority
from archipec.simulator.files import pdf, signed, zipped
from testbed.command import Archipec, Result

__all__ = ["COMUNE", "NOTICE", "ORDINARY", "OWN", "STUDIO", "WHEN", "Office", "received", "sending", "sha256"]

WHEN = datetime(2025, 3, 10, 8, 30, tzinfo=UTC)
STUDIO, COMUNE = "studio@posta.example.it", "protocollo@comune.example"
OWN = Provider(style=ARUBA_2018)


def sha256(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


class Office:
    """A pipeline over a folder of mail, and what was put there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.command = Archipec(self.state)
        self.files = 0
        (folder / "root.pem").write_text(shared_authority().root_pem, encoding="ascii")
        self.configure()

    def configure(self, *lines: str) -> None:
        """Write the configuration; the lines are further settings of the pipeline."""
        (self.folder / "archipec.toml").write_text(
            '[[pipeline]]\nname = "studio"\ntrust = ["root.pem"]\n' + "".join(f"{one}\n" for one in lines)
            + '[pipeline.source]\ntype = "eml"\npath = "mail"\n[[pipeline.sink]]\ntype = "maildir"\npath = "PEC"\n',
            encoding="utf-8",
        )  # fmt: skip

    @property
    def archive_url(self) -> str:
        return f"maildir:{self.folder / 'PEC'}"

    def put(self, *messages: bytes, folder: str = "INBOX") -> None:
        """Let messages lie in a folder of the mailbox."""
        directory = self.folder / "mail" / folder
        directory.mkdir(parents=True, exist_ok=True)
        for message in messages:
            self.files += 1
            (directory / f"{self.files:04}.eml").write_bytes(message)

    def run(self, *words: object, expect: int | None = 0) -> Result:
        return self.command("--config", self.folder / "archipec.toml", *words, expect=expect)

    def archive(self, *options: str) -> dict[str, Any]:
        return self.run("archive", "--json", *options).object

    def found(self, *words: object) -> list[dict[str, Any]]:
        return self.run("search", "--json", *words).objects

    def subjects(self, *words: object) -> list[str]:
        return [one["subject"] for one in self.found(*words)]

    def hashes(self, *words: object) -> set[str]:
        found = [one["sha256"] for one in self.found(*words)]
        assert len(set(found)) == len(found)
        return set(found)


def received(subject: str, text: str = "Buongiorno", day: int = 0, **fields: Any) -> bytes:
    when = WHEN + timedelta(days=day)
    original = compose(COMUNE, [STUDIO], subject, text, when=when, **fields)
    return OWN.envelope(OWN.accept(original, when))


def sending(subject: str, day: int = 0, **fields: Any) -> tuple[bytes, list[bytes]]:
    """Return what was sent, and its acceptance and delivery."""
    when = WHEN + timedelta(days=day)
    original = compose(STUDIO, [COMUNE], subject, when=when, **fields)
    accepted = OWN.accept(original, when)
    return original, [OWN.acceptance(accepted), OWN.delivery(accepted)]


NOTICE = received(
    "Avviso di accertamento", "ai sensi dell'art. 36-bis, perché la cittadinanza è già stata informata", 1,
    attachments=[
        Attachment("Relazione.pdf", pdf("planimetria catastale")),
        Attachment("delega.pdf.p7m", signed(pdf("procura speciale"), "Carla Firmataria"), "application/pkcs7-mime"),
        Attachment("allegati.zip", zipped({"elenco.txt": b"mappali e subalterni"}), "application/zip"),
    ],
)  # fmt: skip
ORDINARY = compose("newsletter@ordinaria.example", [STUDIO], "Saldi", "offerta imperdibile", when=WHEN)
