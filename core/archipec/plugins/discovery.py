"""Finds and loads plugins, one at a time, and keeps what is broken away from the rest.

A plugin is an entry point of the group ``archipec``, the built-ins included. Each is loaded by itself and each of
its hooks is called by itself: what fails becomes a `Problem` that names the distribution, and the others go on.
pluggy checks the hooks and hands out their implementations, nothing else: its calling order depends on ``sys.path``,
and one implementation that fails would lose the results of all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, cast, get_args

import pluggy

from archipec import hookspecs
from archipec.contract import API, Option, PostStepType, SinkType, SourceType
from archipec.language import _
from archipec.options import OptionKind, UrlPart, nearest
from archipec.plugins.boundary import behind_the_boundary, misbehaviour
from archipec.plugins.installed import Installed, installed
from archipec.supervision import Silent, plugin_code, user_interrupted

RecordKind: TypeAlias = Literal["source", "sink", "post-step"]
PluginRecord: TypeAlias = SourceType[Any] | SinkType[Any] | PostStepType[Any]

_HOOKS: Final[dict[str, tuple[RecordKind, type[PluginRecord]]]] = {
    "archipec_sources": ("source", SourceType),
    "archipec_sinks": ("sink", SinkType),
    "archipec_poststeps": ("post-step", PostStepType),
}
_OF_ITS_KIND: Final[dict[type[PluginRecord], tuple[str, ...]]] = {SinkType: ("root",), SourceType: ("reads",)}
_NAME = re.compile(r"[a-z][a-z0-9-]*")
# RFC 3986 §3.1, from two characters up: one letter and a colon are a Windows drive.
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+")
_OPTION = re.compile(r"[a-z][a-z0-9_]*")
_RESERVED = frozenset({"type", "name", "required"})


@dataclass(frozen=True, slots=True)
class Plugin:
    """A record, and where it comes from."""

    distribution: str
    version: str
    entry_point: str
    kind: RecordKind
    record: PluginRecord

    @property
    def names(self) -> tuple[str, ...]:
        """What it answers to: its name, then its schemes."""
        return tuple(dict.fromkeys((self.record.name, *self.record.schemes)))

    @property
    def source(self) -> tuple[str, str, str]:
        """Distribution, version and entry point."""
        return self.distribution, self.version, self.entry_point

    @property
    def origin(self) -> str:
        """Distribution and version, for messages."""
        return f"{self.distribution} {self.version}"


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a plugin, or one record of it, is not used.

    Attributes:
        kind: of the record, None when the whole plugin is concerned.
        names: the names and schemes that are missing because of it, as far as they are known.
        error: what the plugin raised, for a traceback.
    """

    distribution: str
    version: str
    entry_point: str
    message: str
    kind: RecordKind | None = None
    names: tuple[str, ...] = ()
    error: BaseException | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return _("plugin {entry_point} of {distribution} {version}: {message}").format(
            entry_point=self.entry_point,
            distribution=self.distribution,
            version=self.version,
            message=self.message,
        )


def discover() -> tuple[list[Installed], list[Problem]]:
    """Find every installed plugin, the built-ins first, in an order that depends on names only. None is loaded.

    Returns:
        their entry points, and a problem for whatever can't be read.
    """
    problems: list[Problem] = []

    def unreadable(distribution: str, version: str, what: str, error: Exception) -> None:
        message = _("{what} can't be read: {reason}").format(what=what, reason=misbehaviour(error))
        problems.append(Problem(distribution, version, "?", message, error=error))

    return installed(unreadable), problems


def load_plugin(
    found: Installed, formats: Sequence[SourceType[Any]] = ()
) -> tuple[list[Plugin], list[Problem]]:
    """Load one plugin.

    Args:
        formats: what `archipec.contract.Context.formats` is to hold.

    Returns:
        its records that are sound, and a problem for whatever is not. Nothing is raised on its behalf.
    """
    problems: list[Problem] = []
    return list(_plugins(found, problems, formats)), problems


def _plugins(
    found: Installed, problems: list[Problem], formats: Sequence[SourceType[Any]]
) -> Iterator[Plugin]:
    source = (found.distribution, found.version, found.point.name)
    where = f"{found.point.name} of {found.distribution} {found.version}"
    try:
        with plugin_code(where, _("import of {value}").format(value=found.point.value), loading=True):
            plugin = found.point.load()
        implementations = _implementations(plugin, ":".join(source))
    except pluggy.PluginValidationError as error:
        problems.append(Problem(*source, " ".join(str(error).split()), error=error))
        return
    except BaseException as error:  # noqa: BLE001 - a plugin's
        problems.append(Problem(*source, _("can't be loaded: {why}").format(why=_why(error)), error=error))
        return
    for hook, function in implementations:
        kind, record_type = _HOOKS[hook]
        try:
            with plugin_code(where, hook, loading=True):
                records = [(record, _flaws(record, record_type)) for record in function()]
        except BaseException as error:  # noqa: BLE001 - a plugin's
            problems.append(
                Problem(*source, _("{hook} failed: {why}").format(hook=hook, why=_why(error)), error=error)
            )
            continue
        for record, flaws in records:
            if not flaws:
                distribution = f"{found.distribution} {found.version}"
                guarded = behind_the_boundary(cast(Any, record), distribution, formats)
                yield Plugin(*source, kind, guarded)
            elif not isinstance(record, record_type):
                problems.append(
                    Problem(*source, _("{hook} yielded {flaws}").format(hook=hook, flaws=flaws[0]))
                )
            else:
                names = tuple(filter(None, _texts((record.name, *_tuple(record.schemes)))))
                message = f"{kind} {_shown(record.name)}: {'; '.join(flaws)}"
                problems.append(Problem(*source, message, kind, names))


def _implementations(plugin: object, name: str) -> list[tuple[str, Callable[[], Iterable[object]]]]:
    """Let pluggy check a plugin; return its hooks and their functions, in the order of `_HOOKS`.

    Raises:
        pluggy.PluginValidationError: it implements a hook that there is not, as a wrapper, with arguments, or none.
    """
    # A manager of its own: pluggy keeps half a registration when one fails.
    manager = pluggy.PluginManager("archipec")
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(plugin, name)
    except pluggy.PluginValidationError as error:
        raise pluggy.PluginValidationError(plugin, _hook_flaw(plugin) or str(error)) from error
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        unknown = [hook for hook in vars(manager.hook) if hook not in _HOOKS and not hook.startswith("_")]
        named = ", ".join(f'"{hook}"{nearest(hook, _HOOKS)}' for hook in unknown)
        raise pluggy.PluginValidationError(plugin, _("unknown hook {named}").format(named=named)) from error
    found: list[tuple[str, Callable[[], Iterable[object]]]] = []
    for hook in _HOOKS:
        for implementation in getattr(manager.hook, hook).get_hookimpls():
            if implementation.wrapper or implementation.hookwrapper:
                raise pluggy.PluginValidationError(
                    plugin, _("{hook} must not be a wrapper").format(hook=hook)
                )
            found.append((hook, implementation.function))
    if not found:
        raise pluggy.PluginValidationError(
            plugin,
            _("implements no hook ({hooks}): is the decorator @hookimpl missing?").format(
                hooks=", ".join(_HOOKS)
            ),
        )
    return found


def _hook_flaw(plugin: object) -> str:
    """Say why pluggy refuses a hook: it was given parameters. Empty when that is not why."""
    import inspect

    for hook in _HOOKS:
        function = getattr(plugin, hook, None)
        if callable(function) and (names := list(inspect.signature(function).parameters)):
            return _("{hook} must take no parameters, and takes {names}").format(
                hook=hook, names=", ".join(names)
            )
    return ""


def _flaws(record: object, record_type: type[PluginRecord]) -> list[str]:
    """Return all that keeps a record from being used. Its fields may hold anything: dataclasses check no types."""
    if not isinstance(record, record_type):
        return [_("{shown}, not a {name}").format(shown=_shown(record), name=record_type.__name__)]
    flaws: list[str] = []
    if type(record.api) is not int or record.api != API:
        flaws.append(
            _("written for contract version {shown}, this archipec speaks {api}").format(
                shown=_shown(record.api), api=API
            )
        )
    if not isinstance(record.name, str) or not _NAME.fullmatch(record.name):
        flaws.append(_("its name must be lower case letters, digits and hyphens"))
    if not isinstance(record.summary, str) or not record.summary or not record.summary.isprintable():
        flaws.append(_("its summary must be one line"))
    if not isinstance(record.schemes, tuple) or not all(map(_SCHEME.fullmatch, _texts(record.schemes))):
        flaws.append(_("its schemes must be a tuple of URL schemes of two characters or more, in lower case"))
    callables = ("parse", "where", "open", *_OF_ITS_KIND.get(record_type, ()))
    flaws += [
        _('its "{name}" must be callable').format(name=name)
        for name in callables
        if not callable(getattr(record, name))
    ]
    if not callable(getattr(record, "detects", None) or callable):
        flaws.append(_('its "detects" must be callable, or None'))
    if not isinstance(record.options, tuple) or not all(isinstance(item, Option) for item in record.options):
        flaws.append(_("its options must be a tuple of Option"))
    else:
        flaws += _option_flaws(record.options)
    return flaws


def _option_flaws(options: tuple[Option, ...]) -> Iterator[str]:
    names: set[str] = set()
    parts: set[str] = set()
    for option in options:
        what = _("option {name}").format(name=repr(option.name))
        if not isinstance(option.name, str) or not _OPTION.fullmatch(option.name):
            yield _("{what} must be named in lower case letters, digits and underscores").format(what=what)
            continue
        if option.name in names:
            yield _("{what} is there twice").format(what=what)
        if option.name in _RESERVED:
            yield _("{what} has a name that the host keeps for itself").format(what=what)
        if option.part not in get_args(UrlPart):
            yield _("{what} has the unknown URL part {part}").format(what=what, part=repr(option.part))
        elif option.kind not in get_args(OptionKind):
            yield _("{what} is of the unknown kind {kind}").format(what=what, kind=repr(option.kind))
        elif option.part and option.part in parts:
            yield _("{what} takes the URL part {part}, which another option takes").format(
                what=what, part=repr(option.part)
            )
        if option.secret and option.part:
            yield _("{what} is a secret, and no part of a URL may be one").format(what=what)
        if option.name == "connections" and not _is_count(option.default):
            yield _("{what} must default to a whole number above 0 or to nothing").format(what=what)
        names.add(option.name)
        parts.add(option.part)


def _is_count(value: object) -> bool:
    return value is None or (type(value) is int and value > 0)


def _tuple(value: object) -> tuple[object, ...]:
    return value if isinstance(value, tuple) else ()


def _texts(values: tuple[object, ...]) -> tuple[str, ...]:
    """The items as texts, "" in the place of what is no text."""
    return tuple(value if isinstance(value, str) else "" for value in values)


def _why(error: BaseException) -> str:
    """Type and message of what a plugin raised, on one line, in plain English where the message takes knowing Python.

    Raises:
        KeyboardInterrupt: when it was the user.
    """
    if isinstance(error, KeyboardInterrupt) and user_interrupted.is_set():
        raise error
    if isinstance(error, Silent):
        return error.error.message
    unknown = re.search(
        r"(\w*Type|Option)\.__init__\(\) got an unexpected keyword argument '(\w+)'", str(error.args)
    )
    if isinstance(error, TypeError) and unknown:
        return _('{record} has no field "{field}" in this archipec: a newer one may know it').format(
            record=unknown[1], field=unknown[2]
        )
    return misbehaviour(error)


def _shown(value: object) -> str:
    try:
        return repr(value)[:80]
    except Exception:  # noqa: BLE001 - a plugin's
        return _("an object of type {name}, whose repr fails").format(name=type(value).__name__)
