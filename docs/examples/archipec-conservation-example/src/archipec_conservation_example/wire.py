"""HTTP: the requests of the service, and its answers taken apart with suspicion."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import shutil
import ssl
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from archipec.conservation.provider import Package
from archipec.errors import AuthError, PermanentError, Scope, TransientError

__all__ = ["Wire"]

_TIMEOUT = 60  # seconds
_LONGEST_ANSWER = 16 << 20


class Wire:
    """A service, reached anew for each request."""

    def __init__(self, config: Mapping[str, Any], temp: Path) -> None:
        self._config = config
        self._temp = temp

    def send(self, package: Package) -> str:
        """Send a package as one zip; return the zip's SHA-256."""
        path = self._temp / f"{package.id}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for file in package.files:
                with file.open() as source, archive.open(str(file.path), "w") as target:
                    shutil.copyfileobj(source, target)
        with path.open("rb") as body:
            digest = hashlib.file_digest(body, "sha256").hexdigest()
            body.seek(0)
            status, _ = self._ask("POST", package.id, body, path.stat().st_size)
        path.unlink()
        if status != 202:
            raise TransientError(
                f"{self._config['host']} answered {status} to a deposit", scope=Scope.MESSAGE
            )
        return digest

    def report(self, package: str) -> bytes | None:
        """Return the report's bytes, None when the service has no such package."""
        status, answer = self._ask("GET", package)
        if status == 404:
            return None
        if status != 200:
            raise TransientError(f"{self._config['host']} answered {status}", scope=Scope.MESSAGE)
        self.read(answer)
        return answer

    def read(self, raw: bytes) -> dict[str, Any]:
        """Take a report apart.

        Raises:
            TransientError: it is none: cut short, or the page of some proxy.
        """
        try:
            said = json.loads(raw)
            documents = said["documents"]
            texts = [said["id"], said["state"], *(one["id"] for one in documents)]
            texts += [one[key] for one in documents for key in ("sha256", "reason") if key in one]
            if not all(isinstance(text, str) for text in texts):
                raise ValueError
        except (ValueError, KeyError, TypeError) as error:
            raise TransientError(
                f"an answer of {self._config['host']} is not understood", scope=Scope.MESSAGE
            ) from error
        return dict(said)

    def _ask(self, method: str, package: str, body: Any = None, size: int = 0) -> tuple[int, bytes]:
        config = self._config
        login = f"{config['user']}:{config['password'].reveal()}".encode()
        headers = {"Authorization": f"Basic {base64.b64encode(login).decode()}"}
        if body is not None:
            headers |= {"Content-Type": "application/zip", "Content-Length": str(size)}
        ca_file = None if config["ca_file"] is None else str(config["ca_file"])
        try:
            trust = ssl.create_default_context(cafile=ca_file)
            connection = http.client.HTTPSConnection(
                config["host"], config["port"], timeout=_TIMEOUT, context=trust
            )
            try:
                connection.request(method, f"/deposits/{package}", body, headers)
                response = connection.getresponse()
                answer = response.read(_LONGEST_ANSWER)
            finally:
                connection.close()
        except ssl.SSLCertVerificationError as error:
            raise PermanentError(
                f"{config['host']} has no certificate that is trusted", hint="option ca_file names others"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise TransientError(f"no answer from {config['host']}: {type(error).__name__}") from error
        if response.status == 401:
            raise AuthError(
                f"{config['host']} refused the login of {config['user']}", hint="check the password"
            )
        return response.status, answer
