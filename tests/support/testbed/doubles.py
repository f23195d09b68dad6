"""Starts the doubles of conservation providers, scripts their faults and tells what they have got."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from .certificates import Authority, ServerCertificate
from .process import ServerProcess
from .requirements import schema

__all__ = ["Conservator", "SacerDouble"]

_HERE = Path(__file__).parent


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


class SacerDouble(ServerProcess):
    """The double of SACER's deposit service; see `testbed.sacer_double`."""

    name = "sacer"
    user = "utente_versatore"
    password = "parola d'ordine perché è di prova"
    ambiente, ente, struttura = "PROVA", "Ente di prova", "STRUTTURA"

    def __init__(self, certificate: ServerCertificate | None = None) -> None:
        super().__init__()
        self._certificate = certificate

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def ca_file(self) -> Path:
        """What a client must trust to accept the server."""
        assert self._certificate
        return self._certificate.ca_file

    @property
    def table(self) -> dict[str, Any]:
        """Return the options of a sink that deposits here."""
        return {
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "password": self.password,
            "ca_file": self.ca_file,
            "ambiente": self.ambiente,
            "ente": self.ente,
            "struttura": self.struttura,
        }

    def faults(self, *names: str) -> None:
        """Set the faults of the next deposits; none: it is in order from now on."""
        (self.home / "faults.json").write_text(json.dumps(names), "utf-8")

    def requests(self) -> list[dict[str, Any]]:
        """Return one record a request, in their order."""
        return _lines(self.home / "requests.jsonl")

    def saved(self) -> list[dict[str, Any]]:
        """Return what it keeps."""
        return [json.loads(path.read_text("utf-8")) for path in sorted((self.home / "saved").glob("*.json"))]

    def forget(self) -> None:
        """Begin anew, as if nothing had ever been deposited."""
        shutil.rmtree(self.home / "saved")
        (self.home / "saved").mkdir()
        (self.home / "requests.jsonl").unlink(missing_ok=True)
        self.faults()

    def lay_out(self) -> None:
        self.home.mkdir()
        self._certificate = self._certificate or Authority(self.root).issue()

    def command(self, port: int) -> Sequence[str]:
        assert self._certificate
        settings = {
            "port": port,
            "home": str(self.home),
            "user": self.user,
            "password": self.password,
            "ambiente": self.ambiente,
            "ente": self.ente,
            "struttura": self.struttura,
            "versions": ["1.4", "1.5"],
            "registers": ["PEC"],
            "request_schema": schema("sacer/WSRequestVersamento.xsd"),
            "response_schema": schema("sacer/WSResponseVersamento.xsd"),
            "profile_schema": schema("agid/documentoAmministrativoInformatico.fixed.xsd"),
            "certificate": str(self._certificate.cert_file),
            "key": str(self._certificate.key_file),
        }
        path = self.root / "settings.json"
        path.write_text(json.dumps(settings), "utf-8")
        return [sys.executable, "-I", str(_HERE / "sacer_double.py"), str(path)]


class Conservator:
    """The double of a provider that takes packages from a drop folder; see `testbed.conservator`. A context manager.

    Args:
        landing: the folder, on the side of the server.
        home: where it keeps what it takes.
    """

    def __init__(self, landing: Path, home: Path, reports: str = "esiti") -> None:
        self.landing = landing
        self.home = home
        home.mkdir()
        self._settings = home / "settings.json"
        self._settings.write_text(
            json.dumps(
                {
                    "landing": str(landing),
                    "home": str(home),
                    "reports": reports,
                    "index_schema": schema("sincro/Unisincro_PIndex.xsd"),
                }
            ),
            "utf-8",
        )

    def __enter__(self) -> Self:
        program = str(_HERE / "conservator.py")
        self._process = subprocess.Popen(
            [sys.executable, "-I", program, str(self._settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def look(self) -> None:
        """Have it take what is ready, and report."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write("look\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "looked\n", (
            "the conservator has failed; its words are on stderr"
        )

    def faults(self, *names: str) -> None:
        """Set the faults of the next packages; none: it is in order from now on."""
        (self.home / "faults.json").write_text(json.dumps(names), "utf-8")

    def hold(self, *, back: bool) -> None:
        """Keep true reports back, or give them out at the next look."""
        held = self.home / "hold"
        held.touch() if back else held.unlink(missing_ok=True)

    def taken(self) -> list[dict[str, Any]]:
        """Return one record a package taken, in their order."""
        return _lines(self.home / "taken.jsonl")
