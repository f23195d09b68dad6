"""Conformance of records: what every plugin owes, whatever it makes."""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from archipec.contract import API, Claim, Context, DumpSample, Secret, SinkType, SourceType
from archipec.errors import ArchipecError, ConfigError
from archipec.testing.base import Conformance, UnderTest, must_not_raise, only_archipec_errors
from archipec.testing.factories import PluginRecord, configure, make_context, option_values
from archipec.testing.import_guard import import_findings, no_io

_NAME = re.compile(r"[a-z][a-z0-9-]*")
_OPTION = re.compile(r"[a-z][a-z0-9_]*")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")  # RFC 3986 §3.1, lower case
_TOML_VALUES: tuple[object, ...] = (
    *("", "x", "no such thing", "-1", "0", "\0", "è" * 300),
    *(-1, 0, 2**70, 1.5, float("nan"), True, False),
    *([], ["x"], [1], [[]], {}, {"x": "y"}, date(2026, 1, 1)),
)


class _Unrevealed:
    """A secret that may not be looked at yet."""

    def reveal(self) -> str:
        raise AssertionError(
            "parse must not reveal a secret: a reference may lead to a keyring, a file or a program"
        )

    def __repr__(self) -> str:
        return "***"


class PluginConformance(Conformance):
    """Cases about a record (`SourceType`, `SinkType`, `PostStepType`); the classes for each inherit them.

    Fixtures to give:
        record: the record; the subclasses have it from ``source_type``, ``sink_type`` or ``poststep_type``.
        table: settings that work, as in a TOML table; a secret option holds the secret itself.

    Fixtures to give where they make sense, else name their cases in ``expected_skips``:
        mistakes: two or more tables laid over ``table``, one at a time and then all together; each is a
            mistake in other options, and one that only ``parse`` can see: ``convert`` accepts it.
        other_table: settings of another source, sink or step than ``table``.
        broken_table: settings that parse, but with which nothing can be opened: no server answers, the path is a file.
        same_tables: other spellings of ``table``, besides those that the kit makes up.
        plugin_module: the plugin's module; by default the one ``open`` is from.
    """

    @pytest.fixture
    def record(self) -> PluginRecord:
        """The record under test."""
        raise NotImplementedError("give the fixture `record`")

    @pytest.fixture
    def table(self) -> Mapping[str, object]:
        """Settings that work."""
        raise NotImplementedError("give the fixture `table`")

    @pytest.fixture
    def mistakes(self) -> Sequence[Mapping[str, object]]:
        """Settings that ``parse`` must refuse."""
        return ()

    @pytest.fixture
    def other_table(self) -> Mapping[str, object] | None:
        """Settings of another one."""
        return None

    @pytest.fixture
    def broken_table(self) -> Mapping[str, object] | None:
        """Settings with which nothing can be opened."""
        return None

    @pytest.fixture
    def same_tables(self) -> Sequence[Mapping[str, object]]:
        """Other spellings of the same settings."""
        return ()

    @pytest.fixture
    def plugin_module(self, record: PluginRecord) -> str:
        """The module that the entry point names."""
        return record.open.__module__

    @pytest.fixture
    def config(self, record: PluginRecord, table: Mapping[str, object]) -> Any:
        """What ``parse`` makes of ``table``."""
        return configure(record, table)

    @pytest.fixture
    def context(self, tmp_path: Path) -> Context:
        """What the host gives to ``open``."""
        return make_context(tmp_path)

    @pytest.fixture
    def under_test(self, record: PluginRecord, config: Any, context: Context) -> UnderTest[Any]:
        """What is under test, ready to be opened."""
        return UnderTest(record=record, config=config, context=context)

    def exercise(self, opened: Any) -> None:
        """Do once what the host does with an opened object; the subclasses for each kind know what."""

    def test_speaks_this_contract(self, record: PluginRecord) -> None:
        """Rule: ``api`` is the contract version the author wrote against, as a number."""
        assert record.api == 1, f"api must be the number 1, not {record.api!r}; this kit tests contract {API}"

    def test_name_and_schemes_are_well_formed(self, record: PluginRecord) -> None:
        """Rule: a name is lower case letters, digits and hyphens; a scheme is one of RFC 3986, in lower case."""
        assert _NAME.fullmatch(record.name), (
            f"name must be lower case letters, digits, hyphens: {record.name!r}"
        )
        assert isinstance(record.schemes, tuple), "schemes must be a tuple"
        for scheme in record.schemes:
            assert _SCHEME.fullmatch(scheme), f"a scheme must be one of RFC 3986 in lower case: {scheme!r}"
        assert len(set(record.schemes)) == len(record.schemes), f"a scheme must occur once: {record.schemes}"

    def test_is_documented(self, record: PluginRecord) -> None:
        """Rule: the summary is one line, and every option has a help of one line."""
        texts = {"summary": record.summary} | {
            f'option "{option.name}"': option.help for option in record.options
        }
        for what, text in texts.items():
            assert text.strip(), f"{what} must be explained in one line"
            assert text == text.strip() and "\n" not in text, (
                f"{what} must be explained in one line: {text!r}"
            )

    def test_options_are_consistent(self, record: PluginRecord) -> None:
        """Rule: an option is declared once; required or secret, it has no default; a URL part fills one."""
        assert isinstance(record.options, tuple), "options must be a tuple"
        names = [option.name for option in record.options]
        assert len(set(names)) == len(names), f"an option must be declared once: {names}"
        parts = [option.part for option in record.options if option.part]
        assert len(set(parts)) == len(parts), f"a part of the URL must fill one option: {parts}"
        for option in record.options:
            what = f'option "{option.name}"'
            assert _OPTION.fullmatch(option.name), f"{what} must be lower case letters, digits, underscores"
            assert not (option.required and option.default is not None), (
                f"{what} is required: a default is never used"
            )
            assert not (option.secret and option.default is not None), (
                f"{what} is a secret: it must have no default"
            )

    def test_converters_raise_value_error_only(self, record: PluginRecord) -> None:
        """Rule: ``convert`` takes or refuses any TOML value, and refuses with ValueError."""
        for option in record.options:
            for value in _TOML_VALUES:
                try:
                    option.convert(value)
                except ValueError:
                    continue
                except Exception as error:
                    raise AssertionError(
                        f'the converter of option "{option.name}" must refuse {value!r} with ValueError,'
                        f" not with {type(error).__name__}: {error}"
                    ) from error

    def test_parse_does_no_io(self, record: PluginRecord, table: Mapping[str, object]) -> None:
        """Rule: ``parse`` works on the values alone: no file, no network, no secret revealed."""
        values = option_values(record, table)
        for option in record.options:
            if option.secret and values[option.name] is not None:
                values[option.name] = _Unrevealed()
        with only_archipec_errors(), no_io("parse must do no I/O"):
            record.parse(MappingProxyType(values))

    def test_options_may_be_left_out(self, record: PluginRecord, table: Mapping[str, object]) -> None:
        """Rule: without an option that isn't required, ``parse`` works or raises ConfigError."""
        for option in record.options:
            if option.required or option.name not in table:
                continue
            rest = {name: value for name, value in table.items() if name != option.name}
            try:
                with only_archipec_errors():
                    configure(record, rest)
            except ConfigError:
                continue

    def test_parse_reports_every_problem_at_once(
        self, record: PluginRecord, table: Mapping[str, object], mistakes: Sequence[Mapping[str, object]]
    ) -> None:
        """Rule: ConfigError from ``parse`` carries all problems, so that they can be corrected at once."""
        together = dict(table)
        expected: set[str] = set()
        for mistake in mistakes:
            expected |= self._problems(record, {**table, **mistake})
            together |= mistake
        if len(mistakes) < 2:
            self.not_applicable("the fixture `mistakes` gives fewer than two")
        found = self._problems(record, together)
        assert expected <= found, (
            f"parse must report every problem at once; it left out {sorted(expected - found)}"
        )

    def _problems(self, record: PluginRecord, table: Mapping[str, object]) -> set[str]:
        values = option_values(record, table)
        try:
            with only_archipec_errors():
                config = record.parse(values)
        except ConfigError as error:
            return set(error.problems)
        raise AssertionError(f"parse must refuse this with ConfigError: {table!r} gave {config!r}")

    def test_where_is_a_stable_url(self, record: PluginRecord, table: Mapping[str, object]) -> None:
        """Rule: ``where`` is a URL of a scheme of the record, the same for the same settings."""
        where = record.where(configure(record, table))
        assert where == record.where(configure(record, dict(table))), (
            "where must be the same for the same settings"
        )
        assert where.isprintable() and " " not in where, f"where must be a URL, in one line: {where!r}"
        scheme, colon, rest = where.partition(":")
        assert colon and rest and _SCHEME.fullmatch(scheme), f"where must be a URL: {where!r}"
        if record.schemes:
            assert scheme in record.schemes, f"where must begin with one of {record.schemes}: {where!r}"

    def test_where_is_one_for_all_spellings(
        self, record: PluginRecord, table: Mapping[str, object], same_tables: Sequence[Mapping[str, object]]
    ) -> None:
        """Rule: ``where`` is an identity: another spelling of the settings doesn't change it."""
        where = record.where(configure(record, table))
        for spelling in (*_respelt(record, table), *same_tables):
            other = record.where(configure(record, spelling))
            assert other == where, f"where must be the same for another spelling: {other!r}, not {where!r}"

    def test_where_tells_places_apart(
        self, record: PluginRecord, table: Mapping[str, object], other_table: Mapping[str, object] | None
    ) -> None:
        """Rule: two places have two identities."""
        if other_table is None:
            self.not_applicable("the fixture `other_table` is not given")
        first, second = (record.where(configure(record, each)) for each in (table, other_table))
        assert first != second, f"where must tell two places apart: both are {first!r}"

    def test_root_is_absolute(self, record: PluginRecord, config: Any) -> None:
        """Rule: a sink's ``root`` is an absolute directory, named without being made."""
        if not isinstance(record, SinkType):
            return
        with no_io("root must do no I/O"):
            root = record.root(config)
        assert root is None or root.is_absolute(), f"root must be absolute: {root}"

    def test_settings_show_no_secret(self, record: PluginRecord, table: Mapping[str, object]) -> None:
        """Rule: no secret in ``where`` or in the ``repr`` of a configuration: both are shown and logged."""
        config = configure(record, table)
        shown = {"where": record.where(config), "repr(config)": repr(config), "str(config)": str(config)}
        for what, text in shown.items():
            for secret in _secrets(record, table):
                assert secret not in text, f"{what} must show no secret: {text}"

    def test_import_is_cheap_and_silent(self, plugin_module: str) -> None:
        """Rule: importing a plugin does no I/O, starts nothing, prints nothing and imports nothing slow."""
        findings = import_findings(plugin_module)
        assert not findings, f"importing {plugin_module} must do nothing but define; {'; '.join(findings)}"

    def test_opens_twice(self, under_test: UnderTest[Any]) -> None:
        """Rule: after closing, the same configuration opens again."""
        with under_test.open() as opened:
            self.exercise(opened)
        with must_not_raise("what was closed must open again"), under_test.open() as opened:
            self.exercise(opened)

    def test_says_nothing_by_itself(
        self,
        under_test: UnderTest[Any],
        table: Mapping[str, object],
        caplog: pytest.LogCaptureFixture,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        """Rule: a plugin never prints, and never logs a secret, at whatever level."""
        with caplog.at_level(logging.DEBUG), under_test.open() as opened:
            self.exercise(opened)
        out, err = capfd.readouterr()
        assert not out and not err, f"a plugin must not print: {out + err!r}"
        for line in caplog.messages:
            for secret in _secrets(under_test.record, table):
                assert secret not in line, f"a plugin must not log a secret: {line}"

    def test_paths_are_declared(self, record: PluginRecord, tmp_path: Path) -> None:
        """Rule: an option whose value is a path says so: else a relative one begins wherever the host was started."""
        for option in record.options:
            if option.secret or option.kind == "path":
                continue
            try:
                value = option.convert(str(tmp_path))
            except Exception:  # noqa: BLE001, S112 - how it refuses is another case's
                continue
            assert not isinstance(value, Path), (
                f'option "{option.name}" is a path: it must have kind="path", or convert=file_path itself'
            )

    def test_reads_is_true(self, record: PluginRecord, config: Any) -> None:
        """Rule: ``reads`` names absolute paths, without looking at them."""
        if not isinstance(record, SourceType):
            return
        with no_io("reads must do no I/O"):
            paths = record.reads(config)
        assert isinstance(paths, tuple), f"reads must give a tuple, not {paths!r}"
        for path in paths:
            assert isinstance(path, Path) and path.is_absolute(), f"reads must give absolute paths: {path!r}"

    def test_detects_claims_its_own_alone(self, record: PluginRecord) -> None:
        """Rule: ``detects`` answers with a `Claim`, by what it is given alone, and claims nothing that says nothing."""
        if not isinstance(record, SourceType) or record.detects is None:
            return
        samples = (
            DumpSample(path=""),
            DumpSample(path="papers", names=frozenset({"readme", "pictures/"})),
            DumpSample(path="papers/readme", name="readme"),
            DumpSample(path="papers/readme", name="readme", beginning=b"\0" * 4096),
        )
        with no_io("detects must do no I/O"):
            claims = [record.detects(sample) for sample in samples]
        for sample, claim in zip(samples, claims, strict=True):
            assert isinstance(claim, Claim), f"detects must give a Claim, not {claim!r}"
            assert claim is Claim.NONE, f"detects must not claim what may be anything: {sample}"

    def test_a_place_that_cannot_be_used(
        self,
        record: PluginRecord,
        broken_table: Mapping[str, object] | None,
        context: Context,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """Rule: an obstacle is an error of the tree, in one line, without final stop or secrets."""
        if broken_table is None:
            self.not_applicable("the fixture `broken_table` is not given")
        under_test = UnderTest[Any](record=record, config=configure(record, broken_table), context=context)
        try:
            with caplog.at_level(logging.DEBUG), _unmade_root(under_test) as opened:
                self.exercise(opened)
        except ArchipecError as caught:
            error = caught
        else:
            raise AssertionError("what can't be opened must be an error, not an empty one")
        for text in (error.message, error.hint):
            assert "\n" not in text, f"an error must be one line: {text!r}"
            assert not text.endswith("."), f"an error must not end with a full stop: {text!r}"
        assert error.message, "an error must say what is wrong"
        texts = {
            "its message": str(error),
            "its hint": error.hint,
            "its repr": repr(error),
            "its traceback, causes included": "".join(traceback.format_exception(error)),
            "the log": "\n".join(caplog.messages),
        }
        for secret in _secrets(record, broken_table):
            shown = [where for where, text in texts.items() if secret in text]
            assert not shown, f"an error must show no secret; it is in {', '.join(shown)}: {texts}"


@contextmanager
def _unmade_root(under_test: UnderTest[Any]) -> Iterator[Any]:
    with only_archipec_errors(), under_test.record.open(under_test.config, under_test.context) as opened:
        yield opened


def _secrets(record: PluginRecord, table: Mapping[str, object]) -> list[str]:
    found: list[str] = []
    for option in record.options:
        value = table.get(option.name) if option.secret else None
        if value is not None:
            secret: Secret | str = value  # type: ignore[assignment]  # what the fixture documents
            found.append(secret if isinstance(secret, str) else secret.reveal())
    return found


def _respelt(record: PluginRecord, table: Mapping[str, object]) -> Iterator[dict[str, object]]:
    """Yield the same settings in other words: as a URL carries them, in another order, paths with detours."""
    yield dict(reversed(list(table.items())))
    for option in record.options:
        value = table.get(option.name)
        if value is None or option.secret:
            continue
        if isinstance(value, (bool, int)):
            yield {**table, option.name: str(value).lower()}
        if isinstance(value, Path) or (isinstance(option.convert(value), Path) and isinstance(value, str)):
            yield {**table, option.name: f"{value}/"}
            yield {**table, option.name: str(Path(value).parent) + "/./" + Path(value).name}
        if option.part == "host":
            yield {**table, option.name: str(value).upper()}
