"""What is shipped and installed: the wheel, the sdist, the entry points, and what a start of archipec loads."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest

import archipec
from archipec import cli
from archipec.language import LANGUAGES

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "archipec": ROOT / "core" / "archipec",
    "archipec_plugins": ROOT / "plugins" / "archipec_plugins",
    "archipec_thunderbird": ROOT / "thunderbird_profile_tool" / "archipec_thunderbird",
}

# What `archipec --version` does without, so that it stays under 0.15 s of CPU.
LATE = ("asn1crypto", "cryptography", "email", "imapclient", "keyring", "lxml", "rich", "sqlite3", "ssl")

_BUILD = """
import sys
from hatchling import build
for make in (build.build_sdist, build.build_wheel):
    make(sys.argv[1])
"""
_LOADED = """
import atexit, json, sys
loaded, sys.argv[1] = sys.argv[1], "archipec"
del sys.argv[0]
atexit.register(lambda: open(loaded, "w").write(json.dumps(sorted(sys.modules))))
from archipec.cli import main
main()
"""

_CONFIGURATION = """
[[pipeline]]
name = "studio"
[pipeline.source]
type = "imap"
host = "imaps.example.it"
user = "studio@pec.example.it"
password = "keyring:archipec"
[[pipeline.sink]]
type = "maildir"
path = "PEC"
"""


def run_isolated(code: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter that sees what is installed and nothing of the checkout."""
    command = [sys.executable, "-I", "-c", code, *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=120)


def built(source: Path, target: Path) -> Path:
    """Build wheel and sdist of a source tree, without network."""
    if importlib.util.find_spec("hatchling") is None:
        reason = (
            "hatchling is not installed: the wheel can't be built without network (pip install hatchling)"
        )
        if os.environ.get("ARCHIPEC_REQUIRE_REAL") == "1":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    answer = run_isolated(_BUILD, str(target), cwd=source)
    assert answer.returncode == 0, answer.stderr
    return target


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist of this checkout."""
    return built(ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def wheel(distributions: Path) -> dict[str, bytes]:
    """The wheel's files."""
    return read_wheel(distributions)


def read_wheel(folder: Path) -> dict[str, bytes]:
    """Return the files of the one wheel in a folder."""
    (file,) = folder.glob("*.whl")
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    """The ``project`` table of pyproject.toml."""
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return table


def plugin_modules() -> set[str]:
    """Return the modules of the built-in plugins that have hooks."""
    root = PACKAGES["archipec_plugins"]
    files = {file: file.relative_to(root.parent).with_suffix("").parts for file in root.rglob("*.py")}
    return {
        ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        for file, parts in files.items()
        if has_hooks(file.read_text("utf-8"))
    }


def has_hooks(source: str) -> bool:
    """Tell whether a module implements a hook."""
    functions = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef))
    marks = (mark for function in functions for mark in function.decorator_list)
    return any("hookimpl" in ast.unparse(mark) for mark in marks)


def test_a_hook_is_seen() -> None:
    assert has_hooks("@hookimpl\ndef archipec_sinks(): ...")
    assert has_hooks("@hookspecs.hookimpl(trylast=True)\ndef archipec_sinks(): ...")
    assert not has_hooks("# @hookimpl\ndef archipec_sinks(): ...")


def test_every_built_in_plugin_has_an_entry_point_and_every_entry_point_a_plugin(
    project: dict[str, Any],
) -> None:
    modules = list(project["entry-points"]["archipec"].values())
    assert len(modules) == len(set(modules))
    assert set(modules) == plugin_modules()


def test_installed_entry_points_are_those_of_the_project(project: dict[str, Any]) -> None:
    installed = importlib.metadata.distribution("archipec").entry_points.select(group="archipec")
    found = {point.name: point.value for point in installed}
    assert found == project["entry-points"]["archipec"], "install again: pip install -e . --group dev"


def test_the_wheel_has_the_three_packages_and_nothing_else(wheel: dict[str, bytes]) -> None:
    top = {name.partition("/")[0] for name in wheel}
    assert top == {*PACKAGES, f"archipec-{archipec.__version__}.dist-info"}


def test_the_wheel_has_every_module(wheel: dict[str, bytes]) -> None:
    for package, folder in PACKAGES.items():
        here = {f"{package}/{file.relative_to(folder).as_posix()}" for file in folder.rglob("*.py")}
        shipped = {name for name in wheel if name.startswith(f"{package}/")}
        assert here <= shipped, sorted(here - shipped)
        assert not [name for name in shipped if "__pycache__" in name or name.endswith(".pyc")]


def test_the_wheel_speaks_every_language(wheel: dict[str, bytes]) -> None:
    for code in LANGUAGES:
        if code != "en":
            assert f"archipec/locale/{code}/LC_MESSAGES/archipec.mo" in wheel


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_is_typed(package: str, wheel: dict[str, bytes]) -> None:
    assert f"{package}/py.typed" in wheel


def test_the_wheel_has_the_entry_points(wheel: dict[str, bytes], project: dict[str, Any]) -> None:
    parser = ConfigParser()
    parser.read_string(wheel[f"archipec-{archipec.__version__}.dist-info/entry_points.txt"].decode())
    assert dict(parser["archipec"]) == project["entry-points"]["archipec"]
    assert dict(parser["console_scripts"]) == project["scripts"]


def test_the_version_is_written_once(wheel: dict[str, bytes], project: dict[str, Any]) -> None:
    assert "version" in project["dynamic"]
    assert "version" not in project
    metadata = wheel[f"archipec-{archipec.__version__}.dist-info/METADATA"].decode()
    assert f"\nVersion: {archipec.__version__}\n" in metadata
    for folder in PACKAGES.values():
        for file in folder.rglob("*.py"):
            assigned = "__version__ =" in file.read_text("utf-8")
            assert not assigned or file == PACKAGES["archipec"] / "__init__.py", file


def test_the_sdist_has_what_a_packager_needs(
    distributions: Path, tmp_path: Path, wheel: dict[str, bytes]
) -> None:
    (file,) = distributions.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        archive.extractall(tmp_path, filter="data")
    (tree,) = tmp_path.iterdir()
    for name in (
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "Makefile",
        "tests/test_distribution.py",
    ):
        assert (tree / name).is_file(), name
    tests = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("test_*.py")}
    shipped = {path.relative_to(tree).as_posix() for path in (tree / "tests").rglob("test_*.py")}
    assert tests <= shipped, sorted(tests - shipped)
    again = tmp_path / "again"
    again.mkdir()
    assert read_wheel(built(tree, again)).keys() == wheel.keys()


@pytest.mark.parametrize("folder", ["core", "plugins", "thunderbird_profile_tool", "tests"])
def test_folders_are_not_packages(folder: str, tmp_path: Path) -> None:
    answer = run_isolated(f"import {folder}", cwd=tmp_path)
    assert f"ModuleNotFoundError: No module named '{folder}'" in answer.stderr


def test_asking_for_the_version_loads_nothing_slow(tmp_path: Path) -> None:
    loaded = loaded_by("--version", cwd=tmp_path)
    slow = [name for name in LATE if name in loaded]
    assert not slow, f"archipec --version loads {slow}"
    plugins = [name for name in loaded if name.startswith("archipec_plugins")]
    assert not plugins, f"archipec --version loads {plugins}"


def test_help_loads_no_command(tmp_path: Path) -> None:
    loaded = loaded_by("--help", cwd=tmp_path)
    assert not loaded & {f"archipec.cli.{name}" for name in cli._COMMANDS}


def test_status_loads_no_library_and_nothing_of_certified_mail_but_its_kinds(tmp_path: Path) -> None:
    """It is asked every morning, often for many pipelines: what the work itself needs would be most of its time."""
    (tmp_path / "archipec.toml").write_text(_CONFIGURATION)
    loaded = loaded_by("--config", "archipec.toml", "--state", "state", "status", cwd=tmp_path, expect=3)
    late = {*LATE, "importlib.metadata", "multiprocessing", "subprocess", "zoneinfo"} - {"sqlite3"}
    assert not loaded & late
    assert {name for name in loaded if name.startswith("archipec.pec.")} <= {
        f"archipec.pec.{name}" for name in ("anchors", "headers", "kind")
    }
    working = ("archiving", "pruning", "receipts", "seals", "verify")
    assert not [
        name for name in loaded if name.startswith(tuple(f"archipec.custody.{one}" for one in working))
    ]
    plugins = [name.split(".") for name in loaded if name.startswith("archipec_plugins.")]
    assert {one[1] for one in plugins} == {"files", "imap", "maildir", "net"}, "what the configuration names"
    assert not [
        one for one in plugins if one[-1] in ("answer", "fetch", "http", "session", "sink", "source", "tree")
    ]


def loaded_by(*arguments: str, cwd: Path, expect: int = 0) -> set[str]:
    """Return what a command has imported when it ends."""
    answer = run_isolated(_LOADED, "loaded.json", *arguments, cwd=cwd)
    assert answer.returncode == expect, answer.stderr
    return set(json.loads((cwd / "loaded.json").read_text()))


def test_the_module_runs_as_the_command_does(tmp_path: Path) -> None:
    command = [sys.executable, "-Im", "archipec", "--version"]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert answer.returncode == 0, answer.stderr
    assert archipec.__version__ in answer.stdout
