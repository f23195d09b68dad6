"""Records, post-steps and declarations that break one rule each, and the cases that must find out."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from archipec.contract import Claim, Context, Option, PostStep, RunView, SinkType, Source, file_path
from archipec.errors import ArchipecError, AuthError, ConfigError

from . import counter_step, directory_sink, memory_source, test_reference
from .counter_step import COUNTER_STEP, CounterStep
from .directory_sink import DIRECTORY_SINK
from .memory_source import MEMORY_SOURCE, Config, MemorySource
from .wrong import Wrong, wrong

WRONG: dict[str, Wrong] = {}
_NUMBERS = itertools.count()


def broken(name: str, record: Any, *fails: str, says: str, **attributes: Any) -> None:
    """Register a record that breaks a rule."""
    base: type[Any] = test_reference.TestMemorySource
    fixture = "source_type"
    if isinstance(record, SinkType):
        base, fixture = test_reference.TestDirectorySink, "sink_type"
    WRONG[name] = wrong(name, base, {fixture: record}, fails=fails, says=says, **attributes)


def options(**changes: Any) -> tuple[Option, ...]:
    """Return the source's options with one of them changed."""
    ((name, change),) = changes.items()
    return tuple(replace(each, **change) if each.name == name else each for each in MEMORY_SOURCE.options)


broken(
    "FutureApi", replace(MEMORY_SOURCE, api=2), "test_speaks_this_contract", says="api must be the number 1"
)
broken(
    "UpperCaseName",
    replace(MEMORY_SOURCE, name="Memory"),
    "test_name_and_schemes_are_well_formed",
    says="lower case",
)
broken(
    "SchemeWithColon",
    replace(MEMORY_SOURCE, schemes=("memory:",)),
    "test_name_and_schemes_are_well_formed",
    says="RFC 3986|begin with one of",
)
broken("NoSummary", replace(MEMORY_SOURCE, summary=" "), "test_is_documented", says="explained in one line")
broken(
    "NoHelp",
    replace(MEMORY_SOURCE, options=options(user={"help": ""})),
    "test_is_documented",
    says='option "user" must be explained',
)
broken(
    "DefaultOfRequired",
    replace(MEMORY_SOURCE, options=options(host={"default": "x"})),
    "test_options_are_consistent",
    says="is required: a default is never used",
)
broken(
    "DefaultSecret",
    replace(MEMORY_SOURCE, options=options(password={"default": "x", "required": False})),
    "test_options_are_consistent",
    says="must have no default",
)


def _port(value: object) -> object:
    return {"993": 993, 993: 993}[value]


broken(
    "ConverterRaisesKeyError",
    replace(MEMORY_SOURCE, options=options(port={"convert": _port})),
    "test_converters_raise_value_error_only",
    says="with ValueError, not with",
)


def _parse_first_problem(values: Mapping[str, Any]) -> Config:
    try:
        return memory_source.parse(values)
    except ConfigError as error:
        raise ConfigError(error.problems[0]) from None


def _parse_value_error(values: Mapping[str, Any]) -> Config:
    try:
        return memory_source.parse(values)
    except ConfigError as error:
        raise ValueError(str(error)) from None


def _parse_anything(values: Mapping[str, Any]) -> Config:
    return Config(**{**values, "host": values["host"].lower()})


def _parse_changing(values: Mapping[str, Any]) -> Config:
    values["host"] = values["host"].lower()  # type: ignore[index]
    return memory_source.parse(values)


def _parse_looking(values: Mapping[str, Any]) -> directory_sink.Config:
    if Path(values["path"]).is_file():
        raise ConfigError("is a file")
    return directory_sink.parse(values)


broken(
    "ReportsTheFirstProblem",
    replace(MEMORY_SOURCE, parse=_parse_first_problem),
    "test_parse_reports_every_problem_at_once",
    says="every problem at once",
)
broken(
    "RefusesWithValueError",
    replace(MEMORY_SOURCE, parse=_parse_value_error),
    "test_parse_reports_every_problem_at_once",
    says="not by ValueError",
)
broken(
    "RefusesNothing",
    replace(MEMORY_SOURCE, parse=_parse_anything),
    "test_parse_reports_every_problem_at_once",
    says="must refuse this with ConfigError",
)
broken(
    "ChangesItsArguments",
    replace(MEMORY_SOURCE, parse=_parse_changing),
    "test_parse_does_no_io",
    says="not by TypeError",
)
broken(
    "ParseLooksAtTheDisk",
    replace(DIRECTORY_SINK, parse=_parse_looking),
    "test_parse_does_no_io",
    says="parse must do no I/O",
)


def _no_port_no_parse(values: Mapping[str, Any]) -> Config:
    return memory_source.parse({**values, "port": values["port"] + 0})


broken(
    "NeedsWhatIsOptional",
    replace(MEMORY_SOURCE, parse=_no_port_no_parse, options=options(port={"default": None})),
    "test_options_may_be_left_out",
    says="not by TypeError",
)


@dataclass(frozen=True, kw_only=True)
class Revealed(Config):
    """Keeps the password as text."""

    plain: str = ""


def _parse_revealing(values: Mapping[str, Any]) -> Config:
    return Revealed(**values, plain=values["password"].reveal())


broken(
    "ParseReveals",
    replace(MEMORY_SOURCE, parse=_parse_revealing),
    "test_parse_does_no_io",
    "test_settings_show_no_secret",
    says="must not reveal|must show no secret|must refuse this|must be the same for another spelling",
)
broken(
    "WhereWithPassword",
    replace(MEMORY_SOURCE, where=lambda config: f"{memory_source.where(config)}?{config.password.reveal()}"),
    "test_settings_show_no_secret",
    says="where must show no secret",
)
broken(
    "WhereIsNoUrl",
    replace(MEMORY_SOURCE, where=lambda config: f"{config.user} at {config.host}"),
    "test_where_is_a_stable_url",
    says="where must be a URL",
)
broken(
    "WhereOfAnotherScheme",
    replace(MEMORY_SOURCE, where=lambda config: memory_source.where(config).replace("memory", "imaps")),
    "test_where_is_a_stable_url",
    says="where must begin with one of",
)
broken(
    "WhereIsRandom",
    replace(MEMORY_SOURCE, where=lambda config: f"{memory_source.where(config)}/{next(_NUMBERS)}"),
    "test_where_is_a_stable_url",
    says="where must be the same",
)
broken(
    "WhereOfTheUserAlone",
    replace(MEMORY_SOURCE, where=lambda config: f"memory://{config.host}"),
    "test_where_tells_places_apart",
    says="must tell two places apart",
)
broken(
    "WhereAsSpelt",
    replace(MEMORY_SOURCE, parse=lambda values: replace(memory_source.parse(values), host=values["host"])),
    "test_where_is_one_for_all_spellings",
    says="the same for another spelling",
)
broken(
    "RelativeRoot",
    replace(DIRECTORY_SINK, root=lambda config: Path(config.path.name)),
    "test_root_is_absolute",
    says="root must be absolute",
)


def _refusing(message: Callable[[Config], str]) -> Any:
    @contextmanager
    def open_source(config: Config, context: Context) -> Iterator[Source]:
        try:
            server = memory_source.login(config)
        except AuthError:
            raise AuthError(message(config)) from None
        yield MemorySource(server, context)

    return open_source


broken(
    "ErrorWithPassword",
    replace(MEMORY_SOURCE, open=_refusing(lambda config: f"refused: {config.password.reveal()}")),
    "test_a_place_that_cannot_be_used",
    says="an error must show no secret",
)
broken(
    "ErrorWithFullStop",
    replace(MEMORY_SOURCE, open=_refusing(lambda _: "Login refused.")),
    "test_a_place_that_cannot_be_used",
    says="full stop",
)
broken(
    "ErrorInLines",
    replace(MEMORY_SOURCE, open=_refusing(lambda _: "refused\nby the server")),
    "test_a_place_that_cannot_be_used",
    says="one line",
)


def _elsewhere(config: directory_sink.Config, context: Context) -> Any:
    place = config if config.path.is_dir() else replace(config, path=context.temp)
    return directory_sink.opener(directory_sink.DirectorySink)(place, context)


broken(
    "UsesAnotherPlace",
    replace(DIRECTORY_SINK, open=_elsewhere),
    "test_a_place_that_cannot_be_used",
    says="must be an error, not an empty one",
)
WRONG["SlowImport"] = wrong(
    "SlowImport",
    test_reference.TestMemorySource,
    {"plugin_module": f"{__package__}.slow_plugin"},
    fails="test_import_is_cheap_and_silent",
    says="imports sqlite3; it does open.*; it does sqlite3.connect.*; it prints .loading.*; it starts 1 thr",
    test_import_is_cheap_and_silent=test_reference.TestMemorySource.test_import_is_cheap_and_silent,
)
WRONG["UndeclaredSkip"] = wrong(
    "UndeclaredSkip",
    test_reference.TestMemorySource,
    {"snapshot": None},
    fails="test_reading_changes_nothing",
    says="the fixture `snapshot` is not given; .* expected_skips..test_reading_changes_nothing",
)
WRONG["DeclaredSkipThatPasses"] = wrong(
    "DeclaredSkipThatPasses",
    test_reference.TestMemorySource,
    {},
    fails="test_quota_is_sane",
    says="expected_skips names this case .no quota here., yet it applies and passes",
    expected_skips={"test_quota_is_sane": "no quota here"},
)
WRONG["DeclaredRuleThatIsBroken"] = wrong(
    "DeclaredRuleThatIsBroken",
    test_reference.TestMemorySource,
    {"source_type": replace(MEMORY_SOURCE, summary="")},
    fails="test_is_documented",
    says="explained in one line",
    expected_skips={"test_is_documented": "we know"},
)
WRONG["SkipOfNoCase"] = wrong(
    "SkipOfNoCase",
    test_reference.TestMemorySource,
    {},
    fails="test_expected_skips_name_cases_and_reasons",
    says="names no case of this class: test_qouta_is_sane",
    expected_skips={"test_qouta_is_sane": "no quota here"},
)
WRONG["SkipWithoutReason"] = wrong(
    "SkipWithoutReason",
    test_reference.TestMemorySource,
    {},
    fails="test_expected_skips_name_cases_and_reasons",
    says="gives no reason|yet it applies",
    expected_skips={"test_quota_is_sane": " "},
)


def step(*fails: str, says: str) -> Callable[[type[CounterStep]], type[CounterStep]]:
    """Register a broken `CounterStep`."""

    def register(broken_step: type[CounterStep]) -> type[CounterStep]:
        @contextmanager
        def open_step(config: counter_step.Config, context: Context) -> Iterator[PostStep]:
            with counter_step.open_step(config, context):
                yield broken_step(counter_step.SEEN[config.counter])

        fixtures = {"poststep_type": replace(COUNTER_STEP, open=open_step)}
        name = broken_step.__name__
        WRONG[name] = wrong(name, test_reference.TestCounterStep, fixtures, fails=fails, says=says)
        return broken_step

    return register


@step("test_running_twice_is_running_once", says="must be idempotent")
class CountsAgain(CounterStep):
    """Adds up."""

    def run(self, run: RunView) -> None:
        """Count every time."""
        before = dict(self.seen)
        super().run(run)
        for key in run.stored():
            self.seen[key] += before.get(key, 0) + 1


@step("test_running_twice_is_running_once", says="must show what the step does")
class DoesNothing(CounterStep):
    """Idles."""

    def run(self, run: RunView) -> None:
        """Do nothing."""


@step("test_the_report_stays_as_it_is", says="must not change the report")
class ChangesTheReport(CounterStep):
    """Writes where it should read."""

    def run(self, run: RunView) -> None:
        """Hide failures."""
        super().run(run)
        run.report["failures"].append("hidden")  # type: ignore


@step("test_any_run_is_taken", says="not by AttributeError")
class NeedsAQuota(CounterStep):
    """Believes that every mailbox has one."""

    def run(self, run: RunView) -> None:
        """Use it unseen."""
        assert run.quota is None or run.quota.used >= 0
        run.quota.limit  # type: ignore[union-attr]  # noqa: B018
        super().run(run)


@step("test_any_run_is_taken", says="not by ZeroDivisionError")
class DividesByMessages(CounterStep):
    """Computes an average."""

    def run(self, run: RunView) -> None:
        """Divide."""
        super().run(run)
        1 / len(list(run.stored()))


@step("test_a_copy_that_cannot_be_read", says="not by OSError")
class TurnsErrorsIntoOthers(CounterStep):
    """Leaves the tree."""

    def run(self, run: RunView) -> None:
        """Translate the wrong way."""
        try:
            super().run(run)
        except ArchipecError as error:
            raise OSError(str(error)) from error


@step("test_a_copy_that_cannot_be_read", says="not by SystemExit")
class LeavesByExit(CounterStep):
    """Takes itself for a program."""

    def run(self, run: RunView) -> None:
        """End it all."""
        try:
            super().run(run)
        except ArchipecError as error:
            raise SystemExit(1) from error


def _wrapped_path(value: object) -> Path:
    return file_path(value)


broken(
    "PathThatDoesNotSaySo",
    replace(
        DIRECTORY_SINK,
        options=tuple(
            replace(each, convert=_wrapped_path, kind="") if each.name == "path" else each
            for each in DIRECTORY_SINK.options
        ),
    ),
    "test_paths_are_declared",
    says='must have kind="path"',
)
broken(
    "ReadsWhereverItIsStarted",
    replace(MEMORY_SOURCE, reads=lambda _config: (Path("mail"),)),
    "test_reads_is_true",
    says="absolute paths",
)
broken(
    "DetectsByLooking",
    replace(MEMORY_SOURCE, detects=lambda _sample: Claim.PART if Path("mail").exists() else Claim.NONE),
    "test_detects_claims_its_own_alone",
    says="detects must do no I/O",
)
broken(
    "DetectsTrue",
    replace(MEMORY_SOURCE, detects=cast(Any, lambda sample: bool(sample.beginning))),
    "test_detects_claims_its_own_alone",
    says="detects must give a Claim",
)
broken(
    "DetectsAnything",
    replace(MEMORY_SOURCE, detects=lambda sample: Claim.PART if sample.name else Claim.NONE),
    "test_detects_claims_its_own_alone",
    says="detects must not claim what may be anything",
)


globals().update({each.cases.__name__: each.cases for each in WRONG.values()})
