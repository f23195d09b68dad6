"""Whatever stands where the configuration should, the command says what is wrong with it, at once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from archipec.simulator import mailbox
from testbed.command import Archipec
from testbed.strangers import Strangers


def _fifo(path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("no named pipes here")
    os.mkfifo(path)


ODD: dict[str, tuple[Callable[[Path], object], str]] = {
    "folder": (Path.mkdir, "is no file"),
    "named pipe": (_fifo, "is no file"),
    "binary": (lambda path: path.write_bytes(b"\x7fELF\xff\xfe"), "is not UTF-8"),
    "huge": (lambda path: path.write_bytes(b"# " + b"x" * 100_000_000), "is larger than"),
    "deep lists": (lambda path: path.write_text("a = " + "[" * 100_000), "nested too deeply"),
    "deep tables": (lambda path: path.write_text("a = " + "{a=" * 100_000), "nested too deeply"),
}


@pytest.mark.parametrize("what", list(ODD))
@pytest.mark.parametrize("command", ["archive", "verify", "prune"])
def test_what_is_no_configuration_is_said(tmp_path: Path, what: str, command: str) -> None:
    path = tmp_path / "odd.toml"
    make, words = ODD[what]
    make(path)
    result = Archipec(tmp_path / "state", {"ARCHIPEC_CONFIG": str(path)})(command, expect=4, timeout=60)
    assert words in result.err or (what == "folder" and os.name == "nt")
    assert "odd.toml" in result.err


@pytest.mark.parametrize(
    "command", ["archive", "verify", "prune", "settle", "status", "receipts", "plugins list", "providers"]
)
def test_a_configuration_that_is_not_there_is_said(tmp_path: Path, command: str) -> None:
    archipec = Archipec(tmp_path / "state", {"ARCHIPEC_CONFIG": str(tmp_path / "nope.toml")})
    assert "nope.toml" in archipec(*command.split(), expect=4).err


def test_a_misspelt_type_hides_no_other_mistake(tmp_path: Path) -> None:
    path = tmp_path / "typo.toml"
    path.write_text(
        '[[pipeline]]\nname = "p"\n[pipeline.source]\ntyp = "imap"\nhosst = "x"\nuser = "u"\n'
        '[[pipeline.sink]]\ntype = "maildir"\npath = "out"\n'
    )
    result = Archipec(tmp_path / "state", {"ARCHIPEC_CONFIG": str(path)})("archive", expect=4)
    assert 'unknown key "typ", did you mean "type"?' in result.err
    assert 'unknown key "hosst", did you mean "host"?' in result.err


def test_a_path_begins_beside_the_configuration_whatever_converts_it(tmp_path: Path) -> None:
    """A converter around `file_path` would land in cron's current folder: another archive."""
    strangers = Strangers(
        tmp_path, {"ARCHIPEC_CONFIG": str(tmp_path / "conf" / "a.toml"), "HOME": str(tmp_path)}
    )
    strangers.install(
        """
        def wrapped(value): return file_path(value)
        ODD = Option(name="path", help="a folder", required=True, part="path", kind="path", convert=wrapped)
        globals().update(yields(sink(Shelf, options=(ODD,))))
        """
    )
    for folder in ("conf", "letters", "conf/out", "home-out"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "letters" / "1.eml").write_bytes(next(iter(mailbox(1, seed=1))).raw)
    text = (
        '[[pipeline]]\nname = "p"\n[pipeline.source]\ntype = "eml"\npath = "../letters"\n'
        '[[pipeline.sink]]\ntype = "shelf"\npath = "{}"\n'
    )
    for given, there in (("out", tmp_path / "conf" / "out"), ("~/home-out", tmp_path / "home-out")):
        (tmp_path / "conf" / "a.toml").write_text(text.format(given))
        strangers("archive")
        assert [one for one in there.iterdir() if len(one.name) == 64]


def test_a_folder_that_a_source_has_for_itself_forbids_no_archive_in_it(tmp_path: Path) -> None:
    strangers = Strangers(tmp_path)
    strangers.install(
        """
        CACHE = Option(name="token_cache", help="where tokens are kept", kind="path", convert=file_path)
        NEST = Option(name="nest", help="a folder to read", kind="path", convert=file_path)
        globals().update(yields(source(
            Pigeon, options=(PATH, CACHE, NEST), reads=lambda config: (config["nest"],) if config["nest"] else ())))
        """
    )
    to = ("--to", f"maildir:{tmp_path / 'srv' / 'pec'}")
    strangers("archive", "--from", f"pigeon:/x?token_cache={tmp_path / 'srv'}", *to)
    result = strangers("archive", "--from", f"pigeon:/x?nest={tmp_path / 'srv'}", *to, expect=4)
    assert "would read what the sink" in result.err


@pytest.mark.parametrize("inside", ["", "a/b"])
@pytest.mark.parametrize("way", ["link", "mount"])
def test_an_archive_in_the_folder_that_is_read_by_another_path(
    tmp_path: Path, inside: str, way: str, request: pytest.FixtureRequest
) -> None:
    mail, other = tmp_path / "mail", tmp_path / "other"
    mail.mkdir()
    (mail / "a.eml").write_bytes(b"Subject: a\r\n\r\nb\r\n")
    _lead(other, mail, way, request)
    archipec = Archipec(tmp_path / "state")
    for scheme in ("eml", "dump"):
        result = archipec(
            "archive", "--from", f"{scheme}:{mail}", "--to", f"maildir:{other / inside}", expect=4
        )
        assert "would read what the sink" in result.err
    assert [one.name for one in mail.iterdir()] == ["a.eml"]


@pytest.mark.parametrize("way", ["link", "mount"])
def test_two_archives_in_one_folder_by_two_paths(
    tmp_path: Path, way: str, request: pytest.FixtureRequest
) -> None:
    mail, archive, other = (tmp_path / name for name in ("mail", "archive", "other"))
    mail.mkdir()
    archive.mkdir()
    (mail / "a.eml").write_bytes(b"Subject: a\r\n\r\nb\r\n")
    _lead(other, archive, way, request)
    result = Archipec(tmp_path / "state")(
        "archive", "--from", f"eml:{mail}", "--to", f"maildir:{archive}", "--to", f"zip:{other}", expect=4
    )
    assert "have their files in one folder" in result.err


def _lead(path: Path, to: Path, way: str, request: pytest.FixtureRequest) -> None:
    """Give a folder another path."""
    if way == "link":
        try:
            path.symlink_to(to, target_is_directory=True)
        except OSError as error:  # Windows without developer mode
            pytest.skip(str(error))
        return
    path.mkdir()
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root of Linux binds folders")
    bound = subprocess.run(["mount", "--bind", str(to), str(path)], capture_output=True, check=False)
    if bound.returncode:
        pytest.skip(f"this system binds no folders: {bound.stderr.decode()}")
    request.addfinalizer(lambda: subprocess.run(["umount", str(path)], check=True))


def test_a_broken_plugin_fails_a_strict_listing(tmp_path: Path) -> None:
    strangers = Strangers(tmp_path)
    strangers.install("globals().update(yields(sink(Shelf)))\nsink(Shelf, colour='red')\n")
    assert 'SinkType has no field "colour" in this archipec' in strangers("plugins", "list").out
    strangers.env["ARCHIPEC_STRICT_PLUGINS"] = "1"
    strangers("plugins", "list", expect=4)
