"""Makes a sink of a conservation provider."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from archipec.conservation.provider import ConservationProvider
from archipec.contract import Context, Option, Receipt, SinkType, boolean, file_path, positive
from archipec.errors import ArchipecError, PermanentError, Scope, from_os_error
from archipec.language import _
from archipec.message import ContentKey, Item
from archipec.pec.anchors import TrustFiles
from archipec.timestamp import TSA_OPTIONS, TsaClient

if TYPE_CHECKING:
    from archipec.conservation.deposits import Deposits
    from archipec.conservation.metadata import PackageSettings
    from archipec.conservation.outbox import Outbox

__all__ = ["SHARED_OPTIONS", "ConservationConfig", "conservation_sink"]

_LONGEST_SLUG: Final = 40


def _days(value: object) -> int:
    return 0 if str(value) == "0" else positive(value)


def _years(value: object) -> int:
    years = positive(value)
    if years > 9999:
        raise ValueError(_("must be a number of years, 1 to 9999"))
    return years


SHARED_OPTIONS: tuple[Option, ...] = (
    Option(name="outbox", help="the folder that holds messages and reports", convert=file_path),
    Option(
        name="wait",
        help="how long a sending waits for its receipts before it is deposited",
        default=3,
        unit="days",
        convert=_days,
    ),
    Option(
        # Rapporti come within a day or two; one that is missing in the second week should be asked for.
        name="report_within",
        help="how long the provider's report may take; after that `settle` and `status` say so",
        default=10,
        unit="days",
        convert=positive,
    ),
    Option(name="holder", help="the address of whose documents these are (default: the mailbox)"),
    Option(name="submitter", help="the address of who deposits them (default: the holder)"),
    Option(name="subjects", help="a TOML file that says who is behind which address", convert=file_path),
    Option(name="terms", help="a TOML file with the words agreed with the provider", convert=file_path),
    Option(name="years", help="how long to conserve", default=10, unit="years", convert=_years),
    Option(
        name="trust", help="a file with certificates to trust besides the roots of PEC", convert=file_path
    ),
    Option(
        name="trust_list",
        help="a file with a national trusted list (ETSI TS 119 612), which names the providers of REM",
        convert=file_path,
    ),
    Option(name="crl", help="a file with a list of revoked certificates, to be asked", convert=file_path),
    Option(
        name="keep",
        help="keep the bytes of what is conserved in the outbox (false: the provider alone has them)",
        default=True,
        convert=boolean,
    ),
    Option(
        name="sign", help="a PKCS#12 file with the key that signs the index of packages", convert=file_path
    ),
    Option(name="sign_password", help="the password of that file", secret=True),
    *TSA_OPTIONS,
    Option(
        name="dry_run",
        help="make packages and have them checked where the provider can; deposit nothing",
        default=False,
        convert=boolean,
    ),
)
"""The options of every conservation sink."""


@dataclass(frozen=True, slots=True)
class ConservationConfig:
    """What a provider made of its options, and the values of the shared ones."""

    own: Any
    shared: Mapping[str, Any]


def conservation_sink(provider: type[ConservationProvider]) -> SinkType[ConservationConfig]:
    """Return the sink that deposits with a provider; ``archipec_sinks()`` yields it.

    Raises:
        TypeError: an option of the provider has the name of a shared one.
    """
    shared = {option.name for option in SHARED_OPTIONS}
    if clash := shared & {option.name for option in provider.options}:
        raise TypeError(
            _("options of every conservation sink can't be a provider's own: {clash}").format(
                clash=", ".join(sorted(clash))
            )
        )

    def parse(values: Mapping[str, Any]) -> ConservationConfig:
        own = provider.parse({option.name: values[option.name] for option in provider.options})
        return ConservationConfig(own, {name: values[name] for name in shared})

    def where(config: ConservationConfig) -> str:
        return provider.where(config.own)

    def root(config: ConservationConfig) -> Path:
        outbox: Path | None = config.shared["outbox"]
        return _default_outbox(where(config)) if outbox is None else outbox

    @contextmanager
    def open_sink(config: ConservationConfig, context: Context) -> Iterator[ConservationSink]:
        from archipec.conservation.outbox import Outbox

        outbox = Outbox(root(config), timedelta(days=config.shared["report_within"]))
        try:
            yield ConservationSink(provider, config, context, outbox)
        finally:
            outbox.close()

    return SinkType(
        api=1,
        name=f"conservation-{provider.name}",
        summary=f"{_(provider.summary)} ({_(provider.evidence)})",
        schemes=(f"conservation+{provider.name}",),
        options=(*provider.options, *SHARED_OPTIONS),
        parse=parse,
        where=where,
        open=open_sink,
        root=root,
    )


class ConservationSink:
    """The working sink; see `archipec.contract.Sink`.

    ``commit`` brings messages into the outbox; ``settle`` makes packages, deposits them and asks for reports.
    """

    def __init__(
        self,
        provider: type[ConservationProvider],
        config: ConservationConfig,
        context: Context,
        outbox: Outbox,
    ) -> None:
        self._provider = provider
        self._config = config
        self._context = context
        self._outbox = outbox
        self._limits = provider.limits(config.own)

    def put(self, item: Item) -> None:
        """Stage a message; one that no package could hold is refused."""
        if item.key.size > self._limits.size:
            raise PermanentError(
                _("{key} is larger than the {size} bytes that the provider takes").format(
                    key=item.key, size=self._limits.size
                ),
                hint=_("keep it in another archive too"),
                scope=Scope.MESSAGE,
            )
        self._outbox.stage(item)

    def commit(self) -> Sequence[Receipt]:
        """Make what is staged durable in the outbox."""
        return self._outbox.commit(int(self._context.now().timestamp()))

    def find(self, key: ContentKey) -> Receipt | None:
        """Return the receipt of a message in the outbox, or proven to be with the provider."""
        return self._outbox.find(key)

    def read(self, receipt: Receipt) -> AbstractContextManager[BinaryIO]:
        """Open the bytes in the outbox; Unsupported when only the report is kept."""
        return self._outbox.read(receipt.key)

    def iterate(self) -> Iterator[Receipt]:
        """Yield a receipt for everything held."""
        return self._outbox.receipts()

    def check(self) -> Iterator[ArchipecError]:
        """Yield what is wrong with the reports, and with the time stamps of packages."""
        from archipec.conservation.signature import timestamp_problems

        yield from self._outbox.problems()
        packages, authority = self._outbox.root / "packages", TsaClient.of(self._config.shared)
        try:
            yield from timestamp_problems(packages, authority)
        except OSError as error:
            raise from_os_error(error, packages) from error

    def finish(self) -> None:
        """Delete the bytes of what is proven to be with the provider, when that is asked."""
        if not self._config.shared["keep"]:
            self._outbox.drop_conserved()

    def settle(self, pending: Iterable[Receipt]) -> Iterator[Receipt]:
        """Deposit and ask; then say where each of these messages stands, also when the provider is out of order."""
        asked = list(pending)
        failure: ArchipecError | None = None
        if asked:
            try:
                self._outbox.look_for_lost()
                self._outbox.ask_again(receipt.key for receipt in asked)
                self._advance()
            except ArchipecError as error:
                failure = error
        for receipt in asked:
            yield self._outbox.receipt(receipt.key)
        if (lost := self._outbox.lost()) is not None:
            raise lost
        if failure is not None:
            raise failure

    def _advance(self) -> None:
        deposits = self._deposits()
        try:
            deposits.prepare()
        finally:
            # What can't be packaged now, for want of a time stamp for one, holds up nothing that is.
            self._exchange(deposits)

    def _exchange(self, deposits: Deposits) -> None:
        if not deposits.is_idle() and not self._context.cancelled():
            with self._provider.open(self._config.own, self._context) as provider:
                if self._config.shared["dry_run"]:
                    deposits.validate(provider)
                else:
                    deposits.deposit(provider)
                    deposits.poll(provider)
        if deposits.failed:
            raise deposits.failed[0]

    def _deposits(self) -> Deposits:
        from archipec.conservation.builder import PackageBuilder
        from archipec.conservation.deposits import Deposits

        settings = self._settings()
        shared = self._config.shared
        builder = PackageBuilder(self._outbox.root / "packages", self._outbox.path, settings)
        return Deposits(
            self._outbox,
            builder,
            self._context,
            limits=self._limits,
            wait=timedelta(days=shared["wait"]),
            trust=TrustFiles(
                certificates=_given(shared["trust"]),
                lists=_given(shared["trust_list"]),
                crls=_given(shared["crl"]),
            ),
        )

    def _settings(self) -> PackageSettings:
        from archipec.conservation.metadata import PackageSettings
        from archipec.conservation.signature import Signing, check_installed
        from archipec.conservation.subjects import load_subjects, load_terms

        shared = self._config.shared
        signing = Signing(
            key=shared["sign"],
            password=shared["sign_password"] if shared["sign"] else None,
            authority=TsaClient.of(shared),
        )
        if signing.key:
            check_installed()
        terms = load_terms(shared["terms"], self._provider.terms(self._config.own))
        subjects = load_subjects(shared["subjects"])
        inputs = (
            *(
                str(one)
                for one in (terms, shared["holder"], shared["submitter"], shared["years"], signing.key)
            ),
            signing.authority.url,
            *(_content(shared[name]) for name in ("subjects", "trust", "trust_list", "crl")),
        )
        return PackageSettings(
            terms=terms,
            subjects=subjects,
            holder=shared["holder"] or "",
            submitter=shared["submitter"] or "",
            years=shared["years"],
            signing=signing,
            version=self._context.version,
            fingerprint=hashlib.sha256("\0".join(inputs).encode()).hexdigest(),
        )


def _given(path: Path | None) -> tuple[Path, ...]:
    return () if path is None else (path,)


def _content(path: Path | None) -> str:
    """A file's content, to see whether it has changed; whether it can be read is said by who reads it."""
    return "" if path is None or not path.is_file() else hashlib.sha256(path.read_bytes()).hexdigest()


def _default_outbox(where: str) -> Path:
    import platformdirs

    slug = re.sub(r"[^A-Za-z0-9]+", "-", where).strip("-").lower()[:_LONGEST_SLUG]
    mark = hashlib.sha256(where.encode()).hexdigest()[:12]
    return platformdirs.user_data_path("archipec", appauthor=False) / "conservation" / f"{slug}-{mark}"
