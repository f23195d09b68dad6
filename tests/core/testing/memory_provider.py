"""A conservation provider in memory: what a third party would write, its service beside it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Self

from archipec.conservation.provider import (
    ConservationProvider,
    Conserved,
    Limits,
    Outcome,
    Package,
    Partial,
    Pending,
    Rejected,
    Report,
    Ticket,
)
from archipec.contract import Context, Option
from archipec.errors import AuthError, ConfigError, PermanentError, Scope, TransientError
from archipec.testing import ScriptedService, Statement

PASSWORD = "s3cret-of-the-provider"


class Wire:
    """The service's side: it sees bytes and nothing else, and is no part of the provider."""

    def __init__(self, service: ScriptedService) -> None:
        self.service = service

    def call(self, login: tuple[str, str], request: bytes) -> bytes | None:
        """Return the answer's bytes, None when the connection breaks."""
        if login != ("studio", PASSWORD):
            return b'{"error": "login"}'
        asked = json.loads(request)
        if asked["method"] == "ask":
            return self.service.ask(asked["package"], _render)
        if asked["method"] == "validate":
            return self.service.validate(_render)
        documents = {name: base64.b64decode(text) for name, text in asked["documents"].items()}
        return self.service.deposit(asked["package"], documents, _render)


def _render(said: Statement) -> bytes:
    shape = {
        "package": said.about,
        "state": said.state,
        "hashes": dict(said.conserved),
        "refused": dict(said.rejected),
    }
    return json.dumps(shape).encode()


WIRES: dict[str, Wire] = {}


class MemoryProvider(ConservationProvider):
    """Speaks JSON with a `Wire`."""

    name: ClassVar[str] = "memory"
    summary: ClassVar[str] = "a provider in memory"
    evidence: ClassVar[str] = "made for a test"
    options: ClassVar[tuple[Option, ...]] = (
        Option(name="host", help="the wire", required=True, part="host"),
        Option(name="user", help="the login", required=True, part="user"),
        Option(name="password", help="its password", required=True, secret=True),
    )

    def __init__(self, config: Mapping[str, Any], wire: Wire) -> None:
        self._config = config
        self._wire = wire

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Any:
        problems = [f"{name} must be one word" for name in ("host", "user") if " " in values[name]]
        if problems:
            raise ConfigError(problems)
        return {**values, "host": values["host"].lower()}

    @classmethod
    def where(cls, config: Any) -> str:
        return f"conservation+memory://{config['user']}@{config['host']}"

    @classmethod
    @contextmanager
    def open(cls, config: Any, context: Context) -> Iterator[Self]:
        wire = WIRES.get(config["host"])
        if wire is None:
            raise PermanentError(f"nobody answers at {config['host']}", hint="check the host")
        yield cls(config, wire)

    def deposit(self, package: Package) -> Ticket | Conserved | Rejected | Partial:
        documents = {}
        for document in package.documents:
            with document.open() as file:
                documents[document.id] = self.encoded(file.read())
        answer = self.call({"method": "deposit", "package": package.id, "documents": documents})
        if self.said(answer)["state"] == "taken":
            return Ticket(token={"package": package.id})
        outcome = self.outcome(package, answer)
        # This service answers a deposit with "pending" too: it has the package then.
        return Ticket() if isinstance(outcome, Pending) else outcome

    def encoded(self, raw: bytes) -> str:
        return base64.b64encode(raw).decode()

    def poll(self, package: Package, ticket: Ticket) -> Outcome:
        return self.outcome(package, self.call({"method": "ask", "package": package.id}))

    def lookup(self, package: Package) -> Ticket | Outcome | None:
        state = self.said(self.call({"method": "ask", "package": package.id}))["state"]
        return None if state == "unknown" else Ticket(token={"package": package.id})

    def validate(self, package: Package) -> Rejected | None:
        answer = self.call({"method": "validate", "package": package.id, "documents": {}})
        return None if self.said(answer)["state"] == "conserved" else Rejected(reason="it would be refused")

    def call(self, request: Mapping[str, Any]) -> bytes:
        login = (self._config["user"], self._config["password"].reveal())
        answer = self._wire.call(login, json.dumps(request).encode())
        if answer is None:
            raise TransientError("the connection broke", scope=Scope.MESSAGE)
        return answer

    def said(self, answer: bytes) -> dict[str, Any]:
        try:
            said = json.loads(answer)
            if said.get("error") == "login":
                raise AuthError("the service refused the login")
            return {key: said[key] for key in ("package", "state", "hashes", "refused")}
        except (ValueError, KeyError, TypeError) as error:
            raise TransientError("the service's answer is not understood", scope=Scope.MESSAGE) from error

    def outcome(self, package: Package, answer: bytes) -> Outcome:
        said = self.said(answer)
        report = Report(raw=answer, suffix=".json", about=said["package"], documents=said["hashes"])
        refused = {name: Rejected(reason=reason) for name, reason in said["refused"].items()}
        match said["state"]:
            case "conserved":
                return Conserved(report=report)
            case "partial":
                return Partial(report=report, conserved=frozenset(said["hashes"]), rejected=refused)
            case "rejected":
                return Rejected(reason="; ".join(set(said["refused"].values())), report=report)
        return Pending(reason="the service has it")


class AtOnce(MemoryProvider):
    """A service that reports at once and recognises what it has: deposit is its own lookup."""

    @classmethod
    def limits(cls, config: Any) -> Limits:
        return Limits(units=1)

    def lookup(self, package: Package) -> None:
        return None
