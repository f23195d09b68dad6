"""Packages: valid by the published schemas, true to the messages, the same at every try."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from lxml import etree  # type: ignore[import-untyped]

from archipec.conservation.metadata import PackageSettings, unit_metadata
from archipec.conservation.provider import Document, Facts, Package, Terms
from archipec.conservation.signature import Signing
from archipec.conservation.subjects import Subject, Subjects, load_subjects, load_terms
from archipec.errors import ConfigError, IntegrityError, TransientError
from archipec.message import ContentKey
from archipec.pec.transactions import MessageRecord
from archipec.timestamp import TsaClient
from testbed.requirements import require, schema

from .conftest import NOW, SUBJECT

Pack = Callable[..., Package]
SINCRO = "{http://www.uni.com/U3011/sincro-v2/}"


def validate(document: bytes, name: str, **replaced: str) -> Any:
    """Validate by a published schema; return the root."""
    path = schema(name)
    if not path:
        pytest.skip("the published schemas are not beside this checkout")
    text = Path(path).read_text("utf-8")
    for old, new in replaced.items():
        text = text.replace(f'name="{old}"', f'name="{new}"')
    validator = etree.XMLSchema(etree.fromstring(text.encode()))
    root = etree.fromstring(document)
    assert validator.validate(root), validator.error_log
    return root


def test_the_index_is_valid_and_its_hashes_are_those_of_the_files(pack: Pack) -> None:
    package = pack()
    root = validate(package.index, "sincro/Unisincro_PIndex.xsd")
    stated = {
        file.findtext(f"{SINCRO}Path"): base64.b64decode(file.findtext(f"{SINCRO}Hash")).hex()
        for file in root.iter(f"{SINCRO}File", f"{SINCRO}ExternalMetadata")
    }
    files = {str(file.path): file for file in package.files}
    assert set(stated) == files.keys() - {"PIndex.xml"}
    for path, file in files.items():
        with file.open() as stream:
            data = stream.read()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (file.sha256, file.size)
        assert stated.get(path, file.sha256) == file.sha256
    assert list(files)[-1] == "PIndex.xml"


@pytest.mark.parametrize("root", ["DocumentoAmministrativoInformatico", "DocumentoInformatico"])
def test_the_metadata_are_valid(pack: Pack, root: str) -> None:
    """The schema for private parties is not public: it shares every type that is used here."""
    for unit in pack(terms=Terms(root=root)).units:
        found = validate(
            unit.metadata,
            "agid/documentoAmministrativoInformatico.fixed.xsd",
            DocumentoAmministrativoInformatico=root,
        )
        assert found.tag == root


def test_the_metadata_say_what_is_certified(pack: Pack) -> None:
    sending, envelope = (etree.fromstring(unit.metadata) for unit in pack().units)
    assert sending.findtext("ChiaveDescrittiva/Oggetto") == " ".join(SUBJECT.split())
    assert sending.findtext("DatiDiRegistrazione/TipologiaDiFlusso") == "U"
    assert sending.findtext(".//DataRegistrazioneDocumento") == "2026-09-15"
    assert sending.findtext(".//OraRegistrazioneDocumento").startswith("10:30:0")  # Rome
    assert "@pec.example.it" in sending.findtext(".//NumeroRegistrazioneDocumento")
    assert sending.findtext("Allegati/NumeroAllegati") == "3"
    assert [one.text for one in sending.iterfind("Allegati/IndiceAllegati/Descrizione")] == [
        "ricevuta di avvenuta consegna",
        "ricevuta di avvenuta consegna",
        "messaggio",
    ]
    assert sending.findtext("Verifica/FirmatoDigitalmente") == "true"
    assert envelope.findtext("DatiDiRegistrazione/TipologiaDiFlusso") == "E"


def test_who_is_not_known_is_marked_and_gets_no_tax_code(pack: Pack) -> None:
    package = pack()
    text = (package.index + b"".join(unit.metadata for unit in package.units)).decode()
    assert "studio@pec.example.it (non identificato)" in text
    for word in ("CodiceFiscale", "PartitaIva", "AgentID"):
        assert word not in text
    (note, _) = (etree.fromstring(unit.metadata).findtext("Note") for unit in package.units)
    assert note == "soggetti non identificati: studio@pec.example.it, a@pec.example.it, b@pec.example.it"


def test_who_is_in_the_table_is_named(pack: Pack) -> None:
    subjects = Subjects(
        [
            Subject(address="Studio@pec.example.it", name="Studio Bianchi", tax_code="01234567890"),
            Subject(
                address="a@pec.example.it", first_name="Mario", last_name="Rossi", tax_code="RSSMRA80A01H501U"
            ),
        ]
    )
    package = pack(subjects=subjects, holder="a@pec.example.it")
    root = validate(package.index, "sincro/Unisincro_PIndex.xsd")
    holder = root.find(f".//{SINCRO}Holder")
    assert holder.get(f"{SINCRO}agentType") == "natural person"
    assert holder.findtext(f"{SINCRO}AgentID") == "TINIT-RSSMRA80A01H501U"
    metadata = validate(package.units[0].metadata, "agid/documentoAmministrativoInformatico.fixed.xsd")
    sender = metadata.find("Soggetti/Ruolo/Mittente/PG")
    assert sender.findtext("DenominazioneOrganizzazione") == "Studio Bianchi"
    assert sender.findtext("CodiceFiscale_PartitaIva") == "01234567890"
    assert metadata.find("Soggetti/Ruolo/Destinatario/PF").findtext("Cognome") == "Rossi"


def test_the_holder_is_the_mailbox_when_nobody_says(pack: Pack) -> None:
    root = etree.fromstring(pack().index)
    assert "studio@pec.example.it" in root.findtext(f".//{SINCRO}Holder/{SINCRO}AgentName/{SINCRO}FormalName")


def test_ids_are_of_the_content_and_paths_are_safe(pack: Pack) -> None:
    first, second = pack(), pack()
    assert first.id != second.id
    assert [unit.id for unit in first.units] == [unit.id for unit in second.units]
    assert [unit.metadata for unit in first.units] == [unit.metadata for unit in second.units]
    for file in first.files:
        assert str(file.path).isascii() and len(str(file.path)) <= 80 and ".." not in file.path.parts
    assert [one.id.split("-")[0] for one in first.documents] == ["RAC", "RDAC", "RDAC", "MSG", "BUSTA"]


def test_a_package_that_was_changed_is_not_deposited(pack: Pack, tmp_path: Path) -> None:
    """Each try sends what was frozen, or nothing."""
    from archipec.conservation.builder import PackageBuilder
    from archipec.conservation.outbox_db import PackageRow

    package = pack()
    path = tmp_path / "packages" / package.id / "PIndex.xml"
    made = {"PIndex.xml": hashlib.sha256(package.index).hexdigest()}
    manifest = {"created": "2026-11-20T09:30:00+00:00", "units": [], "made": made}
    row = PackageRow(package.id, "frozen", "", manifest, None, "")
    builder = PackageBuilder(tmp_path / "packages", tmp_path.joinpath, None)  # type: ignore[arg-type]
    assert builder.load(row).index == package.index
    path.write_bytes(package.index + b" ")
    with pytest.raises(IntegrityError, match="not as it was made"):
        builder.load(row)
    path.unlink()
    with pytest.raises(IntegrityError, match="can't be read"):
        builder.load(row)


def test_hostile_texts_fit_into_xml(pack: Pack, records: list[MessageRecord]) -> None:
    from dataclasses import replace

    nasty = "\x00\x1b]0;x\x07 ]]> <!-- \ud800 \uffff" + "x" * 10_000
    spoilt = replace(records[4], oggetto=nasty, mittente="\x01@", identificativo="\x02")
    kept = records[4]
    try:
        records[4] = spoilt
        metadata = pack().units[1].metadata
    finally:
        records[4] = kept
    root = validate(metadata, "agid/documentoAmministrativoInformatico.fixed.xsd")
    assert len(root.findtext("ChiaveDescrittiva/Oggetto")) == 4000


# -- tables ------------------------------------------------------------------------------------------------


def test_a_table_of_subjects_says_everything_wrong_with_it(tmp_path: Path) -> None:
    path = tmp_path / "subjects.toml"
    path.write_text(
        '["a@x"]\nname = "A"\ntax_code = "12"\n["b@x"]\nfirst_name = "B"\n["c@x"]\nname = "C"\nphone = "1"\n'
        '["d@x"]\nlast_name = "D"\n[e]\nname = 1\n'
    )
    with pytest.raises(ConfigError) as caught:
        load_subjects(path)
    problems = "\n".join(caught.value.problems)
    for words in (
        "11 digits: '12'",
        "needs either name",
        'unknown key "phone"',
        "needs first_name",
        '"e" must be',
    ):
        assert words in problems
    path.write_text("= 1")
    with pytest.raises(ConfigError, match="no TOML"):
        load_subjects(path)


def test_terms_can_be_agreed(tmp_path: Path) -> None:
    path = tmp_path / "terms.toml"
    path.write_text('register = "PEC-STUDIO"\n')
    assert load_terms(path, Terms(format="EML")) == Terms(format="EML", register="PEC-STUDIO")
    path.write_text("registro = 1\nformat = 2\n")
    with pytest.raises(ConfigError, match=r'unknown key "registro"') as caught:
        load_terms(path, Terms())
    assert len(caught.value.problems) == 3 or "must be text" in str(caught.value)


# -- signature and time stamp --------------------------------------------------------------------------------


def openssl(*arguments: object, data: bytes = b"") -> bytes:
    done = subprocess.run(["openssl", *map(str, arguments)], input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key to sign with, and a time stamp authority's."""
    require("openssl")
    folder = tmp_path_factory.mktemp("keys")
    for name, usage in (("signer", "emailProtection"), ("tsa", "critical,timeStamping")):
        openssl(
            *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", f"/CN={name}"),
            *(
                "-addext",
                f"extendedKeyUsage={usage}",
                "-addext",
                "keyUsage=critical,digitalSignature,nonRepudiation",
            ),
            *("-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem"),
        )
    pkcs12 = ("pkcs12", "-export", "-inkey", folder / "signer.key", "-in", folder / "signer.pem")
    openssl(*pkcs12, "-out", folder / "signer.p12", "-passout", "pass:segreto")
    (folder / "tsa.cnf").write_text(
        f"[tsa]\ndefault_tsa = a\n[a]\nserial = {folder}/serial\nsigner_cert = {folder}/tsa.pem\n"
        f"signer_key = {folder}/tsa.key\nsigner_digest = sha256\ndefault_policy = 1.2.3.4.1\n"
        "digests = sha256\nordering = yes\ntsa_name = no\ness_cert_id_chain = no\ncerts = "
        + f"{folder}/tsa.pem\n"
    )
    (folder / "serial").write_text("01")
    return folder


class KnownSecret:
    """A password that needs no fetching."""

    def reveal(self) -> str:
        return "segreto"


@contextmanager
def authority(keys: Path, spoil: bool = False) -> Iterator[str]:
    """A time stamp authority: openssl behind HTTP."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = self.rfile.read(int(self.headers["Content-Length"]))
            (keys / "query").write_bytes(query)
            reply = (
                "ts",
                "-reply",
                "-config",
                keys / "tsa.cnf",
                "-queryfile",
                keys / "query",
                "-out",
                keys / "reply",
            )
            openssl(*reply)
            body = b"<html>" if spoil else (keys / "reply").read_bytes()
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/tsa"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.real
def test_the_index_is_signed_and_stamped_as_openssl_sees_it(pack: Pack, keys: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyhanko.sign")
    with authority(keys) as address:
        signing = Signing(
            key=keys / "signer.p12", password=KnownSecret(), authority=TsaClient(address, keys / "tsa.pem")
        )
        package = pack(signing=signing)
    beside = {file.path: file for file in package.files[-3:]}
    assert list(beside) == [
        PurePosixPath(name) for name in ("PIndex.xml", "PIndex.xml.p7m", "PIndex.xml.tsr")
    ]
    for path, file in beside.items():
        with file.open() as stream:
            (tmp_path / path.name).write_bytes(stream.read())
    verify = (
        "cms",
        "-verify",
        "-inform",
        "DER",
        "-in",
        tmp_path / "PIndex.xml.p7m",
        "-CAfile",
        keys / "signer.pem",
    )
    assert openssl(*verify, "-purpose", "any") == package.index
    stamp = ("ts", "-verify", "-in", tmp_path / "PIndex.xml.tsr", "-data", tmp_path / "PIndex.xml")
    assert b"OK" in openssl(*stamp, "-CAfile", keys / "tsa.pem")
    root = validate(package.index, "sincro/Unisincro_PIndex.xsd")
    assert root.find(f".//{SINCRO}TimeInfo").get(f"{SINCRO}attachedTimeStamp") == "true"


@pytest.mark.real
def test_without_key_or_stamp_there_is_no_package(pack: Pack, keys: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyhanko.sign")
    wrong = tmp_path / "x.p12"
    wrong.write_bytes(b"no key")
    with pytest.raises(ConfigError, match=r"can't be opened as a PKCS#12 file"):
        pack(signing=Signing(key=wrong))
    with (
        authority(keys, spoil=True) as address,
        pytest.raises(TransientError, match="holds is no time stamp"),
    ):
        pack(signing=Signing(authority=TsaClient(address)))
    with pytest.raises(TransientError, match="can't be reached"):
        pack(signing=Signing(authority=TsaClient(address)))


def test_the_time_stamp_of_rem_is_said() -> None:
    def checks(system: str, *, certified: bool) -> list[str]:
        facts = Facts(
            kind="accettazione",
            certified=certified,
            date=NOW,
            subject="s",
            sender="a@x.example",
            recipients=("b@x.example",),
            system=system,
        )
        document = Document(
            id="RAC-1", label="x", key=ContentKey.of(b"x"), path=PurePosixPath("x"), facts=facts, open=BytesIO
        )
        metadata = unit_metadata(
            "0" * 32,
            "U",
            [document],
            PackageSettings(
                terms=Terms(root="DocumentoAmministrativoInformatico"),
                subjects=Subjects(),
                holder="",
                submitter="",
                years=10,
                signing=Signing(),
                version="0",
                fingerprint="",
            ),
        )
        return [one.text for one in etree.fromstring(metadata).iterfind("Verifica/*")]

    assert checks("rem", certified=True) == ["true", "false", "true", "false"]
    assert checks("pec", certified=True) == ["true", "false", "false", "false"]
    assert checks("rem", certified=False) == ["false", "false", "false", "false"]
