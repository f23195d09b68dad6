"""Deposits certified mail with Example Conservation, a provider that does not exist."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Self

from archipec.conservation.provider import ConservationProvider
from archipec.conservation.sink import conservation_sink
from archipec.contract import Context, Option, SinkType, file_path, port_number
from archipec.hookspecs import hookimpl

if TYPE_CHECKING:
    from archipec.conservation.provider import Limits, Outcome, Package, Ticket
    from archipec_conservation_example.wire import Wire

__all__ = ["EXAMPLE", "Example", "archipec_sinks"]


class Example(ConservationProvider):
    """The provider. What is imported within methods would slow every start of archipec down."""

    name: ClassVar[str] = "example"
    summary: ClassVar[str] = "Example Conservation, a provider that does not exist"
    evidence: ClassVar[str] = "not run against a real service: there is none"
    options: ClassVar[tuple[Option, ...]] = (
        Option(name="host", help="the service's host", required=True, part="host"),
        Option(name="port", help="its port", default=443, part="port", convert=port_number),
        Option(name="user", help="the login", required=True, part="user"),
        Option(name="password", help="its password", required=True, secret=True),
        Option(name="ca_file", help="certificates to trust instead of the system's", convert=file_path),
    )

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Any:
        """Names of hosts are the same in any case."""
        return {**values, "host": values["host"].lower()}

    @classmethod
    def where(cls, config: Any) -> str:
        """Who deposits where: the identity of this archive."""
        from urllib.parse import quote

        port = "" if config["port"] == 443 else f":{config['port']}"
        return f"conservation+example://{quote(config['user'])}@{config['host']}{port}"

    @classmethod
    def limits(cls, config: Any) -> Limits:  # noqa: ARG003
        """What the manual allows in one package."""
        from archipec.conservation.provider import Limits

        return Limits(units=100, documents=1000, size=200_000_000)

    @classmethod
    @contextmanager
    def open(cls, config: Any, context: Context) -> Iterator[Self]:
        """Get ready to speak; the service needs no session."""
        from archipec_conservation_example.wire import Wire

        yield cls(Wire(config, context.temp))

    def deposit(self, package: Package) -> Ticket:
        """Send the zip. A report that is there at once would be returned as poll does."""
        from archipec.conservation.provider import Ticket

        return Ticket(sha256=self._wire.send(package))

    def poll(self, package: Package, ticket: Ticket) -> Outcome:  # noqa: ARG002
        """Pass on what the report says, and nothing else: archipec compares the hashes."""
        from archipec.conservation.provider import Conserved, Partial, Pending, Rejected, Report

        raw = self._wire.report(package.id)
        if raw is None:
            return Pending(reason="the service does not show the package yet")
        said = self._wire.read(raw)
        conserved = {one["id"]: one["sha256"] for one in said["documents"] if "sha256" in one}
        refused = {one["id"]: Rejected(reason=one["reason"]) for one in said["documents"] if "reason" in one}
        report = Report(raw=raw, suffix=".json", about=said["id"], documents=conserved)
        match said["state"]:
            case "conserved":
                return Conserved(report=report)
            case "rejected":
                reasons = dict.fromkeys(one.reason for one in refused.values())
                return Rejected(reason="; ".join(reasons) or "no reason given", report=report)
            case "partial":
                return Partial(report=report, conserved=frozenset(conserved), rejected=refused)
        return Pending(reason="the service has the package")

    def lookup(self, package: Package) -> Ticket | None:
        """This service keeps twice what it gets twice: so look before sending again."""
        from archipec.conservation.provider import Ticket

        return None if self._wire.report(package.id) is None else Ticket()


EXAMPLE = conservation_sink(Example)


@hookimpl
def archipec_sinks() -> Iterable[SinkType[Any]]:
    """Yield the sink."""
    yield EXAMPLE
