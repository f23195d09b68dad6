"""From ``archipec.toml`` or from URLs to pipelines that are checked as far as they can be without I/O.

Both ways make the same tables first and share everything after that. All problems are reported at once.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar, cast

from archipec.config.endpoint import (
    Endpoint,
    Problems,
    endpoint_from_table,
    endpoint_from_url,
    reads_of,
    root_of,
)
from archipec.config.providers import expand
from archipec.config.prune_policy import PrunePolicy, read_policy
from archipec.config.selection import Selection, read_selection
from archipec.contract import PostStepType, SinkType, SourceType
from archipec.errors import ConfigError
from archipec.language import _, written
from archipec.options import Option, boolean, nearest, read_options, strings
from archipec.pec.anchors import TrustFiles
from archipec.plugins.discovery import RecordKind
from archipec.plugins.registry import Registry

T = TypeVar("T")

_LARGEST: Final = 4 << 20  # bytes of a configuration: ten thousand pipelines

AD_HOC: Final = "ad-hoc"
"""The name of a pipeline made from URLs."""

_PIPELINE_KEYS = (
    "name",
    "source",
    "select",
    "sink",
    "step",
    "prune",
    "seals",
    "index",
    "ocr",
    "trust",
    "trust_list",
    "crl",
    "credentials_expire",
    "export_expires",
)
_JUDGING = (
    Option(name="seals", help="judge the seals of what is stored", default=True, convert=boolean),
    Option(name="index", help="make what is stored searchable", default=True, convert=boolean),
    Option(
        name="ocr",
        help="read scanned PDF files for their words, by the program ocrmypdf",
        default=False,
        convert=boolean,
    ),
    Option(
        name="trust",
        help="files with certificates to trust besides the roots of PEC",
        default=(),
        convert=strings,
    ),
    Option(
        name="trust_list",
        help="files with national trusted lists (ETSI TS 119 612), which name the providers of REM",
        default=(),
        convert=strings,
    ),
    Option(
        name="crl", help="files with lists of revoked certificates, to be asked", default=(), convert=strings
    ),
)
_LISTS: Final[tuple[tuple[RecordKind, str], ...]] = (("sink", "sink"), ("post-step", "step"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """One source, a selection, at least one sink, post-steps, and when to prune.

    Attributes:
        prune: what may be deleted from the source; nothing when it isn't configured.
        seals: whether the seals of what is stored are judged.
        index: whether what is stored is put into the index that is searched.
        ocr: whether scanned PDF files are read for it.
        trust: files that say whom to trust besides the roots of PEC.
        credentials_expire: the day on which the source's password expires, None when it isn't known to.
        export_expires: the day on which a provider deletes the export that is the source, None when it isn't known to.
    """

    name: str
    source: Endpoint[SourceType[Any]]
    selection: Selection
    sinks: tuple[Endpoint[SinkType[Any]], ...]
    steps: tuple[Endpoint[PostStepType[Any]], ...] = ()
    prune: PrunePolicy = field(default_factory=PrunePolicy)
    seals: bool = True
    index: bool = True
    ocr: bool = False
    trust: TrustFiles = field(default_factory=TrustFiles)
    credentials_expire: date | None = None
    export_expires: date | None = None

    @property
    def archives(self) -> tuple[Endpoint[SinkType[Any]], ...]:
        """The sinks whose copies count: all but those that are for looking at."""
        return tuple(sink for sink in self.sinks if not sink.record.view)

    def reveal_secrets(self) -> None:
        """Fetch every secret now: only the main thread can be interrupted while it asks the user.

        Raises:
            ConfigError: for each secret that can't be had.
        """
        problems = Problems()
        endpoints: tuple[Endpoint[Any], ...] = (self.source, *self.sinks, *self.steps)
        for endpoint in endpoints:
            for secret in endpoint.secrets:
                problems.catch("", secret.reveal)
        problems.finish()


def default_config_path() -> Path:
    """Return where the configuration is: ARCHIPEC_CONFIG, or the usual place of this system."""
    given = _place("ARCHIPEC_CONFIG")
    return usual_config_path() if given is None else given


def usual_config_path() -> Path:
    """Return where this system has a configuration by default, whatever ARCHIPEC_CONFIG says."""
    import platformdirs

    return platformdirs.user_config_path("archipec", appauthor=False) / "archipec.toml"


def default_state_path() -> Path:
    """Return the folder of ledger and locks: ARCHIPEC_STATE, or the usual place of this system."""
    given = _place("ARCHIPEC_STATE")
    if given is not None:
        return given
    import platformdirs

    return platformdirs.user_state_path("archipec", appauthor=False)


def _place(variable: str) -> Path | None:
    given = os.environ.get(variable)
    try:
        return Path(given).expanduser().absolute() if given else None
    except RuntimeError:
        raise ConfigError(
            _("{variable}: there is no home folder for {given}").format(variable=variable, given=given)
        ) from None


def load(path: Path, registry: Registry) -> tuple[Pipeline, ...]:
    """Read the pipelines of a TOML file, in its order. Relative paths in it begin at its folder.

    Raises:
        ConfigError: with every problem of the file.
    """
    document = _read_toml(path)
    problems = Problems()
    problems.unknown_keys("", document, ("pipeline",))
    tables = _tables("", document, "pipeline", problems)
    base = path.absolute().parent
    pipelines = [
        _from_table(table, number, registry, base, problems) for number, table in enumerate(tables, start=1)
    ]
    names = [table.get("name") for table in tables if isinstance(table.get("name"), str)]
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        problems.add(_('{number} pipelines are named "{name}"').format(number=names.count(name), name=name))
    if not tables and not len(problems):
        problems.add(_("{path} has no [[pipeline]]").format(path=path))
    problems.finish(hint=_("correct {path}").format(path=path))
    return tuple(pipeline for pipeline in pipelines if pipeline is not None)


def ad_hoc(
    from_url: str,
    to_urls: Sequence[str],
    then_urls: Sequence[str],
    registry: Registry,
    select: Mapping[str, object] | None = None,
) -> Pipeline:
    """Make a pipeline from URLs, as a TOML file with the same settings would. It is named "ad-hoc".

    Sinks of one type get different names by themselves.

    Args:
        select: settings by the names of `archipec.config.selection.OPTIONS`.

    Raises:
        ConfigError: with every problem.
    """
    problems = Problems()
    source = endpoint_from_url("source", from_url, registry, problems, "--from: ")
    sinks = [endpoint_from_url("sink", url, registry, problems, "--to: ") for url in to_urls]
    steps = [endpoint_from_url("post-step", url, registry, problems, "--then: ") for url in then_urls]
    selection = problems.catch("", lambda: read_selection(select or {}))
    pipeline = _assemble("", AD_HOC, _Parts(source, selection, _numbered(sinks), steps), problems)
    problems.finish()
    assert pipeline is not None
    return pipeline


def endpoint(kind: RecordKind, url: str, registry: Registry) -> Endpoint[Any]:
    """Make one endpoint from its URL.

    Raises:
        ConfigError: with every problem.
    """
    problems = Problems()
    made = endpoint_from_url(kind, url, registry, problems, "")
    problems.finish()
    assert made is not None
    return made


def choose(pipelines: Sequence[Pipeline], names: Sequence[str]) -> tuple[Pipeline, ...]:
    """Return the pipelines of these names, in the order of the configuration; no names mean all.

    Raises:
        ConfigError: for every name that there is not, with the nearest.
    """
    known = [pipeline.name for pipeline in pipelines]
    unknown = [
        _('unknown pipeline "{name}"{nearest}').format(name=name, nearest=nearest(name, known))
        for name in names
        if name not in known
    ]
    if unknown:
        raise ConfigError(unknown, hint=_("configured: {known}").format(known=", ".join(known)))
    return tuple(pipeline for pipeline in pipelines if not names or pipeline.name in names)


def names_in(path: Path) -> list[str] | None:
    """Return the names of the pipelines in a TOML file, whatever else is wrong with it; None where it can't be read."""
    try:
        document = _read_toml(path)
    except ConfigError:
        return None
    tables = document.get("pipeline")
    names = [one.get("name") for one in tables if isinstance(one, dict)] if isinstance(tables, list) else []
    return [name for name in names if isinstance(name, str)]


def _read_bounded(path: Path) -> bytes:
    """Return what is in a configuration file. Raises OSError, or ConfigError when it can't be one."""
    # Not blocking: whoever opens a named pipe waits for a writer.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ConfigError(
            _("{path}: is no file").format(path=path), hint=_("name the file that holds the configuration")
        )
    with open(descriptor, "rb") as file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise ConfigError(
            _("{path} is larger than {largest} bytes: no configuration is").format(
                path=path, largest=written(_LARGEST)
            ),
            hint=_("name the file that holds the configuration"),
        )
    return data


def _read_toml(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        data = _read_bounded(path)
    except FileNotFoundError:
        raise ConfigError(
            _("there is no configuration at {path}").format(path=path),
            hint=_("write one, name another with --config, or archive ad hoc with --from and --to"),
        ) from None
    except OSError as error:
        raise ConfigError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    try:
        # Editors on Windows put a byte order mark in front.
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problem = _("{path}: line {line} is not UTF-8").format(path=path, line=line)
    except tomllib.TOMLDecodeError as error:
        text = str(error)
        problem = f"{path}: {text[:1].lower()}{text[1:]}"
    except RecursionError:
        problem = _("{path}: its tables and lists are nested too deeply").format(path=path)
    # Not inside: the exceptions carry the text along, and people do write passwords into it.
    raise ConfigError(problem, hint=_("correct the file: nothing in it was used"))


def _from_table(
    table: Mapping[str, object], number: int, registry: Registry, base: Path, problems: Problems
) -> Pipeline | None:
    """Make a pipeline from its TOML table."""
    name = table.get("name")
    what = _("pipeline {number}: ").format(number=number)
    if isinstance(name, str) and name.strip() and name.isprintable():
        what = _('pipeline "{name}": ').format(name=name)
    else:
        problems.add(_('{what}"name" must be given, as one line of text').format(what=what))
    problems.unknown_keys(what, table, _PIPELINE_KEYS)
    source = None
    if "source" in table:
        source_table = _table(what, table, "source", problems)
        expanded = problems.catch(_("{what}source: ").format(what=what), lambda: expand(source_table))
        if expanded is not None:
            source = endpoint_from_table("source", expanded, registry, base, problems, what)
    else:
        problems.add(_("{what}[pipeline.source] is missing").format(what=what))
    sinks, steps = (
        [
            endpoint_from_table(kind, one, registry, base, problems, what)
            for one in _tables(what, table, key, problems)
        ]
        for kind, key in _LISTS
    )
    select = _table(what, table, "select", problems)
    selection = problems.catch("", lambda: read_selection(select, _("{what}select").format(what=what)))
    prune_table = _table(what, table, "prune", problems)
    prune = problems.catch("", lambda: read_policy(prune_table, _("{what}prune").format(what=what)))
    judging = problems.catch("", lambda: _judging(table, what, base))
    pipeline = _assemble(what, str(name), _Parts(source, selection, sinks, steps), problems)
    credentials = _day(what, table, "credentials_expire", problems)
    export = _day(what, table, "export_expires", problems)
    if pipeline is None or judging is None or prune is None:
        return None
    return replace(pipeline, prune=prune, credentials_expire=credentials, export_expires=export, **judging)


class _Parts(NamedTuple):
    """What a pipeline is put together from; None for what has a problem."""

    source: Endpoint[Any] | None
    selection: Selection | None
    sinks: Sequence[Endpoint[Any] | None]
    steps: Sequence[Endpoint[Any] | None]


def _assemble(what: str, name: str, parts: _Parts, problems: Problems) -> Pipeline | None:
    """Check what only shows when all parts are there, and put them together; None when one is missing."""
    source, selection, sinks, steps = parts
    good_sinks = tuple(sink for sink in sinks if sink is not None)
    good_steps = tuple(step for step in steps if step is not None)
    if not sinks:
        problems.add(_("{what}there must be at least one sink").format(what=what))
    _check_sinks(what, source, good_sinks, problems)
    for step in _repeated(good_steps, lambda step: step.where):
        problems.add(_("{what}two post-steps are {where}").format(what=what, where=step.where))
    if source is None or selection is None or len(good_sinks) < len(sinks) or len(good_steps) < len(steps):
        return None
    return Pipeline(name=name, source=source, selection=selection, sinks=good_sinks, steps=good_steps)


def _check_sinks(
    what: str, source: Endpoint[Any] | None, sinks: Sequence[Endpoint[Any]], problems: Problems
) -> None:
    """Find sinks that can't stand beside each other or beside their source."""
    for sink in _repeated(sinks, lambda sink: sink.name):
        problems.add(
            _('{what}two sinks are named "{name}": give one of them another "name"').format(
                what=what, name=sink.name
            )
        )
    for sink in _repeated(sinks, lambda sink: sink.where):
        problems.add(_("{what}two sinks are {where}").format(what=what, where=sink.where))
    rooted = [(root, sink) for sink in sinks if (root := root_of(sink)) is not None]
    for root, sink in _repeated(rooted, lambda pair: pair[0]):
        if not any(other.where == sink.where and other is not sink for other in sinks):
            problems.add(
                _("{what}{where} and another sink both have their files in {root}").format(
                    what=what, where=sink.where, root=root
                )
            )
    if source is None:
        return
    for sink in sinks:
        if sink.where == source.where:
            problems.add(_("{what}source and sink are the same, {where}").format(what=what, where=sink.where))
    folders = reads_of(source)
    for root, sink in rooted:
        if sink.where != source.where and any(root.is_relative_to(folder) for folder in folders):
            problems.add(
                _("{what}the source {source} would read what the sink {sink} writes").format(
                    what=what, source=source.where, sink=sink.where
                )
            )


def _numbered(sinks: Sequence[Endpoint[Any] | None]) -> list[Endpoint[Any] | None]:
    """Give sinks that were not named different names."""
    names = {sink.name for sink in sinks if sink is not None and sink.name != sink.record.name}
    numbered: list[Endpoint[Any] | None] = []
    for sink in sinks:
        if sink is not None and sink.name == sink.record.name:
            candidates = (sink.name, *(f"{sink.name}-{number}" for number in range(2, len(sinks) + 2)))
            name = next(name for name in candidates if name not in names)
            names.add(name)
            numbered.append(replace(sink, name=name))
        else:
            numbered.append(sink)
    return numbered


def _judging(table: Mapping[str, object], what: str, base: Path) -> dict[str, Any]:
    """Read what concerns the judging of seals."""
    given = {option.name: table[option.name] for option in _JUDGING if option.name in table}
    values = read_options(_JUDGING, given, what.removesuffix(": "))
    return {
        "seals": values["seals"],
        "index": values["index"],
        "ocr": values["ocr"],
        "trust": TrustFiles(
            certificates=_files(base, values["trust"]),
            lists=_files(base, values["trust_list"]),
            crls=_files(base, values["crl"]),
        ),
    }


def _files(base: Path, names: object) -> tuple[Path, ...]:
    return tuple(base / name for name in cast("tuple[str, ...]", names))


def _day(what: str, table: Mapping[str, object], key: str, problems: Problems) -> date | None:
    """Return a day, as TOML writes it or as text; None where there is none."""
    value = table.get(key)
    if isinstance(value, datetime):
        return value.date()
    if value is None or isinstance(value, date):
        return value
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        problems.add(
            _('{what}"{key}" must be a day such as 2027-01-31, not {value}').format(
                what=what, key=key, value=repr(value)
            )
        )
        return None


def _table(what: str, table: Mapping[str, object], key: str, problems: Problems) -> dict[str, object]:
    """Return a table in a table, an empty one where there is none."""
    value = table.get(key, {})
    if isinstance(value, dict):
        return value
    problems.add(_('{what}"{key}" must be one table, written in single brackets').format(what=what, key=key))
    return {}


def _tables(what: str, table: Mapping[str, object], key: str, problems: Problems) -> list[dict[str, object]]:
    """Return a list of tables in a table, an empty one where there is none."""
    value = table.get(key, [])
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return value
    problems.add(
        _('{what}"{key}" must be a list of tables, written in double brackets').format(what=what, key=key)
    )
    return []


def _repeated(items: Iterable[T], key: Callable[[T], object]) -> Iterator[T]:
    """Yield the items whose key an earlier one has."""
    seen = []
    for item in items:
        if key(item) in seen:
            yield item
        seen.append(key(item))
