"""The boundary between archipec and its plugins: every call of a plugin's code goes through here.

`behind_the_boundary` gives the host a record whose functions, and the objects they open, are the plugin's with this
around each call: whatever a plugin raises outside the tree of errors becomes a PluginBug that names the distribution of
its entry point, known secrets are masked in all it says, what it prints goes to stderr (`archipec.cli.output`), and its
silence is noticed (`archipec.supervision`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from types import TracebackType
from typing import Any, BinaryIO, Final, Self, TypeVar, cast

from archipec.contract import Context, PostStepType, SinkType, SourceType
from archipec.errors import ArchipecError, ConfigError, PluginBug, from_os_error, is_full
from archipec.masking import mask
from archipec.message import Claim, Fetched, Item, Listed, Receipt
from archipec.supervision import Silent, beat, plugin_code, pulled, user_interrupted

R = TypeVar("R", SourceType[Any], SinkType[Any], PostStepType[Any])

_log = logging.getLogger("archipec.plugins")

_CALLABLES: Final = ("parse", "where", "root", "reads", "detects")
# What functions and methods of the contract give; of others what comes is passed on as it is.
_RESULTS: Final[Mapping[str, type]] = {
    "scan": Listed,
    "fetch": Fetched,
    "commit": Receipt,
    "find": Receipt,
    "settle": Receipt,
    "iterate": Receipt,
    "check": ArchipecError,
    "detects": Claim,
}
# Iterators of which none runs a line of the plugin's: most messages come whole, as one chunk.
_PLAIN: Final = frozenset({type(iter(())), type(iter([]))})
_MAY_BE_NONE: Final = frozenset({"find"})


class _Origin:
    """Who a record is of."""

    __slots__ = ("text",)

    def __init__(self, name: str, distribution: str) -> None:
        self.text = f'"{name}" ({distribution})'


def described(record: Any) -> str:
    """Return ``the plugin "acme" (archipec-acme 1.0)``: a record and the distribution of its entry point."""
    origin = getattr(record.open, "origin", None)
    text = origin.text if isinstance(origin, _Origin) else f'"{record.name}" ({_distribution(record)})'
    return f"the plugin {text}"


def _distribution(record: Any) -> str:
    """Return the distribution and version of the module a record's code is in: the best guess without an entry point."""
    from importlib.metadata import packages_distributions, version

    package = getattr(record.open, "__module__", "").partition(".")[0]
    names = packages_distributions().get(package, [])
    return " ".join((names[0], version(names[0]))) if names else f"module {package}"


@contextmanager
def plugin_boundary(record: Any) -> Iterator[None]:
    """Turn what is raised outside the tree of errors, while a plugin is at work, into a PluginBug that names it."""
    try:
        yield
    except GeneratorExit:
        raise
    except BaseException as error:  # noqa: BLE001 - SystemExit too
        raise_plugin_error(described(record), "", error)


def raise_plugin_error(plugin: str, what: str, error: BaseException) -> None:
    """Raise what an exception that left a plugin's code means.

    Raises:
        ArchipecError: the plugin's own one, secrets masked; NoRoom where a disk was full, which is no bug; a
            PluginBug for every other exception, SystemExit included.
        KeyboardInterrupt: the user's.
    """
    if isinstance(error, Silent):
        raise error.error from None
    if isinstance(error, ArchipecError):
        _scrub(error)
        raise error
    if isinstance(error, KeyboardInterrupt) and user_interrupted.is_set():
        raise error
    if isinstance(error, OSError) and is_full(error):
        place = f"{error.filename}, which" if error.filename else "the files that"
        raise from_os_error(error, f"{place} {plugin} writes") from error
    _log.debug("where it failed:", exc_info=error)
    raise PluginBug(
        f"{plugin} failed{what} with {misbehaviour(error)}",
        hint="this is a bug: run again with -v and report what it shows",
    ) from error


def misbehaviour(error: BaseException) -> str:
    """Return type and message of a plugin's exception on one line, with secrets masked."""
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 - a plugin's
        message = "its message fails"
    return " ".join(mask(f"{type(error).__name__}: {message}").split())[:400].removesuffix(":")


def _scrub(error: ArchipecError) -> None:
    """Mask what a plugin put into its error after it was made, or before the secret was known."""
    error.message = mask(_text(error.message))
    error.hint = mask(_text(error.hint))
    error.args = (error.message,)
    if isinstance(error, ConfigError):
        error.problems = tuple(mask(_text(problem)) for problem in error.problems)


def _text(value: object) -> str:
    return value if isinstance(value, str) else misbehaviour(Exception(value))


# -- records ------------------------------------------------------------------------------------------


def behind_the_boundary(record: R, distribution: str, formats: Sequence[SourceType[Any]] = ()) -> R:
    """Return a sound record with every call of its plugin's code guarded.

    Args:
        distribution: that of its entry point, with the version.
        formats: what `Context.formats` is to hold when it is opened.
    """
    origin = _Origin(record.name, distribution)
    changes: dict[str, Any] = {
        name: _Function(origin, name, getattr(record, name))
        for name in _CALLABLES
        if getattr(record, name, None) is not None
    }
    return replace(record, open=_Open(origin, record.open, formats), **changes)


class _Guard:
    """Something of a plugin's, and what it is called in messages."""

    __slots__ = ("_call", "_code", "origin", "what")

    def __init__(self, origin: _Origin, what: str, call: Callable[..., Any]) -> None:
        self.origin = origin
        self.what = what
        self._call = call
        self._code = plugin_code(origin.text, what)

    def run(self, call: Callable[..., Any], *given: Any, **named: Any) -> Any:
        """Call a function of the plugin's."""
        try:
            with self._code:
                return call(*given, **named)
        except BaseException as error:  # noqa: BLE001 - SystemExit too
            raise_plugin_error(f"the plugin {self.origin.text}", f" in {self.what}", error)


class _Function(_Guard):
    """A function of a record."""

    __slots__ = ()

    def __call__(self, *given: Any, **named: Any) -> Any:
        result = self.run(self._call, *given, **named)
        _check(self, result, _RESULTS.get(self.what))
        return result


class _Open(_Guard):
    """A record's ``open``: what it opens is guarded too."""

    __slots__ = ("_formats",)

    def __init__(self, origin: _Origin, call: Callable[..., Any], formats: Sequence[SourceType[Any]]) -> None:
        super().__init__(origin, "open", call)
        self._formats = formats

    def __call__(self, config: Any, context: Context) -> AbstractContextManager[Any]:
        def cancelled() -> bool:
            beat()
            return context.cancelled()

        watched = replace(context, cancelled=cancelled, formats=self._formats)
        return _Opening(self, lambda: self._call(config, watched), lambda opened: _proxy(self.origin, opened))


class _Opening(AbstractContextManager[Any]):
    """A context of a plugin's; what it gives is made ready by ``wrap``."""

    def __init__(self, guard: _Guard, make: Callable[[], Any], wrap: Callable[[Any], Any]) -> None:
        self._guard = guard
        self._make = make
        self._wrap = wrap

    def __enter__(self) -> Any:
        def enter() -> Any:
            self._context = self._make()
            return self._context.__enter__()

        return self._wrap(self._guard.run(enter))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._guard.run(_leave, self._context, kind, error, traceback)


# -- what is opened -----------------------------------------------------------------------------------


def _proxy(origin: _Origin, opened: Any) -> Any:
    """Return an object with the public attributes of ``opened``, its methods guarded.

    A class of its own an object: the abilities of the contract are recognised by the methods that are there.
    """
    members: dict[str, Any] = {"__slots__": ()}
    for name in dir(opened):
        if name.startswith("_"):
            continue
        value = getattr(opened, name)
        members[name] = _method(origin, name, value) if callable(value) else value
    return type(type(opened).__name__, (), members)()


def _method(origin: _Origin, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    if name == "read":
        return _read_method(_Reading(origin, name, call), call)
    guard = _Guard(origin, name, call)

    def method(_self: object, *given: Any, **named: Any) -> Any:
        result = guard.run(call, *map(_lent, given), **named)
        return _given(guard, result)

    return method


def _read_method(guard: _Reading, call: Callable[..., Any]) -> Callable[..., Any]:
    def read(_self: object, receipt: Receipt) -> _Copy:
        return _Copy(guard, guard.run(call, receipt))

    return read


def _lent(value: Any) -> Any:
    """What a plugin is given: being asked for more of it is a sign of life, and so are the bytes it reads."""
    if isinstance(value, Item):
        return (
            value
            if value.body is not None
            else value._replace(open=lambda: cast(BinaryIO, _Reader(value.open())))
        )
    return pulled(value) if isinstance(value, Iterator) else value


def _given(guard: _Guard, result: Any) -> Any:
    """What a plugin gives: lazy things of it go on being its code."""
    expected = _RESULTS.get(guard.what)
    if result is None and not expected:
        return None
    if isinstance(result, (list, tuple)):
        for one in result if expected else ():
            _check(guard, one, expected)
        return result
    if isinstance(result, Iterable) and not isinstance(result, (str, bytes, Mapping, AbstractContextManager)):
        return _items(guard, result, expected)
    if expected and not (result is None and guard.what in _MAY_BE_NONE):
        _check(guard, result, expected)
    return result


def _check(guard: _Guard, value: Any, expected: type | None) -> None:
    if expected is not None and not isinstance(value, expected):
        raise PluginBug(
            f"the plugin {guard.origin.text} broke the contract in {guard.what}: it gave"
            f" {_article(type(value).__name__)}, not {_article(expected.__name__)}"
        )
    if isinstance(value, ArchipecError):
        _scrub(value)


def _article(name: str) -> str:
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def _items(guard: _Guard, items: Iterable[Any], expected: type | None) -> Iterator[Any]:
    iterator = guard.run(iter, items)
    end = object()
    try:
        while (item := guard.run(next, iterator, end)) is not end:
            _check(guard, item, expected)
            yield _fetched(guard, item) if expected is Fetched else item
    finally:
        if (close := getattr(iterator, "close", None)) is not None:
            guard.run(close)


def _fetched(guard: _Guard, item: Fetched) -> Fetched:
    if type(item.chunks) in _PLAIN:
        return item
    return Fetched(item.ref, _chunks(guard, item.chunks), item.saved, item.loose)


def _chunks(guard: _Guard, chunks: Iterable[bytes]) -> Iterator[bytes]:
    iterator = iter(chunks)
    while (chunk := guard.run(next, iterator, None)) is not None:
        yield chunk


class _Reading(_Guard):
    """The guard of a stored copy: that it can't be read is said by an OSError too."""

    __slots__ = ()

    def run(self, call: Callable[..., Any], *given: Any, **named: Any) -> Any:
        """Call a function of the plugin's."""
        try:
            with self._code:
                return call(*given, **named)
        except OSError:
            raise
        except BaseException as error:  # noqa: BLE001 - SystemExit too
            raise_plugin_error(f"the plugin {self.origin.text}", " in read", error)


class _Copy:
    """A stored copy, in the host's hands: the context that a plugin gave, and the reader that this gives."""

    __slots__ = ("_context", "_guard", "_stream")

    def __init__(self, guard: _Reading, context: AbstractContextManager[BinaryIO]) -> None:
        self._guard = guard
        self._context = context
        self._stream: Any = None

    def __enter__(self) -> Self:
        self._stream = self._guard.run(_enter, self._context)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._guard.run(_leave, self._context, kind, error, traceback)

    def read(self, size: int = -1) -> bytes:
        return cast(bytes, self._guard.run(self._stream.read, size))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _enter(context: AbstractContextManager[Any]) -> Any:
    return context.__enter__()


def _leave(
    context: AbstractContextManager[Any],
    kind: type[BaseException] | None,
    error: BaseException | None,
    traceback: TracebackType | None,
) -> None:
    """Let a plugin clean up; that it swallows what the host has to know is not heeded."""
    try:
        context.__exit__(kind, error, traceback)
    except BaseException as raised:
        if raised is not error:  # the host's own, on its way through
            raise


class _Reader:
    """A reader of the host's in a plugin's hands."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        beat()
        return self._stream.read(size)

    def readinto(self, buffer: Any) -> int:
        beat()
        return cast(int, self._stream.readinto(buffer))  # type: ignore[attr-defined]

    def __iter__(self) -> Iterator[bytes]:
        for line in self._stream:
            beat()
            yield line

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
