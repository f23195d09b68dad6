"""A double of a provider that takes packages from a drop folder: ``python -I conservator.py SETTINGS.json``.

A program by itself that sees only the folder, and shares no code with whoever puts packages there. For each line on
stdin it looks into the folder once, takes what has a ready marker, and answers with a line. It computes every hash from the files; validates the index with the published schema; finds missing,
extra and badly named files; and leaves a report. What it keeps is in the folder ``home``:

- ``taken.jsonl``: one line a package: id, verdict, hashes of what it held; ``taken/ID/``: the files;
- ``faults.json``: names of faults, one is used up by each package; ``*`` before a name keeps it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import sys
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lxml import etree  # type: ignore[import-untyped]

SINCRO = "{http://www.uni.com/U3011/sincro-v2/}"
MARKER = re.compile(r"PdV_(?P<id>[0-9a-f-]{36})\.ready")
SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
STRANGER = "00000000-0000-4000-8000-000000000000"
PAGE = b"<!DOCTYPE html><html><head><title>502</title></head><body>Bad gateway<br></body></html>"


class Bad(Exception):
    """The package is not acceptable."""


def files_of(landing: Path, package: str) -> tuple[dict[str, bytes], str]:
    """Return the files of a package, and the SHA-256 of its one file when it is a zip."""
    folder, archive = landing / f"PdV_{package}", landing / f"PdV_{package}.zip"
    if archive.exists():
        with zipfile.ZipFile(archive) as opened:
            if opened.testzip() is not None:
                raise Bad("archivio danneggiato")
            names = [name for name in opened.namelist() if not name.endswith("/")]
            if len(set(names)) != len(names):
                raise Bad("nomi ripetuti nell'archivio")
            found = {name: opened.read(name) for name in names}
        prefix = f"PdV_{package}/"
        if all(name.startswith(prefix) for name in found):
            found = {name.removeprefix(prefix): content for name, content in found.items()}
        return found, hashlib.sha256(archive.read_bytes()).hexdigest()
    if not folder.is_dir():
        raise Bad("il pacchetto segnalato non c'è")
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }, ""


def check(found: dict[str, bytes], schema: str) -> list[dict[str, str]]:
    """Return the documents of a package.

    Raises:
        Bad: with the reason, in Italian.
    """
    if unsafe := [name for name in found if not SAFE.fullmatch(name)]:
        raise Bad(f"nomi non ammessi: {unsafe}")
    if "PIndex.xml" not in found:
        raise Bad("manca PIndex.xml")
    index = etree.fromstring(found["PIndex.xml"])
    if schema and not (validator := etree.XMLSchema(etree.parse(schema))).validate(index):
        raise Bad(f"PIndex non valido: {validator.error_log.last_error}")
    stated: dict[str, str] = {}
    documents = []
    for file in [*index.iter(f"{SINCRO}File"), *index.iter(f"{SINCRO}ExternalMetadata")]:
        path, digest = file.findtext(f"{SINCRO}Path") or "", (file.findtext(f"{SINCRO}Hash") or "").strip()
        stated[path] = digest
        if file.tag == f"{SINCRO}File":
            documents.append({"id": file.findtext(f"{SINCRO}ID") or "", "path": path})
    for path, digest in stated.items():
        if path not in found:
            raise Bad(f"manca il file {path}")
        computed = hashlib.sha256(found[path])
        if digest not in (computed.hexdigest(), base64.b64encode(computed.digest()).decode()):
            raise Bad(f"impronta diversa: {path}")
    if extra := {name for name in found if not name.startswith("PIndex.xml")} - set(stated):
        raise Bad(f"file non indicati: {sorted(extra)}")
    for document in documents:
        document["sha256"] = hashlib.sha256(found[document["path"]]).hexdigest()
    return documents


def report(package: str, digest: str, documents: list[dict[str, str]], bad: str, fault: str) -> bytes:
    """Write a rapporto di versamento."""
    root = etree.Element("RapportoDiVersamento")

    def add(parent: Any, name: str, text: str, **attributes: str) -> None:
        child = etree.SubElement(parent, name, attrib=attributes)
        child.text = text

    add(root, "Identificativo", f"RdV-{package}")
    add(root, "IdPdV", package)
    add(root, "DataOra", datetime.now(UTC).isoformat(timespec="seconds"))
    if digest:
        add(root, "Impronta", _altered(digest, fault), algoritmo="SHA-256")
    outcome = "NEGATIVO" if bad else "PARZIALE" if fault == "partial" else "POSITIVO"
    add(root, "Esito", outcome)
    if bad:
        add(root, "Motivo", bad)
    for number, document in enumerate([] if bad else documents):
        child = etree.SubElement(root, "Documento")
        add(child, "IdDocumento", document["id"])
        add(child, "Percorso", document["path"])
        add(child, "Impronta", _altered(document["sha256"], fault), algoritmo="SHA-256")
        refused = fault == "partial" and number == 0
        add(child, "Esito", "NEGATIVO" if refused else "POSITIVO")
        if refused:
            add(child, "Motivo", "FORMATO-001 formato non riconosciuto")
    return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8"))


def _altered(digest: str, fault: str) -> str:
    return hashlib.sha256(digest.encode()).hexdigest() if fault == "wrong-hash" else digest


class Conservator:
    """Takes packages and reports."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.landing = Path(settings["landing"])
        self.reports = self.landing / settings["reports"]
        self.home = Path(settings["home"])
        self.schema = settings["index_schema"]
        (self.home / "taken").mkdir(parents=True, exist_ok=True)

    def round(self) -> None:
        """Take what is ready, and give out what was held back."""
        self.reports.mkdir(exist_ok=True)
        for path in sorted(self.landing.glob("PdV_*.ready")):
            if match := MARKER.fullmatch(path.name):
                self._take(match["id"], path)
        if not (self.home / "hold").exists():
            for path in self.home.glob("late-*"):
                self._publish(path.name.removeprefix("late-"), path.read_bytes())
                path.unlink()

    def _take(self, package: str, marker: Path) -> None:
        fault = self._next_fault()
        kept = self.home / "taken" / package
        found: dict[str, bytes] = {}
        documents: list[dict[str, str]] = []
        digest, bad = "", ""
        try:
            found, digest = files_of(self.landing, package)
            documents = check(found, self.schema)
        except (Bad, etree.XMLSyntaxError, zipfile.BadZipFile) as error:
            bad = str(error)
        if fault == "negative":
            bad = "FIRMA-003-001 controllo non superato"
        for name, content in found.items():
            (kept / name).parent.mkdir(parents=True, exist_ok=True)
            (kept / name).write_bytes(content)
        line = {"id": package, "bad": bad, "fault": fault, "documents": documents}
        with (self.home / "taken.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        about = STRANGER if fault == "unknown-package" else package
        content = report(about, digest, documents, bad, fault)
        name = f"RdV_{package}.xml"
        if fault in {"late", "lost-after-save", "wrong-hash", "unknown-package", "truncated", "html"}:
            # The true report comes when nothing is held back any more.
            (self.home / f"late-{name}").write_bytes(report(package, digest, documents, bad, ""))
        if fault == "truncated":
            content = content[: len(content) // 2]
        if fault == "html":
            content = PAGE
        if fault not in {"late", "lost-after-save"}:
            self._publish(f"RdV_{about}.xml", content)
        if fault == "duplicate":
            self._publish(f"RdV_{package}_2.xml", content)
        # Collected: all of it is gone from the folder.
        marker.unlink()
        (self.landing / f"PdV_{package}.zip").unlink(missing_ok=True)
        shutil.rmtree(self.landing / f"PdV_{package}", ignore_errors=True)

    def _publish(self, name: str, content: bytes) -> None:
        temporary = self.reports / f".{name}.tmp"
        temporary.write_bytes(content)
        temporary.replace(self.reports / name)

    def _next_fault(self) -> str:
        path = self.home / "faults.json"
        faults = json.loads(path.read_text("utf-8")) if path.exists() else []
        if not faults:
            return ""
        if not faults[0].startswith("*"):
            path.write_text(json.dumps(faults[1:]), "utf-8")
        return str(faults[0].removeprefix("*"))


def main() -> None:
    """Look each time it is told to."""
    conservator = Conservator(json.loads(Path(sys.argv[1]).read_text("utf-8")))
    for _ in sys.stdin:
        conservator.round()
        print("looked", flush=True)


if __name__ == "__main__":
    main()
