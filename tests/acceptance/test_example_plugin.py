"""The example in ``docs/`` is what a stranger would build: a wheel, installed, found by its entry point, conforming."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Sequence
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "archipec-conservation-example"


def run(command: Sequence[object], folder: Path) -> str:
    env = {
        key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PIP_", "PYTEST_"))
    }
    done = subprocess.run(
        list(map(str, command)), cwd=folder, env=env, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    return done.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with the example installed from a wheel, beside what runs this test."""
    folder = tmp_path_factory.mktemp("example")
    source = shutil.copytree(EXAMPLE, folder / "source", ignore=shutil.ignore_patterns("__pycache__", ".*"))
    pip = (sys.executable, "-Im", "pip", "-q", "--disable-pip-version-check")
    wheel = ("wheel", "--no-index", "--no-deps", "--no-build-isolation", "-w", folder / "dist", source)
    run((*pip, *wheel), folder)
    venv.create(folder / "venv", with_pip=False)
    scripts = "Scripts" if os.name == "nt" else "bin"
    interpreter = folder / "venv" / scripts / "python"
    # archipec and what it needs are those of this environment: nothing is fetched.
    (site,) = (folder / "venv").rglob("site-packages")
    (site / "parent.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    (made,) = (folder / "dist").glob("*.whl")
    run((*pip, "--python", interpreter, "install", "--no-index", "--no-deps", made), folder)
    return interpreter


def test_it_is_found_by_its_entry_point(python: Path, tmp_path: Path) -> None:
    listed = run((python, "-Im", "archipec", "plugins", "list"), tmp_path)
    (line,) = [line for line in listed.splitlines() if "conservation-example" in line]
    assert "conservation+example:" in line
    assert "archipec-conservation-example\t0.1.0\tok" in line


def test_it_passes_the_conformance_suite(python: Path, tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(EXAMPLE / "pyproject.toml", tmp_path)
    said = run((python, "-Im", "pytest", "-q", "-p", "no:cacheprovider", "tests"), tmp_path)
    assert "passed" in said and "failed" not in said


def test_the_guide_names_what_there_is() -> None:
    """A guide that shows names which are not there helps nobody."""
    import archipec.conservation.provider as contract
    from archipec import testing

    guide = (EXAMPLE.parents[1] / "plugin-conservation.md").read_text("utf-8")
    for name in contract.__all__:
        assert name in guide, f"{name} is not in the guide"
    for name in ("ConservationConformance", "ScriptedService", "Statement", "Misbehaviour"):
        assert hasattr(testing, name) and name in guide
