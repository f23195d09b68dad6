"""SACER, the deposit service of ParER (Emilia-Romagna), which Marche DigiP and others speak too: one unit for each request.

The answer is the outcome. A unit's key at the service is made from its documents, so that a deposit whose answer was
lost is simply made again: the service knows the key (``UD-002-001``) and answers with the report of the first time.

Sources: RegioneER/parer-sacerws (server) and RegioneER/parer-sacer-xml (schemas).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

from archipec.conservation.provider import ConservationProvider
from archipec.conservation.sink import conservation_sink
from archipec.contract import Context, Option, SinkType, choice
from archipec.errors import AuthError, PermanentError, Scope, TransientError
from archipec.hookspecs import hookimpl
from archipec.language import N_, _
from archipec_plugins.conservation.server import (
    CA_FILE,
    check_server,
    parse_with,
    password_of,
    server_options,
    server_url,
)

if TYPE_CHECKING:
    from archipec.conservation.provider import (
        Conserved,
        Limits,
        Outcome,
        Package,
        Pending,
        Rejected,
        Ticket,
    )
    from archipec_plugins.conservation.http import HTTP, Answer
    from archipec_plugins.conservation.sacer.answer import Answered

_PORT: Final = 443
_LONGEST_ANSWER: Final = 32 << 20
_TEXT: Final = "text/plain; charset=UTF-8"

_DUPLICATE: Final = "UD-002-001"
# Password expired, user disabled, authentication failed.
_LOGIN: Final = ("UD-001-006", "UD-001-007", "UD-001-012")
# Who deposits, and by which agreed types: settings of this sink, nothing about the documents.
_SETTINGS: Final = ("UD-001-", "UD-003-", "DOC-001-", "DOC-005-", "COMP-001-", "WS-CHECK")
# The service's own troubles; UD-008-002 asks for the deposit to be repeated.
_PASSING: Final = re.compile(r"666[A-Z]?|UD-008-002")

_AGREED: Final = (
    ("tipologia", "TipologiaUnitaDocumentaria", "MESSAGGIO PEC"),
    ("registro", N_("TipoRegistro of the keys"), "PEC"),
    ("tipo_documento", N_("TipoDocumento of the principal document"), "MESSAGGIO PEC"),
    ("tipo_allegato", N_("TipoDocumento of receipts"), "RICEVUTA PEC"),
    ("tipo_struttura", "TipoStruttura", "DocumentoGenerico"),
    ("tipo_componente", "TipoComponente", "Contenuto"),
    ("formato", N_("FormatoFileVersato of a message"), "EML"),
    ("profilo", N_("version of ProfiloNormativo; none leaves it out"), "1.0"),
    ("versione", N_("of the service"), "1.5"),
)


class Sacer(ConservationProvider):
    """The synchronous deposit service ``VersamentoSync``."""

    name: ClassVar[str] = "sacer"
    summary: ClassVar[str] = N_("SACER: ParER, Marche DigiP and others")
    evidence: ClassVar[str] = N_(
        "not run against the real service: made from its published source and schemas"
    )
    options: ClassVar[tuple[Option, ...]] = (
        # It checks every signature before it answers.
        *server_options(_PORT, N_("of the service"), default_path="sacerws/VersamentoSync", timeout=300),
        Option(name="password", help="where the password is", secret=True, required=True),
        Option(name="ambiente", help="Ambiente, as agreed", required=True),
        Option(name="ente", help="Ente, as agreed", required=True),
        Option(name="struttura", help="Struttura, as agreed", required=True),
        *(Option(name=name, help=f"{what}, as agreed", default=default) for name, what, default in _AGREED),
        Option(
            name="conservazione",
            help="TipoConservazione: SOSTITUTIVA, FISCALE, MIGRAZIONE or VERSAMENTO_ANTICIPATO",
            default="SOSTITUTIVA",
            convert=choice("SOSTITUTIVA", "FISCALE", "MIGRAZIONE", "VERSAMENTO_ANTICIPATO"),
        ),
        CA_FILE,
    )

    def __init__(self, http: HTTP, config: Mapping[str, Any], context: Context) -> None:
        self._http = http
        self._config = config
        self._context = context

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Any:
        values = {**values, "path": values["path"].strip("/")}
        return parse_with(super().parse, values, check_server(values, "httpx"))

    @classmethod
    def where(cls, config: Any) -> str:
        """Return the service's URL with who deposits."""
        from urllib.parse import urlencode

        who = urlencode({name: config[name] for name in ("ambiente", "ente", "struttura")})
        return f"{server_url(cls.name, config, _PORT)}?{who}"

    @classmethod
    def limits(cls, config: Any) -> Limits:  # noqa: ARG003
        """Return one unit a deposit; requests are of 1,000,000,000 bytes at most, as the service comes."""
        from archipec.conservation.provider import Limits

        return Limits(units=1, documents=500, size=900_000_000)

    @classmethod
    @contextmanager
    def open(cls, config: Any, context: Context) -> Iterator[Self]:
        """Open a session; the login is in each deposit."""
        from archipec_plugins.conservation.http import connected

        with connected(config) as http:
            yield cls(http, config, context)

    def deposit(self, package: Package) -> Ticket | Conserved | Rejected:
        from archipec.conservation.provider import Pending, Ticket

        outcome = self._outcome(package, *self._send(package))
        return Ticket() if isinstance(outcome, Pending) else outcome

    def poll(self, package: Package, ticket: Ticket) -> Outcome:  # noqa: ARG002
        """Deposit again: the service answers with the report it has."""
        return self._outcome(package, *self._send(package))

    def lookup(self, package: Package) -> None:
        """Return None: a deposit made again does no harm."""

    def validate(self, package: Package) -> Rejected | None:
        """Have the service do all its checks and keep nothing."""
        from archipec.conservation.provider import Rejected

        body, answered = self._send(package, rehearsal=True)
        if answered.outcome != "NEGATIVO" or answered.code == _DUPLICATE:
            return None
        outcome = self._outcome(package, body, answered)
        return outcome if isinstance(outcome, Rejected) else None

    def _send(self, package: Package, *, rehearsal: bool = False) -> tuple[bytes, Answered]:
        from urllib.parse import quote

        from archipec_plugins.conservation.sacer.answer import read_answer
        from archipec_plugins.conservation.sacer.sip import write_sip

        (unit,) = package.units
        config = self._config
        # In this order, and without file names: a field after a file is an error, a file without a name is ignored.
        # Without a charset the service would read the fields as ISO-8859-1.
        fields = (
            ("VERSIONE", config["versione"].encode()),
            ("LOGINNAME", config["user"].encode()),
            ("PASSWORD", password_of(config).encode()),
            ("XMLSIP", write_sip(unit, config, rehearsal=rehearsal)),
        )
        parts: list[tuple[str, tuple[Any, ...]]] = [(name, (None, value, _TEXT)) for name, value in fields]
        with ExitStack() as files:
            for document in unit.documents:
                file = files.enter_context(document.open())
                parts.append((document.id, (f"{document.id}.eml", file, "message/rfc822")))
            path = quote(f"/{config['path']}")
            answer = self._http.ask("POST", path, limit=_LONGEST_ANSWER, files=parts)
        self._check(answer, path)
        return answer.body, read_answer(answer.body, unit, config, self._http.where)

    def _check(self, answer: Answer, path: str) -> None:
        if answer.status != 200:
            raise self._http.refusal(answer, path)
        if answer.cut:
            raise TransientError(
                _("{where} answered more than {most} bytes").format(
                    where=self._http.where, most=_LONGEST_ANSWER
                )
            )

    def _outcome(self, package: Package, body: bytes, answered: Answered) -> Pending | Conserved | Rejected:
        """Say what an answer means.

        Raises:
            AuthError, PermanentError: it is about the login, or the settings.
            TransientError: the service is in trouble.
        """
        from archipec.conservation.provider import Conserved, Pending, Rejected, Report

        outcome, code, reason, report = answered
        if outcome != "NEGATIVO" or code == _DUPLICATE:
            if outcome == "WARNING":
                self._context.log.warning("unit %s: %s %s", package.units[0].id, code, reason)
            return Conserved(report=report) if report else Pending(reason=_("the report is not made yet"))
        what = f"{self._http.where}: {code} {reason}"
        if code in _LOGIN:
            raise AuthError(
                what, hint=_("check the user and the password; the login is not tried again by itself")
            )
        if code.startswith(_SETTINGS):
            raise PermanentError(what, hint=_("compare the settings with what was agreed with the provider"))
        if _PASSING.fullmatch(code):
            raise TransientError(what, scope=Scope.MESSAGE)
        return Rejected(reason=f"{code} {reason}".strip(), report=Report(raw=body))


SACER = conservation_sink(Sacer)


@hookimpl
def archipec_sinks() -> Iterable[SinkType[Any]]:
    """Yield SACER."""
    yield SACER
