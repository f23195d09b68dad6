"""One source, sink or post-step, configured: from a table or a URL to an object that is checked without I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar

from archipec.config.secrets import LazySecret, check_reference
from archipec.config.url import as_table, split_url
from archipec.contract import SinkType
from archipec.errors import ArchipecError, ConfigError, PluginBug
from archipec.language import _
from archipec.options import Option, boolean, nearest, read_options
from archipec.plugins.boundary import described, plugin_boundary
from archipec.plugins.discovery import PluginRecord, RecordKind
from archipec.plugins.registry import Registry

R_co = TypeVar("R_co", bound=PluginRecord, covariant=True)
T = TypeVar("T")

# Only says "it is there" to `read_options`, which would otherwise ask for a secret that the keyring has.
_GIVEN: Final = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint(Generic[R_co]):
    """A source, sink or post-step, configured.

    Attributes:
        record: what opens it.
        name: of a sink, unique in its pipeline; of the others, the record's.
        values: of every option, converted.
        config: what ``record.parse`` made of them.
        where: its canonical URL.
        connections: how often the host opens a source.
        required: whether prune needs this sink's copy.
    """

    record: R_co
    name: str
    values: Mapping[str, object]
    config: Any
    where: str
    connections: int = 1
    required: bool = True

    @property
    def secrets(self) -> tuple[LazySecret, ...]:
        """The secrets it can't do without: those referred to, and those of required options."""
        secrets = [(option, self.values[option.name]) for option in self.record.options if option.secret]
        return tuple(
            secret
            for option, secret in secrets
            if isinstance(secret, LazySecret) and (option.required or secret.reference is not None)
        )


class Problems:
    """What is wrong with a configuration, collected until all of it has been looked at."""

    def __init__(self) -> None:
        self._found: list[str] = []
        self._hint = ""

    def __len__(self) -> int:
        return len(self._found)

    def add(self, problem: str) -> None:
        """Put a problem on the list."""
        self._found.append(problem)

    def add_error(self, what: str, error: ArchipecError) -> None:
        """Put an error's problems on the list, each beginning with ``what``."""
        for problem in getattr(error, "problems", (error.message,)):
            self.add(problem if problem.startswith(what) else what + problem)
        self._hint = self._hint or error.hint

    def catch(self, what: str, make: Callable[[], T]) -> T | None:
        """Return what ``make`` returns, or None and its problems are on the list."""
        try:
            return make()
        except PluginBug:
            raise
        except ArchipecError as error:
            self.add_error(what, error)
        return None

    def unknown_keys(self, what: str, table: Mapping[str, object], known: Sequence[str]) -> None:
        """Put every key that is not known on the list."""
        for key in table:
            if key not in known:
                self.add(
                    _('{what}unknown key "{key}"{nearest}').format(
                        what=what, key=key, nearest=nearest(key, known)
                    )
                )

    def finish(self, hint: str = "") -> None:
        """Raise everything at once, if there is anything."""
        if self._found:
            raise ConfigError(self._found, hint=self._hint or hint)


def endpoint_from_table(
    kind: RecordKind,
    table: Mapping[str, object],
    registry: Registry,
    base: Path,
    problems: Problems,
    what: str = "",
) -> Endpoint[Any] | None:
    """Make an endpoint from its TOML table.

    Args:
        base: the folder that relative paths begin at.
        what: begins every problem.

    Returns:
        None when there are problems; they are on the list then.
    """
    name = table.get("type")
    if name is None:
        _miss_type(kind, table, registry, problems, what)
        return None
    if not isinstance(name, str):
        problems.add(_('{what}{kind}: "type" must be text').format(what=what, kind=kind))
        return None
    record = problems.catch(what, lambda: registry.find(kind, name, schemes=False))
    if record is None:
        return None
    options = {key: value for key, value in table.items() if key != "type"}
    return _Maker(kind, record, registry, base, problems, f'{what}{kind} "{name}": ').make(options)


def _miss_type(
    kind: RecordKind, table: Mapping[str, object], registry: Registry, problems: Problems, what: str
) -> None:
    """Say that the type is missing, and, where it is misspelt, what else is wrong with the table."""
    import difflib

    (meant,) = difflib.get_close_matches("type", list(table), n=1, cutoff=0.6) or ("",)
    if not meant:
        problems.add(_('{what}{kind}: "type" is missing').format(what=what, kind=kind))
        return
    problems.add(
        _('{what}{kind}: unknown key "{meant}", did you mean "type"?').format(
            what=what, kind=kind, meant=meant
        )
    )
    try:
        record = registry.find(kind, str(table[meant]), schemes=False)
    except ConfigError:
        return
    known = [option.name for option in record.options] + (["name", "required"] if kind == "sink" else [])
    rest = {key: value for key, value in table.items() if key != meant}
    problems.unknown_keys(f'{what}{kind} "{record.name}": ', rest, known)


def endpoint_from_url(
    kind: RecordKind, url: str, registry: Registry, problems: Problems, what: str
) -> Endpoint[Any] | None:
    """Make an endpoint from its URL; relative paths begin at the current folder. See `endpoint_from_table`."""
    shorthand = problems.catch(what, lambda: split_url(url))
    if shorthand is None:
        return None
    record = problems.catch(what, lambda: registry.find(kind, shorthand.scheme))
    if record is None:
        return None
    what = f'{kind} "{record.name}": '
    options, misplaced = as_table(shorthand, record.options)
    for problem in misplaced:
        problems.add(what + problem)
    endpoint = _Maker(kind, record, registry, Path.cwd(), problems, what).make(options)
    return None if misplaced else endpoint


def with_option(endpoint: Endpoint[R_co], name: str, value: object) -> Endpoint[R_co]:
    """Return an endpoint with another value, already converted, for one of its options.

    Raises:
        ConfigError: it has no such option, or its plugin does not accept the value.
    """
    if name not in endpoint.values:
        raise ConfigError(_('{where} has no option "{name}"').format(where=endpoint.where, name=name))
    values = MappingProxyType({**endpoint.values, name: value})
    with plugin_boundary(endpoint.record):
        config = endpoint.record.parse(values)
        where = endpoint.record.where(config)
    return replace(endpoint, values=values, config=config, where=where)


def root_of(sink: Endpoint[Any]) -> Path | None:
    """Return the directory a sink keeps its files in, None when there is none on this machine."""
    with plugin_boundary(sink.record):
        root: Path | None = sink.record.root(sink.config)
    return root


def reads_of(source: Endpoint[Any]) -> tuple[Path, ...]:
    """Return the files and folders on this machine that a source reads messages from."""
    with plugin_boundary(source.record):
        paths: tuple[Path, ...] = tuple(source.record.reads(source.config))
    if not all(isinstance(path, Path) for path in paths):
        raise PluginBug(
            _("{described} gave no paths as what it reads, but {paths}").format(
                described=described(source.record), paths=repr(paths)
            )
        )
    return paths


class _Maker:
    def __init__(
        self,
        kind: RecordKind,
        record: PluginRecord,
        registry: Registry,
        base: Path,
        problems: Problems,
        what: str,
    ) -> None:
        plugin = registry.plugin_of(record)
        self._kind = kind
        self._record = record
        self._plugin = f"{record.name} of {plugin.origin}" if plugin else record.name
        self._base = base
        self._problems = problems
        self._what = what

    def make(self, table: Mapping[str, object]) -> Endpoint[Any] | None:
        before = len(self._problems)
        given = dict(table)
        host_keys = self._take_host_keys(given)
        references = self._take_references(given)
        self._anchor_paths(given)
        values = self._problems.catch(
            "", lambda: read_options(self._record.options, given, self._what.removesuffix(": "))
        )
        if values is None or len(self._problems) > before:
            return None
        self._put_secrets(values, references)
        connections = 1 if values.get("connections") is None else values["connections"]
        if type(connections) is not int or connections < 1:
            self._problems.add(
                _('{what}option "connections" must be a whole number above 0').format(what=self._what)
            )
        frozen = MappingProxyType(values)
        made = self._problems.catch(self._what, lambda: self._ask_plugin(frozen))
        if made is None or type(connections) is not int or len(self._problems) > before:
            return None
        config, where = made
        return Endpoint(
            record=self._record,
            values=frozen,
            config=config,
            where=where,
            connections=connections,
            **host_keys,
        )

    def _take_host_keys(self, given: dict[str, object]) -> dict[str, Any]:
        """Take out the settings of an endpoint that are the host's, not the plugin's."""
        keys: dict[str, Any] = {"name": self._record.name}
        if self._kind != "sink":
            return keys
        name = given.pop("name", self._record.name)
        if isinstance(name, str) and name.strip() and name.isprintable():
            keys["name"] = name
        else:
            self._problems.add(_('{what}"name" must be one line of text').format(what=self._what))
        view = isinstance(self._record, SinkType) and self._record.view
        try:
            keys["required"] = boolean(given.pop("required", not view))
        except ValueError as error:
            self._problems.add(f'{self._what}"required" {error}')
        if view and keys.get("required"):
            self._problems.add(
                _(
                    '{what}"required" can\'t be true: these copies are for looking at, and prove nothing'
                ).format(what=self._what)
            )
        return keys

    def _take_references(self, given: dict[str, object]) -> dict[str, str | None]:
        """Replace references to secrets by something harmless, and return them."""
        references: dict[str, str | None] = {}
        for option in self._secret_options():
            reference = given.get(option.name)
            given[option.name] = _GIVEN
            try:
                references[option.name] = None if reference is None else self._reference(reference)
            except ValueError as error:
                self._problems.add(
                    _('{what}option "{name}" {error}').format(what=self._what, name=option.name, error=error)
                )
        return references

    def _reference(self, value: object) -> str:
        kind, _, rest = check_reference(value).partition(":")
        return f"{kind}:{self._anchored(rest) if kind == 'file' else rest}"

    def _put_secrets(self, values: dict[str, object], references: Mapping[str, str | None]) -> None:
        user, host = (
            next((str(values[one.name] or "") for one in self._record.options if one.part == part), "")
            for part in ("user", "host")
        )
        for name, reference in references.items():
            values[name] = LazySecret(reference, name=name, user=user, host=host)

    def _anchor_paths(self, given: dict[str, object]) -> None:
        """Make paths begin where the configuration says, not where the program happens to be started."""
        for option in self._record.options:
            value = given.get(option.name)
            if option.kind != "path" or not isinstance(value, str) or not value or "\0" in value:
                continue
            try:
                given[option.name] = str(Path(self._anchored(value)).expanduser())
            except RuntimeError:
                self._problems.add(
                    _('{what}option "{name}": there is no home folder for {value}').format(
                        what=self._what, name=option.name, value=value
                    )
                )

    def _anchored(self, path: str) -> str:
        # "~" is a place of its own, found by whoever uses the path.
        return path if path.startswith("~") else str(self._base / path)

    def _secret_options(self) -> Iterator[Option]:
        return (option for option in self._record.options if option.secret)

    def _ask_plugin(self, values: Mapping[str, object]) -> tuple[object, str]:
        with plugin_boundary(self._record):
            config = self._record.parse(values)
            where = self._record.where(config)
        if not isinstance(where, str) or not where:
            raise PluginBug(
                _('the plugin "{plugin}" gave no URL as its where, but {where}').format(
                    plugin=self._plugin, where=repr(where)
                )
            )
        return config, where
