"""``archipec init``: from an address to a configuration that is known to work."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, cast

import click

from archipec.cli import Settings
from archipec.cli.pipelines import load_registry
from archipec.cli.starter import Starter, refuse_existing, write_new
from archipec.cli.terminal import count, size
from archipec.config.pipeline import default_config_path
from archipec.config.providers import MailProvider, advised, expand, find, guess, providers
from archipec.config.secrets import SERVICE, LazySecret, check_reference
from archipec.config.url import as_table, split_url
from archipec.contract import Secret, SourceType
from archipec.errors import AuthError, ConfigError
from archipec.language import _
from archipec.masking import hide
from archipec.options import file_path, read_options
from archipec.plugins.registry import Registry
from archipec.terminal import command_line, json_line

_IN_KEYRING = f"keyring:{SERVICE}"


@click.command()
@click.argument("address", required=False, metavar="[ADDRESS]")
@click.option("--provider", "provider_name", metavar="NAME", help="Preset to use; see `archipec providers`.")
@click.option("--source", "kind", type=click.Choice(["imap", "pop3"]), default="imap", show_default=True)
@click.option("--host", metavar="NAME", help="Server, where no preset knows it.")
@click.option("--port", type=click.IntRange(1, 65535), metavar="N", help="Its port.")
@click.option("--login", metavar="TEXT", help="The login, where it is not the address.")
@click.option(
    "--password",
    "reference",
    metavar="REFERENCE",
    help="Where the password is: env:NAME, file:PATH, command:CMD, keyring:SERVICE, or ask (each time).",
)
@click.option(
    "--password-stdin", is_flag=True, help="Read it from standard input and keep it in the keyring."
)
@click.option("--ca-file", type=click.Path(path_type=Path), help="Further authorities to trust (PEM).")
@click.option("--to", "to_urls", multiple=True, metavar="URL", help="An archive; may be repeated.")
@click.option("--name", metavar="NAME", help="Name of the pipeline (default: the address up to its @).")
@click.option(
    "--credentials-expire",
    "expire",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="DATE",
    help="Day on which the password expires: `archipec status` warns before.",
)
@click.option("--no-test", is_flag=True, help="Write the file without trying the login.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def init(
    settings: Settings, /, *, to_urls: tuple[str, ...], no_test: bool, as_json: bool, **given: Any
) -> int:
    """Ask for a mailbox, try the login, show what it holds, and write archipec.toml.

    \b
      archipec init
      archipec init studio@pec.it
    In a script, every answer is an option:
      archipec init studio@pec.example.it --provider aruba --password env:PEC_PASSWORD --to maildir:PEC
      pass show pec | archipec init studio@pec.it --password-stdin --to maildir:PEC

    A configuration that is there already is never touched.
    """
    refuse_existing(settings.config)
    registry = load_registry()
    mailbox = _Questions(given).mailbox()
    name = given["name"] or mailbox.address.rpartition("@")[0].replace("/", "-")
    sinks = _sinks(to_urls, name, registry)
    record = cast("SourceType[Any]", registry.find("source", mailbox.table["type"]))
    folders = [] if no_test else _look(record, mailbox)
    _show(folders, mailbox, quiet=as_json)
    if mailbox.keep is not None:
        _keep(mailbox.keep, mailbox.table["user"])
    expire: datetime | None = given["expire"]
    starter = Starter(name, mailbox.source, mailbox.about, sinks, expire.date() if expire else None)
    write_new(settings.config, starter.text(date.today()), registry)  # noqa: DTZ011  a person's day
    if as_json:
        shape = {"config": str(settings.config), "pipeline": name, "source": mailbox.source}
        shape |= {"sinks": sinks, "folders": [vars(folder) for folder in folders]}
        click.echo(json_line(shape))
    else:
        ours = (
            () if settings.config == default_config_path() else ("--config", str(settings.config.absolute()))
        )
        following = command_line("archipec", *ours, "archive")
        click.echo(_("wrote {path}; next: {command}").format(path=settings.config, command=following))
    return 0


class _Typed:
    """A password just typed."""

    def __init__(self, value: str) -> None:
        self._value = value
        hide(value)

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "***"


@dataclass(frozen=True)
class _Mailbox:
    """What is to be archived.

    Attributes:
        source: its table as it is written; table: the same with everything a preset fills in.
        about: what the preset fills in, as text.
        secret: the password, for the trial.
        keep: what to put into the keyring once it is known to be right.
    """

    address: str
    source: Mapping[str, Any]
    table: Mapping[str, Any]
    about: str
    secret: Secret
    keep: str | None


class _Questions:
    """Answers from options, else from the person; without a terminal an answer that lacks is a usage error."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given
        self._person = sys.stdin.isatty() and not given["password_stdin"]

    def mailbox(self) -> _Mailbox:
        """Ask for everything about the mailbox."""
        given = self._given
        address = given["address"] or self._ask(_("PEC address"), "ADDRESS")
        if not all(address.rpartition("@")[::2]) or not address.isprintable():
            raise ConfigError(
                _('"{address}" is no address').format(address=address),
                hint=_("an address is written name@domain"),
            )
        provider = self._provider(address)
        source: dict[str, Any] = {"type": given["kind"]}
        if provider is not None:
            source["provider"] = provider.name
        elif not given["host"]:
            source["host"] = self._ask(_("Server"), _("--provider or --host"))
        source |= {key: given[key] for key in ("host", "port") if given[key]}
        source["user"] = self._login(address, provider)
        table = expand(source)
        reference, secret, keep = self._password(source["user"], str(table["host"]))
        if reference is not None:
            source["password"] = reference
        if given["ca_file"]:
            source["ca_file"] = str(given["ca_file"].absolute())
        about = f"{provider.title}: {table['host']}" if provider and "host" not in source else ""
        return _Mailbox(address, source, expand(source), about, secret, keep)

    def _provider(self, address: str) -> MailProvider | None:
        name, host = self._given["provider_name"], self._given["host"]
        if name:
            return find(name)
        if host:
            return None
        guessed = guess(address)
        if guessed is not None:
            click.echo(
                _("{address}: {title}, by its domain (--provider says otherwise)").format(
                    address=address, title=guessed.title
                ),
                err=True,
            )
            return guessed
        if not self._person:
            return None
        click.echo(_("presets: {providers}").format(providers=", ".join(providers())), err=True)
        name = self._ask(_("Provider, or - for a server by its name"), "--provider", default="-")
        return None if name == "-" else find(name)

    def _login(self, address: str, provider: MailProvider | None) -> str:
        if self._given["login"]:
            return str(self._given["login"])
        usual = address if provider is None else provider.login_of(address)
        if provider is not None and self._person:
            click.echo(
                _("login at {title}: {login_form}").format(
                    title=provider.title, login_form=provider.login_form
                ),
                err=True,
            )
        return self._ask(_("Login"), "--login", default=usual)

    def _password(self, user: str, host: str) -> tuple[str | None, Secret, str | None]:
        """Return the reference to write, the secret, and what to keep in the keyring."""
        reference = self._given["reference"]
        if self._given["password_stdin"]:
            if reference is not None:
                raise click.UsageError(_("give --password or --password-stdin, not both"))
            return self._typed(sys.stdin.readline().rstrip("\r\n"))
        if reference is None and self._person:
            click.echo(
                _(
                    "password: keyring (typed now, kept in this computer's keyring), ask (each time), or a "
                    "reference: env:NAME, file:PATH, command:CMD"
                ),
                err=True,
            )
            reference = self._ask(_("Where is it"), "--password", default="keyring")
            if reference == "keyring":
                return self._typed(click.prompt(_("Password"), hide_input=True, err=True))
        if reference is None:
            raise click.UsageError(_("give --password or --password-stdin: standard input is no terminal"))
        if reference == "ask":
            return None, LazySecret(None, user=user, host=host), None
        try:
            kind, _colon, rest = check_reference(reference).partition(":")
        except ValueError as error:
            raise ConfigError(f"--password {error}") from None
        if kind == "file":
            # In the file, a relative path would begin at the file's folder.
            reference = f"file:{file_path(rest)}"
        return reference, LazySecret(reference, user=user, host=host), None

    def _typed(self, value: str) -> tuple[str, Secret, str]:
        if not value:
            raise ConfigError(_("the password is empty"))
        return _IN_KEYRING, _Typed(value), value

    def _ask(self, question: str, option: str, default: str | None = None) -> str:
        if self._person:
            return str(click.prompt(question, default=default, err=True)).strip()
        if default is None:
            raise click.UsageError(_("give {option}: standard input is no terminal").format(option=option))
        return default


@dataclass(frozen=True)
class _FolderLine:
    folder: str
    messages: int
    bytes: int


def _look(record: SourceType[Any], mailbox: _Mailbox) -> list[_FolderLine]:
    """Log in and count what is there, reading nothing."""
    from archipec.custody.run import Cancellation, make_context
    from archipec.plugins.boundary import plugin_boundary

    options = {key: value for key, value in mailbox.table.items() if key != "type"}
    values = read_options(
        record.options, {**options, "password": mailbox.secret}, _('source "{name}"').format(name=record.name)
    )
    lines = []
    try:
        with tempfile.TemporaryDirectory(prefix="archipec-") as temp, plugin_boundary(record):
            context = make_context("source", Path(temp), Cancellation())
            with record.open(record.parse(values), context) as source:
                for folder in source.folders():
                    sizes = [listed.size or 0 for listed in source.scan(folder.name, None)]
                    lines.append(_FolderLine(folder.name, len(sizes), sum(sizes)))
    except AuthError as error:
        raise advised(error, mailbox.table.get("host")) from error
    return lines


def _show(folders: Sequence[_FolderLine], mailbox: _Mailbox, *, quiet: bool) -> None:
    if quiet or not folders:
        return
    click.echo(
        _("logged in as {user} at {host}; it would archive:").format(
            user=mailbox.table["user"], host=mailbox.table["host"]
        )
    )
    for line in folders:
        click.echo(f"  {count(line.messages):>9}  {size(line.bytes):>10}  {line.folder}")
    total = sum(line.messages for line in folders), sum(line.bytes for line in folders)
    click.echo(f"  {count(total[0]):>9}  {size(total[1]):>10}  {_('in all')}")


def _sinks(urls: Sequence[str], name: str, registry: Registry) -> list[dict[str, object]]:
    """Return the tables of the archives; relative paths begin at the current folder."""
    if not urls:
        if not sys.stdin.isatty():
            raise click.UsageError(_("give --to: standard input is no terminal"))
        path = click.prompt(_("Folder for the archive"), default=str(Path("~/PEC") / name), err=True)
        return [{"type": "maildir", "path": str(path)}]
    sinks = []
    for url in urls:
        shorthand = split_url(url)
        record = registry.find("sink", shorthand.scheme)
        table, problems = as_table(shorthand, record.options)
        if problems:
            raise ConfigError(
                [
                    _('--to: sink "{name}": {problem}').format(name=record.name, problem=problem)
                    for problem in problems
                ]
            )
        for option in record.options:
            if option.kind == "path" and option.name in table:
                table[option.name] = str(file_path(table[option.name]))
        sinks.append({"type": record.name, **table})
    return sinks


def _keep(password: str, user: str) -> None:
    """Put the password into the keyring, where the reference leads."""
    import keyring

    hint = _("choose `ask`, or a reference: env:NAME, file:PATH or command:CMD")
    try:
        keyring.set_password(SERVICE, user, password)
        kept = keyring.get_password(SERVICE, user) == password
    except Exception as error:  # noqa: BLE001 - backends raise whatever their system raises
        raise ConfigError(
            _("the keyring can't keep the password: {name}").format(name=type(error).__name__), hint=hint
        ) from None
    if not kept:
        raise ConfigError(_("this computer's keyring keeps nothing"), hint=hint)
