"""`archipec.config.pipeline`: from TOML and URLs to pipelines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archipec.config.pipeline import ad_hoc, choose, default_config_path, default_state_path, endpoint, load
from archipec.config.prune_policy import PrunePolicy
from archipec.config.secrets import LazySecret
from archipec.config.selection import Selection
from archipec.contract import (
    Option,
    PostStepType,
    SinkType,
    SourceType,
    file_path,
    port_number,
    positive,
    strings,
)
from archipec.errors import ConfigError, PluginBug
from archipec.plugins.discovery import Plugin, PluginRecord, RecordKind
from archipec.plugins.registry import Registry

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Config:
    values: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.values[name]


def never(*_: object) -> Any:
    raise AssertionError("nothing is opened by a configuration")


def parse_server(values: Mapping[str, Any]) -> Config:
    problems = [f'option "{name}" must not be "x"' for name in ("user", "host") if values[name] == "x"]
    if problems:
        raise ConfigError(problems)
    return Config(dict(values))


def path_of(config: Config) -> Path:
    path = config["path"]
    assert isinstance(path, Path)
    return path


POST: SourceType[Config] = SourceType(
    api=1,
    name="post",
    summary="a server",
    schemes=("posts", "postp"),
    options=(
        Option(name="user", help="login", required=True, part="user"),
        Option(name="host", help="server", required=True, part="host"),
        Option(name="port", help="port", part="port", convert=port_number, default=993),
        Option(name="tls", help="scheme", part="scheme", default="posts"),
        Option(name="folders", help="folders", part="path", convert=strings, default=("*",)),
        Option(name="password", help="password", secret=True, required=True),
        Option(name="token", help="second factor", secret=True),
        Option(name="ca_file", help="authorities", convert=file_path),
        Option(name="connections", help="connections", convert=positive, default=2),
    ),
    parse=parse_server,
    where=lambda config: f"{config['tls']}://{config['user']}@{config['host']}:{config['port']}",
    open=never,
)
PATH = (Option(name="path", help="a folder", required=True, part="path", convert=file_path),)
EML: SourceType[Config] = SourceType(
    api=1, name="eml", summary="s", schemes=("eml",), options=PATH, parse=Config, open=never,
    where=lambda config: f"eml:{config['path']}", reads=lambda config: (config["path"],),
)  # fmt: skip


def sink(name: str) -> SinkType[Config]:
    return SinkType(
        api=1, name=name, summary="s", schemes=(name,), options=PATH, parse=Config, open=never,
        where=lambda config: f"{name}:{config['path']}", root=path_of,
    )  # fmt: skip


COUNTED: SinkType[Config] = SinkType(
    api=1, name="counted", summary="s", open=never, parse=Config, where=lambda _: "counted:",
    options=(Option(name="connections", help="h", convert=lambda value: value),),
)  # fmt: skip


def step(name: str) -> PostStepType[Config]:
    return PostStepType(
        api=1, name=name, summary="s", parse=Config, where=lambda config: f"{name}:{config['to']}", open=never,
        options=(Option(name="to", help="h", default=""),),
    )  # fmt: skip


def registry_of(*records: PluginRecord) -> Registry:
    kinds: dict[type, RecordKind] = {SourceType: "source", SinkType: "sink", PostStepType: "post-step"}
    return Registry(
        Plugin("archipec-test", "1.5", record.name, kinds[type(record)], record) for record in records
    )


REGISTRY = registry_of(POST, EML, sink("maildir"), sink("mbox"), COUNTED, step("quota"), step("mail"))
URL = "posts://studio@pec.example.it@imaps.example.it"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of one's own, which is also the current folder."""
    path = tmp_path / "home"
    path.mkdir()
    monkeypatch.chdir(path)
    monkeypatch.setenv("HOME", str(path))
    monkeypatch.setenv("USERPROFILE", str(path))
    for name in ("ARCHIPEC_CONFIG", "ARCHIPEC_STATE"):
        monkeypatch.delenv(name, raising=False)
    return path


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def write_file(text: str) -> Path:
        path = tmp_path / "archipec.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write_file


def pipeline(source: str = 'type = "eml"\npath = "in"', rest: str = "", sinks: str | None = None) -> str:
    sinks = '[[pipeline.sink]]\ntype = "maildir"\npath = "out"' if sinks is None else sinks
    return f'[[pipeline]]\nname = "p"\n{rest}\n[pipeline.source]\n{source}\n{sinks}\n'


def problems_of(make: Callable[[], object]) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        make()
    return caught.value.problems


# -- both ways --------------------------------------------------------------------------------------------------


def test_the_example_of_the_design(home: Path) -> None:
    studio, old = load(DATA / "design.toml", REGISTRY)
    assert (studio.name, old.name) == ("studio", "old mail")
    assert studio.source.record is POST
    assert studio.source.where == "posts://studio@pec.example.it@imaps.pec.example.it:993"
    assert (studio.source.name, studio.source.connections) == ("post", 2)
    assert studio.source.config["folders"] == ("*",)
    assert studio.selection == Selection(only=frozenset({"envelopes", "receipts"}), since=date(2024, 1, 1))
    assert [(one.name, one.required, one.connections) for one in studio.sinks] == [
        ("maildir", True, 1),
        ("second", False, 1),
    ]
    assert studio.sinks[0].config["path"] == home / "PEC/studio"
    assert studio.sinks[1].config["path"] == DATA / "relative/mbox"
    assert [one.where for one in studio.steps] == ["quota:"]
    assert (str(studio.prune.older_than), studio.prune.when_above, studio.prune.auto) == ("1y", 90, False)
    assert old.source.config["path"] == DATA / "dump"
    assert (old.selection, old.steps, old.prune) == (Selection(), (), PrunePolicy())
    assert [one.required for one in old.sinks] == [True]


def test_toml_and_urls_make_equal_pipelines(write: Callable[[str], Path], tmp_path: Path) -> None:
    ca, out, mbox = (tmp_path / name for name in ("ca 1.pem", "out", "mb"))
    (from_toml,) = load(
        write(f"""
            [[pipeline]]
            name = "ad-hoc"
            [pipeline.source]
            type = "post"
            user = "mario/test@pec.it"
            host = "::1"
            port = 1993
            tls = "postp"
            folders = ["INBOX", "Città & \\"Co\\""]
            password = "file:~/secret"
            token = "env:TOKEN"
            ca_file = '{ca}'
            connections = 3
            [pipeline.select]
            except = ["anomalia"]
            until = "2024"
            [[pipeline.sink]]
            type = "maildir"
            path = '{out}'
            [[pipeline.sink]]
            type = "mbox"
            name = "second copy"
            path = '{mbox}'
            required = false
            [[pipeline.step]]
            type = "mail"
            to = "a@b"
        """),
        REGISTRY,
    )
    from_urls = ad_hoc(
        'postp://mario/test@pec.it@[::1]:1993?folders=INBOX&folders=Citt%C3%A0+%26 "Co"&password=file:~/secret'
        f"&token=env:TOKEN&ca_file={ca}&connections=3".replace("+", "%20"),
        [f"maildir:{out}", f"mbox:{mbox}?name=second%20copy&required=no"],
        ["mail:?to=a@b"],
        REGISTRY,
        {"except": ("anomalia",), "until": "2024"},
    )
    assert from_urls == from_toml
    assert from_urls.source.config == from_toml.source.config
    assert from_urls.sinks[1].required is False


def test_defaults_are_the_same_too(write: Callable[[str], Path], home: Path) -> None:
    text = pipeline(
        'type = "post"\nuser = "u"\nhost = "h"',
        sinks=f"[[pipeline.sink]]\ntype = 'maildir'\npath = '{home / 'out'}'",
    )
    (from_toml,) = load(write(text.replace('"p"', '"ad-hoc"')), REGISTRY)
    assert ad_hoc("posts://u@h", ["maildir:out"], [], REGISTRY) == from_toml


def test_a_type_without_schemes_goes_by_its_name() -> None:
    assert [one.where for one in ad_hoc(URL, ["maildir:a"], ["quota:", "mail:?to=x"], REGISTRY).steps] == [
        "quota:",
        "mail:x",
    ]


def test_nothing_in_a_pipeline_can_be_changed() -> None:
    made = ad_hoc(URL, ["maildir:a"], [], REGISTRY)
    for target in (made, made.source):
        with pytest.raises(AttributeError):
            target.name = "x"  # type: ignore[misc]
    with pytest.raises(TypeError):
        made.source.values["host"] = "x"  # type: ignore[index]
    with pytest.raises(AttributeError):
        made.prune.auto = True  # type: ignore[misc]


def test_one_endpoint() -> None:
    made = endpoint("sink", "maildir:a", REGISTRY)
    assert made == ad_hoc(URL, ["maildir:a"], [], REGISTRY).sinks[0]
    assert problems_of(lambda: endpoint("sink", "maildir:", REGISTRY)) == (
        'sink "maildir": option "path" is missing (a folder)',
    )


# -- all problems at once ---------------------------------------------------------------------------------------


def test_three_mistakes_are_all_named() -> None:
    with pytest.raises(ConfigError) as caught:
        load(DATA / "three_mistakes.toml", REGISTRY)
    assert caught.value.problems == (
        'pipeline "studio": source "post": unknown option "hots", did you mean "host"?',
        'pipeline "studio": unknown sink "maildri", did you mean "maildir"?',
        (
            'pipeline "studio": select: option "only" must be kinds or groups of messages '
            '("recepits" is not one, did you mean "receipts"?), not [\'recepits\']'
        ),
    )
    assert caught.value.hint


def test_mistakes_of_two_pipelines_and_of_the_file(write: Callable[[str], Path]) -> None:
    text = (
        "pipelines = 1\n" + pipeline('type = "eml"') + pipeline('type = "pots"') + pipeline(rest="nmae = 1")
    )
    assert problems_of(lambda: load(write(text), REGISTRY)) == (
        'unknown key "pipelines", did you mean "pipeline"?',
        'pipeline "p": source "eml": option "path" is missing (a folder)',
        'pipeline "p": unknown source "pots", did you mean "post"?',
        'pipeline "p": unknown key "nmae", did you mean "name"?',
        '3 pipelines are named "p"',
    )


def test_mistakes_in_all_urls() -> None:
    found = problems_of(
        lambda: ad_hoc(
            "pots://u@h",
            ["maildir://x/y?pth=z", "nothing", "mbox:a?required=maybe&name="],
            ["quta:"],
            REGISTRY,
            {"only": ["x"]},
        )
    )
    assert found == (
        '--from: unknown source "pots", did you mean "posts"?',
        'sink "maildir": takes no host: write maildir:DIR',
        'sink "maildir": unknown option "pth", did you mean "path"?',
        "--to: an address begins with what it is",
        'sink "mbox": "name" must be one line of text',
        'sink "mbox": "required" must be true or false',
        '--then: unknown post-step "quta", did you mean "quota"?',
        'selection: option "only" must be kinds or groups of messages ("x" is not one), not [\'x\']',
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "has no [[pipeline]]"),
        ("pipeline = []", "has no [[pipeline]]"),
        ("[pipeline]\nname = 'p'", '"pipeline" must be a list of tables, written in double brackets'),
        ("pipeline = [1]", '"pipeline" must be a list of tables'),
        ("[[pipeline]]", 'pipeline 1: "name" must be given, as one line of text'),
        ("[[pipeline]]", "pipeline 1: [pipeline.source] is missing"),
        ("[[pipeline]]", "pipeline 1: there must be at least one sink"),
        ("[[pipeline]]\nname = 5", 'pipeline 1: "name" must be given, as one line of text'),
        ("[[pipeline]]\nname = ' '", 'pipeline 1: "name" must be given'),
        ('[[pipeline]]\nname = "a\\nb"', 'pipeline 1: "name" must be given, as one line of text'),
        ("[[pipeline]]\nname = 'p'\nsource = 5", 'pipeline "p": "source" must be one table'),
        ("[[pipeline]]\nname = 'p'\n[[pipeline.source]]\ntype = 'eml'", '"source" must be one table'),
        ("[[pipeline]]\nname = 'p'\nselect = []", '"select" must be one table'),
        ("[[pipeline]]\nname = 'p'\n[pipeline.sink]\ntype = 'maildir'", '"sink" must be a list of tables'),
        (pipeline(""), 'pipeline "p": source: "type" is missing'),
        (pipeline("type = 5"), 'pipeline "p": source: "type" must be text'),
        (pipeline('type = "posts"'), 'source "posts" is a URL scheme, its name is "post"'),
        (pipeline('type = "eml"\npath = 5'), 'source "eml": option "path" must be a path, not 5'),
        (
            pipeline('type = "eml"\npath = "~nobody-here/x"'),
            "must be a path below the home of a user there is, not '~nobody-here/x'",
        ),
        (pipeline('type = "eml"\npath = "x"\nname = "y"'), 'source "eml": unknown option "name"'),
        (pipeline('type = "post"\nuser = "u"\nhost = "h"\nprovider = "aruba"'), 'unknown option "provider"'),
        (
            pipeline('type = "post"\nuser = "u"\nhost = "h"\nconnections = 0'),
            'option "connections" must be a whole',
        ),
        (
            pipeline('type = "post"\nuser = "u"\nhost = "h"\nconnections = true'),
            'option "connections" must be a whole',
        ),
        (
            pipeline(sinks='[[pipeline.sink]]\ntype = "counted"\nconnections = 0'),
            'option "connections" must be a whole',
        ),
        (
            pipeline(sinks='[[pipeline.sink]]\ntype = "counted"\nconnections = true'),
            'option "connections" must be a whole',
        ),
        (
            pipeline(sinks='[[pipeline.sink]]\ntype = "counted"\nconnections = "2"'),
            'option "connections" must be a whole',
        ),
        (
            pipeline(rest="[pipeline.prune]\nolder = '1y'"),
            'prune: unknown option "older", did you mean "older_than"?',
        ),
        (
            pipeline(rest="[pipeline.prune]\nolder_than = ['1y']"),
            'prune: option "older_than" must be an age',
        ),
    ],
)
def test_problems_of_a_file(write: Callable[[str], Path], text: str, problem: str) -> None:
    found = problems_of(lambda: load(write(text), REGISTRY))
    assert any(problem in one for one in found), found
    assert all(one.isprintable() for one in found)


def test_the_problems_of_a_plugin_are_told_where_they_are(write: Callable[[str], Path]) -> None:
    text = pipeline('type = "post"\nuser = "x"\nhost = "x"')
    assert problems_of(lambda: load(write(text), REGISTRY)) == (
        'pipeline "p": source "post": option "user" must not be "x"',
        'pipeline "p": source "post": option "host" must not be "x"',
    )


# -- what does not go together ----------------------------------------------------------------------------------


def test_names_of_sinks(write: Callable[[str], Path]) -> None:
    two = "".join(f"[[pipeline.sink]]\ntype = 'maildir'\npath = '{name}'\n" for name in "ab")
    (found,) = problems_of(lambda: load(write(pipeline(sinks=two)), REGISTRY))
    assert found == 'pipeline "p": two sinks are named "maildir": give one of them another "name"'


def test_sinks_of_one_type_are_told_apart_ad_hoc() -> None:
    urls = ["maildir:a", "maildir:b?name=maildir-2", "mbox:c", "maildir:d", "maildir:e"]
    made = ad_hoc(URL, urls, [], REGISTRY)
    assert [one.name for one in made.sinks] == ["maildir", "maildir-2", "mbox", "maildir-3", "maildir-4"]
    (found,) = problems_of(lambda: ad_hoc(URL, ["maildir:a?name=x", "mbox:b?name=x"], [], REGISTRY))
    assert 'two sinks are named "x"' in found


def test_one_place_twice(home: Path) -> None:
    def of(source: str, *sinks: str, steps: tuple[str, ...] = ()) -> tuple[str, ...]:
        return problems_of(lambda: ad_hoc(source, sinks, steps, REGISTRY))

    assert of(URL, "maildir:a", f"maildir:{home}/a") == (f"two sinks are maildir:{home / 'a'}",)
    assert of(URL, "maildir:a", "mbox:~/a") == (
        f"mbox:{home / 'a'} and another sink both have their files in {home / 'a'}",
    )
    assert of("eml:a", "maildir:a/b") == (
        f"the source eml:{home / 'a'} would read what the sink maildir:{home / 'a/b'} writes",
    )
    assert of("eml:a", "maildir:a") == (
        f"the source eml:{home / 'a'} would read what the sink maildir:{home / 'a'} writes",
    )
    assert of(URL, "maildir:a", steps=("mail:?to=x", "quota:", "mail:?to=x")) == (
        "two post-steps are mail:x",
    )
    assert ad_hoc("eml:a/b", ["maildir:a"], [], REGISTRY).name == "ad-hoc"
    assert ad_hoc("eml:ab", ["maildir:a"], [], REGISTRY).name == "ad-hoc"


def test_source_and_sink_of_one_where() -> None:
    here: SinkType[Config] = SinkType(
        api=1, name="eml", summary="s", schemes=("eml",), options=PATH, parse=Config, open=never,
        where=lambda config: f"eml:{config['path']}",
    )  # fmt: skip
    registry = registry_of(EML, here)
    (found,) = problems_of(lambda: ad_hoc("eml:a", ["eml:a"], [], registry))
    assert found.startswith("source and sink are the same, eml:")


def test_the_first_hint_is_given() -> None:
    with pytest.raises(ConfigError) as caught:
        ad_hoc("nothing", ["maildri:a"], ["no such step"], REGISTRY)
    assert caught.value.hint == "for example maildir:DIR or imaps://user@host"


def test_no_sink() -> None:
    assert problems_of(lambda: ad_hoc(URL, [], [], REGISTRY)) == ("there must be at least one sink",)


def test_choose() -> None:
    pipelines = load(DATA / "design.toml", REGISTRY)
    assert choose(pipelines, []) == pipelines
    assert choose(pipelines, ["old mail", "old mail"]) == pipelines[1:]
    assert problems_of(lambda: choose(pipelines, ["studoi", "studio", "x"])) == (
        'unknown pipeline "studoi", did you mean "studio"?',
        'unknown pipeline "x"',
    )


# -- plugins that misbehave --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parse": never}, 'the plugin "bad" (module tests) failed with AssertionError'),
        ({"where": never}, 'the plugin "bad" (module tests) failed with AssertionError'),
        ({"where": lambda _: None}, "gave no URL as its where, but None"),
        ({"where": lambda _: ""}, "gave no URL as its where, but ''"),
        ({"root": never}, 'the plugin "bad" (module tests) failed with AssertionError'),
    ],
)
def test_a_bug_of_a_plugin_is_called_one(change: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {
        "api": 1, "name": "bad", "summary": "s", "parse": Config, "where": lambda _: "bad:", "open": never,
    } | change  # fmt: skip
    registry = registry_of(POST, SinkType(**given))
    with pytest.raises(PluginBug) as caught:
        ad_hoc(URL, ["bad:"], [], registry)
    assert message in caught.value.message


def test_a_broken_plugin_that_is_configured_is_an_error(write: Callable[[str], Path]) -> None:
    from archipec.plugins.discovery import Problem

    broken = Registry(REGISTRY.plugins, [Problem("archipec-sftp", "0.1", "sftp", "can't be loaded: x")])
    text = pipeline(sinks='[[pipeline.sink]]\ntype = "sftp"')
    assert problems_of(lambda: load(write(text), broken)) == (
        'pipeline "p": sink "sftp" can\'t be used: plugin sftp of archipec-sftp 0.1: can\'t be loaded: x',
    )


# -- secrets ----------------------------------------------------------------------------------------------------


def test_secrets_are_objects_with_their_account(home: Path) -> None:
    source = ad_hoc(f"{URL}?password=file:secret", ["maildir:a"], [], REGISTRY).source
    account = {"user": "studio@pec.example.it", "host": "imaps.example.it"}
    assert source.values["password"] == LazySecret(f"file:{home / 'secret'}", name="password", **account)
    assert source.values["token"] == LazySecret(None, name="token", **account)
    assert source.config["password"] is source.values["password"]


def test_file_references_begin_at_the_configuration(write: Callable[[str], Path], tmp_path: Path) -> None:
    text = pipeline('type = "post"\nuser = "u"\nhost = "h"\npassword = "file:secret"')
    (made,) = load(write(text), REGISTRY)
    secret = made.source.values["password"]
    assert isinstance(secret, LazySecret)
    assert secret.reference == f"file:{tmp_path / 'secret'}"


def test_needed_secrets_are_fetched_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEC_PASSWORD", "hunter2")
    monkeypatch.delenv("NO_TOKEN", raising=False)
    # An optional secret that nothing refers to may be needed or not: only the plugin knows.
    ad_hoc(f"{URL}?password=env:PEC_PASSWORD", ["maildir:a"], [], REGISTRY).reveal_secrets()
    both = ad_hoc(f"{URL}?password=env:NO_PASSWORD&token=env:NO_TOKEN", ["maildir:a"], [], REGISTRY)
    found = problems_of(both.reveal_secrets)
    assert [one.rpartition("variable ")[2] for one in found] == [
        "NO_PASSWORD is not set",
        "NO_TOKEN is not set",
    ]


def test_a_bare_password_is_refused_and_not_repeated(write: Callable[[str], Path]) -> None:
    text = pipeline('type = "post"\nuser = "u"\nhost = "h"\npassword = "hunter2"\ntoken = ["hunter2"]')
    for make in (
        lambda: load(write(text), REGISTRY),
        lambda: ad_hoc(f"{URL}?password=hunter2&token=hunter2&token=hunter2", ["maildir:a"], [], REGISTRY),
    ):
        with pytest.raises(ConfigError) as caught:
            make()
        one, two = caught.value.problems
        assert 'option "password" must be a reference' in one
        assert 'option "token" must be a reference' in two
        assert "hunter2" not in str(caught.value) + caught.value.hint


@given(st.text("abk@/:?&=#%[]4. ", min_size=8))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_password_in_any_message(password: str) -> None:
    for url in (
        f"posts://me:{password}@host",
        f"{URL}?password={password}",
        f"{URL}?token={password}&port=x",
    ):
        try:
            made = ad_hoc(url, ["maildir:a"], [], REGISTRY)
        except ConfigError as error:
            assert password not in f"{error} {error.hint}"
        else:
            assert password not in repr(made.source.values["password"])


# -- files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"[[pipeline]]\nname = 'p'\npassword = hunter2\n", "line 3"),
        (b"[[pipeline]]\nname = 'p'\nname = 'hunter2'\n", "line 3"),
        (b"[[pipeline]\n", "line 1"),
        (b"[[pipeline]]\nname = 'hunter2 \xe8'\n", "line 2 is not UTF-8"),
        ("[[pipeline]]".encode("utf-16"), "line 1 is not UTF-8"),
    ],
)
def test_syntax_errors_have_their_line(tmp_path: Path, data: bytes, problem: str) -> None:
    path = tmp_path / "archipec.toml"
    path.write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        load(path, REGISTRY)
    assert caught.value.message.startswith(f"{path}: ")
    assert problem in caught.value.message
    assert "hunter2" not in caught.value.message
    assert caught.value.__context__ is None


def test_a_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "archipec.toml"
    path.write_bytes(b"\xef\xbb\xbf" + pipeline().replace("\n", "\r\n").encode())
    assert [one.name for one in load(path, REGISTRY)] == ["p"]


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "none.toml", REGISTRY)
    assert str(tmp_path / "none.toml") in caught.value.message
    assert "--config" in caught.value.hint


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (found,) = problems_of(lambda: load(tmp_path, REGISTRY))
    assert found.startswith(f"{tmp_path}: ")


def test_a_file_that_others_may_read_is_fine(write: Callable[[str], Path]) -> None:
    path = write(pipeline())
    path.chmod(0o644)
    assert len(load(path, REGISTRY)) == 1


def test_usual_places(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_config_path().name == "archipec.toml"
    assert default_config_path().parent.name == "archipec"
    assert "archipec" in default_state_path().parts
    monkeypatch.setenv("ARCHIPEC_CONFIG", "~/mine.toml")
    monkeypatch.setenv("ARCHIPEC_STATE", "state")
    assert default_config_path() == home / "mine.toml"
    assert default_state_path() == home / "state"
    monkeypatch.setenv("ARCHIPEC_STATE", "~nobody-here/x")
    assert "~nobody-here/x" in problems_of(default_state_path)[0]
