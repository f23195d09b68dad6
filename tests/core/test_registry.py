"""`archipec.plugins.registry` and `archipec.plugins.discovery`: finding plugins, and living with broken ones."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import itertools
import json
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from archipec.contract import Option, PostStepType, SinkType, SourceType
from archipec.errors import ConfigError
from archipec.plugins.discovery import Plugin
from archipec.plugins.registry import Registry

_SINK = """
from archipec.contract import Option, PostStepType, SinkType, SourceType
from archipec.hookspecs import hookimpl

def record(record_type=SinkType, **fields):
    given = dict(api=1, name="acme", summary="a sink", schemes=("acme",), parse=dict, where=str, open=open)
    return record_type(**(given | fields))
"""

_number = itertools.count()


class Site:
    """A folder on ``sys.path`` with installed distributions in it, each written as pip leaves it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.modules: list[str] = []

    def install(self, name: str, source: str, *, version: str = "1.0", point: str = "acme") -> None:
        module = f"fake_plugin_{next(_number)}"
        self.modules.append(module)
        (self._folder / f"{module}.py").write_text(_SINK + textwrap.dedent(source))
        self.declare(name, f"[archipec]\n{point} = {module}\n", version=version)

    def declare(self, name: str, entry_points: str, *, version: str = "1.0") -> None:
        info = self._folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(entry_points)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv("ARCHIPEC_STRICT_PLUGINS", raising=False)
    made = Site(tmp_path)
    yield made
    for module in made.modules:
        sys.modules.pop(module, None)


def yields(*records: str) -> str:
    body = "\n".join(f"    yield {record}" for record in records)
    return f"@hookimpl\ndef archipec_sinks():\n{body}\n"


def strangers(registry: Registry) -> list[Plugin]:
    return [plugin for plugin in registry.plugins if plugin.distribution != "archipec"]


def problems(registry: Registry) -> list[str]:
    return [str(problem) for problem in registry.problems if problem.distribution != "archipec"]


def test_where_there_are_no_others_a_built_in_is_loaded_when_it_is_asked_for() -> None:
    script = textwrap.dedent("""
        import sys
        from archipec.plugins.registry import Registry

        def loaded():
            return {name.split(".")[1] for name in sys.modules if name.startswith("archipec_plugins.")}

        registry = Registry.load()
        assert not loaded(), loaded()
        assert registry.sink("maildir").name == "maildir"
        assert registry.source("pop3s").name == "pop3"
        assert registry.sink("conservation+directory").name == "conservation-directory"
        assert loaded() == {"maildir", "pop3", "conservation", "files", "net"}, loaded()
        assert [one.name for one in registry.sources] == sorted(one.name for one in registry.sources)
        assert loaded() >= {"dump", "eml", "imap", "mbox", "quota", "thunderbird", "zip"}
    """)
    ran = subprocess.run(
        [sys.executable, "-Ic", script], capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.returncode == 0, ran.stderr


def test_no_two_built_ins_have_a_word_in_common() -> None:
    registry = Registry.load(strict=True)
    assert not registry.problems
    assert len({(one.kind, word) for one in registry.plugins for word in one.names}) == sum(
        len(one.names) for one in registry.plugins
    )


def test_with_another_distribution_all_are_loaded_at_once(site: Site) -> None:
    site.install("archipec-acme", "import nothing_of_this_name\n")
    assert problems(Registry.load()), "it is known before anything is asked for"


def test_a_word_that_nothing_has_is_compared_with_all_there_are() -> None:
    with pytest.raises(ConfigError, match=r'unknown sink "maildri", did you mean "maildir"'):
        Registry.load().sink("maildri")


def test_a_plugin_is_found_with_its_distribution(site: Site) -> None:
    site.install("archipec-acme", yields("record()"), version="2.5")
    registry = Registry.load()
    (plugin,) = strangers(registry)
    assert (plugin.distribution, plugin.version, plugin.entry_point) == ("archipec-acme", "2.5", "acme")
    assert (plugin.kind, plugin.names) == ("sink", ("acme",))
    assert registry.sink("acme") is plugin.record
    assert plugin.record in registry.sinks
    assert registry.plugin_of(plugin.record) is plugin
    assert problems(registry) == []


def test_names_and_schemes_both_find_a_record(site: Site) -> None:
    site.install("archipec-acme", yields('record(schemes=("acmes", "acme+http"))'))
    registry = Registry.load()
    assert registry.sink("acme") is registry.sink("acmes") is registry.sink("acme+http")


def test_each_hook_has_its_own_names(site: Site) -> None:
    site.install(
        "archipec-acme",
        """
        @hookimpl
        def archipec_sources():
            yield record(SourceType)
        @hookimpl
        def archipec_sinks():
            return [record()]
        @hookimpl
        def archipec_poststeps():
            return (record(PostStepType),)
        """,
    )
    registry = Registry.load()
    assert isinstance(registry.source("acme"), SourceType)
    assert isinstance(registry.sink("acme"), SinkType)
    assert [plugin.kind for plugin in strangers(registry)] == ["source", "sink", "post-step"]
    assert isinstance(registry.find("post-step", "acme"), PostStepType)
    assert registry.source("acme") in registry.sources


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("raise RuntimeError('on import\\nof a module')", "RuntimeError: on import of a module"),
        ("class E(Exception):\n    def __str__(self): return 1\nraise E", "E: its message fails"),
        ("import no_such_module_anywhere", "No module named 'no_such_module_anywhere'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("def broken(:\n    pass", "SyntaxError"),
        ("@hookimpl\ndef archipec_sinks():\n    raise KeyError('lost')", "archipec_sinks failed: KeyError: 'lost'"),
        (yields("record()") + "    raise ValueError('half-way')", "archipec_sinks failed: ValueError: half-way"),
        ("@hookimpl\ndef archipec_sinks():\n    return None", "archipec_sinks failed: TypeError"),
        ("@hookimpl\ndef archipec_sinks():\n    raise SystemExit", "archipec_sinks failed: SystemExit"),
        ("@hookimpl\ndef archipec_sinks(cli):\n    return ()", "archipec_sinks must take no parameters, and takes cli"),
        ("@hookimpl\ndef archipec_sinkz():\n    return ()", 'unknown hook "archipec_sinkz", did you mean "archipec_sinks"?'),
        ("@hookimpl(wrapper=True)\ndef archipec_sinks():\n    yield", "archipec_sinks must not be a wrapper"),
        ("@hookimpl(hookwrapper=True)\ndef archipec_sinks():\n    yield", "archipec_sinks must not be a wrapper"),
        ("def archipec_sinks():\n    yield record()", "implements no hook"),
        (yields("5"), "archipec_sinks yielded 5, not a SinkType"),
        (yields("record(SourceType)"), "not a SinkType"),
        (yields("SinkType"), "not a SinkType"),
        (yields("type('Odd', (), {'__repr__': lambda self: 1 / 0})()"), "of type Odd, whose repr fails"),
        (yields("record(api=2)"), "sink 'acme': written for contract version 2, this archipec speaks 1"),
        (yields("record(api=True)"), "contract version True"),
        (yields("record(api='1')"), "contract version '1'"),
        (yields("record(name='Acme')"), "its name must be lower case letters, digits and hyphens"),
        (yields("record(name='')"), "its name must be"),
        (yields("record(name=None)"), "its name must be"),
        (yields("record(name='acme\\n')"), "its name must be"),
        (yields("record(summary='two\\nlines')"), "its summary must be one line"),
        (yields("record(summary=None)"), "its summary must be one line"),
        (yields("record(schemes='acme')"), "its schemes must be a tuple"),
        (yields("record(schemes=('a',))"), "two characters or more"),
        (yields("record(schemes=('C', 1))"), "its schemes must be a tuple"),
        (yields("record(parse=None)"), 'its "parse" must be callable'),
        (yields("record(where='x')"), 'its "where" must be callable'),
        (yields("record(open=1)"), 'its "open" must be callable'),
        (yields("record(root=None)"), 'its "root" must be callable'),
        (yields("record(options=['x'])"), "its options must be a tuple of Option"),
        (yields("record(options=('x',))"), "its options must be a tuple of Option"),
    ],
)  # fmt: skip
def test_a_broken_plugin_is_reported_and_stops_nobody(site: Site, source: str, message: str) -> None:
    site.install("archipec-broken", source, version="0.3", point="bad")
    site.install("archipec-sound", yields('record(name="sound", schemes=("sound",))'), point="sound")
    registry = Registry.load()
    (problem,) = problems(registry)
    assert problem.startswith("plugin bad of archipec-broken 0.3: ")
    assert message in problem
    assert "\n" not in problem
    assert [plugin.record.name for plugin in strangers(registry)] == ["sound"]


def test_a_plugin_that_fails_in_one_hook_keeps_the_others(site: Site) -> None:
    site.install(
        "archipec-half",
        yields("record()", "record(name='Bad')") + "@hookimpl\ndef archipec_sources():\n    return 1 / 0\n",
    )
    registry = Registry.load()
    assert [plugin.names for plugin in strangers(registry)] == [("acme",)]
    assert len(problems(registry)) == 2


def test_all_flaws_of_a_record_are_named_at_once(site: Site) -> None:
    site.install("archipec-bad", yields("record(api=9, summary='', parse=None)"))
    (problem,) = problems(Registry.load())
    assert problem.count(";") == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((Option(name="type", help="h"),), "option 'type' has a name that the host keeps for itself"),
        ((Option(name="required", help="h"),), "option 'required' has a name"),
        ((Option(name="a", help="h"), Option(name="a", help="h")), "option 'a' is there twice"),
        ((Option(name="CA-file", help="h"),), "option 'CA-file' must be named in lower case"),
        ((Option(name="a", help="h", part="path"), Option(name="b", help="h", part="path")), "'path', which another"),
        ((Option(name="a", help="h", part="fragment"),), "unknown URL part 'fragment'"),  # type: ignore[arg-type]
        ((Option(name="a", help="h", part="user", secret=True),), "is a secret, and no part of a URL"),
        ((Option(name="connections", help="h", default=0),), "must default to a whole number above 0"),
        ((Option(name="connections", help="h", default=True),), "must default to a whole number above 0"),
        ((Option(name="connections", help="h", default="2"),), "must default to a whole number above 0"),
    ],
)  # fmt: skip
def test_options_that_can_not_work(options: tuple[Option, ...], message: str) -> None:
    from archipec.plugins.discovery import _option_flaws

    (flaw,) = _option_flaws(options)
    assert message in flaw


def test_sound_options() -> None:
    from archipec.plugins.discovery import _option_flaws

    options = (
        Option(name="connections", help="h", default=2),
        Option(name="host", help="h", part="host"),
        Option(name="password", help="h", secret=True),
    )
    assert list(_option_flaws(options)) == []


# -- clashes ----------------------------------------------------------------------------------------------------


def clash(kind: str, word: str, registry: Registry) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        registry.find(kind, word)  # type: ignore[arg-type]
    return caught.value


def test_a_built_in_stays_and_the_newcomer_is_reported(site: Site) -> None:
    """Even one that sorts before it and comes first on the path."""
    site.install("aaa", yields("record(summary='false')", "record(name='other', schemes=())"))
    site.install("archipec", yields("record(summary='true')"), version="7.0")
    registry = Registry.load()
    assert registry.sink("acme").summary == "true"
    assert registry.sink("other").summary == "a sink"
    assert problems(registry) == [
        'plugin acme of aaa 1.0: sink "acme" is taken by archipec 7.0, which is built in'
    ]


def test_two_strangers_of_one_name_lose_it_both(site: Site) -> None:
    site.install("archipec-b", yields("record(schemes=('bbb',))"), version="2.0", point="two")
    site.install("archipec-a", yields("record(schemes=('aaa',))"), version="1.0", point="one")
    registry = Registry.load()
    assert strangers(registry) == []
    assert problems(registry) == [
        'plugin one of archipec-a 1.0: sink "acme" is also claimed by archipec-b 2.0 (entry point two): it is not used',
        'plugin two of archipec-b 2.0: sink "acme" is also claimed by archipec-a 1.0 (entry point one): it is not used',
    ]
    error = clash("sink", "acme", registry)
    assert "archipec-a 1.0 (entry point one) and archipec-b 2.0 (entry point two)" in error.message
    # Their other words are gone with them, and the error says why.
    assert 'sink "acme" is also claimed by archipec-b 2.0' in clash("sink", "aaa", registry).message


def test_two_strangers_of_one_scheme_lose_that(site: Site) -> None:
    site.install("archipec-a", yields("record(name='aaa', schemes=('dav', 'aaas'))"))
    site.install("archipec-b", yields("record(name='bbb', schemes=('dav',))"))
    registry = Registry.load()
    assert [plugin.record.name for plugin in strangers(registry)] == ["aaa", "bbb"]
    assert registry.sink("aaas") is registry.sink("aaa")
    message = clash("sink", "dav", registry).message
    assert "archipec-a 1.0" in message
    assert "archipec-b 1.0" in message


def test_a_built_in_keeps_its_scheme_and_the_newcomer_the_rest(site: Site) -> None:
    site.install("archipec-a", yields("record(name='aaa', schemes=('acme',))"))
    site.install("archipec", yields("record(name='built-in')"))
    registry = Registry.load()
    assert registry.sink("acme").name == "built-in"
    assert registry.sink("aaa").name == "aaa"
    assert 'sink "acme" is taken by archipec 1.0, which is built in' in problems(registry)[0]


def test_a_name_that_is_a_strangers_scheme(site: Site) -> None:
    site.install("archipec-a", yields("record(name='dav', schemes=())"))
    site.install("archipec-b", yields("record(name='bbb', schemes=('dav',))"))
    registry = Registry.load()
    assert [plugin.record.name for plugin in strangers(registry)] == ["bbb"]
    clash("sink", "dav", registry)


def test_three_strangers_of_one_name(site: Site) -> None:
    for letter in "cab":
        site.install(f"archipec-{letter}", yields("record()"))
    message = clash("sink", "acme", Registry.load()).message
    assert [letter for letter in "abc" if f"archipec-{letter} 1.0" in message] == list("abc")


def test_a_distribution_that_claims_a_name_twice(site: Site) -> None:
    site.install("archipec-a", yields("record()", "record()"))
    registry = Registry.load()
    assert strangers(registry) == []
    assert len(problems(registry)) == 2


def test_order_depends_on_names_only(site: Site) -> None:
    for name in ("archipec-b", "zebra", "aardvark"):
        site.install(name, yields(f"record(name='{name}', schemes=())"))
    site.install("archipec", yields("record(name='own', schemes=())"))
    registry = Registry.load()
    assert [plugin.record.name for plugin in registry.plugins] == ["own", "aardvark", "archipec-b", "zebra"]


# -- what is around them -----------------------------------------------------------------------------------------


def test_an_unknown_name_names_the_nearest(site: Site) -> None:
    site.install("archipec-acme", yields("record()"))
    site.install("archipec-broken", "raise RuntimeError('by itself')", point="else")
    with pytest.raises(ConfigError) as caught:
        Registry.load().sink("acm")
    assert caught.value.message == 'unknown sink "acm", did you mean "acme"?'
    assert "plugin else of archipec-broken 1.0: can't be loaded: RuntimeError: by itself" in caught.value.hint


@pytest.mark.parametrize(
    "source", ["raise RuntimeError('by itself')", yields("record(api=2, schemes=('other',))")]
)
@pytest.mark.parametrize("word", ["acme", "other"])
def test_a_name_of_a_broken_plugin_says_so(site: Site, source: str, word: str) -> None:
    site.install("archipec-acme", source, point=word)
    with pytest.raises(
        ConfigError, match=rf'^sink "{word}" can\'t be used: plugin {word} of archipec-acme 1.0: '
    ):
        Registry.load().sink(word)


def test_a_broken_record_of_another_hook_is_no_reason(site: Site) -> None:
    site.install("archipec-acme", yields("record(api=2)"))
    with pytest.raises(ConfigError, match=r'^unknown source "acme"'):
        Registry.load().source("acme")


@pytest.mark.parametrize(("value", "strict"), [("1", True), ("yes", True), ("0", False), ("", False)])
def test_strict(site: Site, monkeypatch: pytest.MonkeyPatch, value: str, strict: bool) -> None:
    site.install("archipec-acme", "raise RuntimeError('by itself')")
    site.install("archipec-bcme", yields("5"))
    monkeypatch.setenv("ARCHIPEC_STRICT_PLUGINS", value)
    if not strict:
        assert len(problems(Registry.load())) == 2
        return
    with pytest.raises(ConfigError) as caught:
        Registry.load()
    assert len([problem for problem in caught.value.problems if "cme 1.0: " in problem]) == 2
    assert len(problems(Registry.load(strict=False))) == 2


def test_other_distributions_with_nonsense_in_their_metadata(site: Site, tmp_path: Path) -> None:
    """`importlib.metadata.entry_points` raises TypeError for the first of these."""
    site.declare("nonsense", "[console_scripts]\nthis is no entry point\n")
    site.declare("ours-nonsense", "[archipec]\nthis is no entry point\n")
    site.declare("bad-value", "[archipec]\nacme = !!\n")
    site.declare("not-utf8", "")
    (tmp_path / "not_utf8-1.0.dist-info/entry_points.txt").write_bytes(b"[archipec]\na = \xff\n")
    site.declare("nameless", "[archipec]\na = b\n")
    (tmp_path / "nameless-1.0.dist-info/METADATA").write_text("Version: 1.0\n")
    site.install("archipec-acme", yields("record()"))
    registry = Registry.load()
    assert [plugin.distribution for plugin in strangers(registry)] == ["archipec-acme"]
    reported = "\n".join(problems(registry))
    assert [
        name for name in ("ours-nonsense", "bad-value", "not_utf8", "nameless") if name not in reported
    ] == []
    assert len(problems(registry)) == 4


def test_a_distribution_hides_another_of_its_name(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.install("archipec-acme", yields("record(summary='hidden')"), version="1.0")
    front = tmp_path / "front"
    front.mkdir()
    monkeypatch.syspath_prepend(str(front))
    nearer = Site(front)
    nearer.install("archipec-acme", yields("record(summary='used')"), version="2.0")
    registry = Registry.load()
    assert registry.sink("acme").summary == "used"
    assert problems(registry) == []
    sys.modules.pop(nearer.modules[0])


def test_archipec_alone_is_found_as_its_metadata_has_it() -> None:
    code = """
        import json
        from archipec.plugins import installed

        def found():
            return [(*one[:2], one.point.name, one.point.value) for one in installed.installed(None)]

        quick = found()
        assert installed._own_alone(), "something else is installed here"
        installed._own_alone = lambda: None
        print(json.dumps([quick, found()]))
    """
    quick, known = json.loads(run(code))
    assert quick == known and len(quick) > 10


def test_a_plugin_in_a_zip_on_the_path_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "plugins.zip", "w") as archive:
        archive.writestr("zipped_plugin.py", _SINK + yields("record()"))
        archive.writestr(
            "zipped-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: zipped\nVersion: 1.0\n"
        )
        archive.writestr("zipped-1.0.dist-info/entry_points.txt", "[archipec]\nacme = zipped_plugin\n")
    monkeypatch.syspath_prepend(str(tmp_path / "plugins.zip"))
    assert [plugin.origin for plugin in strangers(Registry.load())] == ["zipped 1.0"]
    sys.modules.pop("zipped_plugin")


def test_a_plugin_that_an_egg_declares_is_found(site: Site, tmp_path: Path) -> None:
    site.install("archipec-acme", yields("record()"))
    (tmp_path / "archipec_acme-1.0.dist-info").rename(tmp_path / "archipec_acme.egg-info")
    (tmp_path / "archipec_acme.egg-info" / "METADATA").rename(
        tmp_path / "archipec_acme.egg-info" / "PKG-INFO"
    )
    assert [plugin.origin for plugin in strangers(Registry.load())] == ["archipec-acme 1.0"]


def test_a_plugin_that_only_an_import_hook_knows_is_found(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.install("archipec-acme", yields("record()"))
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (tmp_path / "archipec_acme-1.0.dist-info").rename(hidden / "archipec_acme-1.0.dist-info")
    assert strangers(Registry.load()) == []

    class Finder(importlib.metadata.DistributionFinder):
        def find_spec(self, *_: object) -> None:
            return None

        def find_distributions(self, context: Any = None) -> Any:
            if context is None or context.name in (None, "archipec-acme"):
                yield importlib.metadata.Distribution.at(hidden / "archipec_acme-1.0.dist-info")

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder()])
    assert [plugin.origin for plugin in strangers(Registry.load())] == ["archipec-acme 1.0"]


def test_entry_points_that_are_no_text_are_named(site: Site, tmp_path: Path) -> None:
    site.declare("archipec-acme", "")
    (tmp_path / "archipec_acme-1.0.dist-info" / "entry_points.txt").write_bytes(b"\xff\xfe[archipec]")
    (problem,) = problems(Registry.load())
    assert "its metadata can't be read" in problem


def test_a_folder_of_another_name_than_its_distribution_is_named_and_harms_no_other(
    site: Site, tmp_path: Path
) -> None:
    """`importlib.metadata` finds it in the list of all and not by its name."""
    site.install("archipec-acme", yields("record()"))
    site.declare("archipec-moved", "[archipec]\nmoved = moved\n")
    (tmp_path / "archipec_moved-1.0.dist-info").rename(tmp_path / "elsewhere-1.0.dist-info")
    registry = Registry.load()
    assert [plugin.distribution for plugin in strangers(registry)] == ["archipec-acme"]
    (problem,) = problems(registry)
    assert "archipec-moved" in problem and "can't be read" in problem


def test_a_record_made_by_hand() -> None:
    record: SinkType[Any] = SinkType(api=1, name="mine", summary="s", parse=dict, where=str, open=_never)
    registry = Registry([Plugin("here", "1", "mine", "sink", record)])
    assert registry.sink("mine") is record
    assert registry.plugin_of(dataclasses.replace(record)) is None


def _never(*_: object) -> Any:
    raise AssertionError


def test_nothing_is_loaded_at_import() -> None:
    code = """
        import json, sys
        import archipec.plugins.registry
        print(json.dumps([name for name in sys.modules if name.startswith("archipec_plugins")]))
        print("importlib.metadata" in sys.modules and "email" in sys.modules)
    """
    assert run(code).split() == ["[]", "False"]


def test_start_loads_no_library_but_pluggy() -> None:
    """What makes a start slow is what records import: their libraries wait until something is opened."""
    code = """
        import json, sys
        from archipec.plugins.registry import Registry
        Registry.load().plugins  # all of them
        loaded = {name.partition(".")[0] for name in sys.modules if not name.startswith("_")}
        print(json.dumps(sorted(loaded - set(sys.stdlib_module_names))))
        print(json.dumps(sorted(loaded & {"asyncio", "email", "http", "multiprocessing", "sqlite3", "ssl", "xml"})))
    """
    assert [json.loads(line) for line in run(code).splitlines()] == [
        ["archipec", "archipec_plugins", "pluggy"],
        [],
    ]


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-I", "-c", textwrap.dedent(code)], check=True, capture_output=True, text=True
    )
    return done.stdout


# -- archipec plugins list ---------------------------------------------------------------------------------------


@pytest.fixture
def listed(site: Site) -> Callable[..., str]:
    site.install("archipec-acme", yields("record(schemes=('acmes', 'acme'), summary='[b]bold[/b]')"))
    site.install("archipec-broken", "raise RuntimeError('by itself')", point="bad")

    def invoke(*arguments: str) -> str:
        from click.testing import CliRunner

        from archipec.cli.plugins import plugins

        result = CliRunner().invoke(plugins, ["list", *arguments])
        assert result.exit_code == 0, result.output
        return result.output

    return invoke


def test_list_as_json(listed: Callable[..., str]) -> None:
    rows = [json.loads(line) for line in listed("--json").splitlines()]
    assert {
        "hook": "sink",
        "name": "acme",
        "schemes": ["acmes", "acme"],
        "summary": "[b]bold[/b]",
        "distribution": "archipec-acme",
        "version": "1.0",
        "entry_point": "acme",
        "status": "ok",
        "reason": "",
    } in rows
    (broken,) = [row for row in rows if row["distribution"] == "archipec-broken"]
    assert (broken["status"], broken["entry_point"], broken["hook"]) == ("broken", "bad", "")
    assert broken["reason"] == "can't be loaded: RuntimeError: by itself"


def test_list_as_text(listed: Callable[..., str]) -> None:
    lines = listed().splitlines()
    assert "sink\tacme\tacmes: acme:\t[b]bold[/b]\tarchipec-acme\t1.0\tok" in lines
    assert "\tbad\t\tcan't be loaded: RuntimeError: by itself\tarchipec-broken\t1.0\tbroken" in lines


def test_list_as_table(listed: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archipec.cli.plugins._is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    table = listed()
    assert "[b]bold[/b]" in table
    assert "RuntimeError: by itself" in table


def test_list_shows_what_strict_refuses(listed: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARCHIPEC_STRICT_PLUGINS", "1")
    assert "archipec-broken" in listed()
