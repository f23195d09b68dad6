"""What may be used, by name and by URL scheme, with name clashes refused.

The name of a record and its URL schemes share one namespace per hook, so that a word means one record. A word of a
built-in stays the built-in's, whatever other plugin claims it; a word that two other plugins claim belongs to neither.

Where archipec's own plugins are all there are, each is loaded when a word is asked for that is its own: no two of them
have one in common. Else all are loaded at once, because only then it is known what each claims and whether it is sound.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, cast, overload

from archipec.contract import SinkType, SourceType
from archipec.errors import ConfigError
from archipec.language import _
from archipec.options import nearest
from archipec.plugins.discovery import Plugin, PluginRecord, Problem, RecordKind, discover, load_plugin
from archipec.plugins.installed import OWN, Installed

_Word: TypeAlias = tuple[RecordKind, str]


class Registry:
    """The records that may be used. An object, made where one is needed: nothing is loaded at import.

    Args:
        waiting: plugins that are to be loaded when they are asked for.
    """

    def __init__(
        self,
        plugins: Iterable[Plugin] = (),
        problems: Iterable[Problem] = (),
        waiting: Iterable[Installed] = (),
    ) -> None:
        self._offered = list(plugins)
        self._unsound = list(problems)
        self._waiting = list(waiting)
        self._formats = _Formats(lambda: self.sources)
        self._take_in()

    def _load(self, entry_points: Iterable[Installed]) -> None:
        for one in entry_points:
            self._waiting.remove(one)
            plugins, problems = load_plugin(one, self._formats)
            self._offered += plugins
            self._unsound += problems
        self._take_in()

    def _load_all(self) -> None:
        if self._waiting:
            self._load(list(self._waiting))
            # As they were found, whatever was asked for first.
            self._offered.sort(
                key=lambda plugin: (plugin.distribution != OWN, plugin.distribution, plugin.entry_point)
            )
            self._take_in()

    def _take_in(self) -> None:
        """Settle whose each word is, of what is loaded by now."""
        offered = self._offered
        claims: dict[_Word, list[Plugin]] = defaultdict(list)
        for plugin in offered:
            for word in plugin.names:
                claims[plugin.kind, word].append(plugin)
        owners = {key: rivals[0] if len(rivals) == 1 else _built_in(rivals) for key, rivals in claims.items()}
        # Without its name a record is not used at all; without a scheme it keeps the rest.
        self._plugins = tuple(
            plugin for plugin in offered if owners[plugin.kind, plugin.record.name] is plugin
        )
        self._problems = (*self._unsound, *_clashes(offered, claims, owners))
        self._contested = {key: claims[key] for key, owner in owners.items() if owner is None}
        self._by_word = {
            (plugin.kind, word): plugin
            for plugin in self._plugins
            for word in plugin.names
            if owners[plugin.kind, word] is plugin
        }

    @classmethod
    def load(cls, *, strict: bool | None = None) -> Registry:
        """Find every installed plugin.

        Args:
            strict: raise when there are problems; None goes by the environment (ARCHIPEC_STRICT_PLUGINS=1).

        Raises:
            ConfigError: strict, and there are problems: all of them.
        """
        found, problems = discover()
        registry = cls(problems=problems, waiting=found)
        if strict is None:
            strict = strict_plugins()
        if strict or problems or any(one.distribution != OWN for one in found):
            registry._load_all()
        if strict and registry.problems:
            first = next((problem.error for problem in registry.problems if problem.error), None)
            raise ConfigError(
                [str(problem) for problem in registry.problems],
                hint=_("repair or uninstall them, or unset ARCHIPEC_STRICT_PLUGINS"),
            ) from first
        return registry

    @property
    def plugins(self) -> Sequence[Plugin]:
        """Every usable record, the built-ins first, in an order that depends on names only."""
        self._load_all()
        return self._plugins

    @property
    def problems(self) -> Sequence[Problem]:
        """What could not be used, and why, of what is loaded by now."""
        return self._problems

    @property
    def sources(self) -> tuple[SourceType[Any], ...]:
        """The kinds of source."""
        return tuple(plugin.record for plugin in self.plugins if isinstance(plugin.record, SourceType))

    @property
    def sinks(self) -> tuple[SinkType[Any], ...]:
        """The kinds of sink."""
        return tuple(plugin.record for plugin in self.plugins if isinstance(plugin.record, SinkType))

    def source(self, word: str) -> SourceType[Any]:
        """Return the kind of source with this name or scheme; see `find`."""
        return cast(SourceType[Any], self.find("source", word))

    def sink(self, word: str) -> SinkType[Any]:
        """Return the kind of sink with this name or scheme; see `find`."""
        return cast(SinkType[Any], self.find("sink", word))

    def find(self, kind: RecordKind, word: str, *, schemes: bool = True) -> PluginRecord:
        """Return the record with this name or scheme.

        Args:
            schemes: False finds by name only.

        Raises:
            ConfigError: nothing has it, naming the nearest that exists; two plugins claim it, naming both; or the
                plugin that has it is broken, saying why.
        """
        plugin = self._owner(kind, word)
        if plugin is not None:
            if schemes or plugin.record.name == word:
                return plugin.record
            raise ConfigError(
                _('{kind} "{word}" is a URL scheme, its name is "{name}"').format(
                    kind=kind, word=word, name=plugin.record.name
                )
            )
        contested = self._contested.get((kind, word))
        if contested is not None:
            raise ConfigError(
                _('{kind} "{word}" is claimed by {listed}').format(
                    kind=kind, word=word, listed=_listed(contested)
                ),
                hint=_("uninstall all of them but one"),
            )
        broken = [problem for problem in self.problems if _explains(problem, kind, word)]
        if broken:
            raise ConfigError(
                [
                    _('{kind} "{word}" can\'t be used: {problem}').format(
                        kind=kind, word=word, problem=problem
                    )
                    for problem in broken
                ],
                hint=_("repair or reinstall that plugin"),
            )
        offered = [plugin for plugin in self.plugins if plugin.kind == kind]
        known = [one for plugin in offered for one in (plugin.names if schemes else [plugin.record.name])]
        hint = _("'archipec plugins list' shows what is installed")
        if self.problems:
            hint += _("; not usable: ") + "; ".join(map(str, self.problems))
        raise ConfigError(
            _('unknown {kind} "{word}"{nearest}').format(kind=kind, word=word, nearest=nearest(word, known)),
            hint=hint,
        )

    def _owner(self, kind: RecordKind, word: str) -> Plugin | None:
        """Return whose a word is. Nothing is loaded but what may have it, as long as that has it."""
        if (kind, word) not in self._by_word and self._waiting:
            # "conservation+sftp" is a scheme of conservation-sftp, "imaps" one of imap.
            names = (word, word.removesuffix("s"), word.replace("+", "-"))
            self._load([one for one in self._waiting if one.point.name in names])
            if (kind, word) not in self._by_word:
                self._load_all()
        return self._by_word.get((kind, word))

    def plugin_of(self, record: PluginRecord) -> Plugin | None:
        """Return where a record comes from, None for one that this registry does not hold."""
        return next((plugin for plugin in self._plugins if plugin.record is record), None)


class _Formats(Sequence[SourceType[Any]]):
    """The kinds of source that tell their format, for `archipec.contract.Context`; found when they are looked at."""

    def __init__(self, sources: Callable[[], Iterable[SourceType[Any]]]) -> None:
        self._sources = sources

    def _found(self) -> list[SourceType[Any]]:
        return [source for source in self._sources() if source.detects is not None]

    @overload
    def __getitem__(self, at: int) -> SourceType[Any]: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[SourceType[Any]]: ...
    def __getitem__(self, at: int | slice) -> SourceType[Any] | Sequence[SourceType[Any]]:
        return self._found()[at]

    def __len__(self) -> int:
        return len(self._found())

    def __iter__(self) -> Iterator[SourceType[Any]]:
        return iter(self._found())


def strict_plugins() -> bool:
    """Tell whether the environment (ARCHIPEC_STRICT_PLUGINS=1) makes a broken plugin an error."""
    return os.environ.get("ARCHIPEC_STRICT_PLUGINS", "") not in ("", "0")


def _built_in(rivals: list[Plugin]) -> Plugin | None:
    return next((plugin for plugin in rivals if plugin.distribution == OWN), None)


def _listed(plugins: list[Plugin]) -> str:
    return " and ".join(
        _("{origin} (entry point {entry_point})").format(origin=plugin.origin, entry_point=plugin.entry_point)
        for plugin in plugins
    )


def _clashes(
    offered: Iterable[Plugin],
    claims: Mapping[_Word, list[Plugin]],
    owners: Mapping[_Word, Plugin | None],
) -> Iterator[Problem]:
    """Yield a problem for every plugin that does not get all of its names."""
    for plugin in offered:
        lost = [word for word in plugin.names if owners[plugin.kind, word] is not plugin]
        messages = []
        for word in lost:
            owner = owners[plugin.kind, word]
            if owner is not None:
                messages.append(
                    _('{kind} "{word}" is taken by {origin}, which is built in').format(
                        kind=plugin.kind, word=word, origin=owner.origin
                    )
                )
            else:
                rivals = [rival for rival in claims[plugin.kind, word] if rival is not plugin]
                messages.append(
                    _('{kind} "{word}" is also claimed by {listed}: it is not used').format(
                        kind=plugin.kind, word=word, listed=_listed(rivals)
                    )
                )
        if lost:
            names = plugin.names if plugin.record.name in lost else tuple(lost)
            yield Problem(*plugin.source, "; ".join(messages), plugin.kind, names)


def _explains(problem: Problem, kind: RecordKind, word: str) -> bool:
    if problem.kind is None:
        return problem.entry_point == word
    return problem.kind == kind and word in problem.names
