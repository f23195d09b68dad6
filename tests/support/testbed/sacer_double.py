"""A double of SACER's deposit service, a program by itself: ``python -I sacer_double.py SETTINGS.json``.

It decides from the bytes it receives and shares no code with the client: it takes the multipart apart in order,
reads form fields as the real service does (commons-fileupload: ISO-8859-1 unless the part names a charset; parts of
no bytes or without a file name are no files), validates the index with the published schema and computes every hash
from what arrived. Its own answers are validated too. What it keeps is in the folder ``home``:

- ``saved/KEY.json`` and ``saved/KEY/ID``: what was deposited, with the report;
- ``requests.jsonl``: one line a request: key, fault, code, whether it was saved now;
- ``faults.json``: names of faults, one is used up by each deposit; ``*`` before a name keeps it.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import http.server
import json
import re
import ssl
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lxml import etree  # type: ignore[import-untyped]

FORM_FIELDS = ("VERSIONE", "LOGINNAME", "PASSWORD", "XMLSIP")
DIGESTS = {32: "md5", 40: "sha1", 64: "sha256", 96: "sha384", 128: "sha512"}
PAGE = b"<!DOCTYPE html><html><head><title>502</title></head><body>Bad gateway<br></body></html>"


class Refusal(Exception):
    """The deposit is refused."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message


class Part:
    """A part of a multipart body (RFC 7578)."""

    def __init__(self, raw: bytes) -> None:
        head, _, self.content = raw.partition(b"\r\n\r\n")
        fields = dict(
            line.split(":", 1) for line in head.decode("latin-1").lower().split("\r\n") if ":" in line
        )
        disposition = head.decode("utf-8")
        self.name = _parameter(disposition, "name")
        self.filename = _parameter(disposition, "filename")
        charset = re.search(r"charset=\"?([\w-]+)", fields.get("content-type", ""))
        self.charset = charset[1] if charset else "iso-8859-1"

    @property
    def text(self) -> str:
        return self.content.decode(self.charset)


def _parameter(disposition: str, name: str) -> str | None:
    found = re.search(rf'[;\s]{name}="([^"]*)"', disposition)
    return found[1] if found else None


def take_apart(body: bytes, content_type: str) -> tuple[dict[str, str], dict[str, bytes]]:
    """Return form fields and files."""
    boundary = re.search(r'boundary="?([^";]+)', content_type)
    if not content_type.startswith("multipart/form-data") or boundary is None:
        raise Refusal("WS-CHECK", "la chiamata non è multipart/form-data")
    separator = b"\r\n--" + boundary[1].encode()
    pieces = (b"\r\n" + body).split(separator)
    if pieces[0] or not pieces[-1].startswith(b"--"):
        raise Refusal("WS-CHECK", "multipart incompleto")
    fields: dict[str, str] = {}
    files: dict[str, bytes] = {}
    for raw in pieces[1:-1]:
        part = Part(raw.removeprefix(b"\r\n"))
        if part.name is None:
            raise Refusal("WS-CHECK", "parte senza nome")
        if part.filename is None and part.name in FORM_FIELDS:
            if files or part.name != FORM_FIELDS[len(fields)]:
                raise Refusal("WS-CHECK", f"campo {part.name} fuori posto")
            fields[part.name] = part.text
        elif part.filename and part.content:
            if len(fields) < len(FORM_FIELDS):
                raise Refusal("WS-CHECK", f"file {part.name} prima dei campi")
            if part.name in files:
                raise Refusal("WS-CHECK", f"file {part.name} ripetuto")
            files[part.name] = part.content
    if len(fields) < len(FORM_FIELDS):
        raise Refusal("WS-CHECK", f"manca {FORM_FIELDS[len(fields)]}")
    return fields, files


class Deposit:
    """A deposit as received, checked in the order of the real service."""

    def __init__(self, body: bytes, content_type: str, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.fields, self.files = take_apart(body, content_type)
        if self.fields["VERSIONE"] not in settings["versions"]:
            raise Refusal("UD-001-011", f"la versione {self.fields['VERSIONE']} non è supportata")
        if (self.fields["LOGINNAME"], self.fields["PASSWORD"]) != (settings["user"], settings["password"]):
            raise Refusal("UD-001-012", "errore di autenticazione")
        # Decoded by the charset of its part; the declaration inside no longer counts.
        text = re.sub(r"^\s*<\?xml[^>]*\?>", "", self.fields["XMLSIP"])
        try:
            self.sip = etree.fromstring(text.encode("utf-8"))
        except etree.XMLSyntaxError as error:
            raise Refusal("XSD-001-001", f"XML malformato: {error}") from error
        schema = settings["request_schema"]
        if schema and not (validator := _schema(schema)).validate(self.sip):
            raise Refusal("XSD-001-002", str(validator.error_log.last_error))
        self._check_header()
        self._check_profile()
        self.documents = self._check_documents()

    def text(self, path: str) -> str:
        return (self.sip.findtext(path) or "").strip()

    @property
    def key(self) -> tuple[str, str, str]:
        chiave = "Intestazione/Chiave/"
        return self.text(chiave + "TipoRegistro"), self.text(chiave + "Anno"), self.text(chiave + "Numero")

    @property
    def rehearsal(self) -> bool:
        return self.text("Configurazione/SimulaSalvataggioDatiInDB") == "true"

    def _check_header(self) -> None:
        if self.text("Intestazione/Versione") != self.fields["VERSIONE"]:
            raise Refusal("UD-001-013", "Versione non coincide con quella della chiamata")
        versatore = "Intestazione/Versatore/"
        for number, name in enumerate(("Ambiente", "Ente", "Struttura"), 1):
            if self.text(versatore + name) != self.settings[name.lower()]:
                raise Refusal(f"UD-001-00{number}", f"{name} {self.text(versatore + name)} non presente")
        if self.text(versatore + "UserID") != self.fields["LOGINNAME"]:
            raise Refusal("UD-001-005", "UserID non coincide con l'utente della chiamata")
        if self.text("Intestazione/Chiave/TipoRegistro") not in self.settings["registers"]:
            raise Refusal("UD-003-002", "il tipo registro non è presente entro la struttura versante")

    def _check_profile(self) -> None:
        profile = self.sip.find("ProfiloNormativo")
        schema = self.settings["profile_schema"]
        # Of the two forms, the published schema has that of administrations.
        if profile is not None and schema and profile[0].tag == "DocumentoAmministrativoInformatico":
            validator = _schema(schema)
            if not validator.validate(etree.ElementTree(profile[0])):
                raise Refusal("PROFILO-001", str(validator.error_log.last_error))

    def _check_documents(self) -> list[dict[str, str]]:
        found = []
        elements = [*self.sip.iterfind("DocumentoPrincipale"), *self.sip.iterfind("Allegati/Allegato")]
        if int(self.text("NumeroAllegati") or 0) != len(elements) - 1:
            raise Refusal("UD-006-001", "NumeroAllegati non corrisponde")
        for element in elements:
            for component in element.iterfind("StrutturaOriginale/Componenti/Componente"):
                found.append(self._check_component(element, component))
        ids = [document["component"] for document in found]
        if len(set(ids)) != len(ids):
            raise Refusal("XSD-002-001", "ID componenti non univoci")
        if extra := set(self.files) - set(ids):
            raise Refusal("COMP-006-001", f"file non dichiarati: {sorted(extra)}")
        return found

    def _check_component(self, element: Any, component: Any) -> dict[str, str]:
        name = component.findtext("ID")
        content = self.files.get(name)
        if content is None:
            raise Refusal("COMP-005-001", f"il file del componente {name} non è stato ricevuto")
        stated = component.findtext("HashVersato") or ""
        if stated and not _same(stated, content):
            raise Refusal("HASH-004-001", f"componente {name}: hash non corrispondente")
        return {
            "component": name,
            "document": element.findtext("IDDocumento") or "",
            "kind": element.findtext("TipoDocumento") or "",
            "element": "DocumentoPrincipale" if element.tag == "DocumentoPrincipale" else "Allegato",
            "name": component.findtext("NomeComponente") or "",
            "stated": stated,
            "sha256": hashlib.sha256(content).hexdigest(),
        }


def _same(stated: str, content: bytes) -> bool:
    try:
        digest = bytes.fromhex(stated)
    except ValueError:
        digest = base64.b64decode(stated)
    algorithm = DIGESTS.get(len(digest) * 2)
    return algorithm is not None and hashlib.new(algorithm, content).digest() == digest


@functools.cache
def _schema(path: str) -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(path))


def element(parent: Any, name: str, text: str | None = None) -> Any:
    child = etree.SubElement(parent, name)
    child.text = text
    return child


def report(deposit: Deposit, *, fault: str = "") -> str:
    """Write a rapporto di versamento."""
    registro, anno, numero = deposit.key
    if fault == "unknown-package":
        numero = "0" * 32
    urn = f"urn:{deposit.settings['ente']}:{deposit.settings['struttura']}:{registro}-{anno}-{numero}"
    root = etree.Element("RapportoVersamento")
    element(root, "Versione", "1.5")
    element(root, "URNRapportoVersamento", f"{urn}:RdV")
    element(root, "DataRapportoVersamento", datetime.now(UTC).isoformat(timespec="seconds"))
    element(element(root, "EsitoGenerale"), "CodiceEsito", "POSITIVO")
    versatore = element(root, "Versatore")
    for name in ("Ambiente", "Ente", "Struttura"):
        element(versatore, name, deposit.settings[name.lower()])
    element(versatore, "UserID", deposit.settings["user"])
    sip = element(root, "SIP")
    element(sip, "URNSIP", urn)
    unit = element(sip, "UnitaDocumentaria")
    chiave = element(unit, "Chiave")
    for name, value in (("Numero", numero), ("Anno", anno), ("TipoRegistro", registro)):
        element(chiave, name, value)
    element(unit, "TipologiaUnitaDocumentaria", deposit.text("Intestazione/TipologiaUnitaDocumentaria"))
    for number, found in enumerate(deposit.documents, 1):
        if fault == "partial" and number == len(deposit.documents):
            break
        document = element(unit, found["element"])
        element(document, "ChiaveDoc", f"{urn}:{number}")
        element(document, "IDDocumento", found["document"])
        element(document, "TipoDocumento", found["kind"])
        component = element(element(document, "Componenti"), "Componente")
        digest = hashlib.sha256(b"altro").hexdigest() if fault == "wrong-hash" else found["sha256"]
        element(component, "URN", f"{urn}:{number}:1")
        element(component, "Hash", digest.upper())
        element(component, "AlgoritmoHash", "SHA-256")
        element(component, "Encoding", "hexBinary")
        element(component, "NomeComponente", found["name"])
        element(component, "HashVersato", found["stated"])
    return str(etree.tostring(root, encoding="unicode"))


def answer(outcome: str, code: str, message: str, settings: dict[str, Any], embedded: str = "") -> bytes:
    """Write an EsitoVersamento."""
    root = etree.Element("EsitoVersamento")
    element(root, "Versione", "1.5")
    general = element(root, "EsitoGenerale")
    element(general, "CodiceEsito", outcome)
    if code:
        element(general, "CodiceErrore", code)
        element(general, "MessaggioErrore", message)
    call = element(root, "EsitoChiamataWS")
    for name in ("VersioneWSCorretta", "CredenzialiOperatore", "FileAttesiRicevuti"):
        element(call, name, "NEGATIVO" if outcome == "NEGATIVO" else "POSITIVO")
    element(element(root, "EsitoXSD"), "CodiceEsito", "POSITIVO")
    if embedded:
        element(root, "RapportoVersamento", embedded)
    schema = settings["response_schema"]
    if schema:
        _schema(schema).assertValid(root)
        if embedded.startswith("<"):
            _schema(schema).assertValid(etree.fromstring(embedded.encode()))
    return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8"))


class Archive:
    """What is kept."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.home = Path(settings["home"])
        (self.home / "saved").mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()

    def next_fault(self) -> str:
        """Return the fault for this deposit; empty when there is none."""
        path = self.home / "faults.json"
        with self._lock:
            faults = json.loads(path.read_text("utf-8")) if path.exists() else []
            first, *others = faults or [""]
            if first and not first.startswith("*"):
                path.write_text(json.dumps(others), "utf-8")
            return str(first.removeprefix("*"))

    def saved(self, deposit: Deposit) -> dict[str, Any] | None:
        path = self._path(deposit)
        return dict(json.loads(path.read_text("utf-8"))) if path.exists() else None

    def save(self, deposit: Deposit) -> str:
        """Keep a deposit; its report."""
        folder = self._path(deposit).with_suffix("")
        folder.mkdir(exist_ok=True)
        for name, content in deposit.files.items():
            (folder / re.sub(r"[^A-Za-z0-9-]", "_", name)).write_bytes(content)
        text = report(deposit)
        record = {
            "key": deposit.key,
            "subject": deposit.text("ProfiloUnitaDocumentaria/Oggetto"),
            "documents": deposit.documents,
            "report": text,
        }
        self._path(deposit).write_text(json.dumps(record), "utf-8")
        return text

    def note(self, **line: Any) -> None:
        with self._lock, (self.home / "requests.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def _path(self, deposit: Deposit) -> Path:
        name = hashlib.sha256("/".join(deposit.key).encode()).hexdigest()
        return self.home / "saved" / f"{name}.json"


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers at ``/sacerws/VersamentoSync``."""

    protocol_version = "HTTP/1.1"
    archive: Archive

    def do_GET(self) -> None:
        self._reply(405, b"", "text/plain")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path != "/sacerws/VersamentoSync":
            self._reply(404, PAGE, "text/html")
            return
        fault = self.archive.next_fault()
        settings = self.archive.settings
        if fault == "unavailable":
            self.archive.note(key=None, fault=fault, code="", saved=False)
            self._reply(503, PAGE, "text/html")
            return
        try:
            deposit = Deposit(body, self.headers["Content-Type"] or "", settings)
        except Refusal as refusal:
            self.archive.note(key=None, fault=fault, code=refusal.code, saved=False)
            self._reply(200, answer("NEGATIVO", refusal.code, refusal.message, settings))
            return
        self._deposit(deposit, fault)

    def _deposit(self, deposit: Deposit, fault: str) -> None:
        settings, archive = self.archive.settings, self.archive
        before = archive.saved(deposit)
        code = {"negative": "FIRMA-003-001", "out-of-order": "666P"}.get(fault, "")
        lost = {"slow", "lost-before-save", "html"}
        saving = before is None and not code and fault not in lost and not deposit.rehearsal
        text = archive.save(deposit) if saving else (before or {}).get("report", "")
        archive.note(key=list(deposit.key), fault=fault, code=code, saved=saving)
        if fault in {"slow", "lost-before-save", "lost-after-save"}:
            self._vanish(wait=fault == "slow")
            return
        if fault == "html":
            self._reply(200, PAGE, "text/html")
            return
        if fault in {"partial", "wrong-hash", "unknown-package"}:
            text = report(deposit, fault=fault)
        if fault == "late":
            text = "Il rapporto di versamento non è presente."
        if code:
            reply = answer("NEGATIVO", code, "controllo non superato", settings)
        elif before is not None or fault == "duplicate":
            reply = answer("NEGATIVO", "UD-002-001", "chiave già presente nel sistema", settings, text)
        elif fault == "warning":
            reply = answer("WARNING", "FIRMA-001-001", "formato non riconosciuto", settings, text)
        else:
            reply = answer("POSITIVO", "", "", settings, text)
        self._reply(200, reply, cut=fault == "truncated")

    def _reply(self, status: int, body: bytes, kind: str = "application/xml", *, cut: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) // 2 if cut else len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)

    def _vanish(self, *, wait: bool) -> None:
        """Close without an answer, at once or when the client has given up."""
        self.close_connection = True
        if wait:
            self.connection.recv(1)


def main() -> None:
    """Serve until told to stop."""
    settings = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    Handler.archive = Archive(settings)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", settings["port"]), Handler)
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(settings["certificate"], settings["key"])
    # In the connection's own thread: one client that says nothing must not keep the others out.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()


if __name__ == "__main__":
    main()
